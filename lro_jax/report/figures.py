"""What the figures of both tracks share: style, axes, curves, files.

Colours are Okabe and Ito's, told apart by every kind of colour vision.
"""

import base64
import html
import io
import itertools
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from lro_jax.report.collect import RunLog  # noqa: E402

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
# Of an arm, in every figure in which one colour is one arm; then of the others.
ARMS = {"large": BLUE, "small": RED, "small_noise": GREEN}
OTHER_ARMS = (PINK, ORANGE, SKY, BLACK)

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


def finish(fig, stem: str, caption: str) -> Figure:
  """Turns a drawing into files, always into the same bytes. Ours."""
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


def slug(cell: str) -> str:
  """A cell's name as a file may be called. Ours."""
  return "".join(c if c.isalnum() or c in "-_." else "_" for c in cell)


def arm_colors(arms: Iterable[str]) -> list[str]:
  """A colour for every arm, the same in every figure. Ours."""
  others = itertools.cycle(OTHER_ARMS)
  return [ARMS.get(arm) or next(others) for arm in arms]


def curves(ax, run: RunLog, metric: str, color: str, label: str, **kw) -> bool:
  """Every seed thin against the step, the name once. Ours."""
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


def log_steps(ax) -> None:
  """A log axis from step 1 on, with room for step 0. Ours."""
  ax.set_xscale("symlog", linthresh=1, linscale=0.6)
  ax.margins(x=0)


def mark_anneals(ax, run: RunLog) -> None:
  """A grey line where each seed annealed. Ours."""
  label = "annealed"
  for seed in run.seeds:
    step = run.event_step("anneal", seed)
    if step is not None:
      ax.axvline(step, color="0.6", lw=0.7, label=label)
      label = None


def panels(runs: list[RunLog], height: float = 3.1):
  """A figure, and one of its axes of steps for every arm. Ours."""
  fig, axes = plt.subplots(
    1,
    len(runs),
    figsize=(4.6 * len(runs), height),
    sharey=True,
    squeeze=False,
  )
  for ax, run in zip(axes[0], runs, strict=True):
    log_steps(ax)
    ax.set_title(run.arm)
    ax.set_xlabel("step")
    mark_anneals(ax, run)
  return fig, axes[0]


def draw(
  runs: list[RunLog], make: Callable[[list[RunLog]], list[Figure]]
) -> list[Figure]:
  """The figures of one cell, drawn in this project's style. Ours."""
  with plt.rc_context(STYLE):
    return make(runs)


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
