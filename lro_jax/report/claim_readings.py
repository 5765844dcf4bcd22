"""What a claim reads from a saved summary: see `summary.summary`.

  value       {arm, phase, metric}: mean over seeds
  difference  {arm, minus, phase, metric}: of two arms, paired by seed
  times       {first, second}: when two things happen in each seed; each is
              {arm, metric, above}: the metric's curve passes a number, or
              {arm, learned}: a loss falls below half of log 2, or
              {arm, event}: 'anneal', the first time
  exponents   {names}: of the summary's fits, those of one law
  ratio       {arm, instrument}: value over bound
  ratios      {arm, instrument}: the same in all cells, in their order

`phase` is one of results.json, or 'first anneal': the last evaluation up to the
first annealing of any arm, from the curves.
"""

import math
from typing import Any

from lro_jax.report import intervals
from lro_jax.report.claim_rules import Pair, Ratios, Slope, Slopes
from lro_jax.report.formats import loss, percent, real, show, steps
from lro_jax.report.intervals import Interval

FIELDS = {
  "value": ("arm", "phase", "metric"),
  "difference": ("arm", "minus", "phase", "metric"),
  "times": ("first", "second"),
  "exponents": ("names",),
  "ratio": ("arm", "instrument"),
  "ratios": ("arm", "instrument"),
}
# What is no interval.
GIVES = {"times": Pair, "exponents": Slopes, "ratios": Ratios}
SEVERAL_CELLS = ("exponents", "ratios")
FIRST_ANNEAL = "first anneal"
# Seeds whose times are shown one by one.
FEW = 4

Evidence = Interval | Pair | Slopes | Ratios
Json = dict[str, Any]


def of_json(numbers: list[float | None]) -> Interval:
  """An interval as a summary has it, null where there is no number. Ours."""
  return Interval(*(math.nan if x is None else x for x in numbers))


def arms(read: Json) -> set[str]:
  """Arms that a reading reads. Ours."""
  own = {read[name] for name in ("arm", "minus") if name in read}
  return own.union(*(arms(v) for v in read.values() if isinstance(v, dict)))


def read(what: Json, saved: Json, cells: list[Json]) -> Evidence | None:
  """What the cells of a summary say, None if they lack it. Ours.

  Args:
    what: the `read` of a claim.
    saved: a summary, read back from JSON.
    cells: its cells that count; of several the first, but for the kinds that
      speak of several.
  """
  kind = what["kind"]
  if kind == "exponents":
    slopes = [_slope(name, saved) for name in what["names"]]
    return None if None in slopes else Slopes(slopes)
  if kind == "ratios":
    found = [_ratio(what, cell) for cell in cells]
    kinds = {s["name"]: s["kind"] for s in saved.get("statements", ())}
    if not found or None in found or what["instrument"] not in kinds:
      return None
    return Ratios(found, kinds[what["instrument"]])
  if kind == "ratio":
    return _ratio(what, cells[0])
  if kind == "times":
    first, second = (times(cells[0], what[k]) for k in ("first", "second"))
    return Pair(first, second) if first and second else None
  of_arms = [what["arm"], *([what["minus"]] if kind == "difference" else [])]
  found = [_by_seed(cells[0], what, arm) for arm in of_arms]
  if all(found):
    if kind == "value":
      return intervals.interval(list(found[0].values()))
    return intervals.paired(*found)
  # Not everything is saved by seed.
  of_metric = cells[0]["metrics"].get(f"{what['phase']}/{what['metric']}", {})
  name = " - ".join(of_arms)
  if name in of_metric:
    return of_json(of_metric[name])
  backwards = of_metric.get(" - ".join(reversed(of_arms)))
  if backwards is None:
    return None
  mean, low, high, num = of_json(backwards)
  return Interval(-mean, -high, -low, num)


def _by_seed(cell: Json, what: Json, arm: str) -> dict[int, float]:
  """A metric of one arm; nothing where it is not saved by seed."""
  if what["phase"] == FIRST_ANNEAL:
    annealed = [m[0] for m in cell.get("milestones", {}).values() if m]
    return _at(cell, what["metric"], arm, min(annealed)) if annealed else {}
  found = cell["by_seed"].get(f"{what['phase']}/{what['metric']}", {})
  return {int(seed): value for seed, value in found.get(arm, {}).items()}


