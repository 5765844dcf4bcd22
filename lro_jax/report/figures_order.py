"""The figure of the order of learning: when each pattern is a share learned.

Columns are arms. A row for each kind of metric has the share of what the net
knows at its end against the step; the last has the share of images taken for
the class of a patch that is not theirs.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

from lro_jax.report import drawn, figures, measures
from lro_jax.report.collect import RunLog
from lro_jax.report.crossings import AT_LEAST
from lro_jax.report.learning import CONFLICT, FRACTIONS, Entry

HARD = figures.Look(figures.BLUE)
EASY = figures.Look(figures.RED, figures.DASHED)
HARD_MARK, EASY_MARK, NEVER = "o", "s", ">"
# How far above and below its height a pattern's seeds lie.
SHIFT = 0.018


def _steps(
  entries: list[Entry], run: RunLog, metric: str, fraction: float
) -> list[Entry]:
  """When each of a run's seeds was there; not what is there at step 0."""
  return [
    e
    for e in entries
    if (e.cell, e.arm, e.quantity) == (run.cell, run.arm, "first_step")
    and (e.metric, e.fraction) == (metric, fraction)
    and e.value > 0
  ]


def _pattern(ax, entries, run, measure, look, marker, shift) -> None:
  """A pattern's seeds as points, their geometric means as a line."""
  line = []
  for fraction in FRACTIONS:
    found = _steps(entries, run, measure.metric, fraction)
    for e in found:
      never = e.bound == AT_LEAST
      ax.plot(
        e.value,
        fraction + shift,
        ls="",
        marker=NEVER if never else marker,
        ms=5,
        mew=0.9,
        mfc="none" if never else look.color,
        mec=look.color,
        alpha=0.75,
      )
    if found and all(e.bound == "" for e in found):
      mean = np.exp(np.mean([np.log(e.value) for e in found]))
      line.append((mean, fraction + shift))
  if line:
    x, y = zip(*line, strict=True)
    ax.plot(x, y, lw=1.6, **look._asdict())


def _mark(ax, anneals: dict[int, tuple[int, str]], arm: str) -> None:
  """Where each seed annealed; dotted if it is another arm's step."""
  for step, owner in sorted(set(anneals.values())):
    ls = "-" if owner == arm else ":"
    ax.axvline(step, color=figures.GREY, lw=0.9, ls=ls, zorder=0)


def _conflict(ax, run: RunLog) -> drawn.Rows:
  """How many images are taken for their patch's class, seeds thin."""
  excluded = measures.left_out(run)
  out = []
  for seed in run.seeds:
    if seed not in excluded:
      steps, values = run.curve(CONFLICT, seed)
      keep = steps > 0
      look = EASY._asdict()
      ax.plot(steps[keep], values[keep], lw=1.0, alpha=0.75, **look)
      named = {"cell": run.cell, "arm": run.arm, "seed": str(seed)}
      named["what"] = "taken for the patch's class"
      out += [
        named | {"step": step, "share": value}
        for step, value in zip(steps[keep], values[keep], strict=True)
      ]
  return out


def _rows(entries: list[Entry], pair: measures.Pair, cell: str) -> drawn.Rows:
  """The points of a pair's panels."""
  return [
    {"cell": cell, "arm": e.arm, "seed": str(e.seed)}
    | {"what": f"{measure.pattern}, {measure.by}"}
    | {"step": e.value, "share": e.fraction}
    | ({"never": "at last step"} if e.bound == AT_LEAST else {})
    for measure in (pair.hard, pair.easy)
    for e in entries
    if (e.cell, e.quantity, e.metric) == (cell, "first_step", measure.metric)
    and e.value > 0
  ]


