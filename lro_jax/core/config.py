"""Configs: the runs that one stands for.

A config is an experiment: base fields, `arms` (name -> overrides), `grid` (axis
-> values) and `seeds`. A track supplies the schema of its fields
(`core.schema`); this file expands the config into runs and holds each against
it. All of it happens before any device is touched.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from lro_jax.core import experiment
from lro_jax.core.schema import (
  ConfigDict,
  Schema,
  UserError,
  check,
  flatten,
  is_section,
  nearest,
  shown,
)


class Run(NamedTuple):
  """One run of an experiment.

  Attributes:
    arm: name of the arm.
    cell: name of the grid cell, 'base' where there is no grid.
    config: every field of the run, overrides applied, locked.
    seed: the run's only seed, None where the run has all of them.
  """

  arm: str
  cell: str
  config: ConfigDict
  seed: int | None = None

  @property
  def name(self) -> str:
    """`<arm>/<cell>[/seed_<k>]`: also the run's folder under the workdir."""
    apart = "" if self.seed is None else f"/seed_{self.seed}"
    return f"{self.arm}/{self.cell}{apart}"


def _override(config: ConfigDict, overrides, schema: Schema, origin: str):
  for name, value in overrides.items():
    if name not in schema:
      if is_section(name, value, schema):
        continue
      raise UserError(
        f"{origin} sets the unknown field {shown(name)}{nearest(name, schema)}:"
        f" name one of {', '.join(sorted(schema))}."
      )
    *path, last = name.split(".")
    node = config
    for part in path:
      node = node[part] if part in node else None
      if not isinstance(node, ConfigDict):
        raise UserError(f"Field {name!r} is missing from the base config.")
    with node.unlocked():
      # Deleted first, so that a wrong type reaches `check` and its sentence.
      if last in node:
        del node[last]
      node[last] = value


def expand(
  config: ConfigDict, schema: Schema, *, seeds_apart: bool = False
) -> list[Run]:
  """The runs an experiment stands for, each valid by itself. Ours.

  Args:
    config: base fields plus `arms`, `grid`, `shrink`, `smoke` and `exponents`,
      which only the report reads. An arm is a
      nested mapping of overrides. A grid axis is {field, values}, the values of
      one field by its dotted name, or a mapping from value name to overrides;
      cells are the product of the axes.
      Where `smoke` is true the overrides in `shrink` come last.
    schema: the track's rules.
    seeds_apart: whether every seed is a run of its own.

  Returns:
    Runs in the order cell by cell, seed by seed if apart, arm by arm: a first
    comparison is there before the second seed begins.

  Raises:
    UserError: any field of any run is unknown, missing or not allowed.
  """
  config = experiment.settled(config)
  experiment.check(config)
  base = ConfigDict(config.to_dict())
  for name in experiment.FIELDS:
    if name in base:
      del base[name]
  runs = []
  for combination in itertools.product(*experiment.grid_axes(config.grid)):
    cell = ",".join(name for name, _ in combination) or "base"
    experiment.check_folder_name("Grid cell", cell)
    first = len(runs)
    for arm in config.arms:
      run = ConfigDict(base.to_dict())
      for name, fields in combination:
        _override(run, fields, schema, f"Grid cell {name!r}")
      _override(run, flatten(config.arms[arm]), schema, f"Arm {arm!r}")
      if config.smoke:
        _override(run, flatten(config.shrink), schema, "The smoke shrink")
      check(run, schema)
      runs.append(Run(arm, cell, run.lock()))
    if seeds_apart:
      runs[first:] = _by_seed(runs[first:])
  return runs


def _by_seed(runs: list[Run]) -> list[Run]:
  """Runs of one seed each, all arms of a seed together."""
  out = []
  for seed in dict.fromkeys(s for run in runs for s in run.config.seeds):
    for run in runs:
      if seed in run.config.seeds:
        config = ConfigDict(run.config.to_dict())
        config.seeds = (seed,)
        out.append(Run(run.arm, run.cell, config.lock(), seed))
  return out


def differences(
  ours: Mapping[str, Any],
  theirs: Mapping[str, Any],
  names: tuple[str, str] = ("now", "there"),
) -> list[str]:
  """'field: A now, B there' for each field that differs. Ours.

  Args:
    ours: one config.
    theirs: another.
    names: what to call them.
  """

  def plain(value):
    # JSON knows no tuples, so a config read back holds lists.
    return list(value) if isinstance(value, tuple) else value

  mine, other = flatten(ours), flatten(theirs)
  missing = "(none)"
  return [
    f"{name}: {mine.get(name, missing)!r} {names[0]},"
    f" {other.get(name, missing)!r} {names[1]}"
    for name in sorted(mine.keys() | other.keys())
    if plain(mine.get(name, missing)) != plain(other.get(name, missing))
  ]
