"""Mutations of a config: one thing wrong at a time, the same ones every time.

A mutation sets, deletes or renames one place of a config, be it a field, an
element of a tuple, a section, an arm or a grid axis. Most are mistakes; a few
are harmless, which is for the code under test to say.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

from configs import common
from lro_jax import presets
from lro_jax.core.schema import ConfigDict
from tests.faults.values import GONE, NAMES, VALUES, Renamed, shown


class Mutation(NamedTuple):
  """One place of a config and what is put there.

  Attributes:
    what: in words, for failures.
    path: names down to the place; a number is a place in a tuple.
    value: the new value, `GONE` or `Renamed`.
  """

  what: str
  path: tuple[str | int, ...]
  value: Any


def every_preset() -> list[tuple[str, str]]:
  """File name and preset of every config, from their own tables."""
  out = []
  for file, module in presets.experiments().items():
    with mock.patch.object(common, "pick", lambda table, arg: list(table)):
      out += [(file, name) for name in module.get_config()]
  return out


def get(file: str, preset: str) -> dict[str, Any]:
  """The fields of a preset, as nested dicts."""
  return presets.experiments()[file].get_config(preset).to_dict()


def mutated(fields: dict[str, Any], mutation: Mutation) -> ConfigDict:
  """The config with its mutation."""
  return ConfigDict(_changed(fields, mutation.path, mutation.value))


def _changed(tree, path, value):
  """A copy along the path only: a config's thousand mutations share it."""
  name, *rest = path
  if isinstance(tree, tuple):
    new = _changed(tree[name], rest, value) if rest else value
    return (*tree[:name], new, *tree[name + 1 :])
  out = dict(tree)
  if rest:
    out[name] = _changed(tree[name], rest, value)
  elif value is GONE:
    del out[name]
  elif isinstance(value, Renamed):
    out[value.name] = out.pop(name)
  else:
    out[name] = value
  return out


def every(fields: dict[str, Any]) -> list[Mutation]:
  """All mutations of a config, in a fixed order."""
  return list(_places(fields, ()))


def sample(fields: dict[str, Any], count: int, seed: Any) -> list[Mutation]:
  """Some of them, the same for the same seed."""
  found = every(fields)
  return random.Random(str(seed)).sample(found, min(count, len(found)))


def without_repeats(presets_of_a_file: list[dict]) -> list[list[Mutation]]:
  """All mutations of each, but of a field that an earlier one has alike none.

  What becomes of a field depends on the fields around it too, but hardly on
  those in which the presets of one file differ. Of the entries under exponents,
  all held against one rule, the first and the last are enough.
  """
  seen = set()
  out = []
  for fields in presets_of_a_file:
    found = []
    alike = set()
    entries = list(fields["exponents"])[1:-1]
    for mutation in every(fields):
      place = (mutation.path, shown(_at(fields, mutation.path)))
      if place not in seen and not (
        mutation.path[0] == "exponents" and set(mutation.path) & set(entries)
      ):
        found.append(mutation)
      alike.add(place)
    seen |= alike
    out.append(found)
  return out


def names_of(mutation: Mutation) -> list[str]:
  """What a message may call the mutated place: any part of its name."""
  named = [name for name in mutation.path if isinstance(name, str)]
  if isinstance(mutation.value, Renamed):
    named.append(mutation.value.name)
  elif isinstance(mutation.value, dict | ConfigDict):
    named += list(mutation.value)
  # As a message would print it: escaped, and not all of a long one.
  return [repr(name)[1:-1][:40] for name in named]


def _at(tree, path):
  for name in path:
    if isinstance(tree, dict) and name not in tree:
      return GONE
    tree = tree[name]
  # A section is mutated as such, whatever is in it.
  return {} if isinstance(tree, dict) else tree


def _mutation(path, value, kind="") -> Mutation:
  where = ".".join(str(name) for name in path)
  return Mutation(f"{ascii(where)}: {kind or shown(value)}", path, value)


def _places(tree, path) -> Iterator[Mutation]:
  for name in NAMES:
    if name not in tree:
      yield _mutation((*path, name), 1, "unknown field")
      yield _mutation((*path, name), {}, "unknown section")
  for name, value in tree.items():
    here = (*path, name)
    yield _mutation(here, GONE)
    for other in (name[:-1], name.upper(), f"{name} ", name + name[-1]):
      if other not in tree and "." not in other:
        yield _mutation(here, Renamed(other))
    for new in (*VALUES, *_alike(value)):
      yield _mutation(here, new)
    if isinstance(value, dict):
      yield from _places(value, here)
    elif isinstance(value, tuple) and value:
      for new in VALUES:
        yield _mutation((*here, 0), new)


def _alike(value) -> Iterator[Any]:
  """Values near the one that is there: of its kind, a little off."""
  if isinstance(value, tuple):
    yield from (
      list(value),
      value + value,
      value[:1],
      (*value, None),
      value[0:],
    )
    yield str(value)
  elif isinstance(value, dict):
    yield from (tuple(value), list(value.items()))
  elif isinstance(value, str):
    yield from (value.upper(), value[:-1], f" {value}\n", (value,))
  elif not isinstance(value, bool) and value is not None:
    yield from (-value, value * 10**6, value / 10**6, float(value), str(value))
