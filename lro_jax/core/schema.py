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

  def accepts(value):
    if not is_real(value):
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


def duration_or_never() -> Rule:
  """A duration, or 'never'. Ours."""
  return Rule(
    "a duration such as '500 steps' or '1 epochs', or 'never'",
    lambda value: value == "never" or duration().accepts(value),
  )


def to_steps(value: str, *, steps_per_epoch: int) -> int:
  """The whole number of steps in a duration, at least 1. Ours.

  Args:
    value: '<number> steps' or '<number> epochs'.
    steps_per_epoch: steps in one epoch; 1 for full-batch training.

  Returns:
    Number of steps, rounded to the nearest.

  Raises:
    UserError: `value` is no duration, or one out of bounds.
  """
  match = DURATION.match(value) if isinstance(value, str) else None
  if not match:
    raise UserError(
      f"Got {value!r} where {duration().allowed} is needed: write the unit."
    )
  number, unit = match.groups()
  per_unit = steps_per_epoch if unit.startswith("epoch") else 1
  steps = max(1, round(float(number) * per_unit))
  if not float(number) > 0 or steps >= MAX_STEPS:
    raise UserError(
      f"Got {value!r}: a duration must be above 0 and below {MAX_STEPS} steps,"
      " which is what a 32-bit counter holds."
    )
  return steps


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
