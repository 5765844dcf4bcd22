"""When a curve has risen to a share of its end, and by how much it rose.

A curve is what a net knows of one pattern, above what guessing knows, against
the step. Between two logged points it is taken to be linear in the step. Log10
of one step over another is the index of which of two patterns came first.
"""

import math
from typing import NamedTuple

import numpy as np

# A number is itself, or no less, or no more, than the truth.
EXACT, AT_LEAST, AT_MOST = "", ">=", "<="
# A pattern that ends less than this above chance has not been learned: shares
# of less would be shares of the noise of some hundred test images.
LEARNED = 0.1
HARD_FIRST, UNDECIDED, EASY_FIRST = -1, 0, 1


class Crossing(NamedTuple):
  """The first step at which a curve reaches a level.

  Attributes:
    step: linear between the two logged points around it; the last logged step
      if the pattern is never learned, the first if it is there from the start.
    bound: '>=' if never learned, '<=' if there from the start, '' otherwise.
    low: last logged step before it, from which on it may have happened.
    high: first logged step not before it; inf if never.
  """

  step: float
  bound: str
  low: float
  high: float


class Index(NamedTuple):
  """log10 of the hard pattern's step over the easy one's, [], and its bound."""

  value: float
  bound: str


def crossing(
  steps: np.ndarray,
  above: np.ndarray,
  share: float,
  end: float | None = None,
) -> Crossing:
  """The first step at which a curve has a share of an end. Ours.

  First means first: a curve that falls again later has still been there.

  Args:
    steps: logged steps, in order, [t], t > 0.
    above: what is known above chance, [t]; 1 would be everything.
    share: of the end, in (0, 1].
    end: what is known at the end that counts; the curve's own where None.
  """
  last = float(steps[-1])
  end = float(above[-1]) if end is None else end
  level = share * end
  if end < LEARNED or not np.any(above >= level):
    return Crossing(last, AT_LEAST, last, math.inf)
  i = int(np.argmax(above >= level))
  x1, y1 = float(steps[i]), float(above[i])
  if i == 0:
    return Crossing(x1, AT_MOST, -math.inf, x1)
  x0, y0 = float(steps[i - 1]), float(above[i - 1])
  at = x0 + (x1 - x0) * float((level - y0) / (y1 - y0))
  return Crossing(at, EXACT, x0, x1)


def join(minuend: str, subtrahend: str) -> str | None:
  """The bound of a difference; None where there is neither bound nor value."""
  turned = {AT_LEAST: AT_MOST, AT_MOST: AT_LEAST}.get(subtrahend, EXACT)
  return common([minuend, turned])


def common(bounds: list[str]) -> str | None:
  """The bound of a sum or mean; None where they point both ways. Ours."""
  found = {bound for bound in bounds if bound != EXACT}
  if len(found) > 1:
    return None
  return found.pop() if found else EXACT


def index(hard: Crossing, easy: Crossing) -> Index | None:
  """How much later the hard-to-generalise pattern came than the easy one. Ours.

  Positive where the easy-to-generalise pattern (which a net memorises) was
  first, 1 where the other took ten times its steps. All steps times a constant
  give the same.

  Args:
    hard: of the pattern that is hard to generalise: P, the image.
    easy: of the one that is easy to generalise: Q, the patch.

  Returns:
    None where the steps do not say: neither is ever learned, or one is there at
    step 0. A pattern that is never learned counts as learned at the last logged
    step, and the index is a bound.
  """
  bound = join(hard.bound, easy.bound)
  if bound is None or hard.step <= 0 or easy.step <= 0:
    return None
  return Index(math.log10(hard.step / easy.step), bound)


def first(hard: Crossing, easy: Crossing) -> int:
  """Which pattern came first, as far as the logged points tell. Ours.

  Returns:
    `EASY_FIRST` or `HARD_FIRST`; `UNDECIDED` where both came between the same
    two logged points, or neither came.
  """
  if easy.high <= hard.low:
    return EASY_FIRST
  if hard.high <= easy.low:
    return HARD_FIRST
  return UNDECIDED


def mean_between(
  steps: np.ndarray, above: np.ndarray, start: float, stop: float
) -> float | None:
  """Area under a curve between two steps over their distance. Ours.

  Args:
    steps: logged steps, in order, [t].
    above: the curve, [t].
    start: where to begin, within the logged steps.
    stop: where to end, within the logged steps.

  Returns:
    The mean over steps, by trapezoids; None between steps that do not follow
    each other or were not logged.
  """
  if not steps[0] <= start < stop <= steps[-1]:
    return None
  inside = (steps > start) & (steps < stop)
  x = np.concatenate(([start], steps[inside], [stop]))
  y = np.interp(x, steps, above)
  area = np.sum((y[1:] + y[:-1]) / 2 * np.diff(x))
  return float(area / (stop - start))
