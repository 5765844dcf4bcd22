"""Lemma by lemma: what a run measured beside what the paper bounds it by.

run.json names the statements a run measures, in `facts["instruments"]`: name,
source, statement, algorithm ('large', 'small' or 'both': whom the paper states
it for), phase and kind. metrics.jsonl has `lemma/<name>`, the value, and
`bound/<name>`, the paper's bound without its hidden constant. Their ratio is
what compares: not its size, which a constant may explain, but how it moves over
the cells of a grid. Runs without instruments have nothing here.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from lro_jax.report import collect
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.formats import NOTHING, real, show
from lro_jax.report.intervals import Interval, interval
from lro_jax.report.tables import Table

BEFORE, ANNEALING, AFTER = "before", "annealing", "after"
END, WHOLE = "end", "whole"
WHERE = {
  BEFORE: "before annealing",
  ANNEALING: "when annealed",
  AFTER: "after annealing",
  END: "at the end",
  WHOLE: "at all times",
}


def _distance(ratio: float) -> float:
  """How far a ratio is from 1, in either direction."""
  return abs(math.log(ratio)) if ratio > 0 else math.inf


# How bad a ratio is for a statement of each kind.
BADNESS: dict[str, Callable[[float], float]] = {
  "at most": lambda ratio: ratio,
  "at least": lambda ratio: -ratio,
  "equal": _distance,
}


class Reading(NamedTuple):
  """An instrument at one step of one seed; NaN where there is no bound."""

  value: float
  bound: float
  ratio: float


class Measured(NamedTuple):
  """An instrument over the seeds of a run that have it."""

  value: Interval
  bound: Interval
  ratio: Interval


def listed(runs: list[RunLog]) -> list[dict[str, Any]]:
  """The instruments of these runs, each once, in their order. Ours."""
  found: dict[str, dict[str, Any]] = {}
  for run in runs:
    for instrument in run.record["facts"].get("instruments") or ():
      found.setdefault(instrument["name"], instrument)
  return list(found.values())


def speaks_of(instrument: dict[str, Any], run: RunLog) -> bool:
  """Whether the paper states this for the algorithm the run follows. Ours.

  Theorem F.1 promises of small rate and noise what holds of the large rate.
  """
  algorithm = (
    "large"
    if run.arm == "small_noise"
    else run.config["optim"].get("algorithm", "large")
  )
  return instrument["algorithm"] in ("both", algorithm)


def _rows(run: RunLog, phase: str, seed: int) -> list[dict[str, Any]]:
  """A seed's rows that are of a phase.

  The state at which the rate is annealed is the last that the large rate made:
  it is of the time before.
  """
  rows = [row for row in run.rows if row["seed"] == seed]
  if phase == END:
    rows = rows[-1:]
  # Numbers of a net that diverged look like numbers.
  rows = [row for row in rows if row["event"] != collect.DIVERGE]
  annealed = run.event_step(collect.ANNEAL, seed)
  if phase == BEFORE and annealed is not None:
    return [row for row in rows if row["step"] <= annealed]
  if phase == ANNEALING:
    return [row for row in rows if row["event"] == collect.ANNEAL]
  if phase == AFTER:
    return [
      row for row in rows if annealed is not None and row["step"] > annealed
    ]
  return rows


def reading(
  run: RunLog, instrument: dict[str, Any], seed: int
) -> Reading | None:
  """An instrument where its statement speaks, None if nothing is there. Ours.

  Args:
    run: the run.
    instrument: its entry in run.json.
    seed: one of the run's.

  Returns:
    The reading of the one row of 'annealing' or 'end'; of the other phases that
    with the worst ratio.
  """
  name, phase = instrument["name"], instrument["phase"]
  found = []
  for row in _rows(run, phase, seed):
    value, bound = row.get(f"lemma/{name}"), row.get(f"bound/{name}")
    if value is not None:
      ratio = value / bound if bound else math.nan
      found.append(Reading(value, math.nan if bound is None else bound, ratio))
  if phase in (ANNEALING, END):
    return found[-1] if found else None
  badness = BADNESS[instrument["kind"]]
  comparable = [r for r in found if not math.isnan(r.ratio)]
  return max(comparable, key=lambda r: badness(r.ratio), default=None)


def measured(run: RunLog, instrument: dict[str, Any]) -> Measured:
  """An instrument's means over seeds, with 95% t intervals. Ours."""
  found = [reading(run, instrument, seed) for seed in run.seeds]

  def of(field):
    values = [getattr(r, field) for r in found if r]
    return interval([v for v in values if not math.isnan(v)])

  return Measured(*(of(field) for field in Measured._fields))


