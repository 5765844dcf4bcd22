"""arcsin(c exp(-u)) as a short sum of exponentials in u.

The limit's kernel depends on the past through rho = exp(-u), where u grows
step by step. A sum over the whole past of weights times exp(-k u) needs one
running number per rate k; so once the arcsine is a sum of exponentials, the
dynamics are Markov. Its power series is such a sum, with rates 1, 3, 5, ...;
for two inputs at an angle r it takes 10 / r^2 of them. Here the first few odd
rates are kept, and a few dozen more, ever wider apart, stand for all the rest,
their weights found by non-negative least squares.

One fit serves every cosine: c exp(-u) = exp(-(u - log c)), so the weights at
cosine c are those at 1 times c^rate.
"""

import numpy as np
import scipy.optimize

# Fewest odd rates; ratio between the following ones, right after them and
# WIDENING decades later; how far past 1 / (smallest u) they reach. Measured to
# keep the error below 1e-8 (tests/theory/arcsine_test.py).
FEWEST_ODD = 8
FIRST_RATIO, LAST_RATIO, WIDENING = 1.5, 2.9, 10.0
REACH = 30.0

# More odd powers than these a pair of inputs is not worth.
MAX_ODD_POWERS = 500


def series_coefficients(num: int) -> np.ndarray:
  """Coefficients of x, x^3, x^5, ... in arcsin x, [num].

  (2n)! / (4^n (n!)^2 (2n + 1)), its Taylor series. Ours.
  """
  out, c = [], 1.0
  for n in range(num):
    out.append(c / (2 * n + 1))
    c *= (2 * n + 1) / (2 * n + 2)
  return np.array(out)


def num_odd_powers(cosine: float, tolerance: float) -> int:
  """How many odd powers give arcsin x to `tolerance` for |x| <= cosine. Ours.

  The tail is bounded by its first term times a geometric series.

  Args:
    cosine: largest |x|, in [0, 1).
    tolerance: absolute error allowed.
  """
  num, term = 1, cosine
  while True:
    # Bound on everything after the first `num` terms.
    coefficient = series_coefficients(num + 1)[-1]
    term = coefficient * cosine ** (2 * num + 1) / (1 - cosine**2)
    if term <= tolerance or num >= MAX_ODD_POWERS:
      return num
    num += 1


def rates(num_odd: int, smallest_u: float) -> np.ndarray:
  """The shared rates: 0, the first odd numbers, then ever wider, [K]. Ours.

  Args:
    num_odd: how many of 1, 3, 5, ... must come first; a few more may.
    smallest_u: smallest positive u that will be met.
  """
  odd = 2.0 * np.arange(max(num_odd, FEWEST_ODD)) + 1
  first, top = odd[-1], REACH / smallest_u
  out = [0.0, *odd]
  while out[-1] < top:
    # Fine where u is near 1 and the arcsine curves, coarse where it is a power.
    way = min(1.0, np.log10(out[-1] / first) / WIDENING)
    out.append(out[-1] * FIRST_RATIO * (LAST_RATIO / FIRST_RATIO) ** way)
  return np.array(out)


def fit(rates: np.ndarray, smallest_u: float) -> tuple[np.ndarray, float]:
  """Weights w with arcsin(e^-u) = sum_k w_k exp(-rate_k u). Ours.

  Args:
    rates: the rates, [K], the first of them 0.
    smallest_u: the sum is held to the arcsine at u = 0 and from here on.

  Returns:
    Weights, [K], >= 0, that of rate 0 being 0; and the largest error found on
    another grid.
  """

  def target(u):
    # arcsin(e^-u) without cancellation near u = 0.
    return np.pi / 2 - np.arctan(np.sqrt(np.expm1(2 * u)))

  # From a little below: the fit is loosest at the end of its range.
  u = np.concatenate([[0.0], np.geomspace(0.7 * smallest_u, 40.0, 900)])
  basis = np.exp(-np.outer(u, rates[1:]))
  weights, _ = scipy.optimize.nnls(basis, target(u), maxiter=100 * len(rates))
  check = np.concatenate([[0.0], np.geomspace(smallest_u, 100.0, 5003)])
  error = np.exp(-np.outer(check, rates[1:])) @ weights - target(check)
  return np.concatenate([[0.0], weights]), float(np.abs(error).max())


def at_cosine(
  weights: np.ndarray, rates: np.ndarray, cosine: float
) -> np.ndarray:
  """Weights for arcsin(c e^-u) from those at c = 1, [K]; c in (0, 1]. Ours."""
  return weights * cosine**rates
