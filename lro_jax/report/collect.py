"""From run folders to tidy rows: one number, fully named, per row.

`report/results.json` is a list of {"arm", "cell", "seed", "phase", "metric",
"value"}. `phase` is 'anneal' (the state at whose loss, or step, the rate was
annealed), 'end' (the last state) or, where accuracies are logged, 'best' (the
state of the highest test accuracy). Besides the metrics of metrics.jsonl there
is 'step', and in phase 'anneal' 'lowest/train_loss/q_only', the lowest logged
till then. Tables, figures and claims are made from nothing else.
"""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from lro_jax.core import metrics
from lro_jax.core.schema import UserError

ANNEAL, BEST, END = "anneal", "best", "end"
DIVERGE = "diverge"
Q_ONLY = "train_loss/q_only"
LOWEST = f"lowest/{Q_ONLY}"
# What the best state is best by: the first of these that a run has.
BEST_BY = ("accuracy/mixed", "accuracy/clean")
NOT_METRICS = ("step", "seed", "event")


class RunLog(NamedTuple):
  """One arm and cell as it stands, all its seeds.

  Where every seed has a folder of its own, `folder`, `config` and what
  `record` says of versions and facts are the first's.

  Attributes:
    arm: name of the arm.
    cell: name of the cell.
    folder: where it is.
    record: run.json.
    config: config.json.
    rows: metrics.jsonl.
    num_folders: how many run folders these are.
  """

  arm: str
  cell: str
  folder: pathlib.Path
  record: dict[str, Any]
  config: dict[str, Any]
  rows: list[dict[str, Any]]
  num_folders: int = 1

  @property
  def is_done(self) -> bool:
    """Whether all of it has ended: else the last state is no end."""
    return self.record["status"] == "done"

  def has(self, metric: str) -> bool:
    """Whether any row has a value of this metric."""
    return any(row.get(metric) is not None for row in self.rows)

  def curve(self, metric: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] and values [t] of one metric and seed, events included."""
    points = [
      (row["step"], row[metric])
      for row in self.rows
      if row["seed"] == seed and row.get(metric) is not None
    ]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return np.array(steps, float), np.array(values, float)

  def mean_curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] at which every seed has a value, and their means [t]."""
    series = [
      dict(zip(*self.curve(metric, seed), strict=True)) for seed in self.seeds
    ]
    steps = sorted(set.intersection(*(set(s) for s in series)))
    means = [np.mean([s[step] for s in series]) for step in steps]
    return np.array(steps, float), np.array(means, float)

  @property
  def seeds(self) -> list[int]:
    """Seeds in the order of the run."""
    return list(dict.fromkeys(row["seed"] for row in self.rows))

  def event_step(self, event: str, seed: int) -> int | None:
    """Step at which a latch closed, None if it did not."""
    for row in self.rows:
      if row["seed"] == seed and row["event"] == event:
        return row["step"]
    return None


class Experiment(NamedTuple):
  """A workdir: experiment.json and its runs, in the config's order."""

  workdir: pathlib.Path
  record: dict[str, Any]
  runs: list[RunLog]


def load(workdir: pathlib.Path) -> Experiment:
  """Reads a workdir. Runs not yet begun are left out. Ours.

  Raises:
    UserError: it is no workdir, or holds no run.
  """
  path = workdir / "experiment.json"
  if not path.exists():
    raise UserError(
      f"{workdir} holds no experiment.json: name a --workdir that"
      " lro_jax.main has written."
    )
  record = metrics.read_json(path)
  runs = []
  for cell in record["cells"]:
    for arm in record["arms"]:
      run = _load_run(arm, cell, workdir / arm / cell)
      if run:
        runs.append(run)
  if not runs:
    raise UserError(f"{workdir} holds no run with metrics yet: run main first.")
  return Experiment(workdir, record, runs)


