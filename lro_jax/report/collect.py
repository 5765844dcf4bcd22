"""From run folders to tidy rows: one number, fully named, per row.

`report/results.json` is a list of {"arm", "cell", "seed", "phase", "metric",
"value"}. `phase` is 'anneal' (the state at whose loss the rate was annealed) or
'end' (the last state). Besides the metrics of metrics.jsonl there is 'step',
and in phase 'anneal' 'lowest/train_loss/q_only', the lowest logged till then.
Tables, figures and claims are made from nothing else.
"""

import math
import pathlib
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from lro_jax.core import metrics
from lro_jax.core.schema import UserError

ANNEAL, END = "anneal", "end"
DIVERGE = "diverge"
Q_ONLY = "train_loss/q_only"
LOWEST = f"lowest/{Q_ONLY}"
NOT_METRICS = ("step", "seed", "event")


class RunLog(NamedTuple):
  """One run folder as it stands.

  Attributes:
    arm: name of the arm.
    cell: name of the cell.
    folder: where it is.
    record: run.json.
    config: config.json.
    rows: metrics.jsonl.
  """

  arm: str
  cell: str
  folder: pathlib.Path
  record: dict[str, Any]
  config: dict[str, Any]
  rows: list[dict[str, Any]]

  def curve(self, metric: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps [t] and values [t] of one metric and seed, events included."""
    points = [
      (row["step"], row[metric])
      for row in self.rows
      if row["seed"] == seed and row.get(metric) is not None
    ]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return np.array(steps, float), np.array(values, float)

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
      folder = workdir / arm / cell
      rows = metrics.read_metrics(folder / metrics.METRICS)
      if rows and (folder / metrics.RUN).exists():
        runs.append(
          RunLog(
            arm,
            cell,
            folder,
            metrics.read_json(folder / metrics.RUN),
            metrics.read_json(folder / metrics.CONFIG),
            rows,
          )
        )
  if not runs:
    raise UserError(f"{workdir} holds no run with metrics yet: run main first.")
  return Experiment(workdir, record, runs)


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
    for phase, rows in ((ANNEAL, at_anneal), (END, last)):
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


def _lowest_till(run: RunLog, metric: str, row: dict[str, Any]):
  """Lowest logged value of a seed's metric up to the row's step, or None."""
  steps, found = run.curve(metric, row["seed"])
  found = found[(steps <= row["step"]) & np.isfinite(found)]
  return float(found.min()) if found.size else None


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


class Interval(NamedTuple):
  """Mean over seeds with a 95% t interval; `low` is NaN for one seed."""

  mean: float
  low: float
  high: float
  num: int

  @property
  def clear_of_zero(self) -> bool:
    """Whether the interval exists and does not hold zero."""
    return self.low > 0 or self.high < 0


def interval(sample: list[float]) -> Interval:
  """Student's 95% interval for the mean of a sample. Ours, by scipy."""
  n = len(sample)
  if n == 0:
    return Interval(math.nan, math.nan, math.nan, 0)
  mean = float(np.mean(sample))
  if n == 1:
    return Interval(mean, math.nan, math.nan, 1)
  half = float(
    stats.t.ppf(0.975, n - 1) * np.std(sample, ddof=1) / math.sqrt(n)
  )
  return Interval(mean, mean - half, mean + half, n)


def paired(minuend: dict[int, float], subtrahend: dict[int, float]) -> Interval:
  """Interval of the difference over the seeds both have. Ours."""
  common = sorted(minuend.keys() & subtrahend.keys())
  return interval([minuend[s] - subtrahend[s] for s in common])
