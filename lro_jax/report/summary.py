"""An experiment's numbers as one small JSON: the files of `lro_jax/results`.

Every number of the README comes from such a file, with the command, versions,
seeds and config that it takes to make it again.
"""

import math
from typing import Any

from lro_jax.core.schema import flatten
from lro_jax.report import tables
from lro_jax.report.collect import (
  LOWEST,
  Experiment,
  Interval,
  interval,
  values,
)

# What of the closing table is quoted outside.
QUOTED = (
  "step",
  "train_loss/m1",
  "train_loss/q_only",
  LOWEST,
  "test_error/p_only",
  "test_error/q_only",
  "test_error/both",
  "test_error/all",
)


def summary(experiment: Experiment, rows: list[dict[str, Any]]) -> dict:
  """Means, 95% intervals and paired differences of every cell. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.

  Returns:
    {"command", "versions", "wall_seconds", "config", "cells"}; `config` holds
    the fields that all runs share, and a cell those of its own: {"cell",
    "config", "seeds", "metrics", "by_seed", "notes"}. A metric's key is
    `<phase>/<metric>`, its value {arm or "arm - first arm": [mean, low, high,
    number of seeds]}, low and high None for one seed; `by_seed` has the keys
    of what is quoted, its values {arm: {seed: value}}.
  """
  configs = [flatten(run.config) for run in experiment.runs]
  shared = {
    name: value
    for name, value in configs[0].items()
    if all(c.get(name, _Missing) == value for c in configs)
  }
  cells = []
  for cell in dict.fromkeys(run.cell for run in experiment.runs):
    runs = [run for run in experiment.runs if run.cell == cell]
    arms = tables.arms_of(experiment, cell)
    config = flatten(runs[0].config)
    metrics, by_seed = {}, {}
    for row in tables.THEORY_ROWS:
      found = tables.line(rows, row, cell=cell, arms=arms)
      names = [*arms, *(f"{arm} - {arms[0]}" for arm in arms[1:])]
      intervals = [*found.arms, *found.differences]
      metrics[f"{row.phase}/{row.metric}"] = {
        name: list(i) for name, i in zip(names, intervals, strict=True) if i.num
      }
      if row.metric not in QUOTED:
        continue
      by_seed[f"{row.phase}/{row.metric}"] = {
        arm: values(
          rows, arm=arm, cell=cell, phase=row.phase, metric=row.metric
        )
        for arm in arms
      }
    cells.append(
      {
        "cell": cell,
        "seeds": runs[0].seeds,
        # The arm's own field is in its name.
        "config": {
          name: value
          for name, value in config.items()
          if name not in shared and name != "optim.algorithm"
        },
        "metrics": {name: value for name, value in metrics.items() if value},
        "by_seed": {
          name: {arm: v for arm, v in value.items() if v}
          for name, value in by_seed.items()
          if any(value.values())
        },
        "notes": [note for run in runs for note in tables.notes(run)],
      }
    )
  return {
    "command": experiment.record["command"],
    "versions": experiment.runs[0].record["versions"],
    "wall_seconds": sum(r.record["wall_seconds"] for r in experiment.runs),
    "config": shared,
    "cells": cells,
  }


def as_markdown(saved: dict, cell: str) -> str:
  """The rows of a saved summary's cell that the README quotes. Ours.

  Args:
    saved: what `summary` returned, read back from its file.
    cell: name of the cell.

  Raises:
    StopIteration: no such cell.
  """
  metrics = next(c for c in saved["cells"] if c["cell"] == cell)["metrics"]
  columns = list(dict.fromkeys(name for m in metrics.values() for name in m))
  lines = [["", *columns], ["---"] * (1 + len(columns))]
  for row in tables.THEORY_ROWS:
    found = metrics.get(f"{row.phase}/{row.metric}")
    if found and row.metric in QUOTED:
      intervals = (
        Interval(*(math.nan if x is None else x for x in found[name]))
        if name in found
        else interval([])
        for name in columns
      )
      label = row.label.strip()
      if row.label.startswith(" "):
        label = f"{row.phase}: {label}"
      lines.append([label, *(tables.show(i, row.format) for i in intervals)])
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class _Missing:
  """Stands for a field that a config lacks."""
