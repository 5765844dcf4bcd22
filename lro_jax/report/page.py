"""Writes a workdir's report: results.json, figures, one self-contained page."""

import fnmatch
import html
import pathlib
from typing import NamedTuple

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import (
  answer,
  claims_table,
  collect,
  elements,
  exponents,
  figures,
  gallery,
  instruments,
  order,
  order_tables,
  run_details,
  tables,
  theme,
  tracks,
)
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.figures import Figure
from lro_jax.report.tables import Table
from lro_jax.report.view import View

# With more cells than this the page has their numbers, not their figures.
MANY = 6

CSS = pathlib.Path(__file__).with_name("page.css")
EVERY_CELL = (
  "Mean over seeds, 95% t interval in brackets; differences are paired by seed."
)


class Part(NamedTuple):
  """A section of the page: its heading, and what stands under it as HTML."""

  title: str
  body: str
  kind: str = ""


def _saved(drawn: list[Figure], folder: pathlib.Path) -> str:
  """Figures as files and as HTML."""
  for figure in drawn:
    figures.save(figure, folder / "figures")
  return "".join(elements.figure(figure) for figure in drawn)


def _exponents(
  experiment: Experiment, rows, folder: pathlib.Path
) -> tuple[list[Part], list[Table]]:
  """What is fitted over cells, as a part and table; nothing where none is."""
  found = exponents.findings(experiment, rows)
  if not found:
    return [], []
  metrics.write_json(
    folder / "exponents.json", [exponents.as_json(f) for f in found]
  )
  table = exponents.table(found)
  head = (
    elements.table(table, level="unseen")
    if table
    else elements.paragraphs(exponents.notes(found), "note")
  )
  drawn = _saved(gallery.of_exponents(experiment.runs, found), folder)
  return [Part(exponents.TITLE, head + drawn)], [table] if table else []


def _lemmas(runs: list[RunLog], drawn: str) -> tuple[str, list[Table]]:
  """A cell's instruments, as HTML and table; nothing where it has none."""
  table = instruments.table(runs)
  if not table:
    return "", []
  said = "".join(
    f"<li>{html.escape(s)}</li>" for s in instruments.statements(runs)
  )
  return (
    elements.table(table, level="h3")
    + f"<details><summary>What each says</summary><ul>{said}</ul></details>"
    + drawn
  ), [table]


def _cell(
  view: View,
  rows,
  shown: list[Table],
  runs: list[RunLog],
  folder: pathlib.Path,
  track: str,
) -> tuple[Part, list[Table]]:
  """One cell: its tables, and what its track says, draws and adds."""
  table, *others = shown
  drawn = (_saved(found, folder) for found in gallery.of_cell(runs, track))
  of_track, branches, instrumented = drawn
  lemmas, of_lemmas = _lemmas(runs, instrumented)
  # The last state of a run under way is no end.
  sentences = view.answer(rows, [run for run in runs if run.is_done])
  body = (
    elements.paragraphs([*sentences, view.remark(runs)])
    + elements.table(table, caption=EVERY_CELL)
    + "".join(elements.table(other, level="h3") for other in others)
    + of_track
    + branches
    + lemmas
    + view.details(runs)
  )
  return Part(table.title, body), [*shown, *of_lemmas]


def _html(experiment: Experiment, parts: list[Part]) -> str:
  """The page: a way around, and the parts one after the other."""
  name = html.escape(experiment.record["name"])
  titles = [html.escape(part.title) for part in parts]
  around = "".join(
    f'<li><a href="#part-{i}">{title}</a></li>'
    for i, title in enumerate(titles)
  )
  body = "\n".join(
    f"<section id=part-{i} aria-labelledby=title-{i}"
    f"{f' class={part.kind}' if part.kind else ''}>"
    f"<h2 id=title-{i}>{title}</h2>{part.body}</section>"
    for i, (title, part) in enumerate(zip(titles, parts, strict=True))
  )
  return (
    "<!doctype html><html lang=en><head><meta charset=utf-8>"
    '<meta name=viewport content="width=device-width,initial-scale=1">'
    '<meta name=color-scheme content="light dark"><link rel=icon href="data:,">'
    f"<title>lro_jax: {name}</title>"
    f"<style>{theme.variables(theme.PAGE)}{CSS.read_text()}</style></head>"
    '<body><a class=skip href="#main">To the answer</a>'
    f"<header><h1>{name}: the order of learning</h1>"
    "<p class=soft>In which order does a net learn different patterns, and how"
    " does the learning rate decide it?</p>"
    f"<nav aria-label=Contents><ul>{around}</ul></nav></header>"
    f"<main id=main>{body}</main></body></html>\n"
  )


