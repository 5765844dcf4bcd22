"""Writes a workdir's report: results.json, figures, one self-contained page."""

import fnmatch
import html
import pathlib

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import collect, figures, tables, tracks
from lro_jax.report.collect import Experiment, RunLog
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


def _cell_html(view: View, rows, shown, runs: list[RunLog], drawn) -> str:
  """One cell: its tables, and what its track says, draws and adds."""
  table, *others = shown
  # The last state of a run under way is no end.
  sentences = view.answer(rows, [run for run in runs if run.is_done])
  remark = view.remark(runs)
  return (
    f"<h2>{html.escape(table.title)}</h2>"
    + "".join(f"<p>{html.escape(s)}</p>" for s in sentences)
    + (f"<p>{html.escape(remark)}</p>" if remark else "")
    + tables.as_html(table)
    + "<p class=soft>Mean over seeds, 95% t interval in brackets; differences"
    " are paired by seed.</p>"
    + "".join(
      f"<h3>{html.escape(other.title)}</h3>{tables.as_html(other)}"
      for other in others
    )
    + "".join(figures.as_html(figure) for figure in drawn)
    + view.details(runs)
  )


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


def write(workdir: pathlib.Path, *, cells: str | None = None) -> str:
  """Writes `<workdir>/report/` and returns the closing table as text. Ours.

  Args:
    workdir: folder with experiment.json and run folders.
    cells: pattern over the cells to show in full, with figures; by default all
      of them, or none where they are more than `MANY`.

  Returns:
    The tables of the cells shown, an overview where there are more than two,
    and where the page is.

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
  parts, built = [_head_html(experiment)], []
  if len(names) > 2:
    built.append(tables.overview(experiment, rows, view.overview))
    parts.append("<h2>All cells</h2>" + tables.as_html(built[0]))
    if len(chosen) < len(names):
      parts.append(
        f"<p class=soft>{len(chosen)} of {len(names)} cells are shown in full:"
        " python -m lro_jax.report --workdir=FOLDER --cells=PATTERN shows"
        " others.</p>"
      )
  try:
    metrics.write_json(folder / "results.json", rows)
    for table in tables.build(experiment, rows, view.rows):
      if table.cell not in chosen:
        continue
      runs = [run for run in experiment.runs if run.cell == table.cell]
      beside = view.beside(experiment, rows, runs)
      shown = [table, beside] if beside else [table]
      built += shown
      drawn = figures.draw(runs, view.draw)
      for figure in drawn:
        figures.save(figure, folder / "figures")
      parts.append(_cell_html(view, rows, shown, runs, drawn))
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
