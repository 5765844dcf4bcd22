"""Quantities that an experiment names, read from its runs seed by seed.

An x is a field of the config, {"field": "data.dim"}, an entry of run.json's
setting, {"setting": "r"}, or measured; what is measured is {"arm", "phase",
"metric"} in the words of results.json, and may have `minus` or `over` another
such, in which what is not said is as in the outer one.
"""

import operator
from typing import Any

from lro_jax.core.schema import flatten, is_real
from lro_jax.report.collect import END, Experiment, RunLog

COMBINED = {"minus": (operator.sub, "-"), "over": (operator.truediv, "/")}

Entry = dict[str, Any]
# {(arm, cell, phase, metric): {seed: value}}
Lookup = dict[tuple[str, str, str, str], dict[int, float]]


def words(quantity: Entry) -> str:
  """What an x or y is, for axes and tables. Ours."""
  for kind in ("field", "setting"):
    if kind in quantity:
      return quantity[kind]
  text = f"{quantity['metric']} ({quantity['arm']}, {quantity['phase']})"
  for name, (_, sign) in COMBINED.items():
    if name in quantity:
      text += f" {sign} {words(_inner(quantity, name))}"
  return text


def _inner(quantity: Entry, name: str) -> Entry:
  """What is subtracted or divided by: as the outer one, but where it says."""
  own = {k: v for k, v in quantity.items() if k not in COMBINED}
  return own | quantity[name]


def arms_of(quantity: Entry) -> set[str]:
  """Arms that a quantity is measured in. Ours."""
  if "metric" not in quantity:
    return set()
  inner = [
    arms_of(_inner(quantity, name)) for name in COMBINED if name in quantity
  ]
  return {quantity["arm"]}.union(*inner)


def lookup(experiment: Experiment, rows: list[dict[str, Any]]) -> Lookup:
  """Finite values by name, without ends that were no ends. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.
  """
  cut_off = {
    (run.arm, run.cell, int(seed))
    for run in experiment.runs
    for seed, end in run.record.get("seeds", {}).items()
    if end["status"] == "max_steps"
    and "stop" in run.record["facts"]["expected_events"]
  }
  out: Lookup = {}
  for row in rows:
    arm, cell, phase, metric = (
      row[k] for k in ("arm", "cell", "phase", "metric")
    )
    # Steps to a loss that was never reached are more than were run.
    late = phase == END and (arm, cell, row["seed"]) in cut_off
    if row["value"] is None or (late and metric == "step"):
      continue
    out.setdefault((arm, cell, phase, metric), {})[row["seed"]] = row["value"]
  return out


def _values(found: Lookup, run: RunLog, quantity: Entry) -> dict[int, float]:
  """A quantity of a run's cell by seed."""
  if "metric" not in quantity:
    number = (
      flatten(run.config).get(quantity["field"])
      if "field" in quantity
      else run.record["facts"]["setting"].get(quantity["setting"])
    )
    return dict.fromkeys(run.seeds, number) if is_real(number) else {}
  key = (quantity["arm"], run.cell, quantity["phase"], quantity["metric"])
  values = found.get(key, {})
  for name, (combine, _) in COMBINED.items():
    if name in quantity:
      other = _values(found, run, _inner(quantity, name))
      values = {
        seed: combine(value, other[seed])
        for seed, value in values.items()
        if seed in other and (name != "over" or other[seed])
      }
  return values


def of_cell(
  entry: Entry, found: Lookup, runs: dict[str, RunLog]
) -> dict[int, tuple[float, float]] | str:
  """x and y of a cell by seed, or why the cell cannot be used. Ours.

  Args:
    entry: of experiment.json.
    found: all values.
    runs: the cell's runs by arm.
  """
  x, y = entry["x"], entry["y"]
  for arm in sorted(arms_of(x) | arms_of(y)):
    if arm not in runs:
      return f"no run of {arm}"
    if not runs[arm].is_done:
      return f"{arm} not finished"
  run = runs[y["arm"]]
  values = {"x": _values(found, run, x), "y": _values(found, run, y)}
  for name, of_name in values.items():
    missing = [seed for seed in run.seeds if seed not in of_name]
    if missing == run.seeds:
      return f"{name} has no value"
    if entry["kind"] == "curve":
      continue
    if missing:
      return f"{name} has no value in {_seeds(missing)}"
    # Neither has a logarithm.
    zero = [seed for seed in run.seeds if of_name[seed] <= 0]
    if zero:
      return f"{name} not above zero in {_seeds(zero)}"
  both = sorted(values["x"].keys() & values["y"].keys())
  return {seed: (values["x"][seed], values["y"][seed]) for seed in both}


def _seeds(seeds: list[int]) -> str:
  kind = "seed" if len(seeds) == 1 else "seeds"
  return f"{kind} {', '.join(map(str, seeds))}"