def table(runs: list[RunLog]) -> Table | None:
  """A row for each instrument, arms side by side; None without any. Ours.

  Args:
    runs: the arms of one cell.
  """
  instruments = listed(runs)
  if not instruments:
    return None
  header = ["", "where", "claim"]
  for run in runs:
    header += [run.arm, f"{run.arm}: bound", f"{run.arm}: ratio"]
  lines = []
  for instrument in instruments:
    texts = [f"  {instrument['name']}", instrument["phase"], instrument["kind"]]
    for run in runs:
      found = measured(run, instrument)
      ratio = show(found.ratio, real)
      if 1 < found.ratio.num < len(run.seeds):
        ratio += f" ({found.ratio.num} seeds)"
      of_arm = [
        real(found.value.mean) if found.value.num else NOTHING,
        real(found.bound.mean) if found.bound.num else NOTHING,
        ratio,
      ]
      if not speaks_of(instrument, run):
        of_arm = [f"({t})" if t != NOTHING else t for t in of_arm]
      texts += of_arm
    lines.append(texts)
  return Table(
    cell=runs[0].cell,
    title="Lemma by lemma",
    header=header,
    lines=lines,
    notes=[
      "Ratio: value over the paper's bound, which lacks its constant; mean over"
      " seeds, 95% t interval in brackets. before, after, whole: each seed's"
      " logged step with the worst ratio. In parentheses: arms that the"
      " statement does not speak of."
    ],
  )


def statements(runs: list[RunLog]) -> list[str]:
  """What each instrument of these runs measures, in words. Ours."""
  return [
    f"{i['name']}: {i['statement']} ({i['source']}; {WHERE[i['phase']]})"
    for i in listed(runs)
  ]


def over_cells(experiment: Experiment) -> Table | None:
  """Mean ratios, a column for each arm and cell; None for a single cell. Ours.

  Args:
    experiment: the workdir. A column has the instruments that speak of its arm.
  """
  instruments = listed(experiment.runs)
  if not instruments or len({run.cell for run in experiment.runs}) < 2:
    return None
  arms = list(dict.fromkeys(run.arm for run in experiment.runs))
  columns = {}
  for run in sorted(experiment.runs, key=lambda run: arms.index(run.arm)):
    found = {
      i["name"]: real(ratio.mean)
      for i in listed([run])
      if speaks_of(i, run) and (ratio := measured(run, i).ratio).num
    }
    if found:
      columns[f"{run.arm}, {run.cell}"] = found
  return Table(
    cell="",
    title="How the ratios move",
    header=["", "claim", *columns],
    lines=[
      [
        f"  {i['name']}",
        i["kind"],
        *(column.get(i["name"], NOTHING) for column in columns.values()),
      ]
      for i in instruments
    ],
    notes=[
      "Mean over seeds of value over bound, as in each cell's table; only of"
      " arms that the statement speaks of."
    ],
  )


def means(run: RunLog) -> dict[str, list[float | int]]:
  """Every instrument of a run that has a value, for a summary. Ours.

  Returns:
    {name: [value, bound, ratio, low, high, seeds]}: means, and of the ratio its
    interval and number of seeds.
  """
  out = {}
  for instrument in listed([run]):
    found = measured(run, instrument)
    if found.value.num:
      out[instrument["name"]] = [
        found.value.mean,
        found.bound.mean,
        *found.ratio,
      ]
  return out
