"""The closing table: arms side by side, mean, 95% interval, paired difference.

One specification of rows serves the terminal and the page.
"""

import collections
import html
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from lro_jax.report import collect
from lro_jax.report.collect import ANNEAL, END, Experiment, Interval

NOTHING = "-"


def _signless_zero(text: str) -> str:
  """'0.00%' for '-0.00%': what rounds to zero has no sign."""
  return text.lstrip("-") if not text.strip("-0.,%") else text


def _steps(value: float) -> str:
  return _signless_zero(f"{value:,.0f}")


def _loss(value: float) -> str:
  return _signless_zero(f"{value:.3f}")


def _percent(value: float) -> str:
  return _signless_zero(f"{100 * value:.2f}%")


def _real(value: float) -> str:
  return f"{value:.3g}"


class Row(NamedTuple):
  """One line of the table: label, phase and metric it shows, number format."""

  label: str
  phase: str
  metric: str
  format: Callable[[float], str]


THEORY_ROWS = (
  Row("annealed at step", ANNEAL, "step", _steps),
  Row("  loss on M1 (has P)", ANNEAL, "train_loss/m1", _loss),
  Row("  loss on Q-only (not M1)", ANNEAL, "train_loss/q_only", _loss),
  Row("  lowest loss on Q-only till then", ANNEAL, collect.LOWEST, _loss),
  Row("  loss on M2 (has Q)", ANNEAL, "train_loss/m2", _loss),
  Row("  loss on P-only (not M2)", ANNEAL, "train_loss/p_only", _loss),
  Row("  g(z+zeta)+g(z-zeta)-2g(z)", ANNEAL, "second_difference", _real),
  Row("  test error, Q-only", ANNEAL, "test_error/q_only", _percent),
  Row("ended at step", END, "step", _steps),
  Row("  loss", END, "train_loss/all", _loss),
  Row("  loss on M1 (has P)", END, "train_loss/m1", _loss),
  Row("  loss of r alone on M1", END, "r_loss/m1", _loss),
  Row("  loss on Q-only (not M1)", END, "train_loss/q_only", _loss),
  Row("  loss on M2 (has Q)", END, "train_loss/m2", _loss),
  Row("  loss on P-only (not M2)", END, "train_loss/p_only", _loss),
  Row("  test error, P-only", END, "test_error/p_only", _percent),
  Row("  test error, Q-only", END, "test_error/q_only", _percent),
  Row("  test error, both", END, "test_error/both", _percent),
  Row("  test error, all", END, "test_error/all", _percent),
)


# What the overview of many cells shows: a column for each arm that has it.
OVERVIEW_ROWS = (
  Row("anneal: M1", ANNEAL, "train_loss/m1", _loss),
  Row("anneal: Q-only", ANNEAL, "train_loss/q_only", _loss),
  Row("Q-only err", END, "test_error/q_only", _percent),
  Row("P-only err", END, "test_error/p_only", _percent),
)
COMPARED = OVERVIEW_ROWS[-1]


class Line(NamedTuple):
  """One row in numbers: an interval per arm, and per arm against the first."""

  row: Row
  arms: list[Interval]
  differences: list[Interval]


class Table(NamedTuple):
  """One cell of the grid as text.

  Attributes:
    cell: the cell, '' where the table is of several.
    title: what stands above it.
    header: column names.
    lines: text of every row, the label first.
    notes: what must be said of these runs: unfinished, never stopped, diverged.
  """

  cell: str
  title: str
  header: list[str]
  lines: list[list[str]]
  notes: list[str]


def show(interval: Interval, fmt: Callable[[float], str]) -> str:
  """'mean [low, high]', or the mean alone for one seed. Ours."""
  if interval.num == 0:
    return NOTHING
  if math.isnan(interval.low):
    return f"{fmt(interval.mean)} (1 seed)"
  return f"{fmt(interval.mean)} [{fmt(interval.low)}, {fmt(interval.high)}]"


def notes(run: collect.RunLog) -> list[str]:
  """What a reader must know of a run before believing its row. Ours."""
  if run.record["status"] != "done":
    return [f"{run.arm}: not finished; its last logged state is shown."]
  out = []
  status = collections.Counter(
    s["status"] for s in run.record["seeds"].values()
  )
  total = sum(status.values())
  if status["max_steps"]:
    late = [
      s for s in run.record["seeds"].values() if s["status"] == "max_steps"
    ]
    waits = [
      word
      for word, event in (("annealing", "anneal"), ("stopping", "stop"))
      if event in run.record["facts"]["expected_events"]
      and any(event not in s["events"] for s in late)
    ]
    out.append(
      f"{run.arm}: {status['max_steps']} of {total} seeds reached max_steps"
      f" before the {' and '.join(waits)} loss; their last state is shown."
    )
  if status["diverged"]:
    out.append(
      f"{run.arm}: {status['diverged']} of {total} seeds diverged (loss not"
      " finite) and are left out of what is said of the end."
    )
  return out


