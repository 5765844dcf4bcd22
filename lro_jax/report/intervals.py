"""Means over seeds with their uncertainty, and differences paired by seed."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

# A bootstrap of fewer seeds than this says nothing.
FEWEST = 3
RESAMPLES, RESAMPLING_SEED = 2000, 0


class Interval(NamedTuple):
  """Mean over seeds with a 95% interval; `low` is NaN where there is none."""

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


def bootstrap(
  statistic: Callable[[np.ndarray], np.ndarray], samples: np.ndarray
) -> Interval:
  """A statistic of the mean over seeds, with its 95% percentile interval. Ours.

  All of a seed is drawn together, so that what is paired by seed stays so. The
  interval is too narrow where seeds are few: in normal noise it holds the truth
  76% of the time for 3 seeds, 79% for 4 and 89% for 8.

  Args:
    statistic: means [..., a] -> values [...].
    samples: one array of numbers for each seed, [s, a].

  Returns:
    The statistic of the mean, without an interval below `FEWEST` seeds.
  """
  num = len(samples)
  value = float(statistic(samples.mean(axis=0)))
  if num < FEWEST:
    return Interval(value, math.nan, math.nan, num)
  draws = np.random.default_rng(RESAMPLING_SEED).integers(
    num, size=(RESAMPLES, num)
  )
  found = statistic(samples[draws].mean(axis=1))
  low, high = np.quantile(found, (0.025, 0.975))
  return Interval(value, float(low), float(high), num)


def paired(minuend: dict[int, float], subtrahend: dict[int, float]) -> Interval:
  """Interval of the difference over the seeds both have. Ours."""
  common = sorted(minuend.keys() & subtrahend.keys())
  return interval([minuend[s] - subtrahend[s] for s in common])