def _load_run(arm: str, cell: str, folder: pathlib.Path) -> RunLog | None:
  """A cell's run, or its runs of one seed each as one; None if not begun."""
  folders = [folder]
  if not (folder / metrics.RUN).exists():
    numbered = {
      int(path.name.removeprefix("seed_")): path
      for path in folder.glob("seed_*")
      if path.name.removeprefix("seed_").isdecimal()
      and (path / metrics.CONFIG).exists()
    }
    folders = [numbered[seed] for seed in sorted(numbered)]
  begun, rows = [], []
  for path in folders:
    found = metrics.read_metrics(path / metrics.METRICS)
    if found and (path / metrics.RUN).exists():
      begun.append(path)
      rows += found
  if not begun:
    return None
  records = [metrics.read_json(path / metrics.RUN) for path in begun]
  record = dict(records[0])
  if len(folders) > 1:
    done = all(r["status"] == "done" for r in records)
    record |= {
      # A seed that waits for its turn has no run.json yet.
      "status": "done" if done and begun == folders else "running",
      "seeds": {k: v for r in records for k, v in r.get("seeds", {}).items()},
      "wall_seconds": sum(r["wall_seconds"] for r in records),
    }
  config = metrics.read_json(begun[0] / metrics.CONFIG)
  return RunLog(arm, cell, begun[0], record, config, rows, len(begun))


def tidy(experiment: Experiment) -> list[dict[str, Any]]:
  """The rows of results.json. Ours.

  Args:
    experiment: a loaded workdir.

  Returns:
    Rows in the order of the runs. Non-finite values are None, and so is all of
    the end of a seed that diverged: errors of such a net look like numbers.
  """
  out = []
  for run in experiment.runs:
    last = {row["seed"]: row for row in run.rows}
    at_anneal = {r["seed"]: r for r in run.rows if r["event"] == ANNEAL}
    phases = ((ANNEAL, at_anneal), (BEST, _best(run)), (END, last))
    for phase, rows in phases:
      for seed in run.seeds:
        row = rows.get(seed)
        if row is None:
          continue
        names = [n for n in row if n not in NOT_METRICS]
        if phase == ANNEAL and Q_ONLY in row:
          row = row | {LOWEST: _lowest_till(run, Q_ONLY, row)}
          names.append(LOWEST)
        for name in ["step", *names]:
          out.append(
            {
              "arm": run.arm,
              "cell": run.cell,
              "seed": seed,
              "phase": phase,
              "metric": name,
              "value": None if row["event"] == DIVERGE else row[name],
            }
          )
  return out


def _best(run: RunLog) -> dict[int, dict[str, Any]]:
  """The first row of the highest test accuracy of every seed that has one.

  Authors' code: train_patches.py, train_util.py keep this; the paper's text
  speaks of final accuracies.
  """
  metric = next((name for name in BEST_BY if run.has(name)), None)
  best: dict[int, dict[str, Any]] = {}
  for row in run.rows:
    value, seed = row.get(metric), row["seed"]
    if value is not None and (seed not in best or value > best[seed][metric]):
      best[seed] = row
  return best


def _lowest_till(run: RunLog, metric: str, row: dict[str, Any]):
  """Lowest logged value of a seed's metric up to the row's step, or None."""
  steps, found = run.curve(metric, row["seed"])
  found = found[(steps <= row["step"]) & np.isfinite(found)]
  return float(found.min()) if found.size else None


def of_cell(rows: list[dict[str, Any]], cell: str) -> list[dict[str, Any]]:
  """A cell's rows: many look-ups in few rows, not in all of a grid's. Ours."""
  return [row for row in rows if row["cell"] == cell]


def values(
  rows: list[dict[str, Any]], *, arm: str, cell: str, phase: str, metric: str
) -> dict[int, float]:
  """One metric by seed, finite values only. Ours."""
  return {
    row["seed"]: row["value"]
    for row in rows
    if (row["arm"], row["cell"], row["phase"], row["metric"])
    == (arm, cell, phase, metric)
    and row["value"] is not None
  }