def _curve(cell: Json, metric: str, arm: str) -> dict[int, list]:
  """{seed: [(epoch, value)]}, values that are there."""
  found = cell.get("curves", {}).get(arm, {}).get(metric)
  if not found:
    return {}
  return {
    int(seed): [
      (epoch, value)
      for epoch, value in zip(found["epoch"], values, strict=True)
      if value is not None
    ]
    for seed, values in found["seeds"].items()
  }


def _at(cell: Json, metric: str, arm: str, epoch: float) -> dict[int, float]:
  """A curve's last value up to an epoch."""
  found = {
    seed: [value for at, value in points if at <= epoch]
    for seed, points in _curve(cell, metric, arm).items()
  }
  return {seed: values[-1] for seed, values in found.items() if values}


def times(cell: Json, what: Json) -> dict[int, float]:
  """When something first happens in each seed; infinity where never. Ours.

  Args:
    cell: of a summary.
    what: see the module.

  Returns:
    {seed: epoch}, of images, or {seed: step}; empty if it was not recorded.
  """
  arm = what["arm"]
  if "event" in what:
    milestones = cell.get("milestones", {}).get(arm)
    if milestones:
      return dict.fromkeys(cell["seeds"], milestones[0])
    return _by_seed(cell, {"phase": what["event"], "metric": "step"}, arm)
  if "learned" in what:
    found = cell.get("learned", {}).get(arm, {}).get(what["learned"], {})
    return {int(k): math.inf if v is None else v for k, v in found.items()}
  curves = _curve(cell, what["metric"], arm)
  return {
    seed: next((at for at, value in points if value > what["above"]), math.inf)
    for seed, points in curves.items()
  }


def _slope(name: str, saved: Json) -> Slope | None:
  for entry in saved.get("exponents", ()):
    if entry["name"] == name and entry["kind"] == "exponent":
      return Slope(
        of_json(entry["exponent"]),
        entry["claimed"],
        entry["relation"],
        entry.get("towards"),
      )
  return None


def _ratio(what: Json, cell: Json) -> Interval | None:
  found = cell.get("instruments", {}).get(what["arm"], {})
  numbers = found.get(what["instrument"])
  return None if numbers is None else of_json(numbers[2:])


def num_seeds(found: Evidence) -> int:
  """Seeds that an evidence is of. Ours."""
  if isinstance(found, Pair):
    return len(found.first.keys() & found.second.keys())
  if isinstance(found, Ratios):
    return min(ratio.num for ratio in found.ratios)
  if isinstance(found, Slopes):
    return min(slope.measured.num for slope in found.slopes)
  return found.num


def text(what: Json, found: Evidence) -> str:
  """Evidence in a table: means with their intervals, or times by seed. Ours."""
  if isinstance(found, Slopes):
    return "; ".join(
      show(slope.measured, lambda x: f"{x:.2f}") for slope in found.slopes
    )
  if isinstance(found, Ratios):
    *others, last = found.ratios
    return "; ".join([*(real(r.mean) for r in others), show(last, real)])
  if isinstance(found, Pair):
    return _pair(found)
  metric = what.get("metric", "")
  kinds = (("accuracy", percent), ("error", percent), ("loss", loss))
  fmt = next((fmt for word, fmt in kinds if word in metric), real)
  return show(found, steps if metric == "step" else fmt)


def _pair(found: Pair) -> str:
  """Times of a few seeds one by one, of many from the first to the last."""
  seeds = sorted(found.first.keys() & found.second.keys())
  if len(seeds) <= FEW:
    return ", ".join(
      f"{_time(found.first[s])} / {_time(found.second[s])}" for s in seeds
    )
  ends = []
  for by_seed in found:
    values = sorted(by_seed[s] for s in seeds)
    texts = dict.fromkeys(_time(v) for v in (values[0], values[-1]))
    ends.append(" to ".join(texts))
  return " / ".join(ends)


def _time(value: float) -> str:
  if math.isinf(value):
    return "never"
  return steps(value) if value >= 1000 else f"{value:.4g}"
