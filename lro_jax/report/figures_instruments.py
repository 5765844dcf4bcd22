"""The dashboard of a cell: every instrument against the step, in small panels.

One colour is one arm. Solid is the value, dashed the paper's bound without its
hidden constant.
"""

import math
import textwrap
from typing import Any

import matplotlib.pyplot as plt
from matplotlib import lines, ticker

from lro_jax.report import figures, instruments
from lro_jax.report.collect import RunLog

COLUMNS = 4
# Characters of a panel's title in a line, and lines.
WIDTH, LINES = 38, 3
# Arms that a statement does not speak of are this faint.
FAINT = 0.3


def _title(instrument: dict[str, Any]) -> str:
  """Where it stands in the paper and, in as many lines as fit, what it says."""
  # A dollar would begin mathematics.
  statement = instrument["statement"].replace("$", r"\$")
  said = textwrap.wrap(statement, WIDTH, max_lines=LINES, placeholder=" ...")
  source = instrument["source"].replace("$", r"\$")
  return "\n".join([f"{instrument['name']} | {source}", *said])


def _curve(ax, run: RunLog, metric: str, *, color, alpha, marker, ls) -> None:
  """A metric of every seed; what is there at one step only is a mark."""
  for seed in run.seeds:
    steps, values = run.curve(metric, seed)
    ax.plot(
      steps,
      values,
      color=color,
      alpha=alpha,
      lw=0.9,
      ls=ls,
      marker=marker if len(steps) == 1 else None,
      ms=4,
    )


def _panel(ax, runs: list[RunLog], instrument: dict[str, Any]) -> None:
  name = instrument["name"]
  figures.log_steps(ax)
  ax.set_yscale("log", nonpositive="mask")
  ax.xaxis.set_major_locator(
    ticker.SymmetricalLogLocator(base=10, linthresh=1, subs=[1])
  )
  ax.xaxis.get_major_locator().set_params(numticks=6)
  for run in runs:
    figures.mark_anneals(ax, run)
  colors = figures.arm_colors(run.arm for run in runs)
  for run, color in zip(runs, colors, strict=True):
    alpha = 0.8 if instruments.speaks_of(instrument, run) else FAINT
    look = dict(color=color, alpha=alpha)
    _curve(ax, run, f"lemma/{name}", **look, marker="o", ls="-")
    _curve(ax, run, f"bound/{name}", **look, marker="_", ls="--")
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
    figsize=(2.75 * COLUMNS, 2.3 * rows),
    sharex=True,
    squeeze=False,
    layout="constrained",
  )
  for ax, instrument in zip(axes.flat, found, strict=False):
    _panel(ax, runs, instrument)
  for ax in axes.flat[len(found) :]:
    ax.set_visible(False)
  for ax in axes.flat[max(0, len(found) - COLUMNS) : len(found)]:
    ax.set_xlabel("step", fontsize=7)
    ax.tick_params(labelbottom=True)
  colors = figures.arm_colors(run.arm for run in runs)
  keys = [
    lines.Line2D([], [], color=color, label=run.arm)
    for run, color in zip(runs, colors, strict=True)
  ]
  keys += [
    lines.Line2D([], [], color=figures.BLACK, label="value"),
    lines.Line2D([], [], color=figures.BLACK, ls="--", label="bound"),
    lines.Line2D([], [], color="0.6", label="annealed"),
  ]
  fig.legend(handles=keys, loc="outside upper left", ncols=len(keys))
  return [
    figures.finish(
      fig,
      f"instruments_{figures.slug(runs[0].cell)}",
      "What each numbered statement bounds, against the step: solid the value,"
      " dashed the paper's bound without its constant, a line for each seed;"
      " faint: arms that the statement does not speak of; grey: where a seed's"
      " rate was annealed.",
    )
  ]
