"""Figures of the vision track that are curves: Figures 1 and 3, order, losses.

In each one colour is one arm; seeds are thin, their mean is bold.
"""

import math

import matplotlib.pyplot as plt

from lro_jax.report import drawn, figures, figures_patches
from lro_jax.report.collect import RunLog
from lro_jax.report.figures import Look

# Seeds of an experiment, and what their mean is called among them.
MEAN = "mean"
# So far apart are the rings on a curve, in parts of the figure's diagonal.
RINGS = 0.06


def _per_epoch(run: RunLog) -> int:
  return run.record["facts"]["steps_per_epoch"]


def _arms(ax, runs: list[RunLog], metric: str, *, other_way=False) -> None:
  """One metric of every arm against the epoch; another way of it in rings."""
  looks = figures.arm_looks(run.arm for run in runs)
  for run, look in zip(runs, looks, strict=True):
    # Of the other way thin lines would be taken for those of the first.
    for seed in run.seeds if len(run.seeds) > 1 and not other_way else ():
      steps, values = run.curve(metric, seed)
      drawn.line(
        ax,
        steps / _per_epoch(run),
        values,
        metric,
        figures.keys(run, seed),
        alpha=0.4,
        lw=0.7,
        **look._asdict(),
      )
    steps, means = run.mean_curve(metric)
    if len(steps):
      label = f"{run.arm}, authors' way" if other_way else run.arm
      rings = dict(marker="o", ms=3.5, mfc="none", markevery=RINGS)
      drawn.line(
        ax,
        steps / _per_epoch(run),
        means,
        metric,
        {"arm": run.arm, "seed": MEAN},
        lw=1 if other_way else 1.9,
        label=label,
        **look._asdict(),
        **(rings if other_way else {}),
      )


def milestones(runs: list[RunLog]) -> dict[float, list[str]]:
  """Epochs at which the rate or the noise is lowered, and of which arms."""
  out: dict[float, list[str]] = {}
  for run in runs:
    for step in run.record["facts"]["milestones"]:
      out.setdefault(step / _per_epoch(run), []).append(run.arm)
  return dict(sorted(out.items()))


def _mark(ax, runs: list[RunLog]) -> None:
  for epoch, arms in milestones(runs).items():
    for arm in arms:
      look = dict(color=figures.GREY, lw=0.9, zorder=0)
      drawn.mark(ax, epoch, "lowered", {"arm": arm}, **look)


def _caption(runs: list[RunLog], text: str) -> str:
  """What every caption of curves ends with: marks, data, seeds."""
  marked = {}
  for epoch, arms in milestones(runs).items():
    marked.setdefault(", ".join(arms), []).append(f"{epoch:g}")
  where = "; ".join(f"{', '.join(at)} ({arms})" for arms, at in marked.items())
  most = max(len(run.seeds) for run in runs)
  return (
    text
    + (
      f" Grey: epochs at which the rate or the noise is lowered, {where}."
      if where
      else ""
    )
    + f" {runs[0].record['facts']['dataset']}."
    + (f" {most} seeds, thin; bold: their mean." if most > 1 else " One seed.")
  )


def _pair(runs: list[RunLog], titles: tuple[str, str], ylabel: str):
  """Two axes of epochs."""
  fig, axes = plt.subplots(1, 2, figsize=(9.2, 3.4), sharey=True)
  last = max(row["step"] / _per_epoch(run) for run in runs for row in run.rows)
  for ax, title in zip(axes, titles, strict=True):
    ax.set_title(title)
    ax.set_xlabel("epoch")
    ax.set_xlim(0, last or 1)
    ax.set_ylim(-0.02, 1.02)
    _mark(ax, runs)
  axes[0].set_ylabel(ylabel)
  return fig, axes


def _has(runs: list[RunLog], *metrics: str) -> bool:
  return all(any(run.has(metric) for run in runs) for metric in metrics)


def figure_1(runs: list[RunLog]) -> figures.Figure | None:
  """Train and test accuracy against epoch. Paper: Figure 1."""
  names = ("train_accuracy/all", "accuracy/clean")
  if _has(runs, "accuracy/mixed") or not _has(runs, *names):
    return None
  fig, axes = _pair(runs, ("training images", "test images"), "accuracy")
  for ax, name in zip(axes, names, strict=True):
    _arms(ax, runs, name)
  axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"figure_1_{figures.slug(runs[0].cell)}",
    _caption(
      runs,
      "Figure 1 of the paper: accuracy against epoch on a fixed subset of the"
      " training images (left) and on the clean test images (right), both in"
      " evaluation mode.",
    ),
  )


