"""The metrics that tell of each pattern, and which seeds and steps count.

Of two patterns that are compared the first is hard to generalise (P, the
image), the second easy to generalise and first memorised at a small rate (Q,
the patch). Accuracies are above chance, that is minus 1 over the number of
classes; of a loss it is the share that it has fallen below log of them.
"""

import math
from typing import NamedTuple

import numpy as np

from lro_jax.report import collect
from lro_jax.report.collect import RunLog

TEST, TRAINING = "test accuracy", "training loss"


class Measure(NamedTuple):
  """A metric as a sign of one pattern.

  Attributes:
    metric: its name in metrics.jsonl.
    pattern: as the reader knows it.
    by: what it is measured by; two metrics by the same are compared.
  """

  metric: str
  pattern: str
  by: str


class Pair(NamedTuple):
  """The hard pattern beside the easy one, by one kind of metric."""

  by: str
  hard: Measure
  easy: Measure


def _pair(by: str, hard: tuple[str, str], easy: tuple[str, str]) -> Pair:
  return Pair(by, Measure(*hard, by), Measure(*easy, by))


# The first is the headline. Theory: the sign of an output that is all but zero
# is right long before P is learned, so that errors say little of the order.
PAIRS = {
  "theory": (
    _pair(TRAINING, ("train_loss/p_only", "P"), ("train_loss/q_only", "Q")),
    _pair(TEST, ("test_error/p_only", "P"), ("test_error/q_only", "Q")),
  ),
  "vision": (
    _pair(TEST, ("accuracy/clean", "image"), ("accuracy/patch_only", "patch")),
    _pair(
      TRAINING,
      ("train_loss/clean", "image"),
      ("train_loss/patch_only", "patch"),
    ),
  ),
}
OTHERS = {
  "theory": (Measure("train_loss/m1", "M1 (has P)", TRAINING),),
  "vision": (
    Measure("accuracy/patch_only_authors", "patch, authors' way", TEST),
    Measure("accuracy/mixed", "mixed", TEST),
  ),
}


def listed(track: str) -> list[Measure]:
  """All that is looked at, pairs first. Ours."""
  paired = [m for pair in PAIRS[track] for m in (pair.hard, pair.easy)]
  return [*paired, *OTHERS[track]]


def left_out(run: RunLog) -> dict[int, str]:
  """Seeds that have no end, and why: their last state is no final one. Ours."""
  ended = run.record.get("seeds", {})
  last = {row["seed"]: row for row in run.rows}
  out = {}
  for seed, row in last.items():
    status = ended.get(str(seed), {}).get("status")
    if row["event"] == collect.DIVERGE or status == "diverged":
      out[seed] = "diverged"
    elif not run.is_done and status is None:
      out[seed] = "not finished"
  return out


def above_chance(
  metric: str, values: np.ndarray, num_classes: int
) -> np.ndarray:
  """What is known above what guessing knows. [t] -> [t]. Ours."""
  kind = metric.split("/")[0]
  if kind == "train_loss":
    return 1 - values / math.log(num_classes)
  right = 1 - values if kind == "test_error" else values
  return right - 1 / num_classes


def curve(
  run: RunLog, metric: str, seed: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
  """Steps [t] and what is known above chance [t], finite values only. Ours."""
  steps, values = run.curve(metric, seed)
  keep = np.isfinite(values)
  return steps[keep], above_chance(metric, values[keep], num_classes)


def annealings(runs: list[RunLog]) -> dict[str, dict[int, tuple[int, str]]]:
  """Arm and seed to the step of annealing, and the arm whose step it is. Ours.

  An arm that never anneals has the step of the same seed of the arm 'large', if
  there is one: the step, not the step times the rate.

  Args:
    runs: the arms of one cell.
  """
  own = {
    run.arm: {
      seed: step
      for seed in run.seeds
      if (step := run.event_step(collect.ANNEAL, seed)) is not None
    }
    for run in runs
  }
  out: dict[str, dict[int, tuple[int, str]]] = {}
  for run in runs:
    for seed in run.seeds:
      for arm in (run.arm, "large"):
        if seed in own.get(arm, {}):
          out.setdefault(run.arm, {})[seed] = (own[arm][seed], arm)
          break
  return out
