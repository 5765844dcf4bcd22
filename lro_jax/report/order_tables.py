"""Tables of the order of learning: in full, brief, and of many cells."""

import itertools

from lro_jax.report import crossings, effective, intervals, measures
from lro_jax.report.collect import RunLog
from lro_jax.report.effective import Effective
from lro_jax.report.formats import NOTHING, percent, show, steps
from lro_jax.report.learning import (
  COMMON,
  CONFLICT,
  FRACTIONS,
  OWN,
  STEPS,
  Entry,
  Mean,
)
from lro_jax.report.tables import Table

TITLE = "The order of learning"
INDICES = tuple(f"index{level}" for level in (OWN, COMMON))
# Of many cells there is room for one.
HEADLINE = 0.5
SHARES = ", ".join(f"{f:.0%}" for f in FRACTIONS)
METHOD = (
  "Share: of what the same net knows at its own end, above chance; of a loss,"
  " of its fall below the log of the number of classes; where it says so, of"
  " what the best arm of the seed knows at its end. Reached: first time,"
  " linear in the step between logged points, geometric mean over seeds. Index:"
  " log10 of the step of the hard-to-generalise pattern (P, image) over that of"
  " the easy one (Q, patch); positive where the easy one, which can be"
  " memorised, came first. In brackets the 95% bootstrap interval over paired"
  " seeds, too narrow where they are few; of steps arms' quotient."
)
NEVER = (
  f"A pattern that ends less than {crossings.LEARNED:.0%} above chance is never"
  " learned: it counts as learned at the last logged step, and what follows is"
  " a bound (>= or <=) without interval."
)


def _number(mean: Mean) -> str:
  """A mean as the table shows it."""
  if mean.bound is None:
    return NOTHING
  fmt = percent
  if mean.quantity in INDICES:
    fmt = "{:+.2f}".format
  elif mean.quantity in (*STEPS, "anneal_step"):
    fmt = steps
  if mean.quantity in STEPS and mean.against:
    fmt = "x{:.3g}".format
  text = show(mean.interval, fmt)
  return f"{mean.bound} {text}" if mean.bound else text


def shares(
  entries: list[Entry], by: str, fraction: float, level: str = OWN
) -> dict[str, int]:
  """How many seeds learned which pattern first. Ours.

  Args:
    entries: of one arm.
    by: of the pair.
    fraction: of the end.
    level: whose end, `learning.OWN` or `learning.COMMON`.
  """
  found = [
    e.value
    for e in entries
    if (e.quantity, e.metric, e.fraction) == (f"first{level}", by, fraction)
  ]
  return {
    "easy_first": found.count(crossings.EASY_FIRST),
    "hard_first": found.count(crossings.HARD_FIRST),
    "undecided": found.count(crossings.UNDECIDED),
  }


def _counted(own: list[Entry], by: str, level: str) -> str:
  """'0, 2, 3 of 3': seeds in which the easy pattern was first, by fraction."""
  found = [shares(own, by, fraction, level) for fraction in FRACTIONS]
  total = max(sum(f.values()) for f in found)
  if not total:
    return NOTHING
  text = ", ".join(str(f["easy_first"]) for f in found) + f" of {total}"
  undecided = [f["undecided"] for f in found]
  if any(undecided):
    text += f" (undecided {', '.join(map(str, undecided))})"
  return text


