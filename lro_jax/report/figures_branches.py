"""What if it were annealed here: the end of branches against their first step.

Branches that anneal where they begin make curves (`branches`); how another arm
ends is a level.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np

from lro_jax.report import drawn, figures, measures
from lro_jax.report.branches import (
  Curve,
  begins_at,
  curves,
  is_annealed_there,
  left_out,
)
from lro_jax.report.collect import RunLog

HARD, EASY = figures.BLUE, figures.RED
# Dashes and marks of one curve after the other.
CURVES = (
  (figures.SOLID, "o"),
  (figures.DASHDOT, "s"),
  (figures.DASHED, "^"),
  (figures.DOTTED, "D"),
)


def draw(runs: list[RunLog], track: str) -> list[figures.Figure]:
  """Metrics at the end against the step of annealing; none without branches.

  Ours.

  Args:
    runs: the arms of one cell.
    track: of the experiment.
  """
  ended = [run for run in runs if run.is_done]
  branches = [run for run in ended if is_annealed_there(run)]
  (pair,) = (p for p in measures.PAIRS[track] if p.by == measures.TEST)
  pairs = [
    (measure, color)
    for measure, color in ((pair.hard, HARD), (pair.easy, EASY))
    if any(run.has(measure.metric) for run in branches)
  ]
  if not pairs:
    return []
  found = curves(branches)
  others = [run for run in ended if run not in branches]
  fig, axes = plt.subplots(
    1, len(pairs), figsize=(4.6 * len(pairs), 3.1), squeeze=False
  )
  for ax, (measure, color) in zip(axes[0], pairs, strict=True):
    for curve, look in zip(found, itertools.cycle(CURVES), strict=False):
      _curve(ax, measure.metric, color, look, curve)
    if ax.lines:
      _levels(ax, measure.metric, others)
      ax.legend()
    ax.set_title(f"{measure.pattern}: {measure.metric}")
    ax.set_xlabel("annealed at step")
  axes[0][0].set_ylabel("at the end")
  return [
    figures.finish(
      fig, f"branches_{figures.slug(runs[0].cell)}", _caption(found)
    )
  ]


def _caption(found: list[Curve]) -> str:
  """What is seen, and which seeds are not."""
  gone: dict[tuple[int, str], list[str]] = {}
  for run in (run for curve in found for run in curve.branches):
    for seed, why in left_out(run).items():
      gone.setdefault((seed, why), []).append(run.arm)
  said = "; ".join(
    f"seed {seed} of {', '.join(arms)} ({why})"
    for (seed, why), arms in sorted(gone.items())
  )
  return (
    "What if it were annealed here: the end of branches of"
    f" {'one run' if len(found) == 1 else 'runs, a curve for each'}, each"
    " annealed at the step at which it begins, a thin line for each seed and"
    " with points the mean over the seeds that have all of them; level: arms"
    " that were not." + (f" Left out: {said}." if said else "")
  )


def _end(run: RunLog, metric: str, seed: int) -> float:
  """A seed's last value, NaN where it has none."""
  _, values = run.curve(metric, seed)
  return float(values[-1]) if len(values) else float("nan")


def _curve(ax, metric: str, color: str, look: tuple, curve: Curve) -> None:
  ls, marker = look
  named = {"of": curve.name} if curve.name else {}
  for seed in sorted({seed for run in curve.branches for seed in run.seeds}):
    there = [
      run
      for run in curve.branches
      if seed in run.seeds and seed not in left_out(run)
    ]
    if there:
      drawn.line(
        ax,
        [begins_at(run) for run in there],
        [_end(run, metric, seed) for run in there],
        metric,
        {"seed": seed} | named,
        color=color,
        ls=ls,
        lw=0.8,
        alpha=0.5,
      )
  if curve.whole:
    drawn.line(
      ax,
      [begins_at(run) for run in curve.branches],
      [
        np.mean([_end(run, metric, seed) for seed in curve.whole])
        for run in curve.branches
      ],
      metric,
      {"seed": "mean"} | named,
      color=color,
      ls=ls,
      marker=marker,
      ms=5,
      label=", ".join(["annealed there", *named.values()]),
    )


def _levels(ax, metric: str, others: list[RunLog]) -> None:
  """How the arms end that are not annealed where they begin."""
  dashes = itertools.cycle((figures.DASHED, figures.DOTTED))
  for run, ls in zip(others, dashes, strict=False):
    ends = [
      _end(run, metric, seed)
      for seed in run.seeds
      if seed not in measures.left_out(run)
    ]
    ends = [end for end in ends if not np.isnan(end)]
    if ends:
      drawn.level(
        ax,
        float(np.mean(ends)),
        f"{metric}, {run.arm}",
        color=figures.INK,
        lw=1,
        ls=ls,
        label=run.arm,
      )
