"""What a config may name under `exponents`, held against rules before a run.

The report reads these entries when the last run has ended: a mistake in one
must be found before the first begins. See `report.exponents`.
"""

from collections.abc import Mapping
from typing import Any

from lro_jax.core.schema import (
  MAX_REAL,
  Rule,
  Schema,
  UserError,
  choice,
  is_mapping,
  nearest,
  real,
  shown,
  text,
)
from lro_jax.report import verdicts
from lro_jax.report.collect import ANNEAL, BEST, END
from lro_jax.report.quantities import COMBINED

_NUMBER = real(-MAX_REAL, MAX_REAL)
_OPTIONAL = Rule(
  f"{_NUMBER.allowed}, or None", lambda v: v is None or _NUMBER.accepts(v)
)
_SECTION = Rule("a section", is_mapping)

RULES = {
  "title": text(),
  "source": text(),
  "x": _SECTION,
  "y": _SECTION,
  "cells": text(),
  "kind": choice("exponent", "curve"),
}
OPTIONAL_RULES = {
  "relation": choice(verdicts.EQUAL, verdicts.AT_MOST),
  "towards": choice(*verdicts.TOWARDS),
  "claimed": _OPTIONAL,
  "ours": _OPTIONAL,
  "constant": _OPTIONAL,
}
MEASURED = {
  "arm": text(),
  "phase": choice(ANNEAL, BEST, END),
  "metric": text(),
}


def check(entries: Mapping[str, Any], schema: Schema) -> None:
  """Refuses an entry that the report could not read. Ours.

  Args:
    entries: name -> entry.
    schema: of the track's fields.

  Raises:
    UserError: the first thing wrong.
  """
  for name, entry in entries.items():
    origin = f"exponents.{name}"
    if not is_mapping(entry):
      raise UserError(
        f"Field {origin!r} is {shown(entry)}: it must be a section."
      )
    _hold(entry, origin, RULES, OPTIONAL_RULES)
    verdicts.check({**entry, "name": name})
    _check_quantity(entry["y"], f"{origin}.y")
    x = entry["x"]
    if "field" in x:
      _hold(x, f"{origin}.x", {"field": _field_rule(x["field"], schema)})
    elif "setting" in x:
      _hold(x, f"{origin}.x", {"setting": text()})
    else:
      _check_quantity(x, f"{origin}.x")


def _field_rule(name: Any, schema: Schema) -> Rule:
  near = nearest(name, schema) if isinstance(name, str) else ""
  return Rule(
    f"the name of a field{near}", lambda v: isinstance(v, str) and v in schema
  )


def _check_quantity(quantity: Any, origin: str, inner: bool = False) -> None:
  """A measured one; in `minus` and `over` what is not said is as outside."""
  combined = dict.fromkeys(COMBINED, _SECTION)
  if inner:
    _hold(quantity, origin, {}, MEASURED | combined)
  else:
    _hold(quantity, origin, MEASURED, combined)
  for name in COMBINED:
    if name in quantity:
      _check_quantity(quantity[name], f"{origin}.{name}", inner=True)


def _hold(
  section: Any, origin: str, rules: Schema, optional: Schema | None = None
) -> None:
  """Refuses a section with a name too few or too many, or a wrong value."""
  every = {**rules, **(optional or {})}
  for name in section:
    if name not in every:
      raise UserError(
        f"Unknown field {f'{origin}.{name}'!r}{nearest(name, every)}: remove it"
        f" or name one of {', '.join(every)}."
      )
  for name, rule in every.items():
    if name not in section:
      if name in rules:
        raise UserError(
          f"Field {f'{origin}.{name}'!r} is missing: it must be {rule.allowed}."
        )
    elif not rule.accepts(section[name]):
      raise UserError(
        f"Field {f'{origin}.{name}'!r} is {shown(section[name])}: it must be"
        f" {rule.allowed}."
      )