def _legend(ax, pair: measures.Pair, is_last_never: bool) -> None:
  marks = [
    (HARD, HARD_MARK, pair.hard.pattern),
    (EASY, EASY_MARK, pair.easy.pattern),
  ]
  if is_last_never:
    marks.append((figures.Look(figures.INK, ""), NEVER, "never (at last step)"))
  handles = [
    plt.Line2D(
      [],
      [],
      marker=marker,
      ms=5,
      mfc="none" if marker == NEVER else look.color,
      label=label,
      **look._asdict(),
    )
    for look, marker, label in marks
  ]
  ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))


def draw(
  cells: list[list[RunLog]], entries: list[Entry], track: str
) -> list[figures.Figure]:
  """One figure: cells below each other, arms side by side. Ours.

  Args:
    cells: the runs of every cell that is drawn.
    entries: of the experiment.
    track: of the experiment.

  Returns:
    One figure, or none where no two patterns are to be compared.
  """
  known = {(e.cell, e.metric) for e in entries if e.quantity == "first_step"}
  rows = []
  for runs in cells:
    for pair in measures.PAIRS[track]:
      both = (pair.hard.metric, pair.easy.metric)
      if all((runs[0].cell, metric) in known for metric in both):
        rows.append((runs, pair))
    if any(run.has(CONFLICT) for run in runs):
      rows.append((runs, None))
  if not any(pair for _, pair in rows):
    return []
  columns = max(len(runs) for runs in cells)
  fig, axes = plt.subplots(
    len(rows),
    columns,
    figsize=(3.4 * columns + 1.2, 2.1 * len(rows) + 0.5),
    squeeze=False,
    layout="constrained",
  )
  shown: drawn.Rows = []
  for line, (runs, pair) in zip(axes, rows, strict=True):
    if pair:
      shown += _rows(entries, pair, runs[0].cell)
    anneals = measures.annealings(runs)
    for ax, run in zip(line, runs, strict=False):
      ax.set_xscale("log")
      _mark(ax, anneals.get(run.arm, {}), run.arm)
      title = run.arm if len(cells) == 1 else f"{run.cell}: {run.arm}"
      ax.set_title(title, fontsize=9)
      if pair is None:
        shown += _conflict(ax, run)
        ax.set_ylim(-0.02, 1.02)
        continue
      _pattern(ax, entries, run, pair.hard, HARD, HARD_MARK, SHIFT)
      _pattern(ax, entries, run, pair.easy, EASY, EASY_MARK, -SHIFT)
      ax.set_yticks(FRACTIONS, [f"{f:.0%}" for f in FRACTIONS])
      ax.set_ylim(min(FRACTIONS) - 0.08, max(FRACTIONS) + 0.08)
    for ax in line[len(runs) :]:
      ax.set_visible(False)
    line[0].set_ylabel(
      "taken for the\npatch's class"
      if pair is None
      else f"of what is known at\nthe end, {pair.by}"
    )
    if pair:
      never = any(
        e.bound == AT_LEAST and e.cell == runs[0].cell
        for e in entries
        if e.metric in (pair.hard.metric, pair.easy.metric)
      )
      _legend(line[len(runs) - 1], pair, never)
  for ax in axes[-1]:
    ax.set_xlabel("step")
  here = {runs[0].cell for runs in cells}
  reached = ("first_step", "anneal_step")
  found = [
    e.value
    for e in entries
    if e.cell in here and e.quantity in reached and e.value > 0
  ]
  _share_steps(list(axes.flat), found)
  return [
    figures.finish(
      fig,
      "order",
      "The order of learning: first step at which a share of what a net knows"
      " at its end, above chance, is reached. A point for each seed, lines"
      " through geometric means; grey: where the rate (or noise) was annealed,"
      " dotted where it is another arm's step.",
      shown,
    )
  ]


def _share_steps(axes: list, found: list[float]) -> None:
  """The same steps in all, so that arms and metrics compare."""
  low, high = min(found), max(found)
  # Over less than a decade a log axis has no marks to read.
  low = min(low, high / 20)
  for ax in axes:
    ax.set_xlim(low / 1.3, high * 1.3)
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
