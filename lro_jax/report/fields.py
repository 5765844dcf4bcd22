"""Fields of runs' configs: what all share, and what tells them apart."""

from typing import Any

from lro_jax.core.schema import flatten
from lro_jax.report.collect import RunLog


class _Missing:
  """Stands for a field that a config lacks."""


def own(run: RunLog, alone: tuple[str, ...]) -> dict[str, Any]:
  """Fields of a run's config by dotted name, but for those of the run alone.

  Ours.

  Args:
    run: the run.
    alone: names of the fields that are of the run alone, see `view.View.own`.
  """
  return {k: v for k, v in flatten(run.config).items() if k not in alone}


def shared(configs: list[dict[str, Any]]) -> dict[str, Any]:
  """The fields that all configs have with one value. Ours."""
  return {
    name: value
    for name, value in configs[0].items()
    if all(c.get(name, _Missing) == value for c in configs)
  }


def differing(configs: list[dict[str, Any]]) -> set[str]:
  """The names of the other fields. Ours."""
  return {name for c in configs for name in c} - shared(configs).keys()
