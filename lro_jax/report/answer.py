"""The answer in three sentences, from a workdir's numbers alone.

Which pattern was learned first, at which rate; what that does to the test
points that need the other; and what this rests on. A sentence says what is
missing rather than less: an arm that is not there, one pair of seeds, an
interval that holds zero, runs of smoke size.
"""

from typing import Any, NamedTuple

from lro_jax.report import learning, measures, order_tables
from lro_jax.report.collect import END, Experiment, RunLog, values
from lro_jax.report.formats import in_words, percent
from lro_jax.report.intervals import Interval, interval, paired

TITLE = "The answer in three sentences"
# Of more cells than this the sentences count.
LISTED = 3
# An interval of fewer seeds is wide, and one odd seed can turn it.
FEW = 5
SHARE = order_tables.HEADLINE


class Compared(NamedTuple):
  """The one number on which a track's arms are compared, a share of points.

  Attributes:
    metric: its name, at the end.
    noun: what it is.
    arm: the arm that the paper says has more of it.
    than: the arm that it is compared with.
    more: what is true of `arm` if its share is larger.
    less: and if it is smaller.
  """

  metric: str
  noun: str
  arm: str
  than: str
  more: str
  less: str


def _of_cells(parts: dict[str, str]) -> str:
  """One cell's words alone, several with their names."""
  if len(parts) == 1:
    return next(iter(parts.values()))
  return "; ".join(f"{cell}: {text}" for cell, text in parts.items())


def order(cells: dict[str, list[RunLog]], track: str) -> str:
  """Which of two patterns came first, counted over nets. Ours.

  Args:
    cells: the arms of every cell.
    track: of the experiment.
  """
  pair = measures.PAIRS[track][0]
  counted: dict[str, dict[str, dict[str, int]]] = {}
  for cell, runs in cells.items():
    entries = learning.of_cell(runs, track)
    for run in runs:
      own = [e for e in entries if e.arm == run.arm]
      found = order_tables.shares(own, pair.by, SHARE)
      if sum(found.values()):
        counted.setdefault(cell, {})[run.arm] = found
  hard, easy = (_the(m.pattern) for m in (pair.hard, pair.easy))
  if not counted:
    return (
      f"Whether {hard} or {easy} was learned first cannot be told: no finished"
      " run has both in its logs."
    )
  if len(counted) > LISTED:
    total: dict[str, dict[str, int]] = {}
    for by_arm in counted.values():
      for arm, found in by_arm.items():
        sums = total.setdefault(arm, dict.fromkeys(found, 0))
        for name, num in found.items():
          sums[name] += num
    counted = {f"all {len(counted)} cells": total}
  by_cell = _of_cells(
    {
      cell: ", ".join(_first(arm, found) for arm, found in by_arm.items())
      for cell, by_arm in counted.items()
    }
  )
  return (
    f"{hard[0].upper()}{hard[1:]}, which is hard to generalise, was learned"
    f" before {easy}, which is easy to memorise, in so many nets of each arm:"
    f" {by_cell} (learned: {SHARE:.0%} of what the same net knows at its end,"
    f" by {pair.by})."
  )


def _the(pattern: str) -> str:
  """'the image', but 'P'."""
  return f"the {pattern}" if pattern.islower() else pattern


def _first(arm: str, found: dict[str, int]) -> str:
  text = f"{arm} {found['hard_first']} of {sum(found.values())}"
  undecided = found["undecided"]
  return text + (f" ({undecided} undecided)" if undecided else "")


def verdict(gap: Interval, compared: Compared) -> str:
  """What an interval of the paired difference allows to say. Ours."""
  if gap.num < 2:
    return "one pair of seeds, which may be chance"
  if gap.low > 0:
    return compared.more
  if gap.high < 0:
    return compared.less
  return "the interval holds zero, so these seeds do not tell the arms apart"


