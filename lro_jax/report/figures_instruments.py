"""The dashboard of a cell: every instrument against the step, in small panels.

One colour and kind of line is one arm; dotted is the paper's bound without its
hidden constant.
"""

import math
import textwrap
from typing import Any

import matplotlib.pyplot as plt
from matplotlib import lines

from lro_jax.report import drawn, figures, instruments
from lro_jax.report.collect import RunLog

COLUMNS = 4
# Characters of a panel's title in a line, and lines.
WIDTH, LINES = 36, 3
MOST_DECADES = 6
# Arms that a statement does not speak of are this faint.
FAINT = 0.3
# Of a bound, in widths of its line.
DOT = 1.6


def _title(instrument: dict[str, Any]) -> str:
  """Where it stands in the paper and, in as many lines as fit, what it says."""
  # A dollar would begin mathematics.
  statement = instrument["statement"].replace("$", r"\$")
  said = textwrap.wrap(statement, WIDTH, max_lines=LINES, placeholder=" ...")
  source = instrument["source"].replace("$", r"\$")
  return "\n".join([f"{instrument['name']} | {source}", *said])


def _value(ax, run: RunLog, name: str, **look) -> None:
  """A line for every seed; what is there at one step only is a mark."""
  for seed in run.seeds:
    steps, values = run.curve(f"lemma/{name}", seed)
    marker = "o" if len(steps) == 1 else None
    keys = figures.keys(run, seed)
    drawn.line(
      ax, steps, values, name, keys, lw=0.9, marker=marker, ms=4, **look
    )


def _bound(ax, run: RunLog, name: str, *, turn: int, turns: int, **look):
  """The mean over seeds, dotted; where seeds share no step, a dash for each.

  Bounds of several arms are often one: each has its dots in the others' gaps.
  """
  column = f"{name}: bound"
  steps, means = run.mean_curve(f"bound/{name}")
  if len(steps) > 1:
    dots = (-DOT * turn, (DOT, DOT * max(1, turns - 1)))
    keys = {"arm": run.arm, "seed": "mean"}
    drawn.line(ax, steps, means, column, keys, lw=1.2, **look | {"ls": dots})
    return
  for seed in run.seeds:
    curve = run.curve(f"bound/{name}", seed)
    keys = figures.keys(run, seed)
    look |= {"marker": "_", "ms": 8, "ls": ""}
    drawn.line(ax, *curve, column, keys, **look)


def _whole_decades(ax) -> None:
  """Ends the axis at powers of ten, at least two."""
  low, high = ax.get_ylim()
  bottom = math.floor(math.log10(low))
  top = max(bottom + 1, math.ceil(math.log10(high)))
  ax.set_ylim(10.0**bottom, 10.0**top)
  step = math.ceil((top - bottom) / MOST_DECADES)
  ax.set_yticks([10.0**k for k in range(bottom, top + 1, step)])


def _panel(ax, runs: list[RunLog], instrument: dict[str, Any]) -> None:
  name = instrument["name"]
  figures.log_steps(ax)
  ax.set_yscale("log", nonpositive="mask")
  for run in runs:
    figures.mark_anneals(ax, run)
  looks = figures.arm_looks(run.arm for run in runs)
  for turn, (run, of_arm) in enumerate(zip(runs, looks, strict=True)):
    alpha = 0.8 if instruments.speaks_of(instrument, run) else FAINT
    look = of_arm._asdict() | {"alpha": alpha}
    _value(ax, run, name, **look)
    _bound(ax, run, name, turn=turn, turns=len(runs), **look)
  _whole_decades(ax)
  # Minor ticks of many panels take most of the time of drawing them.
  ax.minorticks_off()
  ax.set_title(_title(instrument), fontsize=7, loc="left")
  ax.tick_params(labelsize=7)


def dashboard(runs: list[RunLog]) -> list[figures.Figure]:
  """One figure of all instruments of a cell; none where it has none. Ours.

  Args:
    runs: the arms of the cell.
  """
  found = instruments.listed(runs)
  if not found:
    return []
  rows = math.ceil(len(found) / COLUMNS)
  fig, axes = plt.subplots(
    rows,
    COLUMNS,
    figsize=(2.75 * COLUMNS, 2.4 * rows),
    sharex=True,
    squeeze=False,
    gridspec_kw={"hspace": 0.5, "wspace": 0.3},
  )
  for ax, instrument in zip(axes.flat, found, strict=False):
    _panel(ax, runs, instrument)
  for ax in axes.flat[len(found) :]:
    ax.set_visible(False)
  for ax in axes.flat[max(0, len(found) - COLUMNS) : len(found)]:
    ax.set_xlabel("step", fontsize=7)
    ax.tick_params(labelbottom=True)
  looks = figures.arm_looks(run.arm for run in runs)
  keys = [
    lines.Line2D([], [], label=f"{run.arm}: value", **look._asdict())
    for run, look in zip(runs, looks, strict=True)
  ]
  keys += [
    lines.Line2D([], [], color=figures.INK, ls=(0, (DOT, DOT)), label="bound"),
    lines.Line2D([], [], color=figures.GREY, lw=0.7, label="annealed"),
  ]
  top = axes[0, 0].get_position().y1 + 0.7 / fig.get_figheight()
  left = axes[0, 0].get_position().x0
  fig.legend(
    handles=keys,
    loc="lower left",
    bbox_to_anchor=(left, top),
    borderaxespad=0,
    ncols=len(keys),
  )
  return [
    figures.finish(
      fig,
      f"instruments_{figures.slug(runs[0].cell)}",
      "What each numbered statement bounds, against the step: a line for"
      " each seed, dotted the paper's bound without its constant;"
      " faint: arms that the statement does not speak of; grey: where a seed's"
      " rate was annealed.",
    )
  ]