def figure_3(runs: list[RunLog]) -> figures.Figure | None:
  """Clean and patch-only accuracy against epoch. Paper: Figure 3."""
  names = ("accuracy/clean", "accuracy/patch_only")
  if not _has(runs, *names):
    return None
  titles = ("clean test images", "patch-only images")
  fig, axes = _pair(runs, titles, "accuracy")
  for ax, name in zip(axes, names, strict=True):
    _arms(ax, runs, name)
  _arms(axes[1], runs, "accuracy/patch_only_authors", other_way=True)
  text = (
    "Figure 3 of the paper: accuracy against epoch on clean test images (left)"
    " and on images of the patch alone (right): bold as trained, with rings the"
    " mean as the authors scored it."
  )
  classes = figures_patches.num_classes(runs)
  if classes:
    for ax in axes:
      look = dict(color=figures.INK, lw=0.9, ls=figures.REFERENCE)
      drawn.level(ax, 1 / classes, "chance", label="chance", **look)
    text += f" Dotted: chance, 1/{classes}."
  axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig, f"figure_3_{figures.slug(runs[0].cell)}", _caption(runs, text)
  )


def cue_conflict(runs: list[RunLog]) -> figures.Figure | None:
  """Which cue a net follows where image and patch disagree. Ours."""
  names = ("conflict/patch", "accuracy/other_patch")
  if not _has(runs, *names):
    return None
  titles = ("classified as the patch's class", "as the image's class")
  fig, axes = _pair(runs, titles, "share of images")
  for ax, name in zip(axes, names, strict=True):
    _arms(ax, runs, name)
  axes[1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  return figures.finish(
    fig,
    f"cue_conflict_{figures.slug(runs[0].cell)}",
    _caption(
      runs,
      "The order of learning: test images that carry another class's patch,"
      " and the share classified by the patch (left) or by the image (right)"
      " against epoch.",
    ),
  )


KINDS = (
  ("train_loss/clean", "clean", Look(figures.INK)),
  ("train_loss/mixed", "mixed", Look(figures.GREY, figures.DASHED)),
  ("train_loss/patch_only", "patch only", Look(figures.PINK, figures.DASHDOT)),
)
WHOLE = (
  ("train_loss/all", "training images", Look(figures.INK)),
  ("loss/clean", "test images", Look(figures.PINK, figures.DASHED)),
)


def losses(runs: list[RunLog]) -> figures.Figure | None:
  """Loss of every kind of training image against step. Ours."""
  kinds = KINDS if _has(runs, "train_loss/patch_only") else WHOLE
  if not _has(runs, kinds[0][0]):
    return None
  fig, axes = plt.subplots(
    1, len(runs), figsize=(3.6 * len(runs), 3.1), sharey=True, squeeze=False
  )
  classes = figures_patches.num_classes(runs)
  for ax, run in zip(axes[0], runs, strict=True):
    figures.log_steps(ax)
    ax.set_title(run.arm)
    ax.set_xlabel("step")
    for step in run.record["facts"]["milestones"]:
      look = dict(color=figures.GREY, lw=0.9, zorder=0)
      drawn.mark(ax, step, "lowered", {"arm": run.arm}, **look)
    for metric, label, look in kinds:
      figures.curves(ax, run, metric, look, label)
    if classes:
      look = dict(color=figures.INK, lw=0.9, ls=figures.REFERENCE)
      name = f"log {classes}"
      drawn.level(ax, math.log(classes), name, label=name, **look)
  axes[0, 0].set_ylabel("loss")
  axes[0, 0].set_ylim(bottom=0)
  axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1, 1))
  what = (
    "each kind of training image"
    if kinds is KINDS
    else "training and test images"
  )
  return figures.finish(
    fig,
    f"losses_{figures.slug(runs[0].cell)}",
    f"Loss on {what} against step, in evaluation mode, one line per seed; the"
    " training images are a fixed subset. Grey: where the rate or the noise is"
    f" lowered. {runs[0].record['facts']['dataset']}.",
  )


def draw(runs: list[RunLog]) -> list[figures.Figure]:
  """The figures that this cell's metrics and files allow. Ours."""
  makers = (figure_1, figure_3, cue_conflict, losses)
  drawn = [make(runs) for make in makers]
  drawn += [figures_patches.figure_4(runs), figures_patches.bank(runs)]
  return [figure for figure in drawn if figure]
