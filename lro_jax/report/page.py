"""Writes a workdir's report: results.json, figures, one self-contained page."""

import fnmatch
import html
import math
import pathlib

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import collect, figures, tables
from lro_jax.report.collect import END, Experiment, RunLog

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


def _interval_text(interval: collect.Interval, scale=100.0, unit="points"):
  return (
    f"{scale * interval.mean:.2f} {unit} (95% interval"
    f" {scale * interval.low:.2f} to {scale * interval.high:.2f},"
    f" {interval.num} paired seeds)"
  )


def answer(rows, cell: str, arms: list[str]) -> list[str]:
  """What this cell's numbers say, in up to three sentences. Ours.

  Nothing is said that the rows do not hold: a sentence whose numbers are
  missing is left out.
  """
  if not {"large", "small"} <= set(arms):
    return []

  def of(arm, phase, metric):
    return collect.values(rows, arm=arm, cell=cell, phase=phase, metric=metric)

  out = []
  m1 = of("large", "anneal", "train_loss/m1")
  q_only = of("large", "anneal", "train_loss/q_only")
  if m1 and q_only:
    log2 = math.log(2)
    out.append(
      "When the large rate was annealed, the loss on examples with P had fallen"
      f" to {collect.interval(list(m1.values())).mean / log2:.0%} of log 2,"
      " that on Q-only examples was at"
      f" {collect.interval(list(q_only.values())).mean / log2:.0%}."
    )
  else:
    out.append("No seed of the large arm reached the annealing loss.")
  errors = [of(arm, END, "test_error/q_only") for arm in ("large", "small")]
  if all(errors):
    large, small = (collect.interval(list(e.values())).mean for e in errors)
    out.append(
      f"At the end {large:.2%} (large) and {small:.2%} (small) of Q-only test"
      " points are misclassified."
    )
  gap = collect.paired(
    of("small", END, "test_error/p_only"), of("large", END, "test_error/p_only")
  )
  if gap.num > 1:
    verdict = (
      "makes more errors on P-only points"
      if gap.low > 0
      else "makes fewer errors on P-only points"
      if gap.high < 0
      else "does not differ clearly on P-only points"
    )
    out.append(
      f"The small rate {verdict}: small minus large is {_interval_text(gap)}."
    )
  return out


def width_remark(run: RunLog) -> str:
  """What a net of this width can and cannot show; '' for the limit. Ours."""
  if run.config.get("engine") != "network":
    return ""
  failing = [
    c
    for c in run.record["facts"]["regime"]
    if c["source"] == "Assumption 3.2" and not c["holds"]
  ]
  hidden = run.config["model"]["num_hidden"]
  hidden_v = run.config["model"]["num_hidden_v"] or hidden
  text = (
    f"This cell trains an actual net: m = {hidden:,} for W, {hidden_v:,} for V."
  )
  if not failing:
    return text + " Every finite-width condition below holds."
  short = "; ".join(
    f"{c['statement']} (needs {_number(c['value'], 2)}, has"
    f" {_number(c['bound'], 2)})"
    for c in failing
  )
  return (
    f"{text} It shows how such a net trains, not what the theorem says:"
    f" {short}. Where a row's signal outgrows its noise, its activation"
    " pattern freezes and the net leaves the regime of Lemma A.8, so when each"
    " pattern is learned, and which arm errs more, are this width's own."
  )


def _cell_html(rows, table, runs: list[RunLog], drawn) -> str:
  facts = runs[0].record["facts"]
  # The last state of a run under way is no end.
  finished = [r.arm for r in runs if r.record["status"] == "done"]
  sentences = answer(rows, runs[0].cell, finished)
  remark = width_remark(runs[0])
  conditions = "".join(
    f"<li{'' if c['holds'] else ' class=fails'}>"
    f"{'holds' if c['holds'] else 'fails'}: {html.escape(c['statement'])}"
    f" <span class=soft>({_number(c['value'], 3)} against"
    f" {_number(c['bound'], 3)}; {html.escape(c['source'])})</span></li>"
    for c in facts["regime"]
  )
  setting = ", ".join(
    f"{name} {_number(value)}"
    for name, value in facts["setting"].items()
    if name not in ("learning_rate", "anneal_factor")
  )
  return (
    f"<h2>{html.escape(table.title)}</h2>"
    + "".join(f"<p>{html.escape(s)}</p>" for s in sentences)
    + (f"<p>{html.escape(remark)}</p>" if remark else "")
    + tables.as_html(table)
    + "<p class=soft>Mean over seeds, 95% t interval in brackets; differences"
    " are paired by seed.</p>"
    + "".join(figures.as_html(figure) for figure in drawn)
    + f"<details><summary>Setting and regime</summary><p class=soft>"
    f"{html.escape(setting)}</p><ul>{conditions}</ul></details>"
  )


def _number(value, digits: int = 4) -> str:
  """A number; run.json holds infinity as null."""
  return f"{value:.{digits}g}" if value is not None else "none"


def _head_html(experiment: Experiment) -> str:
  versions = experiment.runs[0].record["versions"]
  record = experiment.record
  wall = sum(run.record["wall_seconds"] for run in experiment.runs)
  listed = ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))
  smoke = (
    "<p class=fails>A smoke run: sizes are shrunk to test the machinery; its"
    " numbers mean nothing.</p>"
    if record["smoke"]
    else ""
  )
  return (
    f"<h1>{html.escape(record['name'])}: the order of learning</h1>"
    f"<p class=soft>{len(experiment.runs)} runs, {wall:.0f} s of training."
    f" {html.escape(listed)}</p>{smoke}"
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
  rows = collect.tidy(experiment)
  folder = workdir / "report"
  names = list(dict.fromkeys(run.cell for run in experiment.runs))
  pattern = cells or ("*" if len(names) <= MANY else None)
  chosen = fnmatch.filter(names, pattern) if pattern else []
  if cells and not chosen:
    raise UserError(f"--cells={cells} fits none of {', '.join(names)}.")
  parts, built = [_head_html(experiment)], []
  if len(names) > 2:
    built.append(tables.overview(experiment, rows))
    parts.append("<h2>All cells</h2>" + tables.as_html(built[0]))
    if len(chosen) < len(names):
      parts.append(
        f"<p class=soft>{len(chosen)} of {len(names)} cells are shown in full:"
        " python -m lro_jax.report --workdir=FOLDER --cells=PATTERN shows"
        " others.</p>"
      )
  try:
    metrics.write_json(folder / "results.json", rows)
    for table in tables.build(experiment, rows):
      if table.cell not in chosen:
        continue
      built.append(table)
      runs = [run for run in experiment.runs if run.cell == table.cell]
      drawn = figures.draw(runs)
      for figure in drawn:
        figures.save(figure, folder / "figures")
      parts.append(_cell_html(rows, table, runs, drawn))
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