def line(
  rows: list[dict[str, Any]], row: Row, *, cell: str, arms: list[str]
) -> Line:
  """What one cell's runs say of one row. Ours.

  Args:
    rows: tidy rows.
    row: phase and metric.
    cell: the cell.
    arms: the first is what the others are compared with, paired by seed.
  """
  first, *others = [
    collect.values(rows, arm=arm, cell=cell, phase=row.phase, metric=row.metric)
    for arm in arms
  ]
  return Line(
    row,
    [collect.interval(list(v.values())) for v in (first, *others)],
    [collect.paired(v, first) for v in others],
  )


def arms_of(experiment: Experiment, cell: str) -> list[str]:
  """The arms that have a run in this cell. Ours."""
  return [run.arm for run in experiment.runs if run.cell == cell]


def overview(experiment: Experiment, rows: list[dict[str, Any]]) -> Table:
  """One line per cell, for experiments of many cells. Ours.

  Args:
    experiment: the workdir.
    rows: its tidy rows.
  """
  cells = list(dict.fromkeys(run.cell for run in experiment.runs))
  arms = list(dict.fromkeys(run.arm for run in experiment.runs))
  columns: dict[str, dict[str, str]] = {}
  for cell in cells:
    here = arms_of(experiment, cell)
    for row in OVERVIEW_ROWS:
      found = line(rows, row, cell=cell, arms=here)
      for arm, interval in zip(here, found.arms, strict=True):
        if interval.num:
          column = columns.setdefault(f"{row.label}, {arm}", {})
          column[cell] = row.format(interval.mean)
      for arm, interval in zip(here[1:], found.differences, strict=True):
        if row is COMPARED and interval.num:
          column = columns.setdefault(f"{row.label}, {arm} - {here[0]}", {})
          column[cell] = show(interval, row.format)
  return Table(
    cell="",
    title=f"{len(cells)} cells, {len(arms)} arms",
    header=["", *columns],
    lines=[
      [f"  {cell}", *(column.get(cell, NOTHING) for column in columns.values())]
      for cell in cells
    ],
    notes=[
      "anneal: mean loss there; err: mean test error at the end.",
      *(
        f"{run.cell}: {note}" for run in experiment.runs for note in notes(run)
      ),
    ],
  )


def build(experiment: Experiment, rows: list[dict[str, Any]]) -> list[Table]:
  """One table per cell. Ours.

  Args:
    experiment: the workdir.
    rows: its tidy rows.
  """
  tables = []
  for cell in dict.fromkeys(run.cell for run in experiment.runs):
    runs = [run for run in experiment.runs if run.cell == cell]
    arms = arms_of(experiment, cell)
    header = ["", *arms]
    header += [f"{arm} - {arms[0]}" for arm in arms[1:]]
    lines = []
    for row in THEORY_ROWS:
      found = line(rows, row, cell=cell, arms=arms)
      if any(interval.num for interval in found.arms):
        intervals = [*found.arms, *found.differences]
        lines.append([row.label, *(show(i, row.format) for i in intervals)])
    num_seeds = max(len(run.seeds) for run in runs)
    seeds = "1 seed" if num_seeds == 1 else f"{num_seeds} paired seeds"
    tables.append(
      Table(
        cell=cell,
        title=f"{cell} ({seeds})",
        header=header,
        lines=lines,
        notes=[note for run in runs for note in notes(run)],
      )
    )
  return tables


def as_text(table: Table) -> str:
  """A table for the terminal. Ours."""
  grid = [table.header, *table.lines]
  widths = [max(len(texts[i]) for texts in grid) for i in range(len(grid[0]))]

  def join(texts):
    first = texts[0].ljust(widths[0])
    rest = [x.rjust(w) for x, w in zip(texts[1:], widths[1:], strict=True)]
    return "  ".join([first, *rest]).rstrip()

  rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
  body = [table.title, rule, join(table.header), rule]
  body += [join(texts) for texts in table.lines]
  body += [rule, *table.notes]
  return "\n".join(body)


def as_html(table: Table) -> str:
  """A table for the page. Ours."""

  def cells(texts, tag):
    return "".join(f"<{tag}>{html.escape(x.strip())}</{tag}>" for x in texts)

  rows = "\n".join(
    f"<tr{' class=head' if not texts[0].startswith(' ') else ''}>"
    f"{cells(texts, 'td')}</tr>"
    for texts in table.lines
  )
  remarks = "".join(f"<p class=note>{html.escape(n)}</p>" for n in table.notes)
  return (
    f"<div class=scroll><table><thead><tr>{cells(table.header, 'th')}</tr>"
    f"</thead><tbody>\n{rows}\n</tbody></table></div>{remarks}"
  )
