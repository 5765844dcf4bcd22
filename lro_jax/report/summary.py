"""An experiment's numbers as one small JSON: the files of `lro_jax/results`.

Every number of the README comes from such a file, with the command, versions,
seeds and config that it takes to make it again.
"""

import math
from typing import Any

from lro_jax.report import exponents, fields, instruments, tables, tracks
from lro_jax.report.collect import Experiment, RunLog, of_cell, values
from lro_jax.report.formats import show
from lro_jax.report.intervals import Interval, interval


def summary(experiment: Experiment, rows: list[dict[str, Any]]) -> dict:
  """Means, 95% intervals and paired differences of every cell. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.

  Returns:
    {"command", "versions", "wall_seconds", "config", "cells"}, and "dataset"
    where the runs name one; `config` holds the fields that all runs share, and
    a cell those of its own: {"cell", "config", "arms", "seeds", "metrics",
    "by_seed", "notes"}; `arms` is {arm: fields in which the arms of a cell
    differ}. A metric's key is `<phase>/<metric>`, its value {arm or "arm -
    first arm": [mean, low, high, number of seeds]}, low and high None for one
    seed; `by_seed` has the keys of what is quoted, its values {arm: {seed:
    value}}. Where the track asks for curves a cell has "milestones", {arm:
    epochs}, and "curves", {arm: {metric: see `curve`}}; where it names losses,
    "learned", {arm: {loss: see `first_low`}}; where its runs have
    instruments, "instruments", {arm: see `instruments.means`}; the experiment
    then has "statements", what each of them is. An experiment
    with exponents has "exponents", a list of `exponents.as_json`, one with
    infeasible cells "infeasible", {cell: reason}.
  """
  view = tracks.view_of(experiment.record.get("track"))
  configs = [fields.own(run, view.own) for run in experiment.runs]
  shared = fields.shared(configs)
  by_cell: dict[str, list[RunLog]] = {}
  for run in experiment.runs:
    by_cell.setdefault(run.cell, []).append(run)
  of_arms = {
    name
    for runs in by_cell.values()
    for name in fields.differing([fields.own(run, view.own) for run in runs])
  }
  cells = []
  for cell, runs in by_cell.items():
    arms = tables.arms_of(experiment, cell)
    config = fields.own(runs[0], view.own)
    metrics, by_seed = {}, {}
    own = of_cell(rows, cell)
    for row in view.rows:
      found = tables.line(own, row, cell=cell, arms=arms)
      names = [*arms, *(f"{arm} - {arms[0]}" for arm in arms[1:])]
      intervals = [*found.arms, *found.differences]
      metrics[f"{row.phase}/{row.metric}"] = {
        name: list(i) for name, i in zip(names, intervals, strict=True) if i.num
      }
      if row.metric not in view.quoted:
        continue
      by_seed[f"{row.phase}/{row.metric}"] = {
        arm: values(own, arm=arm, cell=cell, phase=row.phase, metric=row.metric)
        for arm in arms
      }
    cells.append(
      {
        "cell": cell,
        "seeds": runs[0].seeds,
        "config": {
          name: value
          for name, value in config.items()
          if name not in shared and name not in of_arms
        },
        "arms": {
          run.arm: {
            name: value
            for name, value in fields.own(run, view.own).items()
            if name in of_arms
          }
          for run in runs
        },
        "metrics": {name: value for name, value in metrics.items() if value},
        "by_seed": {
          name: {arm: v for arm, v in value.items() if v}
          for name, value in by_seed.items()
          if any(value.values())
        },
        "notes": [note for run in runs for note in tables.notes(run)],
      }
      | (_curves(runs, view.curves) if view.curves else {})
      | ({"learned": _learned(runs, view.learned)} if view.learned else {})
      | (
        {"instruments": {run.arm: instruments.means(run) for run in runs}}
        if instruments.listed(runs)
        else {}
      )
    )
  found = {
    "dataset": experiment.runs[0].record["facts"].get("dataset"),
    "exponents": [
      exponents.as_json(f) for f in exponents.findings(experiment, rows)
    ],
    "statements": [
      {name: i[name] for name in ("name", "source", "algorithm", "kind")}
      for i in instruments.listed(experiment.runs)
    ],
    "infeasible": experiment.record.get("infeasible"),
  }
  return {
    "command": experiment.record["command"],
    "versions": experiment.runs[0].record["versions"],
    "wall_seconds": sum(r.record["wall_seconds"] for r in experiment.runs),
    "config": shared,
    "cells": cells,
  } | {name: value for name, value in found.items() if value}


