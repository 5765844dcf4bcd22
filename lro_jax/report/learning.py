"""What every seed learned when: tidy entries, and their means over seeds.

An entry is one number of one seed. Of a metric: 'final', 'first_step' (with a
fraction), 'area', 'area_before', 'area_after'. Of a pair of metrics (`by`):
'index' and 'first', see `crossings`. These three are of what the same net knows
at its own end; with '_common' after their names of the best end among the arms
of the same seed, so that no arm is early for knowing little in the end.
'anneal_step', and of the share of images taken for the class of a patch that is
not theirs 'conflict_anneal' and 'conflict_end'. What is above chance, see
`measures`.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from lro_jax.report import crossings, figures_patches, intervals, measures
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.intervals import Interval

FRACTIONS = (0.5, 0.8, 0.9)
CONFLICT = "conflict/patch"
# Of whose end a fraction is: the net's own, or the best arm's.
OWN, COMMON = "", "_common"
STEPS = tuple(f"first_step{level}" for level in (OWN, COMMON))


class Entry(NamedTuple):
  """One number of one seed; `metric` is `by` where it is of a pair."""

  cell: str
  arm: str
  seed: int
  quantity: str
  metric: str
  fraction: float | None
  value: float
  bound: str = crossings.EXACT


class Mean(NamedTuple):
  """Over seeds, or of their difference from those of `against`.

  `interval` of `STEPS` is of geometric means, and of ratios; it has no
  ends where `bound` is one, and `bound` is None where seeds bound both ways.
  """

  cell: str
  arm: str
  against: str | None
  quantity: str
  metric: str
  fraction: float | None
  interval: Interval
  bound: str | None


def of_cell(runs: list[RunLog], track: str) -> list[Entry]:
  """The entries of the arms of one cell. Ours.

  Args:
    runs: the arms; metrics that they lack are left out.
    track: of the experiment.
  """
  # A theory run has two classes; of a vision run it is known by its facts.
  classes = 2 if track == "theory" else figures_patches.num_classes(runs)
  if classes is None:
    return []
  annealed = measures.annealings(runs)
  best = _best_ends(runs, track, classes)
  out = []
  for run in runs:
    excluded = measures.left_out(run)
    for seed in run.seeds:
      if seed not in excluded:
        at = annealed.get(run.arm, {}).get(seed)
        anneal = at[0] if at else None
        out += _of_seed(run, seed, track, classes, anneal, best)
  return out


def _best_ends(
  runs: list[RunLog], track: str, classes: int
) -> dict[tuple[str, int], float]:
  """(metric, seed) to the most that any arm knows at its end."""
  out: dict[tuple[str, int], float] = {}
  for run in runs:
    for seed in run.seeds:
      for measure in measures.listed(track):
        steps, above = measures.curve(run, measure.metric, seed, classes)
        if len(steps) and seed not in measures.left_out(run):
          key = (measure.metric, seed)
          out[key] = max(out.get(key, -math.inf), float(above[-1]))
  return out


def _of_seed(
  run: RunLog,
  seed: int,
  track: str,
  classes: int,
  anneal: int | None,
  best: dict[tuple[str, int], float],
) -> list[Entry]:
  out, crossed = [], {}

  def add(quantity, metric, value, fraction=None, bound=crossings.EXACT):
    if value is not None:
      here = (run.cell, run.arm, seed, quantity, metric, fraction)
      out.append(Entry(*here, float(value), bound))

  for measure in measures.listed(track):
    name = measure.metric
    steps, above = measures.curve(run, name, seed, classes)
    if not len(steps):
      continue
    add("final", name, above[-1])
    for level, end in ((OWN, above[-1]), (COMMON, best[name, seed])):
      for fraction in FRACTIONS:
        found = crossings.crossing(steps, above, fraction, float(end))
        crossed[name, level, fraction] = found
        at = (found.step, fraction, found.bound)
        add(f"first_step{level}", name, *at)
    parts = {"area": (steps[0], steps[-1])}
    if anneal is not None:
      parts["area_before"] = (steps[0], anneal)
      parts["area_after"] = (anneal, steps[-1])
    for quantity, ends in parts.items():
      add(quantity, name, crossings.mean_between(steps, above, *ends))
  for pair in measures.PAIRS[track]:
    names = (pair.hard.metric, pair.easy.metric)
    for level, fraction in itertools.product((OWN, COMMON), FRACTIONS):
      both = [crossed.get((name, level, fraction)) for name in names]
      if all(both):
        first = crossings.first(*both)
        add(f"first{level}", pair.by, first, fraction)
        found = crossings.index(*both)
        if found:
          add(f"index{level}", pair.by, found.value, fraction, found.bound)
  if out:
    add("anneal_step", "", anneal)
  steps, values = run.curve(CONFLICT, seed)
  if out and len(steps):
    add("conflict_end", CONFLICT, values[-1])
    if anneal is not None and steps[0] <= anneal <= steps[-1]:
      add("conflict_anneal", CONFLICT, np.interp(anneal, steps, values))
  return out


def means(entries: list[Entry], experiment: Experiment) -> list[Mean]:
  """Means over seeds, and differences paired by seed from a cell's first arm.

  Ours. With 95% bootstrap intervals, from three seeds on.

  Args:
    entries: of the experiment.
    experiment: gives the order of the arms.
  """
  found: dict[tuple, dict[str, dict[int, Entry]]] = {}
  for entry in entries:
    # What is there at step 0 has no logarithm.
    if entry.quantity in STEPS and entry.value <= 0:
      continue
    key = (entry.cell, entry.quantity, entry.metric, entry.fraction)
    found.setdefault(key, {}).setdefault(entry.arm, {})[entry.seed] = entry
  out = []
  for (cell, *key), by_arm in found.items():
    arms = [run.arm for run in experiment.runs if run.cell == cell]
    one = by_arm.get(arms[0], {})
    for arm in arms:
      here = by_arm.get(arm, {})
      of_arm = [(_value(e), e.bound) for e in here.values()]
      out.append(Mean(cell, arm, None, *key, *_mean(of_arm, key[0])))
      common = sorted(here.keys() & one.keys()) if arm != arms[0] else []
      gaps = [
        (
          _value(here[s]) - _value(one[s]),
          crossings.join(here[s].bound, one[s].bound),
        )
        for s in common
      ]
      if gaps:
        out.append(Mean(cell, arm, arms[0], *key, *_mean(gaps, key[0])))
  return [mean for mean in out if mean.interval.num]


def _value(entry: Entry) -> float:
  """A step's logarithm, so that means are geometric and differences ratios."""
  if entry.quantity in STEPS:
    return math.log10(entry.value)
  return entry.value


def _mean(
  found: list[tuple[float, str | None]], quantity: str
) -> tuple[Interval, str | None]:
  """Mean of values with bounds; both ways is no bound, and no number."""
  if not found:
    return intervals.interval([]), crossings.EXACT
  bounds = [b for _, b in found]
  bound = (
    None if None in bounds else crossings.common([b or "" for b in bounds])
  )
  samples = np.array([[value] for value, _ in found])
  interval = intervals.bootstrap(lambda means: means[..., 0], samples)
  if quantity in STEPS:
    ends = (10.0**x for x in interval[:3])
    interval = Interval(*ends, interval.num)
  if bound != crossings.EXACT:
    interval = interval._replace(low=math.nan, high=math.nan)
  if bound is None:
    interval = interval._replace(mean=math.nan)
  return interval, bound
