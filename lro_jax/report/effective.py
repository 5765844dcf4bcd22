"""How many clean images give the accuracy that a net reached among patches.

The argument of the paper's Appendix H.2: a control experiment trains on fewer
and on more clean images, and an arm's clean accuracy is read off its own rate's
line of accuracy against log n, which runs straight between the sizes. Beyond
them nothing is read: an accuracy below the line is '< smallest size'.
"""

import math
from typing import NamedTuple

import numpy as np

from lro_jax.report import controls, intervals, paper
from lro_jax.report.collect import RunLog
from lro_jax.report.controls import CLEAN, Control
from lro_jax.report.formats import NOTHING, percent
from lro_jax.report.intervals import Interval


class Effective(NamedTuple):
  """What an arm's clean accuracy is worth in clean images.

  `images` is held within the control's sizes; `bound` is '<' or '>' where its
  mean lies beyond them, and `why_not` says what keeps it from being read.
  """

  cell: str
  arm: str
  accuracy: Interval
  images: Interval
  sizes: tuple[int, ...]
  bound: str
  why_not: str


def invert(
  sizes: list[int], accuracies: np.ndarray, accuracy: float
) -> tuple[float, str]:
  """Images that give an accuracy, straight in log n between the sizes. Ours.

  Args:
    sizes: training images, rising, [k].
    accuracies: of nets trained on so many, not falling, [k].
    accuracy: what is asked for.

  Returns:
    Number of images, and '<' or '>' where it is but the nearest size.
  """
  bound = (
    "<"
    if accuracy < accuracies[0]
    else ">"
    if accuracy > accuracies[-1]
    else ""
  )
  log = np.interp(accuracy, accuracies, np.log(sizes))
  return float(np.exp(log)), bound


def read_off(
  control: Control, run: RunLog, accuracies: dict[int, float]
) -> Effective:
  """What an arm's accuracy is worth. Ours.

  The interval is the bootstrap's over the arm's seeds; where the control has
  all of them they are drawn together, else its own means stand as they are.

  Args:
    control: whose arm of the same name is the line.
    run: the arm.
    accuracies: its clean accuracies at the end, by seed.
  """
  none = intervals.interval([])
  line = control.arms.get(run.arm, {})
  sizes = tuple(sorted(line))
  seeds = sorted(accuracies)
  accuracy = intervals.bootstrap(
    lambda means: means[..., 0], np.array([[accuracies[s]] for s in seeds])
  )
  blank = Effective(run.cell, run.arm, accuracy, none, sizes, "", "")
  if len(sizes) < 2:
    why = f"no arm {run.arm} of two sizes in {control.source}"
    return blank._replace(why_not=why)
  paired = all(set(seeds) <= line[size].keys() for size in sizes)
  columns = [
    [line[size][s] for s in seeds]
    if paired
    else [float(np.mean(list(line[size].values())))] * len(seeds)
    for size in sizes
  ]
  samples = np.array([[accuracies[s] for s in seeds], *columns]).T
  means = samples.mean(axis=0)
  if np.any(np.diff(means[1:]) <= 0):
    shown = ", ".join(map(percent, means[1:]))
    why = f"{run.arm}'s accuracy does not rise with n there ({shown})"
    return blank._replace(why_not=why)
  _, bound = invert(list(sizes), means[1:], means[0])

  def images(drawn: np.ndarray) -> np.ndarray:
    """[..., 1 + k] -> [...]; a draw that falls is held level."""
    flat = drawn.reshape(-1, 1 + len(sizes))
    held = np.maximum.accumulate(flat[:, 1:], axis=1)
    found = [
      invert(list(sizes), h, a)[0]
      for h, a in zip(held, flat[:, 0], strict=True)
    ]
    return np.array(found).reshape(drawn.shape[:-1])

  return blank._replace(
    images=intervals.bootstrap(images, samples), bound=bound
  )


def show(found: Effective) -> str:
  """'15,484 [14,000, < ...]' for a table. Ours."""
  if not found.images.num:
    return NOTHING
  low, high = found.sizes[0], found.sizes[-1]

  def text(value: float) -> str:
    # What is held at an end of the line lies there or beyond.
    if math.isclose(value, low):
      return f"<= {low:,}"
    return f">= {high:,}" if math.isclose(value, high) else f"{value:,.0f}"

  end = low if found.bound == "<" else high
  images = found.images
  mean = f"{found.bound} {end:,}" if found.bound else text(images.mean)
  if math.isnan(images.low) or found.bound:
    seeds = "1 seed" if images.num == 1 else f"{images.num} seeds"
    return f"{mean} ({seeds})"
  return f"{mean} [{text(images.low)}, {text(images.high)}]"


def paper_says() -> str:
  """The paper's Table 2 by its own controls, in a sentence. H.2."""
  read = "; ".join(
    f"{percent(accuracy)} ({arm}) what {images:,.0f} do"
    for arm, accuracy, images in papers_reading()
  )
  return (
    "By the paper's numbers alone (Table 2 and H.2, single trials, linear in"
    f" log n between 10,000 and 50,000 clean images) it reaches {read}."
  )


def papers_reading() -> list[tuple[str, float, float]]:
  """(arm, clean accuracy, images) of the paper's Table 2 by its own H.2."""
  control, out = controls.of_paper(), []
  for entry in paper.SOURCES["patches"].entries:
    line = control.arms.get(entry.arm)
    if entry.metric == CLEAN and line:
      sizes = sorted(line)
      accuracies = np.array([line[n][0] for n in sizes])
      images, _ = invert(sizes, accuracies, entry.accuracy)
      out.append((entry.arm, entry.accuracy, images))
  return out
