"""What a track gives the report: its lines, figures and sentences."""

from collections.abc import Callable
from typing import Any, NamedTuple

from lro_jax.report.answer import Compared
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.figures import Figure
from lro_jax.report.formats import Row
from lro_jax.report.tables import Overview, Table

Rows = list[dict[str, Any]]


class View(NamedTuple):
  """All of the report that is of one track. `runs` are the arms of one cell.

  Attributes:
    rows: the lines of the closing table.
    overview: what of them is shown of many cells.
    quoted: metrics that the README quotes, with the values of every seed.
    curves: metrics whose whole curves go into a summary.
    own: fields of a config that tell the runs of one arm and cell apart.
    draw: runs -> figures, those left out whose metrics are missing.
    answer: (tidy rows, finished runs) -> what the numbers say, in sentences.
    remark: runs -> what a reader must know of such runs, or ''.
    details: runs -> HTML of what stands behind the numbers.
    beside: (experiment, tidy rows, runs) -> ours beside the paper's, or None.
    compared: the number on which the page's answer compares the arms.
    learned: losses of which a summary says when each seed first has them low.
  """

  rows: tuple[Row, ...]
  overview: Overview
  quoted: tuple[str, ...]
  curves: tuple[str, ...]
  own: tuple[str, ...]
  draw: Callable[[list[RunLog]], list[Figure]]
  answer: Callable[[Rows, list[RunLog]], list[str]]
  remark: Callable[[list[RunLog]], str]
  details: Callable[[list[RunLog]], str]
  beside: Callable[[Experiment, Rows, list[RunLog]], Table | None]
  compared: Compared
  learned: tuple[str, ...] = ()
