"""What the figures of both tracks share: style, axes, curves, files.

Colours are those of `theme`; lines differ in dashes as well, so that a grey
print can be read.
"""

import io
import itertools
import pathlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from lro_jax.report import drawn, theme  # noqa: E402
from lro_jax.report.collect import RunLog  # noqa: E402

INK, GREY = theme.INK.light, theme.GREY.light
BLUE, RED = theme.BLUE.light, theme.RED.light
GREEN, PINK = theme.GREEN.light, theme.PINK.light
SOLID, DASHED = "-", (0, (5, 2))
DASHDOT, DOTTED = (0, (6, 2, 1.2, 2)), (0, (1.2, 1.4))
# Of a reference that no net made.
REFERENCE = (0, (1, 3))


class Look(NamedTuple):
  """Colour and dashes of a curve."""

  color: str
  ls: str | tuple = SOLID


# Of an arm, in every figure in which one colour is one arm; then of the others.
ARMS = {
  "large": Look(BLUE),
  "small": Look(RED, DASHED),
  "small_noise": Look(GREEN, DASHDOT),
}
OTHER_ARMS = (
  Look(PINK, DOTTED),
  Look(INK),
  Look(PINK, DASHED),
  Look(INK, DASHDOT),
)

STYLE = {
  "text.color": INK,
  "axes.labelcolor": INK,
  "axes.edgecolor": GREY,
  "xtick.color": INK,
  "ytick.color": INK,
  "figure.facecolor": theme.PAPER.light,
  "axes.facecolor": theme.PAPER.light,
  "savefig.facecolor": theme.PAPER.light,
  "grid.color": theme.GRID.light,
  "axes.axisbelow": True,
  "font.size": 9,
  "axes.spines.top": False,
  "axes.spines.right": False,
  "axes.grid": True,
  "legend.frameon": False,
  "svg.hashsalt": "lro_jax",
}
# Around a figure, in inches.
PADDING = 0.1


class Figure(NamedTuple):
  """A drawn figure: file stem, caption, PNG, SVG and the data as CSV."""

  stem: str
  caption: str
  png: bytes
  svg: bytes
  csv: str


def finish(
  fig, stem: str, caption: str, rows: drawn.Rows | None = None
) -> Figure:
  """Turns a drawing into files, always into the same bytes. Ours.

  Args:
    fig: the drawing.
    stem: name of its files.
    caption: what it shows.
    rows: its data, where they are not lines that `drawn.read` finds.
  """
  rows = drawn.read(fig) if rows is None else rows
  if fig.get_layout_engine() is not None:
    # Laid out once, not once for every kind of file.
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
  inches = fig.get_tightbbox().padded(PADDING)
  images = {}
  for kind in ("png", "svg"):
    buffer = io.BytesIO()
    # No date: the same logs give the same bytes.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    fig.savefig(
      buffer, format=kind, dpi=150, bbox_inches=inches, metadata=metadata
    )
    images[kind] = buffer.getvalue()
  plt.close(fig)
  return Figure(stem, caption, images["png"], images["svg"], drawn.as_csv(rows))


def slug(cell: str) -> str:
  """A cell's name as a file may be called. Ours."""
  return "".join(c if c.isalnum() or c in "-_." else "_" for c in cell)


def arm_looks(arms: Iterable[str]) -> list[Look]:
  """Colour and dashes of every arm, the same in every figure. Ours."""
  others = itertools.cycle(OTHER_ARMS)
  return [ARMS.get(arm) or next(others) for arm in arms]


def keys(run: RunLog, seed: int) -> dict[str, object]:
  """What tells a curve's rows of data from others' of its cell. Ours."""
  return {"arm": run.arm, "seed": seed}


def curves(ax, run: RunLog, metric: str, look: Look, label: str) -> bool:
  """Every seed thin against the step, the name once. Ours."""
  found = False
  for seed in run.seeds:
    steps, values = run.curve(metric, seed)
    if len(steps):
      drawn.line(
        ax,
        steps,
        values,
        metric,
        keys(run, seed),
        alpha=0.8,
        lw=1.2,
        label=None if found else label,
        **look._asdict(),
      )
      found = True
  return found


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
      drawn.mark(
        ax, step, "annealed", keys(run, seed), color=GREY, lw=0.7, label=label
      )
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
  """Writes a figure's PNG, SVG and CSV files. Ours."""
  folder.mkdir(parents=True, exist_ok=True)
  (folder / f"{figure.stem}.png").write_bytes(figure.png)
  (folder / f"{figure.stem}.svg").write_bytes(figure.svg)
  (folder / f"{figure.stem}.csv").write_text(figure.csv)
