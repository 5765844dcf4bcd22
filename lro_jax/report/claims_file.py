"""The paper's claims as data: `claims_images.toml` and `claims_theory.toml`.

A setting says which runs speak of a claim, and which fields they must have for
the claim to count; a claim says where it stands, what is read from the runs and
which rule decides. Numbers that the paper chooses (rates, sizes, the patch) are
no claims: they are what the settings demand.
"""

import pathlib
import tomllib
from typing import Any, NamedTuple

from lro_jax.core.schema import UserError, nearest
from lro_jax.report import claim_readings
from lro_jax.report.claim_rules import RULES
from lro_jax.report.intervals import Interval

FILES = tuple(
  pathlib.Path(__file__).with_name(f"claims_{track}.toml")
  for track in ("images", "theory")
)


class Setting(NamedTuple):
  """Runs that speak of some claims.

  Attributes:
    runs: as in --config: 'patches.py:authors'.
    command: that makes them.
    cells: pattern over their cells.
    seeds: fewest seeds that decide anything.
    needs: {dotted field: value}, without which a run is of another setting;
      under 'large' and so on, those of that arm.
    original: whether a copy of the images counts as another setting.
  """

  runs: tuple[str, ...]
  command: str
  cells: str
  seeds: int
  needs: dict[str, Any]
  original: bool


class Claim(NamedTuple):
  """One sentence of the paper.

  Attributes:
    id: its name here.
    section: of the paper, under which it is listed.
    where: in the section: table, figure, lemma.
    says: what it says, in our words.
    paper: the paper's value, as text.
    setting: name of the setting in which it counts.
    reduced: names of settings in which it is only looked at.
    read: what is read; see `claim_readings`.
    rule: {"name": of a rule, and its parameters}.
    differs: what of the runs is not the paper's though the claim counts, or how
      its words are read; '' for nothing.
  """

  id: str
  section: str
  where: str
  says: str
  paper: str
  setting: str
  reduced: tuple[str, ...]
  read: dict[str, Any]
  rule: dict[str, Any]
  differs: str


class Claims(NamedTuple):
  """All of it, in the order of the files."""

  settings: dict[str, Setting]
  claims: tuple[Claim, ...]

  def named(self, name: str) -> Claim:
    """The claim of this id. Ours.

    Raises:
      UserError: there is none.
    """
    ids = [claim.id for claim in self.claims]
    if name not in ids:
      raise UserError(
        f"Unknown claim {name!r}{nearest(name, ids)}: python -m lro_jax.report"
        " --claims lists all."
      )
    return self.claims[ids.index(name)]


_OF_SETTING = {
  "runs": list,
  "command": str,
  "cells": str,
  "seeds": int,
  "needs": dict,
  "original": bool,
}
_OF_CLAIM = {
  "id": str,
  "section": str,
  "where": str,
  "says": str,
  "paper": str,
  "setting": str,
  "reduced": list,
  "read": dict,
  "rule": dict,
  "differs": str,
}
_DEFAULTS = {"reduced": [], "differs": "", "original": False, "cells": "*"}


def load(paths: tuple[pathlib.Path, ...] = FILES) -> Claims:
  """Reads and checks the claims. Ours.

  Args:
    paths: TOML files, of which one may use the settings of another.

  Raises:
    UserError: a file is no TOML, or an entry is not complete, has a field, rule
      or setting that is unknown, or an id that another has.
  """
  settings: dict[str, Setting] = {}
  entries = []
  for path in paths:
    try:
      content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
      raise UserError(f"{path} cannot be read as TOML ({error}).") from error
    for name, fields in content.get("settings", {}).items():
      where = f"Setting {name!r} of {path.name}"
      found = _checked(fields, _OF_SETTING, where)
      settings[name] = Setting(**found | {"runs": tuple(found["runs"])})
    entries += [(path.name, fields) for fields in content.get("claims", [])]
  claims = tuple(_claim(fields, name, settings) for name, fields in entries)
  seen: set[str] = set()
  for claim in claims:
    if claim.id in seen:
      raise UserError(f"Two claims have the id {claim.id!r}: rename one.")
    seen.add(claim.id)
  return Claims(settings, claims)


def _claim(
  fields: dict[str, Any], file: str, settings: dict[str, Setting]
) -> Claim:
  where = f"Claim {fields.get('id', 'without id')!r} of {file}"
  found = _checked(fields, _OF_CLAIM, where)
  for name in (found["setting"], *found["reduced"]):
    if name not in settings:
      raise UserError(
        f"{where} has the setting {name!r}: it must be one of"
        f" {', '.join(settings)}."
      )
  rule = found["rule"].get("name")
  if rule not in RULES:
    raise UserError(
      f"{where} has the rule {rule!r}: it must be one of {', '.join(RULES)}."
    )
  given = found["rule"].keys() - {"name"}
  _same_names(given, RULES[rule].parameters, f"{where}, rule {rule}")
  kind = found["read"].get("kind")
  kinds = claim_readings.FIELDS
  if kind not in kinds:
    raise UserError(
      f"{where} reads {kind!r}: it must be one of {', '.join(kinds)}."
    )
  needed = set(kinds[kind])
  _same_names(found["read"].keys() - {"kind"}, needed, f"{where}, read {kind}")
  if claim_readings.GIVES.get(kind, Interval) is not RULES[rule].takes:
    raise UserError(f"{where}: the rule {rule} cannot decide on {kind}.")
  return Claim(**found | {"reduced": tuple(found["reduced"])})


def _checked(
  fields: dict[str, Any], schema: dict[str, type], where: str
) -> dict[str, Any]:
  """Fields with their defaults, all there and of their types."""
  found = {k: v for k, v in _DEFAULTS.items() if k in schema} | fields
  _same_names(found.keys(), schema.keys(), where)
  for name, kind in schema.items():
    if not isinstance(found[name], kind):
      raise UserError(
        f"{where} has {name} {found[name]!r}: it must be of type"
        f" {kind.__name__}."
      )
  return found


def _same_names(given, needed, where: str) -> None:
  for words, names in (
    ("lacks", set(needed) - set(given)),
    ("has the unknown", set(given) - set(needed)),
  ):
    if names:
      raise UserError(
        f"{where} {words} {', '.join(sorted(names))}: its fields are"
        f" {', '.join(sorted(needed))}."
      )
