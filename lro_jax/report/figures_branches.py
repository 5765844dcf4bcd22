"""What if it were annealed here: the end of branches against their first step.

A branch is a run that begins where another one was (`core.branch`). Those that
anneal where they begin make a curve; how another arm ends is a level.
"""

import re

import matplotlib.pyplot as plt
import numpy as np

from lro_jax.report import collect, drawn, figures, measures
from lro_jax.report.collect import RunLog

HARD, EASY = figures.Look(figures.BLUE), figures.Look(figures.RED)


def begins_at(run: RunLog) -> int | None:
  """The step at which a run began as a branch; None where it is none. Ours."""
  match = re.search(r"@([0-9]+)$", run.config.get("branch_from") or "")
  return int(match[1]) if match else None


def is_annealed_there(run: RunLog) -> bool:
  """Whether it is a branch that anneals where it begins, in every seed. Ours.

  Args:
    run: an arm of one cell.
  """
  at = begins_at(run)
  seeds = [seed for seed in run.seeds if seed not in measures.left_out(run)]
  return at is not None and all(
    run.event_step(collect.ANNEAL, seed) == at for seed in seeds
  )


def draw(runs: list[RunLog], track: str) -> list[figures.Figure]:
  """Metrics at the end against the step of annealing; none without branches.

  Ours.

  Args:
    runs: the arms of one cell.
    track: of the experiment.
  """
  ended = [run for run in runs if run.is_done]
  branches = sorted(
    (run for run in ended if is_annealed_there(run)), key=begins_at
  )
  (pair,) = (p for p in measures.PAIRS[track] if p.by == measures.TEST)
  pairs = [
    (measure, look)
    for measure, look in ((pair.hard, HARD), (pair.easy, EASY))
    if any(run.has(measure.metric) for run in branches)
  ]
  if not pairs:
    return []
  fig, axes = plt.subplots(
    1, len(pairs), figsize=(4.6 * len(pairs), 3.1), squeeze=False
  )
  for ax, (measure, look) in zip(axes[0], pairs, strict=True):
    _panel(ax, measure.metric, look, branches, ended)
    ax.set_title(f"{measure.pattern}: {measure.metric}")
    ax.set_xlabel("annealed at step")
  axes[0][0].set_ylabel("at the end")
  return [
    figures.finish(
      fig,
      f"branches_{figures.slug(runs[0].cell)}",
      "What if it were annealed here: the end of branches of one run, each"
      " annealed at the step at which it begins, a thin line for each seed and"
      " their mean with points; level: arms that were not.",
    )
  ]


def _panel(ax, metric, look, branches, ended) -> None:
  ends: dict[int, dict[int, float]] = {}
  for run in branches:
    left_out = measures.left_out(run)
    for seed in run.seeds:
      _, values = run.curve(metric, seed)
      if len(values) and seed not in left_out:
        ends.setdefault(seed, {})[begins_at(run)] = values[-1]
  for seed, found in ends.items():
    at, values = zip(*found.items(), strict=True)
    drawn.line(
      ax,
      at,
      values,
      metric,
      {"seed": seed},
      lw=0.8,
      alpha=0.5,
      **look._asdict(),
    )
  if not ends:
    return
  steps = sorted(set.intersection(*(set(found) for found in ends.values())))
  means = [np.mean([found[at] for found in ends.values()]) for at in steps]
  drawn.line(
    ax,
    steps,
    means,
    metric,
    {"seed": "mean"},
    marker="o",
    label="annealed there",
    **look._asdict(),
  )
  others = [run for run in ended if run not in branches and run.has(metric)]
  for run, dashes in zip(
    others, (figures.DASHED, figures.DOTTED) * len(others), strict=False
  ):
    last = [
      values[-1]
      for seed in run.seeds
      if seed not in measures.left_out(run)
      for _, values in [run.curve(metric, seed)]
      if len(values)
    ]
    if not last:
      continue
    drawn.level(
      ax,
      float(np.mean(last)),
      f"{metric}, {run.arm}",
      color=figures.INK,
      lw=1,
      ls=dashes,
      label=run.arm,
    )
  if ax.lines:
    ax.legend()
