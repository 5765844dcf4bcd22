"""Schemas: the rules that fields of a config are held against.

A schema is a mapping from dotted field name to `Rule`. Tracks write theirs out
of the rules here; `check` answers with the first field that breaks one.
"""

import difflib
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_collections

ConfigDict = ml_collections.ConfigDict


MAX_STEPS = 2**31 - 1
# Of a rate, a std and the like: what a float32 holds.
MAX_REAL = 3.4e38
# No other white space: a duration is printed as it is, on one line.
DURATION = re.compile(r" *([0-9]+(?:\.[0-9]+)?) *(steps?|epochs?) *")
LONGEST = 120


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


def shown(value: Any) -> str:
  """`repr` of a value as a message can hold it: one line, not a long one."""
  try:
    # A ConfigDict's has lines, and so has an array's.
    text = " ".join(repr(value).split())
  except ValueError:
    text = "an integer of thousands of digits"
  return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def is_mapping(value: Any) -> bool:
  """Whether `value` has fields of its own. Ours."""
  return isinstance(value, Mapping | ConfigDict)


def is_real(value: Any) -> bool:
  """Whether `value` is a finite number (a bool is none). Ours."""
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
  is_wide = max(abs(low), abs(high)) > MAX_STEPS
  kind = "a number" + " (a float, or an integer below 2^31)" * is_wide

  def accepts(value):
    # JAX takes any integer for an int32.
    if not is_real(value) or (isinstance(value, int) and abs(value) >= 2**31):
      return False
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    return above and below

  return Rule(f"{kind} in {left}{low:g}, {high:g}{right}", accepts)


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


def text(*, empty: bool = False) -> Rule:
  """A string without line breaks and the like. Ours.

  Args:
    empty: whether '' will do.
  """
  words = "a string, or ''" if empty else "a non-empty string"
  return Rule(
    f"{words}, of printable characters",
    lambda value: (
      isinstance(value, str) and value.isprintable() and (empty or bool(value))
    ),
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


def duration(*, never: bool = False) -> Rule:
  """A string such as '5000 steps' or '60 epochs'. Ours.

  Args:
    never: whether 'never' will do.
  """
  return Rule(
    f"a duration such as '5000 steps' or '60 epochs'{', or never' * never}",
    lambda value: (
      isinstance(value, str)
      and (bool(DURATION.fullmatch(value)) or (never and value == "never"))
    ),
  )


def to_steps(value: str, *, steps_per_epoch: int, field: str = "") -> int:
  """The whole number of steps in a duration, at least 1. Ours.

  Args:
    value: '<number> steps' or '<number> epochs'.
    steps_per_epoch: steps in one epoch; 1 for full-batch training.
    field: whose value it is, for the message.

  Returns:
    Number of steps, rounded to the nearest.

  Raises:
    UserError: `value` is no duration, or one out of bounds.
  """
  what = f"{field} {shown(value)}".strip()
  match = DURATION.fullmatch(value) if isinstance(value, str) else None
  if not match:
    raise UserError(
      f"Got {what} where {duration().allowed} is needed: write the unit."
    )
  number, unit = match.groups()
  per_unit = steps_per_epoch if unit.startswith("epoch") else 1
  steps = float(number) * per_unit
  # Before it is rounded, for infinity has no nearest integer.
  if not float(number) > 0 or not steps < MAX_STEPS - 0.5:
    raise UserError(
      f"Got {what}: a duration must be above 0 and below {MAX_STEPS} steps,"
      " which is what a 32-bit counter holds."
    )
  return max(1, round(steps))


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Fields of a nested config by dotted name, {'data.dim': 400, ...}. Ours.

  A mapping of nothing is a value: it may stand where a number should.
  """
  out = {}
  for key in config:
    value = config[key]
    if is_mapping(value) and len(value):
      out |= flatten(value, f"{prefix}{key}.")
    else:
      out[f"{prefix}{key}"] = value
  return out


def nearest(name: str, options) -> str:
  """' (did you mean X?)' if some option is close to `name`, else ''. Ours."""
  close = difflib.get_close_matches(name, list(options), n=1, cutoff=0.6)
  return f" (did you mean {close[0]!r}?)" if close else ""


def is_section(name: str, value: Any, schema: Schema) -> bool:
  """Whether `name` is no field, but a section, and empty. Ours.

  Raises:
    UserError: it is a section, and holds no fields but a value.
  """
  inside = [field for field in schema if field.startswith(f"{name}.")]
  if inside and not is_mapping(value):
    raise UserError(
      f"Field {name!r} is {shown(value)}: it must be a section that has"
      f" {', '.join(inside)}."
    )
  return bool(inside)


def check(config: Mapping[str, Any], schema: Schema) -> None:
  """Holds every field of a run against its rule. Ours.

  Args:
    config: fields of one run, nested.
    schema: dotted name -> Rule.

  Raises:
    UserError: an unknown field, a missing field, or a value not allowed.
  """
  fields = flatten(config)
  for name, value in fields.items():
    if name not in schema and not is_section(name, value, schema):
      raise UserError(
        f"Unknown field {shown(name)}{nearest(name, schema)}: remove it or"
        f" name one of {', '.join(sorted(schema))}."
      )
  for name, rule in schema.items():
    if name not in fields:
      raise UserError(f"Field {name!r} is missing: it must be {rule.allowed}.")
    if not rule.accepts(fields[name]):
      raise UserError(
        f"Field {name!r} is {shown(fields[name])}: it must be {rule.allowed}."
      )
