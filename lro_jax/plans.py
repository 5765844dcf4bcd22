"""From a config to its runs: which track, which cells, what is infeasible.

Nothing here touches a device or a folder.
"""

from collections.abc import Callable

from lro_jax.core import config as config_lib
from lro_jax.core import experiment
from lro_jax.core.config import Run
from lro_jax.core.schema import ConfigDict, UserError, shown
from lro_jax.report import entries
from lro_jax.theory import task as theory
from lro_jax.vision import task as vision

TRACKS = {"theory": theory, "vision": vision}


def track_of(config: ConfigDict):
  """The module of the config's track. Ours.

  Raises:
    UserError: no track of that name.
  """
  name = config.get("track")
  # What is no string may not even be looked up.
  if not isinstance(name, str) or name not in TRACKS:
    raise UserError(
      f"Field 'track' is {shown(name)}: it must be one of {', '.join(TRACKS)}."
    )
  return TRACKS[name]


def expand(config: ConfigDict) -> list[Run]:
  """The config's runs, all of them valid. Touches no device. Ours.

  Raises:
    UserError: the first thing wrong, in one sentence.
  """
  runs, infeasible = plan(config)
  if infeasible:
    raise UserError(next(iter(infeasible.values())))
  return runs


def plan(config: ConfigDict) -> tuple[list[Run], dict[str, str]]:
  """The runs of a config, and the cells that cannot be run. Ours.

  Touches no device. A grid may reach where a run makes no sense: such a cell is
  left out whole, for its arms would have nothing to be compared with.

  Returns:
    The runs of the feasible cells; and {cell: reason} of the others.

  Raises:
    UserError: a field is unknown or not allowed, or no cell is feasible.
  """
  config = experiment.settled(config)
  track = track_of(config)
  runs = config_lib.expand(config, track.SCHEMA, seeds_apart=track.SEEDS_APART)
  entries.check(config.get("exponents", {}), track.SCHEMA)
  return without_infeasible(runs, lambda run: track.validate(run.config))


def without_infeasible(
  runs: list[Run], check: Callable[[Run], None]
) -> tuple[list[Run], dict[str, str]]:
  """The runs of cells in which every run passes, and why others do not. Ours.

  Args:
    runs: all of them.
    check: raises `UserError` for a run that makes no sense.

  Returns:
    The runs left; and {cell: reason} of the other cells.

  Raises:
    UserError: no cell is left.
  """
  infeasible: dict[str, str] = {}
  for run in runs:
    if run.cell not in infeasible:
      try:
        check(run)
      except UserError as error:
        infeasible[run.cell] = f"Run {run.name}: {error}"
  left = [run for run in runs if run.cell not in infeasible]
  if runs and not left:
    raise UserError(next(iter(infeasible.values())))
  return left, infeasible
