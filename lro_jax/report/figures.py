"""Figures from run logs: losses, errors, Lemma 4.2's probe, norms, Figure 2.

Colours are Okabe and Ito's, told apart by every kind of colour vision.
"""

import base64
import html
import io
import pathlib
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from lro_jax.report.collect import RunLog  # noqa: E402

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
LOG2 = float(np.log(2))

STYLE = {
  "font.size": 9,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "grid.alpha": 0.25,
  "legend.frameon": False,
  "svg.hashsalt": "lro_jax",
}


class Figure(NamedTuple):
  """A drawn figure: file stem, caption, PNG and SVG bytes."""

  stem: str
  caption: str
  png: bytes
  svg: bytes


def _finish(fig, stem: str, caption: str) -> Figure:
  images = {}
  for kind in ("png", "svg"):
    buffer = io.BytesIO()
    # No date: the same logs give the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    fig.savefig(
      buffer, format=kind, dpi=150, bbox_inches="tight", metadata=metadata
    )
    images[kind] = buffer.getvalue()
  plt.close(fig)
  return Figure(stem, caption, images["png"], images["svg"])


def _slug(cell: str) -> str:
  return "".join(c if c.isalnum() or c in "-_." else "_" for c in cell)


def _curves(ax, run: RunLog, metric: str, color: str, label: str, **kw) -> bool:
  """Every seed thin, the name once."""
  drawn = False
  for seed in run.seeds:
    steps, values = run.curve(metric, seed)
    if len(steps):
      ax.plot(
        steps,
        values,
        color=color,
        alpha=0.7,
        lw=1.1,
        label=None if drawn else label,
        **kw,
      )
      drawn = True
  return drawn


def _log_steps(ax) -> None:
  """A log axis from step 1 on, with room for step 0."""
  ax.set_xscale("symlog", linthresh=1, linscale=0.6)
  ax.margins(x=0)


def _mark_anneals(ax, run: RunLog) -> None:
  """A grey line where each seed annealed."""
  label = "annealed"
  for seed in run.seeds:
    step = run.event_step("anneal", seed)
    if step is not None:
      ax.axvline(step, color="0.6", lw=0.7, label=label)
      label = None


def _panels(runs: list[RunLog], height: float = 3.1):
  fig, axes = plt.subplots(
    1,
    len(runs),
    figsize=(4.6 * len(runs), height),
    sharey=True,
    squeeze=False,
  )
  for ax, run in zip(axes[0], runs, strict=True):
    _log_steps(ax)
    ax.set_title(run.arm)
    ax.set_xlabel("step")
    _mark_anneals(ax, run)
  return fig, axes[0]


def losses(runs: list[RunLog]) -> Figure:
  """Training loss by subset against step. Paper: Lemmas 4.1, 4.3, 4.4."""
  fig, axes = _panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    _curves(ax, run, "train_loss/m1", BLUE, "M1 (has P)")
    _curves(ax, run, "train_loss/q_only", RED, "Q-only (not M1)")
    _curves(ax, run, "train_loss/m2", GREEN, "M2 (has Q)", ls="--")
    _curves(ax, run, "train_loss/p_only", ORANGE, "P-only (not M2)", ls="--")
    ax.axhline(LOG2, color=BLACK, lw=0.8, ls=":", label="log 2")
  axes[0].set_ylabel("training loss")
  axes[0].set_ylim(bottom=0)
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return _finish(
    fig,
    f"losses_{_slug(runs[0].cell)}",
    "Training loss on the index sets of Section 2, one line per seed; grey:"
    " where that seed's rate was annealed. Loss log 2 is a coin's.",
  )


def errors(runs: list[RunLog]) -> Figure:
  """Test error by subset against step. Paper: Theorems 3.4, 3.5."""
  fig, axes = _panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    _curves(ax, run, "test_error/p_only", BLUE, "P-only")
    _curves(ax, run, "test_error/q_only", RED, "Q-only")
    _curves(ax, run, "test_error/both", GREEN, "both", ls="--")
  axes[0].set_ylabel("test error")
  axes[0].set_ylim(-0.01, 0.7)
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return _finish(
    fig,
    f"errors_{_slug(runs[0].cell)}",
    "Test error on fresh points with only P, only Q, or both components. An"
    " output of exactly zero counts as half an error.",
  )