def difference(
  cells: dict[str, list[RunLog]],
  rows: list[dict[str, Any]],
  compared: Compared,
) -> str:
  """How two arms differ at their end, with what the seeds allow. Ours.

  Args:
    cells: the arms of every cell; those under way have no end.
    rows: tidy rows.
    compared: on which number.
  """
  texts, gaps = {}, {}
  for cell, runs in cells.items():
    done = {
      run.arm: values(
        rows, arm=run.arm, cell=cell, phase=END, metric=compared.metric
      )
      for run in runs
      if run.is_done
    }
    done = {arm: found for arm, found in done.items() if found}
    gap = paired(done.get(compared.arm, {}), done.get(compared.than, {}))
    if not gap.num:
      continue
    gaps[cell] = gap
    means = ", ".join(
      f"{percent(interval(list(found.values())).mean)} ({arm})"
      for arm, found in done.items()
    )
    texts[cell] = (
      f"{means}; {compared.arm} minus {compared.than} is {in_words(gap)}:"
      f" {verdict(gap, compared)}"
    )
  noun = f"{compared.noun[0].upper()}{compared.noun[1:]} at the end"
  if not gaps:
    return (
      f"{noun} cannot be compared: no seed has finished in both"
      f" {compared.arm} and {compared.than}."
    )
  if len(gaps) <= LISTED:
    return f"{noun}: {_of_cells(texts)}."
  said = [verdict(gap, compared) for gap in gaps.values()]
  means = [gap.mean for gap in gaps.values()]
  counts = "; ".join(f"{said.count(one)}: {one}" for one in dict.fromkeys(said))
  return (
    f"{noun}, {compared.arm} minus {compared.than}, goes from"
    f" {100 * min(means):.2f} to {100 * max(means):.2f} points over"
    f" {len(gaps)} cells, of which {counts}."
  )


def evidence(
  experiment: Experiment, compared: Compared, claims: str | None
) -> str:
  """What the first two rest on, and what of it is weak. Ours.

  Args:
    experiment: the workdir.
    compared: whose arms must be there.
    claims: how many claims of the paper these runs speak of, in words.
  """
  runs = experiment.runs
  if experiment.record["smoke"]:
    return (
      "A smoke run: sizes are shrunk to test the machinery; its numbers mean"
      " nothing."
    )
  seeds = sorted({len(run.seeds) for run in runs})
  num_cells = len({run.cell for run in runs})
  parts = [
    f"{' to '.join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1])))}"
    f" seed{'' if seeds == [1] else 's'} per arm in {num_cells}"
    f" cell{'' if num_cells == 1 else 's'}"
  ]
  if seeds[0] < FEW:
    parts.append(
      "seeds are few: intervals are wide, and one odd seed turns them"
    )
  arms = {run.arm for run in runs}
  missing = [a for a in (compared.arm, compared.than) if a not in arms]
  if missing:
    parts.append(f"no run of the arm {' or '.join(missing)}")
  under_way = sum(not run.is_done for run in runs)
  if under_way:
    parts.append(f"{under_way} of {len(runs)} runs not finished")
  diverged = sum(
    seed["status"] == "diverged"
    for run in runs
    for seed in run.record.get("seeds", {}).values()
  )
  if diverged:
    parts.append(f"{diverged} seeds diverged and are left out")
  late = sum(
    seed["status"] == "max_steps"
    and "stop" in run.record["facts"]["expected_events"]
    for run in runs
    for seed in run.record.get("seeds", {}).values()
  )
  if late:
    parts.append(
      f"{late} seeds came to their last step before they were to stop"
    )
  parts.append(
    f"against the paper, {claims.removesuffix('.')}"
    if claims
    else "none of the paper's claims is of this setting"
  )
  return f"This rests on {'; '.join(parts)}."


def _between_own(compared: Compared, arms: list[str]) -> Compared:
  """The same number, but of arms that there are: the first and the last."""
  if {compared.arm, compared.than} & {*arms} or len(arms) < 2:
    return compared
  one, other = arms[0], arms[-1]
  return compared._replace(
    arm=one,
    than=other,
    more=f"{one} has the larger one",
    less=f"{one} has the smaller one",
  )


def sentences(
  experiment: Experiment,
  rows: list[dict[str, Any]],
  compared: Compared,
  claims: str | None = None,
) -> list[str]:
  """The three. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.
    compared: of its track; of an experiment with other arms the first and the
      last are compared.
    claims: see `evidence`.
  """
  cells: dict[str, list[RunLog]] = {}
  for run in experiment.runs:
    cells.setdefault(run.cell, []).append(run)
  compared = _between_own(compared, experiment.record["arms"])
  return [
    order(cells, experiment.record["track"]),
    difference(cells, rows, compared),
    evidence(experiment, compared, claims),
  ]
