"""Configs: what a valid one is, and the runs it stands for.

A config is an experiment: base fields, `arms` (name -> overrides), `grid` (axis
-> values) and `seeds`. A track supplies the schema of its fields; this file
supplies the rules every schema is made of, durations, and the expansion into
runs. All of it happens before any device is touched.
"""

import difflib
import itertools
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

ConfigDict = ml_collections.ConfigDict

# Fields that describe the experiment rather than one run of it.
EXPERIMENT_FIELDS = ("arms", "grid", "shrink", "smoke")
DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(steps?|epochs?)\s*$")


class UserError(ValueError):
  """A mistake its reader can mend: what was got, what is allowed, the cure."""


class Rule(NamedTuple):
  """What one field may hold.

  Attributes:
    allowed: in words, for the message.
    accepts: value -> bool.
  """

  allowed: str
  accepts: Callable[[Any], bool]


Schema = Mapping[str, Rule]


class Run(NamedTuple):
  """One run of an experiment.

  Attributes:
    arm: name of the arm.
    cell: name of the grid cell, 'base' where there is no grid.
    config: every field of the run, overrides applied, locked.
  """

  arm: str
  cell: str
  config: ConfigDict

  @property
  def name(self) -> str:
    """`<arm>/<cell>`: also the run's folder under the workdir."""
    return f"{self.arm}/{self.cell}"


def _is_real(value) -> bool:
  return (
    isinstance(value, int | float)
    and not isinstance(value, bool)
    # False for NaN, infinity, and an integer that no float can hold.
    and abs(value) <= sys.float_info.max
  )


def real(
  low: float = -math.inf,
  high: float = math.inf,
  *,
  open_low: bool = False,
  open_high: bool = False,
) -> Rule:
  """A finite number between bounds (closed unless said otherwise). Ours."""
  left, right = "(["[not open_low], ")]"[not open_high]

  def accepts(value):
    if not _is_real(value):
      return False
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    return above and below

  return Rule(f"a number in {left}{low:g}, {high:g}{right}", accepts)


def integer(low: int = 0, high: int | None = None) -> Rule:
  """An integer >= `low` and, if given, <= `high`. Ours."""
  words = f"an integer >= {low}" + (
    f" and <= {high}" if high is not None else ""
  )
  return Rule(
    words,
    lambda value: (
      isinstance(value, int)
      and not isinstance(value, bool)
      and value >= low
      and (high is None or value <= high)
    ),
  )


def choice(*options: Any) -> Rule:
  """One of the named options. Ours."""
  names = ", ".join(repr(o) for o in options)
  return Rule(
    f"one of {names}",
    lambda value: any(type(value) is type(o) and value == o for o in options),
  )


def text() -> Rule:
  """A non-empty string. Ours."""
  return Rule(
    "a non-empty string", lambda value: isinstance(value, str) and bool(value)
  )


def seeds_rule() -> Rule:
  """A non-empty tuple of distinct integers in [0, 2^31). Ours."""

  def accepts(value):
    return (
      isinstance(value, tuple)
      and len(value) > 0
      and all(integer().accepts(v) and v < 2**31 for v in value)
      and len(set(value)) == len(value)
    )

  return Rule("a tuple of distinct integers in [0, 2^31), e.g. 0,1,2", accepts)


def duration() -> Rule:
  """A string such as '5000 steps' or '60 epochs'. Ours."""
  return Rule(
    "a duration such as '5000 steps' or '60 epochs'",
    lambda value: isinstance(value, str) and bool(DURATION.match(value)),
  )


