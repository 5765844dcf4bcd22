"""What was run, and every run by itself, as HTML: config, seeds, hardware.

Nothing here is computed from what was learned; it is what run.json, config.json
and the last rows say.
"""

import html
import json

from lro_jax.report import claims, elements, fields, tables
from lro_jax.report.collect import ANNEAL, END, Experiment, RunLog, values
from lro_jax.report.formats import NOTHING, steps
from lro_jax.report.tables import Table
from lro_jax.report.view import Rows, View

TITLE, EACH = "What was run", "Every run"
# Of the packages and what else run.json counts among versions.
NO_VERSION = ("backend", "device_kind", "host_cores")


def hardware(run: RunLog) -> str:
  """Devices and hosts of a run, as run.json names them. Ours."""
  record = run.record
  kind = claims.hardware(record["versions"]) or "hardware not recorded"
  devices, hosts = record.get("num_devices", 1), record.get("num_hosts", 1)
  if devices > 1:
    kind = f"{devices} x {kind}"
  return kind + (f", {hosts} hosts" if hosts > 1 else "")


def versions(run: RunLog) -> str:
  """Packages and commit of a run. Ours."""
  found = sorted(run.record["versions"].items())
  return ", ".join(f"{k} {v}" for k, v in found if k not in NO_VERSION)


def duration(seconds: float) -> str:
  """Wall time as a reader takes it in. Ours."""
  if seconds < 120:
    return f"{seconds:.0f} s"
  minutes = seconds / 60
  return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _each(texts: list[str]) -> str:
  """Every text once; several, for the runs are not all alike."""
  return "; ".join(dict.fromkeys(text for text in texts if text))


def overview(experiment: Experiment, view: View) -> str:
  """What was run, in one table, and the config that all runs share. Ours.

  Args:
    experiment: a loaded workdir.
    view: of its track.
  """
  record, runs = experiment.record, experiment.runs
  num_runs = sum(run.num_folders for run in runs)
  done = sum(run.num_folders for run in runs if run.is_done)
  wall = sum(run.record["wall_seconds"] for run in runs)
  cells = list(dict.fromkeys(run.cell for run in runs))
  seeds = dict.fromkeys(", ".join(map(str, run.seeds)) for run in runs)
  infeasible = record.get("infeasible") or {}
  lines = {
    "Experiment": f"{record['name']}, the {record['track']} track"
    + (", at smoke size" if record["smoke"] else ""),
    "Arms": ", ".join(dict.fromkeys(run.arm for run in runs)),
    "Cells": f"{len(cells)}: {', '.join(cells)}",
    "Infeasible": ", ".join(infeasible),
    "Seeds": "; ".join(seeds),
    "Runs": f"{num_runs} runs, {wall:.0f} s of training"
    + (f" ({duration(wall)})" if wall >= 120 else "")
    + (f"; {done} finished" if done < num_runs else ", all finished"),
    "Data": _each([run.record["facts"].get("dataset", "") for run in runs]),
    "Hardware": _each([hardware(run) for run in runs]),
    "Versions": _each([versions(run) for run in runs]),
  }
  shared = fields.shared([fields.own(run, view.own) for run in runs])
  return (
    elements.facts(lines, TITLE)
    + f"<p>The command:</p><pre tabindex=0>{html.escape(record['command'])}"
    + "</pre><details><summary>Config that all runs share"
    + f" ({len(shared)} fields)</summary><pre tabindex=0>"
    + html.escape(
      "\n".join(f"{k} = {json.dumps(v)}" for k, v in shared.items())
    )
    + "</pre></details>"
  )


def _seeds(run: RunLog, rows: Rows, view: View) -> Table:
  """A line for each seed: how it ended, when, and its last numbers."""
  shown = [
    row
    for row in view.rows
    if row.phase == END and row.metric in view.quoted and row.metric != "step"
  ]
  of_rows = {
    row: values(rows, arm=run.arm, cell=run.cell, phase=END, metric=row.metric)
    for row in shown
  }
  of_rows = {row: found for row, found in of_rows.items() if found}
  lines = []
  for seed in run.seeds:
    ended = run.record.get("seeds", {}).get(str(seed), {})
    last = max(row["step"] for row in run.rows if row["seed"] == seed)
    annealed = run.event_step(ANNEAL, seed)
    lines.append(
      [
        f"  seed {seed}",
        ended.get("status", "not finished").replace("_", " "),
        steps(ended.get("step", last)),
        NOTHING if annealed is None else steps(annealed),
        *(
          row.format(found[seed]) if seed in found else NOTHING
          for row, found in of_rows.items()
        ),
      ]
    )
  names = [row.label.strip() for row in of_rows]
  header = ["", "ended as", "steps", "annealed at step", *names]
  title = f"Seeds of {run.arm}, {run.cell}"
  return Table(run.cell, title, header, lines, tables.notes(run))


def each(experiment: Experiment, rows: Rows, view: View) -> str:
  """Every run, folded away: what is its own, its seeds, its warnings. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.
    view: of its track.
  """
  configs = [fields.own(run, view.own) for run in experiment.runs]
  differing = fields.differing(configs)
  out = []
  for run, config in zip(experiment.runs, configs, strict=True):
    record = run.record
    noted = tables.notes(run)
    own = {k: config[k] for k in sorted(differing & config.keys())}
    lines = {
      "Folder": str(run.folder.relative_to(experiment.workdir))
      + (f" and {run.num_folders - 1} more" if run.num_folders > 1 else ""),
      "Wall time": duration(record["wall_seconds"]),
      "Hardware": hardware(run),
      "Continued": f"{record['resumed']} times"
      if record.get("resumed")
      else "",
      "Own fields": ", ".join(f"{k} = {json.dumps(v)}" for k, v in own.items()),
    }
    table = _seeds(run, rows, view)
    words = "1 seed" if len(run.seeds) == 1 else f"{len(run.seeds)} seeds"
    state = "finished" if run.is_done else "not finished"
    marked = f", {len(noted)} to note" if noted else ""
    out.append(
      f"<details><summary>{html.escape(f'{run.arm}, {run.cell}')}"
      f" <span class=soft>{words}, {state},"
      f" {duration(record['wall_seconds'])}{marked}</span></summary>"
      f"<div>{elements.facts(lines, f'{run.arm}, {run.cell}')}"
      f"{elements.table(table)}</div></details>"
    )
  return "".join(out)