def _curves(runs: list[RunLog], metrics: tuple[str, ...]) -> dict:
  """What it takes to draw a cell's curves again."""
  per_epoch = {run.arm: run.record["facts"]["steps_per_epoch"] for run in runs}
  return {
    "milestones": {
      run.arm: [
        round(step / per_epoch[run.arm], 4)
        for step in run.record["facts"]["milestones"]
      ]
      for run in runs
    },
    "curves": {
      run.arm: {
        metric: curve(run, metric, per_epoch[run.arm])
        for metric in metrics
        if run.has(metric)
      }
      for run in runs
    },
  }


def _learned(runs: list[RunLog], losses: tuple[str, ...]) -> dict:
  """When each loss is first low, of the arms that log it."""
  return {
    run.arm: {name: first_low(run, name) for name in losses if run.has(name)}
    for run in runs
  }


def first_low(run: RunLog, metric: str) -> dict[int, float | None]:
  """First logged step at which a loss is below half of log 2. Ours.

  Args:
    run: an arm of a cell.
    metric: name of a loss in nats.

  Returns:
    {seed: step}, None where it never is.
  """
  out = {}
  for seed in run.seeds:
    steps, values = run.curve(metric, seed)
    low = steps[values < math.log(2) / 2]
    out[seed] = float(low[0]) if low.size else None
  return out


def curve(run: RunLog, metric: str, steps_per_epoch: int) -> dict:
  """One metric of a run against the epoch, to four digits. Ours.

  Args:
    run: an arm of a cell.
    metric: name of a metric that it has.
    steps_per_epoch: steps of one epoch.

  Returns:
    {"epoch": [t], "mean": [t], "seeds": {seed: [t]}}; None where a seed has no
    value, and in the mean where any has none.
  """
  seeds = {
    seed: dict(zip(*run.curve(metric, seed), strict=True)) for seed in run.seeds
  }
  steps = sorted(set().union(*seeds.values()))

  def points(found):
    return [round(float(found[s]), 4) if s in found else None for s in steps]

  means = dict(zip(*run.mean_curve(metric), strict=True))
  return {
    "epoch": [round(float(step / steps_per_epoch), 4) for step in steps],
    "mean": points(means),
    "seeds": {str(seed): points(found) for seed, found in seeds.items()},
  }


def as_markdown(saved: dict, cell: str) -> str:
  """The rows of a saved summary's cell that the README quotes. Ours.

  Args:
    saved: what `summary` returned, read back from its file.
    cell: name of the cell.

  Raises:
    StopIteration: no such cell.
    UserError: no such track.
  """
  view = tracks.view_of(saved["config"]["track"])
  metrics = next(c for c in saved["cells"] if c["cell"] == cell)["metrics"]
  # Not every arm has every row: the fullest has them in order.
  columns = list(max(metrics.values(), key=len))
  lines = [["", *columns], ["---"] * (1 + len(columns))]
  for row in view.rows:
    found = metrics.get(f"{row.phase}/{row.metric}")
    if found and row.metric in view.quoted:
      intervals = (
        Interval(*(math.nan if x is None else x for x in found[name]))
        if name in found
        else interval([])
        for name in columns
      )
      label = row.label.strip()
      if row.label.startswith(" "):
        label = f"{row.phase}: {label}"
      lines.append([label, *(show(i, row.format) for i in intervals)])
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)
