"""arcsin(c exp(-u)) as a short sum of exponentials in u.

The limit's kernel depends on the past through rho = exp(-u), where u grows step
by step. A sum over the whole past of weights times exp(-k u) needs one running
number per rate k; so once the arcsine is a sum of exponentials, the dynamics are
Markov. Its power series is such a sum, with rates 1, 3, 5, ... and 10 / r^2 of
them needed; here the first few odd rates are kept, and a few dozen log-spaced
rates stand for all the rest, their weights found by non-negative least squares.
"""

import math

import numpy as np
import scipy.optimize

# Fewest odd rates, log-spaced rates per factor of ten, and how far past 1 /
# (smallest u) they reach: measured to keep the error below 1e-8
# (tests/theory/arcsine_test.py).
FEWEST_ODD = 6
RATES_PER_DECADE = 6
REACH = 30.0


def series_coefficients(num: int) -> np.ndarray:
  """Coefficients of x, x^3, x^5, ... in arcsin x, [num].

  (2n)! / (4^n (n!)^2 (2n + 1)).
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
    if term <= tolerance or num >= 500:
      return num
    num += 1


def rates(num_odd: int, smallest_u: float) -> np.ndarray:
  """The shared rates: 0, the first odd numbers, then log-spaced, [K]. Ours.

  Args:
    num_odd: how many of 1, 3, 5, ... must come first; a few more may.
    smallest_u: smallest positive u that will be met.
  """
  num_odd = max(num_odd, FEWEST_ODD)
  odd = 2.0 * np.arange(num_odd) + 1
  low, high = math.log10(2 * num_odd + 1), math.log10(REACH / smallest_u)
  num = max(2, math.ceil((high - low) * RATES_PER_DECADE) + 1)
  return np.concatenate([[0.0], odd, np.logspace(low, high, num)])


def fit(
  cosine: float, rates: np.ndarray, smallest_u: float
) -> tuple[np.ndarray, float]:
  """Weights w with arcsin(c e^-u) = sum_k w_k exp(-rate_k u). Ours.

  Args:
    cosine: c, in [0, 1].
    rates: the rates, [K], the first of them 0.
    smallest_u: the sum is held to the arcsine at u = 0 and from here on.

  Returns:
    Weights, [K], >= 0, that of rate 0 being 0; and the largest error found on
    another grid.
  """

  def target(u):
    return np.arcsin(cosine * np.exp(-u))

  # From a little below: the fit is loosest at the end of its range.
  u = np.concatenate([[0.0], np.geomspace(0.7 * smallest_u, 40.0, 900)])
  basis = np.exp(-np.outer(u, rates[1:]))
  weights, _ = scipy.optimize.nnls(basis, target(u), maxiter=100 * len(rates))
  check = np.concatenate([[0.0], np.geomspace(smallest_u, 100.0, 5003)])
  error = np.exp(-np.outer(check, rates[1:])) @ weights - target(check)
  return np.concatenate([[0.0], weights]), float(np.abs(error).max())
