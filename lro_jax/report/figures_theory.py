"""Figures of the theory track: losses, errors, Lemma 4.2's probe, norms.

And Figure 2 of the paper, from a run's own vectors.
"""

import matplotlib.pyplot as plt
import numpy as np

from lro_jax.report import drawn, figures
from lro_jax.report.collect import RunLog
from lro_jax.report.figures import Look

LOG2 = float(np.log(2))
INK, REFERENCE = figures.INK, figures.REFERENCE
LONG = (0, (10, 2))

# Metric, name, look.
LOSSES = (
  ("m1", "M1 (has P)", Look(figures.BLUE)),
  ("q_only", "Q-only (not M1)", Look(figures.RED, figures.DASHED)),
  ("m2", "M2 (has Q)", Look(figures.GREEN, figures.DASHDOT)),
  ("p_only", "P-only (not M2)", Look(figures.PINK, figures.DOTTED)),
)
ERRORS = (
  ("p_only", "P-only", Look(figures.BLUE)),
  ("q_only", "Q-only", Look(figures.RED, figures.DASHED)),
  ("both", "both", Look(figures.GREEN, figures.DASHDOT)),
)
# One colour is one matrix.
NORMS = (
  ("signal_norm2/w", r"signal $\|\bar W\|_F^2$", Look(figures.BLUE)),
  (
    "noise_norm2/w",
    r"noise $\|\tilde W\|_F^2$",
    Look(figures.BLUE, figures.DOTTED),
  ),
  (
    "signal_norm2/v",
    r"signal $\|\bar V\|_F^2$",
    Look(figures.RED, figures.DASHED),
  ),
  (
    "noise_norm2/v",
    r"noise $\|\tilde V\|_F^2$",
    Look(figures.RED, figures.DASHDOT),
  ),
  ("noise_std/relative", r"noise std $\tau_t/\tau_0$", Look(INK, LONG)),
)


def losses(runs: list[RunLog]) -> figures.Figure:
  """Training loss by subset against step. Paper: Lemmas 4.1, 4.3, 4.4."""
  fig, axes = figures.panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    for metric, label, look in LOSSES:
      figures.curves(ax, run, f"train_loss/{metric}", look, label)
    drawn.level(
      ax, LOG2, "log 2", color=INK, lw=0.9, ls=REFERENCE, label="log 2"
    )
  axes[0].set_ylabel("training loss")
  axes[0].set_ylim(bottom=0)
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"losses_{figures.slug(runs[0].cell)}",
    "Training loss on the index sets of Section 2, one line per seed; grey:"
    " where that seed's rate was annealed. Loss log 2 is a coin's.",
  )


def errors(runs: list[RunLog]) -> figures.Figure:
  """Test error by subset against step. Paper: Theorems 3.4, 3.5."""
  fig, axes = figures.panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    for metric, label, look in ERRORS:
      figures.curves(ax, run, f"test_error/{metric}", look, label)
  axes[0].set_ylabel("test error")
  axes[0].set_ylim(-0.01, 0.7)
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"errors_{figures.slug(runs[0].cell)}",
    "Test error on fresh points with only P, only Q, or both components. An"
    " output of exactly zero counts as half an error.",
  )


