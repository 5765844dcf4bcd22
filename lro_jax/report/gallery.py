"""All figures of an experiment, for the page and for notebooks alike."""

from typing import NamedTuple

from lro_jax.report import (
  figures,
  figures_branches,
  figures_exponents,
  figures_instruments,
  figures_order,
  tracks,
)
from lro_jax.report.collect import RunLog
from lro_jax.report.exponents import Finding
from lro_jax.report.figures import Figure
from lro_jax.report.learning import Entry


class OfCell(NamedTuple):
  """The figures of one cell, each list empty where its runs have none.

  Attributes:
    track: what its track draws.
    branches: how branches of it end.
    instruments: what the paper's statements bound.
  """

  track: list[Figure]
  branches: list[Figure]
  instruments: list[Figure]


def of_cell(runs: list[RunLog], track: str) -> OfCell:
  """Draws the figures of one cell. Ours.

  Args:
    runs: the arms of the cell.
    track: of the experiment.
  """
  return OfCell(
    figures.draw(runs, tracks.view_of(track).draw),
    figures.draw(runs, lambda runs: figures_branches.draw(runs, track)),
    figures.draw(runs, figures_instruments.dashboard),
  )


def of_order(
  cells: list[list[RunLog]], entries: list[Entry], track: str
) -> list[Figure]:
  """Draws when each pattern was learned. Ours.

  Args:
    cells: the arms of every cell that is shown.
    entries: what their seeds learned when.
    track: of the experiment.
  """
  runs = [run for of_cell in cells for run in of_cell]
  return figures.draw(runs, lambda _: figures_order.draw(cells, entries, track))


def of_exponents(runs: list[RunLog], found: list[Finding]) -> list[Figure]:
  """Draws what is fitted over cells. Ours.

  Args:
    runs: all of the experiment.
    found: what the cells say of every entry.
  """
  return figures.draw(runs, lambda _: figures_exponents.draw(found))
