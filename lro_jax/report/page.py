"""Writes a workdir's report: results.json, figures, one self-contained page."""

import fnmatch
import html
import pathlib

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import (
  claims_table,
  collect,
  exponents,
  figures,
  figures_exponents,
  figures_instruments,
  instruments,
  order,
  tables,
  tracks,
)
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.tables import Table
from lro_jax.report.view import View

# With more cells than this the page has their numbers, not their figures.
MANY = 6

CSS = """
:root { --ink: #1c1c1e; --paper: #fff; --soft: #6b6b70; --line: #d8d8dc;
  --band: #f4f4f6 }
@media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --paper: #17171a;
  --soft: #a0a0a8; --line: #3a3a40; --band: #232328 }
  figure img { background: #fff; border-radius: 4px } }
body { color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 68rem; padding: 1.5rem 1rem 4rem;
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .2rem } h2 { margin-top: 2.5rem }
.soft, figcaption, .note { color: var(--soft); font-size: .9rem }
td.soft { font-size: inherit }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem;
  font-variant-numeric: tabular-nums }
td, th { padding: .2rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
td:first-child, th:first-child { text-align: left; padding-left: 0 }
th { white-space: normal; vertical-align: bottom }
tr.head td { font-weight: 600; padding-top: .6rem }
figure { margin: 1.6rem 0 } img { max-width: 100%; height: auto }
pre { background: var(--band); padding: .7rem; overflow-x: auto;
  font-size: .85rem } li { margin: .15rem 0 } .fails { font-weight: 600 }
"""


def _figures(runs: list[RunLog], make, folder: pathlib.Path) -> str:
  """Draws figures, as files and as HTML."""
  drawn = figures.draw(runs, make)
  for figure in drawn:
    figures.save(figure, folder / "figures")
  return "".join(figures.as_html(figure) for figure in drawn)


def _paragraphs(sentences: list[str], kind: str = "") -> str:
  opening = f"<p class={kind}>" if kind else "<p>"
  return "".join(f"{opening}{html.escape(s)}</p>" for s in sentences if s)


def _table(table: Table, level: str) -> str:
  """A table under its title."""
  title = html.escape(table.title)
  return f"<{level}>{title}</{level}>{tables.as_html(table)}"


def _exponents(
  experiment: Experiment, rows, folder: pathlib.Path
) -> tuple[str, list[Table]]:
  """What is fitted over cells, as HTML and table; nothing where none is."""
  found = exponents.findings(experiment, rows)
  if not found:
    return "", []
  metrics.write_json(
    folder / "exponents.json", [exponents.as_json(f) for f in found]
  )
  table = exponents.table(found)
  head = (
    _table(table, "h2")
    if table
    else f"<h2>{exponents.TITLE}</h2>"
    + _paragraphs(exponents.notes(found), "note")
  )
  drawn = _figures(
    experiment.runs, lambda runs: figures_exponents.draw(found), folder
  )
  return head + drawn, [table] if table else []


def _lemmas(
  runs: list[RunLog], folder: pathlib.Path
) -> tuple[str, list[Table]]:
  """A cell's instruments, as HTML and table; nothing where it has none."""
  table = instruments.table(runs)
  if not table:
    return "", []
  said = "".join(
    f"<li>{html.escape(s)}</li>" for s in instruments.statements(runs)
  )
  return (
    _table(table, "h3")
    + f"<details><summary>What each says</summary><ul>{said}</ul></details>"
    + _figures(runs, figures_instruments.dashboard, folder)
  ), [table]


def _cell(
  view: View, rows, shown: list[Table], runs: list[RunLog], folder: pathlib.Path
) -> tuple[str, list[Table]]:
  """One cell: its tables, and what its track says, draws and adds."""
  table, *others = shown
  lemmas, of_lemmas = _lemmas(runs, folder)
  # The last state of a run under way is no end.
  sentences = view.answer(rows, [run for run in runs if run.is_done])
  return (
    f"<h2>{html.escape(table.title)}</h2>"
    + _paragraphs([*sentences, view.remark(runs)])
    + tables.as_html(table)
    + "<p class=soft>Mean over seeds, 95% t interval in brackets; differences"
    " are paired by seed.</p>"
    + "".join(_table(other, "h3") for other in others)
    + _figures(runs, view.draw, folder)
    + lemmas
    + view.details(runs)
  ), [*shown, *of_lemmas]


def _head_html(experiment: Experiment) -> str:
  versions = experiment.runs[0].record["versions"]
  record = experiment.record
  wall = sum(run.record["wall_seconds"] for run in experiment.runs)
  listed = ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
  num_runs = sum(run.num_folders for run in experiment.runs)
  names = [run.record["facts"].get("dataset") for run in experiment.runs]
  data = "".join(
    f"<p class=soft>Data: {html.escape(name)}</p>"
    for name in dict.fromkeys(names)
    if name
  )
  smoke = (
    "<p class=fails>A smoke run: sizes are shrunk to test the machinery; its"
    " numbers mean nothing.</p>"
    if record["smoke"]
    else ""
  )
  return (
    f"<h1>{html.escape(record['name'])}: the order of learning</h1>"
    f"<p class=soft>{num_runs} runs, {wall:.0f} s of training."
    f" {html.escape(listed)}</p>{data}{smoke}"
    f"<pre>{html.escape(record['command'])}</pre>"
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
    some are infeasible, the tables of the cells shown, and where the page is.

  Raises:
    UserError: no runs there, no cell fits, or the report cannot be written.
  """
  experiment = collect.load(workdir)
  view = tracks.view_of(experiment.record.get("track"))
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
    parts = [_head_html(experiment), fitted]
    if len(names) > 2 or experiment.record.get("infeasible"):
      built.append(tables.overview(experiment, rows, view.overview))
      parts.append("<h2>All cells</h2>" + tables.as_html(built[-1]))
    said = claims_table.of_experiment(experiment, rows)
    if said:
      parts.append(_table(said, "h2"))
    ratios = instruments.over_cells(experiment)
    if ratios:
      parts.append(_table(ratios, "h2"))
    if len(chosen) < len(names):
      parts.append(
        f"<p class=soft>{len(chosen)} of {len(names)} cells are shown in full:"
        " python -m lro_jax.report --workdir=FOLDER --cells=PATTERN shows"
        " others.</p>"
      )
    for table in tables.build(experiment, rows, view.rows):
      if table.cell not in chosen:
        continue
      runs = [run for run in experiment.runs if run.cell == table.cell]
      beside = view.beside(experiment, rows, runs)
      shown = [table, beside] if beside else [table]
      part, of_cell = _cell(view, rows, shown, runs, folder)
      parts.append(part)
      built += of_cell
    learned, of_order = order.section(
      experiment, folder, shown=chosen, control=control
    )
    parts.append(learned)
    built += of_order
    page = (
      "<!doctype html><html lang=en><meta charset=utf-8>"
      '<meta name=viewport content="width=device-width,initial-scale=1">'
      f"<title>lro_jax: {html.escape(experiment.record['name'])}</title>"
      f"<style>{CSS}</style>\n" + "\n".join(parts) + "</html>\n"
    )
    (folder / "index.html").write_text(page)
  except OSError as error:
    raise UserError(
      f"Cannot write {folder} ({error.strerror}): the runs are kept; make room"
      " and write the report with python -m lro_jax.report"
      f" --workdir={workdir}."
    ) from error
  text = "\n\n".join(tables.as_text(table) for table in built)
  return f"\n{text}\n\nReport: {folder / 'index.html'}"