def second_difference(runs: list[RunLog]) -> figures.Figure:
  """Lemma 4.2's probe against its bound. Paper: (4.1)."""
  fig, ax = plt.subplots(figsize=(6.2, 3.3))
  looks = figures.arm_looks(run.arm for run in runs)
  for run, look in zip(runs, looks, strict=True):
    for i, seed in enumerate(run.seeds):
      steps, values = run.curve("second_difference", seed)
      drawn.line(
        ax,
        steps,
        np.abs(values),
        "|second_difference|",
        figures.keys(run, seed),
        alpha=0.8,
        lw=1.2,
        label=None if i else run.arm,
        **look._asdict(),
      )
  for run in runs:
    figures.mark_anneals(ax, run)
  s = runs[0].record["facts"]["setting"]
  figures.log_steps(ax)
  ax.set_yscale("log", nonpositive="mask")
  # Without weight decay or angle there is no bound to draw.
  if s["weight_decay"] > 0 and s["r"] > 0:
    bound = (s["r"] * s["q_norm"]) ** 2 / s["weight_decay"]
    law = (1 - s["p0"]) * bound * s["r"] / (24 * np.pi)
    horizon = 1 / (s["large_learning_rate"] * s["weight_decay"])
    drawn.level(
      ax,
      bound,
      "bound (4.1)",
      color=INK,
      lw=1,
      ls=figures.DOTTED,
      label=r"bound $r^2|z|^2/\lambda$, (4.1)",
    )
    drawn.level(
      ax,
      law,
      "plateau (ours)",
      color=INK,
      lw=1,
      ls=figures.DASHDOT,
      label=r"plateau $(1-p)|z|^2r^3/(24\pi\lambda)$ (ours)",
    )
    drawn.mark(
      ax,
      horizon,
      "1 / (eta1 lambda)",
      color=figures.PINK,
      lw=1,
      ls=figures.DASHED,
      label=r"$1/(\eta_1\lambda)$",
    )
    ax.set_ylim(1e-3 * max(law, 1e-6), 5 * bound)
  ax.set_xlabel("step")
  ax.set_ylabel(r"$|g(z+\zeta)+g(z-\zeta)-2g(z)|$")
  ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"second_difference_{figures.slug(runs[0].cell)}",
    "Lemma 4.2: what g has learned of Q. The bound carries no constant; the"
    " large rate is held at the plateau until it is annealed.",
  )


def norms(runs: list[RunLog]) -> figures.Figure:
  """Norms of signal and noise, and the noise std. Paper: (3.4), footnote 2."""
  fig, axes = figures.panels(runs)
  for ax, run in zip(axes, runs, strict=True):
    for metric, label, look in NORMS:
      figures.curves(ax, run, metric, look, label)
    ax.set_yscale("log", nonpositive="mask")
  axes[0].set_ylabel("squared norm")
  axes[-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"norms_{figures.slug(runs[0].cell)}",
    "The decomposition (3.4): squared norms of signal and noise part (in the"
    " reduced basis, of the coordinates it keeps). At infinite width only the"
    " noise's std relative to its start has a limit.",
  )


def figure_2(run: RunLog) -> figures.Figure:
  """The directions z - zeta, z, z + zeta of a run. Paper: Figure 2."""
  points = np.array(run.record["facts"]["figure_2"])
  fig, ax = plt.subplots(figsize=(4.2, 3.0))
  names = (r"$z-\zeta$", r"$z$", r"$z+\zeta$")
  for (x, y), name, color in zip(
    points, names, (figures.RED, figures.BLUE, figures.RED), strict=True
  ):
    ax.annotate(
      "", (x, y), (0, 0), arrowprops=dict(arrowstyle="->", color=color, lw=1.6)
    )
    label = "+1" if color == figures.BLUE else "-1"
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
  return figures.finish(
    fig,
    f"figure_2_{figures.slug(run.cell)}",
    "Figure 2 of the paper from this run's vectors: the label of z differs from"
    " that of its two neighbours. The axes have different scales; the angle"
    f" between z and z + zeta is {np.degrees(np.arctan2(*points[2][::-1])):.2f}"
    " degrees.",
    [
      {"vector": name, "label": sign, "along z": x, "along zeta": y}
      for name, sign, (x, y) in zip(
        ("z - zeta", "z", "z + zeta"), (-1, 1, -1), points, strict=True
      )
    ],
  )


def draw(runs: list[RunLog]) -> list[figures.Figure]:
  """All figures of one cell's arms. Ours."""
  out = [losses(runs), errors(runs), second_difference(runs), norms(runs)]
  return [*out, figure_2(runs[0])]