def table(
  runs: list[RunLog],
  entries: list[Entry],
  means: list[Mean],
  worth: list[Effective],
  *,
  track: str,
  brief: bool = False,
) -> Table | None:
  """One cell's order of learning, arms side by side; None without any. Ours.

  Args:
    runs: the arms of the cell.
    entries: of the experiment.
    means: their means.
    worth: effective numbers of clean images.
    track: of the experiment.
    brief: only which pattern came first, the index, and what follows of it.
  """
  cell, arms = runs[0].cell, [run.arm for run in runs]
  own = [e for e in entries if e.cell == cell]
  if not own:
    return None
  found = {m[1:6]: m for m in means if m.cell == cell}
  lines: list[list[str]] = []

  def add(label, quantity, metric, fraction=None):
    keys = [(arm, None) for arm in arms]
    keys += [(arm, arms[0]) for arm in arms[1:]]
    got = [found.get((*key, quantity, metric, fraction)) for key in keys]
    if any(got):
      lines.append([label, *(_number(m) if m else NOTHING for m in got)])

  blank = [""] * (len(arms) - 1)
  for pair, level in itertools.product(measures.PAIRS[track], (OWN, COMMON)):
    by_arm = [
      _counted([e for e in own if e.arm == arm], pair.by, level) for arm in arms
    ]
    if set(by_arm) != {NOTHING}:
      whose = " of the best arm's end" if level else ""
      label = f"{pair.easy.pattern} first at {SHARES}{whose}, {pair.by}"
      lines.append([label, *by_arm, *blank])
      for fraction in FRACTIONS:
        add(f"  index at {fraction:.0%}", f"index{level}", pair.by, fraction)
  for measure in () if brief else measures.listed(track):
    add(f"{measure.pattern}, {measure.by}, end", "final", measure.metric)
    for name, whose in zip(STEPS, ("", " of the best"), strict=True):
      for fraction in FRACTIONS:
        label = f"  {fraction:.0%}{whose} at step"
        add(label, name, measure.metric, fraction)
    add("  mean of whole run", "area", measure.metric)
    add("  mean before annealing", "area_before", measure.metric)
    add("  mean after annealing", "area_after", measure.metric)
  if not brief:
    add("annealed at step", "anneal_step", "")
  add("taken for another patch's class, end", "conflict_end", CONFLICT)
  add("  at annealing", "conflict_anneal", CONFLICT)
  known = {w.arm: w for w in worth if w.cell == cell}
  if any(w.images.num for w in known.values()):
    shown = [effective.show(known[a]) if a in known else NOTHING for a in arms]
    lines.append(["worth so many clean images", *shown, *blank])
  header = ["", *arms, *(f"{arm} - {arms[0]}" for arm in arms[1:])]
  notes = [] if brief else [METHOD]
  if any(e.bound == crossings.AT_LEAST for e in own):
    notes.append(NEVER)
  notes += _notes(runs, own, [w for w in worth if w.cell == cell])
  return Table(cell, f"{TITLE}: {cell}", header, lines, notes)


def _notes(
  runs: list[RunLog], own: list[Entry], worth: list[Effective]
) -> list[str]:
  """What a reader must know of these runs."""
  out = []
  anneals = measures.annealings(runs)
  for run in runs:
    excluded = measures.left_out(run)
    for reason in dict.fromkeys(excluded.values()):
      seeds = ", ".join(str(s) for s, why in excluded.items() if why == reason)
      out.append(f"{run.arm}: left out, {reason}: seed {seeds}.")
    lent = {arm for _, arm in anneals.get(run.arm, {}).values()} - {run.arm}
    if lent:
      out.append(
        f"{run.arm} is never annealed: before and after are of the step at"
        f" which the same seed of {lent.pop()} was."
      )
    elif run.arm not in anneals:
      out.append(
        f"{run.arm}: no step of annealing, neither its own nor paired."
      )
  num = {len({e.seed for e in own if e.arm == run.arm}) for run in runs}
  if min(num) < intervals.FEWEST:
    out.append(f"No intervals: a bootstrap needs {intervals.FEWEST} seeds.")
  out += [f"Clean images: {w.why_not}." for w in worth if w.why_not]
  return out


def overview(
  cells: list[list[RunLog]], means: list[Mean], track: str
) -> Table | None:
  """The headline's index of many cells, a column for each arm. Ours."""
  by = measures.PAIRS[track][0].by
  found = {
    (m.cell, m.arm): m
    for m in means
    if (m.quantity, m.metric, m.fraction) == ("index", by, HEADLINE)
    and m.against is None
  }
  if not found:
    return None
  arms = list(dict.fromkeys(arm for _, arm in found))
  lines = []
  for runs in cells:
    got = [found.get((runs[0].cell, arm)) for arm in arms]
    texts = [_number(m) if m else NOTHING for m in got]
    lines.append([f"  {runs[0].cell}", *texts])
  note = f"Index at {HEADLINE:.0%}, {by}. {METHOD}"
  return Table("", f"{TITLE}: {len(cells)} cells", ["", *arms], lines, [note])