def _answer(
  experiment: Experiment, rows, view: View, claims: Table | None
) -> tuple[Part, str]:
  """The answer as the page's first part, and for the terminal."""
  said = answer.sentences(
    experiment, rows, view.compared, claims.notes[0] if claims else None
  )
  items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in said)
  return (
    Part(answer.TITLE, f"<ol>{items}</ol>", "answer"),
    "\n".join([answer.TITLE, *(f"{i + 1}. {s}" for i, s in enumerate(said))]),
  )


def write(
  workdir: pathlib.Path,
  *,
  cells: str | None = None,
  control: pathlib.Path | None = None,
) -> str:
  """Writes `<workdir>/report/` and returns the closing table as text. Ours.

  Args:
    workdir: folder with experiment.json and run folders.
    cells: pattern over the cells to show in full, with figures; by default all
      of them, or none where they are more than `MANY`.
    control: a control experiment's workdir or results, for `order`.

  Returns:
    What is fitted over the cells, an overview where there are more than two or
    some are infeasible, the tables of the cells shown, the answer, and where
    the page is.

  Raises:
    UserError: no runs there, no cell fits, or the report cannot be written.
  """
  experiment = collect.load(workdir)
  track = experiment.record.get("track")
  view = tracks.view_of(track)
  rows = collect.tidy(experiment)
  folder = workdir / "report"
  names = list(dict.fromkeys(run.cell for run in experiment.runs))
  pattern = cells or ("*" if len(names) <= MANY else None)
  chosen = fnmatch.filter(names, pattern) if pattern else []
  if cells and not chosen:
    raise UserError(f"--cells={cells} fits none of {', '.join(names)}.")
  try:
    metrics.write_json(folder / "results.json", rows)
    fitted, built = _exponents(experiment, rows, folder)
    claimed = claims_table.of_experiment(experiment, rows)
    first, answered = _answer(experiment, rows, view, claimed)
    about = run_details.overview(experiment, view)
    parts = [first, Part(run_details.TITLE, about)]
    if claimed:
      parts.append(Part(claimed.title, elements.table(claimed, level="unseen")))
    parts += fitted
    if len(names) > 2 or experiment.record.get("infeasible"):
      built.append(tables.overview(experiment, rows, view.overview))
      parts.append(Part("All cells", elements.table(built[-1])))
    ratios = instruments.over_cells(experiment)
    if ratios:
      parts.append(Part(ratios.title, elements.table(ratios, level="unseen")))
    for table in tables.build(experiment, rows, view.rows):
      if table.cell not in chosen:
        continue
      runs = [run for run in experiment.runs if run.cell == table.cell]
      beside = view.beside(experiment, rows, runs)
      shown = [table, beside] if beside else [table]
      part, of_cell = _cell(view, rows, shown, runs, folder, track)
      parts.append(part)
      built += of_cell
    learned, of_order = order.section(
      experiment, folder, shown=chosen, control=control
    )
    if learned:
      parts.append(Part(order_tables.TITLE, learned))
    built += of_order
    others = (
      f"<p class=soft>{len(chosen)} of {len(names)} cells are shown in full:"
      " python -m lro_jax.report --workdir=FOLDER --cells=PATTERN shows"
      " others.</p>"
      if len(chosen) < len(names)
      else ""
    )
    each = run_details.each(experiment, rows, view)
    parts.append(Part(run_details.EACH, others + each))
    (folder / "index.html").write_text(_html(experiment, parts))
  except OSError as error:
    raise UserError(
      f"Cannot write {folder} ({error.strerror}): the runs are kept; make room"
      " and write the report with python -m lro_jax.report"
      f" --workdir={workdir}."
    ) from error
  text = "\n\n".join([*(tables.as_text(table) for table in built), answered])
  return f"\n{text}\n\nReport: {folder / 'index.html'}"
