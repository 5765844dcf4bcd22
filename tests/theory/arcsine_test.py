"""Sums of exponentials against the arcsine itself."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.theory import arcsine


class SeriesTest(parameterized.TestCase):
  def test_coefficients_are_the_closed_form(self):
    expected = [
      math.factorial(2 * n) / (4**n * math.factorial(n) ** 2 * (2 * n + 1))
      for n in range(12)
    ]
    np.testing.assert_allclose(
      arcsine.series_coefficients(12), expected, rtol=1e-14
    )

  @parameterized.parameters(0.05, 0.3, 0.7, 0.9)
  def test_number_of_powers_keeps_the_tolerance_and_is_needed(self, c):
    num = arcsine.num_odd_powers(c, 1e-8)

    def error(terms):
      powers = c ** (2 * np.arange(terms) + 1)
      return abs(
        np.sum(arcsine.series_coefficients(terms) * powers) - np.arcsin(c)
      )

    self.assertLessEqual(error(num), 1e-8)
    # The bound is at most a factor 1 / (1 - c^2) from sharp: one or two terms.
    self.assertGreater(error(max(1, num - 8)), 1e-8)


class FitTest(parameterized.TestCase):
  @parameterized.product(
    cosine=(1.0, 0.9996, 0.98, 0.6),
    smallest_u=(1e-3, 1e-6, 1e-9, 1e-12),
    num_odd=(3, 20),
  )
  def test_error_is_below_the_engine_s_tolerance(
    self, cosine, smallest_u, num_odd
  ):
    # A cosine below 1 acts like log(1/c) more of u.
    reach = min(smallest_u, -np.log(cosine)) if cosine < 1 else smallest_u
    rates = arcsine.rates(num_odd, reach)
    at_one, reported = arcsine.fit(rates, reach)
    weights = arcsine.at_cosine(at_one, rates, cosine)
    random = np.random.default_rng(0).uniform(size=4000)
    u = np.append(smallest_u * (50 / smallest_u) ** random, 0.0)
    got = np.exp(-np.outer(u, rates)) @ weights
    error = np.abs(got - np.arcsin(cosine * np.exp(-u))).max()
    self.assertLess(error, 1e-8)
    self.assertLess(reported, 1e-8)
    self.assertLessEqual(len(rates), 70)
    self.assertEqual(weights[0], 0.0)
    self.assertTrue((weights >= 0).all())
    np.testing.assert_array_equal(
      rates[1 : num_odd + 1], 2 * np.arange(num_odd) + 1
    )


if __name__ == "__main__":
  absltest.main()