def second_difference(runs: list[RunLog]) -> Figure:
  """Lemma 4.2's probe against its bound. Paper: (4.1)."""
  fig, ax = plt.subplots(figsize=(6.2, 3.3))
  for run, color in zip(runs, (BLUE, RED, GREEN, PINK), strict=False):
    for i, seed in enumerate(run.seeds):
      steps, values = run.curve("second_difference", seed)
      ax.plot(
        steps,
        np.abs(values),
        color=color,
        alpha=0.7,
        lw=1.1,
        label=None if i else run.arm,
      )
  for run in runs:
    _mark_anneals(ax, run)
  s = runs[0].record["facts"]["setting"]
  _log_steps(ax)
  ax.set_yscale("log", nonpositive="mask")
  # Without weight decay or angle there is no bound to draw.
  if s["weight_decay"] > 0 and s["r"] > 0:
    bound = (s["r"] * s["q_norm"]) ** 2 / s["weight_decay"]
    law = (1 - s["p0"]) * bound * s["r"] / (24 * np.pi)
    horizon = 1 / (s["large_learning_rate"] * s["weight_decay"])
    ax.axhline(
      bound,
      color=BLACK,
      lw=1,
      ls="--",
      label=r"bound $r^2|z|^2/\lambda$, (4.1)",
    )
    ax.axhline(
      law,
      color=BLACK,
      lw=1,
      ls=":",
      label=r"plateau $(1-p)|z|^2r^3/(24\pi\lambda)$ (ours)",
    )
    ax.axvline(
      horizon, color=PINK, lw=0.8, ls="-.", label=r"$1/(\eta_1\lambda)$"
    )
    ax.set_ylim(1e-3 * max(law, 1e-6), 5 * bound)
  ax.set_xlabel("step")
  ax.set_ylabel(r"$|g(z+\zeta)+g(z-\zeta)-2g(z)|$")
  ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
  return _finish(
    fig,
    f"second_difference_{_slug(runs[0].cell)}",
    "Lemma 4.2: what g has learned of Q. The bound carries no constant; the"
    " large rate is held at the plateau until it is annealed.",
  )


def norms(runs: list[RunLog]) -> Figure:
  """Norms of signal and noise, and the noise std. Paper: (3.4), footnote 2."""
  fig, axes = _panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    _curves(ax, run, "signal_norm2/w", BLUE, r"signal $\|\bar W\|_F^2$")
    _curves(ax, run, "signal_norm2/v", RED, r"signal $\|\bar V\|_F^2$")
    _curves(ax, run, "noise_norm2/w", SKY, r"noise $\|\tilde W\|_F^2$", ls="--")
    _curves(
      ax, run, "noise_norm2/v", ORANGE, r"noise $\|\tilde V\|_F^2$", ls="--"
    )
    _curves(
      ax, run, "noise_std/relative", BLACK, r"noise std $\tau_t/\tau_0$", ls=":"
    )
    ax.set_yscale("log", nonpositive="mask")
  axes[0].set_ylabel("squared norm")
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return _finish(
    fig,
    f"norms_{_slug(runs[0].cell)}",
    "The decomposition (3.4): squared norms of signal and noise part (in the"
    " reduced basis, of the coordinates it keeps). At infinite width only the"
    " noise's std relative to its start has a limit.",
  )


def figure_2(run: RunLog) -> Figure:
  """The directions z - zeta, z, z + zeta of a run. Paper: Figure 2."""
  points = np.array(run.record["facts"]["figure_2"])
  fig, ax = plt.subplots(figsize=(4.2, 3.0))
  names = (r"$z-\zeta$", r"$z$", r"$z+\zeta$")
  for (x, y), name, color in zip(points, names, (RED, BLUE, RED), strict=True):
    ax.annotate(
      "", (x, y), (0, 0), arrowprops=dict(arrowstyle="->", color=color, lw=1.6)
    )
    label = "+1" if color == BLUE else "-1"
    ax.annotate(
      f"{name}, label {label}",
      (x, y),
      xytext=(4, 0),
      textcoords="offset points",
      color=color,
      va="center",
    )
  ax.set_xlim(0, 1.45 * points[:, 0].max())
  reach = 1.3 * np.abs(points[:, 1]).max() or 1.0
  ax.set_ylim(-reach, reach)
  ax.set_xlabel(r"along $z$")
  ax.set_ylabel(r"along $\zeta$ (own scale)")
  return _finish(
    fig,
    f"figure_2_{_slug(run.cell)}",
    "Figure 2 of the paper from this run's vectors: the label of z differs from"
    " that of its two neighbours. The axes have different scales; the angle"
    f" between z and z + zeta is {np.degrees(np.arctan2(*points[2][::-1])):.2f}"
    " degrees.",
  )


def theory(runs: list[RunLog]) -> list[Figure]:
  """All figures of one cell's arms. Ours."""
  out = [losses(runs), errors(runs), second_difference(runs), norms(runs)]
  return [*out, figure_2(runs[0])]


def draw(runs: list[RunLog]) -> list[Figure]:
  """The figures of one cell, drawn in this project's style. Ours."""
  with plt.rc_context(STYLE):
    return theory(runs)


def save(figure: Figure, folder: pathlib.Path) -> None:
  """Writes a figure as PNG and SVG files. Ours."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / f"{figure.stem}.png").write_bytes(figure.png)
  (folder / f"{figure.stem}.svg").write_bytes(figure.svg)


def as_html(figure: Figure) -> str:
  """A figure for the page, its image inside. Ours."""
  data = base64.b64encode(figure.png).decode()
  caption = html.escape(figure.caption)
  return (
    f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
    f"<figcaption>{caption}</figcaption></figure>"
  )