def to_steps(value: str, *, steps_per_epoch: int) -> int:
  """The whole number of steps in a duration, at least 1. Ours.

  Args:
    value: '<number> steps' or '<number> epochs'.
    steps_per_epoch: steps in one epoch; 1 for full-batch training.

  Returns:
    Number of steps, rounded to the nearest.

  Raises:
    UserError: `value` is no duration.
  """
  match = DURATION.match(value) if isinstance(value, str) else None
  if not match:
    raise UserError(
      f"Got {value!r} where {duration().allowed} is needed: write the unit."
    )
  number, unit = match.groups()
  per_unit = steps_per_epoch if unit.startswith("epoch") else 1
  return max(1, round(float(number) * per_unit))


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Fields of a nested config by dotted name, {'data.dim': 400, ...}. Ours."""
  out = {}
  for key in config:
    value = config[key]
    if isinstance(value, Mapping | ConfigDict):
      out |= flatten(value, f"{prefix}{key}.")
    else:
      out[f"{prefix}{key}"] = value
  return out


def nearest(name: str, options) -> str:
  """' (did you mean X?)' if some option is close to `name`, else ''. Ours."""
  close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
  return f" (did you mean {close[0]!r}?)" if close else ""


def check(config: Mapping[str, Any], schema: Schema) -> None:
  """Holds every field of a run against its rule. Ours.

  Args:
    config: fields of one run, nested.
    schema: dotted name -> Rule.

  Raises:
    UserError: an unknown field, a missing field, or a value not allowed.
  """
  fields = flatten(config)
  for name in fields:
    if name not in schema:
      raise UserError(
        f"Unknown field {name!r}{nearest(name, schema)}: remove it or name one"
        f" of {', '.join(sorted(schema))}."
      )
  for name, rule in schema.items():
    if name not in fields:
      raise UserError(f"Field {name!r} is missing: it must be {rule.allowed}.")
    if not rule.accepts(fields[name]):
      raise UserError(
        f"Field {name!r} is {fields[name]!r}: it must be {rule.allowed}."
      )


def _override(config: ConfigDict, overrides, schema: Schema, origin: str):
  for name, value in flatten(overrides).items():
    if name not in schema:
      raise UserError(
        f"{origin} sets the unknown field {name!r}{nearest(name, schema)}: name"
        f" one of {', '.join(sorted(schema))}."
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


def _value_name(value) -> str:
  """A grid value as a folder name; different numbers never share one."""
  if _is_real(value) and float(f"{value:g}") == value:
    return f"{value:g}"
  return str(value)


def _grid_axes(grid) -> list[list[tuple[str, dict]]]:
  """Each axis as its list of (value name, overrides)."""
  axes = []
  for axis in sorted(grid):
    values = grid[axis]
    is_mapping = isinstance(values, Mapping | ConfigDict)
    is_field = is_mapping and set(values) == {"field", "values"}
    if not is_mapping or (
      is_field and not isinstance(values["values"], list | tuple)
    ):
      raise UserError(
        f"Grid axis {axis!r} is {values!r}: it must be {{field, values}} with a"
        " tuple of values, or a mapping from value name to overrides."
      )
    if is_field:
      named = [(_value_name(v), {values["field"]: v}) for v in values["values"]]
    else:
      named = [(str(v), flatten(values[v])) for v in sorted(values)]
    if not named:
      raise UserError(f"Grid axis {axis!r} is empty: give at least one value.")
    names = [value for value, _ in named]
    if len(set(names)) < len(names):
      raise UserError(
        f"Grid axis {axis!r} has a value twice ({', '.join(names)}): each value"
        " must stand once, for it names the run's folder."
      )
    axes.append([(f"{axis}={value}", fields) for value, fields in named])
  return axes


def expand(config: ConfigDict, schema: Schema) -> list[Run]:
  """The runs an experiment stands for, each valid by itself. Ours.

  Args:
    config: base fields plus `arms`, `grid`, `shrink` and `smoke`. An arm is a
      nested mapping of overrides. A grid axis is {field, values}, the values of
      one field by its dotted name, or a mapping from value name to overrides;
      cells are the product of the axes.
      Where `smoke` is true the overrides in `shrink` come last.
    schema: the track's rules.

  Returns:
    Runs in the order cell by cell, arm by arm.

  Raises:
    UserError: any field of any run is unknown, missing or not allowed.
  """
  for name in EXPERIMENT_FIELDS:
    if name not in config:
      raise UserError(f"Field {name!r} is missing: every config must have it.")
  if not config.arms:
    raise UserError("Field 'arms' is empty: name at least one arm.")
  if not choice(True, False).accepts(config.smoke):
    raise UserError(
      f"Field 'smoke' is {config.smoke!r}: it must be True/False."
    )
  base = ConfigDict(config.to_dict())
  for name in EXPERIMENT_FIELDS:
    del base[name]
  runs = []
  for combination in itertools.product(*_grid_axes(config.grid)):
    cell = ",".join(name for name, _ in combination) or "base"
    for arm in config.arms:
      run = ConfigDict(base.to_dict())
      for name, fields in combination:
        _override(run, fields, schema, f"Grid cell {name!r}")
      _override(run, config.arms[arm], schema, f"Arm {arm!r}")
      if config.smoke:
        _override(run, config.shrink, schema, "The smoke shrink")
      check(run, schema)
      runs.append(Run(arm, cell, run.lock()))
  return runs


def differences(
  ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> list[str]:
  """'field: A here, B there' for each field that differs. Ours."""

  def plain(value):
    # JSON knows no tuples, so a config read back holds lists.
    return list(value) if isinstance(value, tuple) else value

  mine, other = flatten(ours), flatten(theirs)
  missing = "(none)"
  return [
    f"{name}: {mine.get(name, missing)!r} now,"
    f" {other.get(name, missing)!r} there"
    for name in sorted(mine.keys() | other.keys())
    if plain(mine.get(name, missing)) != plain(other.get(name, missing))
  ]
