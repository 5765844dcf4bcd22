"""The closing table: arms side by side, mean, 95% interval, paired difference.

One specification of rows serves the terminal and the page.
"""

import collections
from typing import Any, NamedTuple

from lro_jax.report import collect, intervals
from lro_jax.report.collect import Experiment
from lro_jax.report.formats import NOTHING, Row, show
from lro_jax.report.intervals import Interval


class Overview(NamedTuple):
  """What the overview of many cells shows: a column for each arm that has it.

  Attributes:
    rows: what is shown of every cell.
    compared: the one of them whose paired difference is shown as well.
    legend: what the column names mean.
  """

  rows: tuple[Row, ...]
  compared: Row
  legend: str


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


def notes(run: collect.RunLog) -> list[str]:
  """What a reader must know of a run before believing its row. Ours."""
  if not run.is_done:
    return [f"{run.arm}: not finished; its last logged state is shown."]
  out = []
  status = collections.Counter(
    s["status"] for s in run.record["seeds"].values()
  )
  total = sum(status.values())
  expected = run.record["facts"]["expected_events"]
  # A run with no loss to stop at is meant to reach its last step.
  if status["max_steps"] and "stop" in expected:
    late = [
      s for s in run.record["seeds"].values() if s["status"] == "max_steps"
    ]
    waits = [
      word
      for word, event in (("annealing", "anneal"), ("stopping", "stop"))
      if event in expected and any(event not in s["events"] for s in late)
    ]
    out.append(
      f"{run.arm}: {status['max_steps']} of {total} seeds reached max_steps"
      f" before the {' and '.join(waits)} loss; their last state is shown."
    )
  if status["diverged"]:
    where = "; ".join(
      f"seed {seed} at step {end['step']:,}"
      # Older runs did not write the rate down.
      + (f", rate {end['learning_rate']:g}" if "learning_rate" in end else "")
      for seed, end in run.record["seeds"].items()
      if end["status"] == "diverged"
    )
    out.append(
      f"{run.arm}: {status['diverged']} of {total} seeds diverged (loss not"
      f" finite: {where}) and are left out of what is said of the end."
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
    [intervals.interval(list(v.values())) for v in (first, *others)],
    [intervals.paired(v, first) for v in others],
  )


def arms_of(experiment: Experiment, cell: str) -> list[str]:
  """The arms that have a run in this cell. Ours."""
  return [run.arm for run in experiment.runs if run.cell == cell]


def overview(
  experiment: Experiment, rows: list[dict[str, Any]], shown: Overview
) -> Table:
  """One line per cell, for experiments of many cells. Ours.

  A cell that no run can be made of has a line and its reason as well.

  Args:
    experiment: the workdir.
    rows: its tidy rows.
    shown: what of them.
  """
  cells = list(dict.fromkeys(run.cell for run in experiment.runs))
  arms = list(dict.fromkeys(run.arm for run in experiment.runs))
  infeasible = experiment.record.get("infeasible") or {}
  columns: dict[str, dict[str, str]] = {}
  for cell in cells:
    here = arms_of(experiment, cell)
    of_cell = collect.of_cell(rows, cell)
    for row in shown.rows:
      found = line(of_cell, row, cell=cell, arms=here)
      for arm, interval in zip(here, found.arms, strict=True):
        if interval.num:
          column = columns.setdefault(f"{row.label}, {arm}", {})
          column[cell] = row.format(interval.mean)
      for arm, interval in zip(here[1:], found.differences, strict=True):
        if row is shown.compared and interval.num:
          column = columns.setdefault(f"{row.label}, {arm} - {here[0]}", {})
          column[cell] = show(interval, row.format)
  return Table(
    cell="",
    title=f"{len(cells)} cells, {len(arms)} arms",
    header=["", *columns],
    lines=[
      [f"  {cell}", *(column.get(cell, NOTHING) for column in columns.values())]
      for cell in [*cells, *infeasible]
    ],
    notes=[
      shown.legend,
      *(f"{cell}: infeasible: {why}" for cell, why in infeasible.items()),
      *(
        f"{run.cell}: {note}" for run in experiment.runs for note in notes(run)
      ),
    ],
  )


def build(
  experiment: Experiment,
  rows: list[dict[str, Any]],
  shown: tuple[Row, ...],
) -> list[Table]:
  """One table per cell. Ours.

  Args:
    experiment: the workdir.
    rows: its tidy rows.
    shown: the lines of the table.
  """
  tables = []
  for cell in dict.fromkeys(run.cell for run in experiment.runs):
    runs = [run for run in experiment.runs if run.cell == cell]
    arms = arms_of(experiment, cell)
    header = ["", *arms]
    header += [f"{arm} - {arms[0]}" for arm in arms[1:]]
    lines = []
    of_cell = collect.of_cell(rows, cell)
    for row in shown:
      found = line(of_cell, row, cell=cell, arms=arms)
      if any(interval.num for interval in found.arms):
        texts = (show(i, row.format) for i in (*found.arms, *found.differences))
        lines.append([row.label, *texts])
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
