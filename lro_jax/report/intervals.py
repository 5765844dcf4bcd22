"""Means over seeds with their uncertainty, and differences paired by seed."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


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
