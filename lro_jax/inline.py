"""What a notebook shows of a workdir: tables, figures, sentences, claims.

Made from logs alone, by the report's own parts. Nothing here imports IPython:
what a cell shows is a `Shown`, which front ends ask for its HTML.
"""

import base64
import functools
import html
import itertools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from lro_jax.core import interrupt
from lro_jax.core.schema import UserError, nearest, shown
from lro_jax.report import (
  claims,
  claims_file,
  claims_table,
  collect,
  elements,
  exponents,
  figures,
  gallery,
  learning,
  order_tables,
  tables,
  tracks,
)

SMOKE = (
  "This is a smoke run: its sizes are shrunk and its numbers mean nothing."
)


class CellError(UserError):
  """A `UserError` or an interruption, shown in a notebook as one line."""

  def _render_traceback_(self) -> list[str]:
    """IPython asks for this in the place of a traceback."""
    return [f"Error: {self}"]


def in_one_line(function: Callable) -> Callable:
  """`function`, whose mistakes a user can mend are said in one line. Ours."""

  @functools.wraps(function)
  def wrapped(*args, **kwargs):
    try:
      return function(*args, **kwargs)
    except UserError as error:
      raise CellError(str(error)) from error
    except interrupt.InterruptedRun as told:
      raise CellError(
        f"{told}: run this cell again to continue where it stopped."
      ) from told

  return wrapped


class Shown(NamedTuple):
  """What a cell shows: HTML where the front end can, else text."""

  html: str
  text: str

  def _repr_html_(self) -> str:
    return self.html

  def __repr__(self) -> str:
    return self.text


class Results(NamedTuple):
  """A workdir as it stands.

  Attributes:
    experiment: its logs.
    rows: the tidy rows, as in report/results.json.
    drawn: {cell: {kind: figure}}; those of all cells, of the order and of
      exponents, are under the cell ''.
  """

  experiment: collect.Experiment
  rows: list[dict[str, Any]]
  drawn: dict[str, dict[str, figures.Figure]]

  @property
  def cells(self) -> list[str]:
    """Names of the cells, in the config's order."""
    return [cell for cell in self.drawn if cell]

  def __repr__(self) -> str:
    kinds = {kind: None for of_cell in self.drawn.values() for kind in of_cell}
    return (
      f"{self.experiment.workdir}: cells {', '.join(self.cells)}; figures"
      f" {', '.join(kinds)}"
    )


@in_one_line
def load(workdir: str | pathlib.Path) -> Results:
  """Reads a workdir and draws its figures. Ours.

  Args:
    workdir: folder that `notebook.run` or lro_jax.main has written.

  Raises:
    UserError: it is no workdir, or holds no run.
  """
  experiment = collect.load(pathlib.Path(workdir))
  track = experiment.record["track"]
  rows = collect.tidy(experiment)
  by_cell: dict[str, list[collect.RunLog]] = {}
  for one in experiment.runs:
    by_cell.setdefault(one.cell, []).append(one)
  drawn = {
    cell: {
      figure.stem.removesuffix(f"_{figures.slug(cell)}"): figure
      for figure in itertools.chain(*gallery.of_cell(runs, track))
    }
    for cell, runs in by_cell.items()
  }
  cells = list(by_cell.values())
  entries = [e for runs in cells for e in learning.of_cell(runs, track)]
  over_cells = gallery.of_order(cells, entries, track)
  found = exponents.findings(experiment, rows)
  over_cells += gallery.of_exponents(experiment.runs, found)
  drawn[""] = {figure.stem: figure for figure in over_cells}
  return Results(experiment, rows, drawn)


def _one(results: Results, cell: str | None) -> str:
  """The cell asked for, by default the first."""
  if cell is not None and cell not in results.cells:
    raise UserError(
      f"Got cell {shown(cell)}{nearest(cell, results.cells)}: it must be one of"
      f" {', '.join(results.cells)}."
    )
  return results.cells[0] if cell is None else cell


@in_one_line
def figure(results: Results, kind: str, *, cell: str | None = None) -> Shown:
  """A figure under its caption. Ours.

  Args:
    results: a loaded workdir.
    kind: 'losses', 'norms', 'order'; printing `results` lists them.
    cell: of the grid; the first by default. 'order' and 'exponents' are of all.

  Raises:
    UserError: no such cell, or the runs have no such figure.
  """
  known = results.drawn[_one(results, cell)] | results.drawn[""]
  if kind not in known:
    raise UserError(
      f"Got figure {shown(kind)}{nearest(kind, known)}: these runs have"
      f" {', '.join(known)}."
    )
  drawn = known[kind]
  # A PNG: front ends differ in what they make of an SVG's colour schemes.
  image = base64.b64encode(drawn.png).decode()
  caption = html.escape(drawn.caption)
  return Shown(
    f'<figure><img alt="{html.escape(drawn.stem)}" style="max-width:100%"'
    f' src="data:image/png;base64,{image}"><figcaption>{caption}</figcaption>'
    "</figure>",
    drawn.caption,
  )


def _of_tables(found: list[tables.Table], head: str = "") -> Shown:
  parts = [elements.table(t) for t in found]
  texts = [tables.as_text(table) for table in found]
  opening = f"<p>{html.escape(head)}</p>" if head else ""
  return Shown(
    opening + "".join(parts), "\n\n".join([head, *texts] if head else texts)
  )


@in_one_line
def table(results: Results, *, cell: str | None = None) -> Shown:
  """A cell's closing table: arms side by side, paired differences. Ours.

  Raises:
    UserError: no such cell.
  """
  rows = tracks.view_of(results.experiment.record["track"]).rows
  found = tables.build(results.experiment, results.rows, rows)
  name = _one(results, cell)
  return _of_tables([t for t in found if t.cell == name])


@in_one_line
def answer(results: Results, *, cell: str | None = None) -> Shown:
  """What a cell's numbers say, in up to three sentences. Ours.

  Raises:
    UserError: no such cell.
  """
  view = tracks.view_of(results.experiment.record["track"])
  name = _one(results, cell)
  runs = [run for run in results.experiment.runs if run.cell == name]
  said = view.answer(results.rows, [run for run in runs if run.is_done])
  said = [s for s in (*said, view.remark(runs)) if s]
  if results.experiment.record["smoke"]:
    said.insert(0, SMOKE)
  return Shown(
    "".join(f"<p>{html.escape(s)}</p>" for s in said), "\n".join(said)
  )


@in_one_line
def order(results: Results) -> Shown:
  """When each pattern was learned, a table for every cell. Ours."""
  experiment = results.experiment
  track = experiment.record["track"]
  cells = [
    [run for run in experiment.runs if run.cell == cell]
    for cell in results.cells
  ]
  entries = [e for runs in cells for e in learning.of_cell(runs, track)]
  means = learning.means(entries, experiment)
  found = [
    order_tables.table(runs, entries, means, [], track=track, brief=True)
    for runs in cells
  ]
  return _of_tables([t for t in found if t])


@in_one_line
def claim_verdicts(results: Results | None = None) -> Shown:
  """The paper's claims held against a workdir's runs. Ours.

  Args:
    results: a loaded workdir; None, or one that speaks of no claim, for the
      result files that come with the package.
  """
  if results is not None:
    spoken = claims_table.of_experiment(results.experiment, results.rows)
    if spoken:
      return _of_tables([spoken])
  verdicts = claims.evaluate(claims_file.load(), claims.committed())
  return _of_tables(
    [claims_table.table(verdicts)],
    "These runs speak of no claim; the package's own result files say:"
    if results is not None
    else "",
  )
