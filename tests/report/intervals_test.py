"""Samples become intervals, and pairs of them differences."""

import math

import numpy as np
from absl.testing import absltest, parameterized
from scipy import stats

from lro_jax.report import intervals


class IntervalTest(parameterized.TestCase):
  @parameterized.parameters(
    ([0.1, 0.4, 0.2, 0.35],),
    ([-3.0, 5.0, 1e3, 4.0, 0.0, -2.5, 7.25, 8.0],),
    ([1e-9, 2e-9, 4e-9],),
  )
  def test_interval_is_scipys_t_interval(self, sample):
    got = intervals.interval(sample)
    low, high = stats.t.interval(
      0.95, len(sample) - 1, loc=np.mean(sample), scale=stats.sem(sample)
    )
    np.testing.assert_allclose(
      got[:3], (np.mean(sample), low, high), rtol=1e-12
    )
    self.assertEqual(got.num, len(sample))

  def test_interval_holds_the_mean_of_95_percent_of_samples(self):
    num, size = 4000, 5
    samples = np.random.default_rng(0).normal(2.0, 3.0, (num, size))
    found = [intervals.interval(list(sample)) for sample in samples]
    share = np.mean([i.low <= 2.0 <= i.high for i in found])
    error = math.sqrt(0.95 * 0.05 / num)
    self.assertAlmostEqual(share, 0.95, delta=4 * error)

  def test_one_seed_has_a_mean_and_no_bounds(self):
    got = intervals.interval([0.25])
    self.assertEqual((got.mean, got.num), (0.25, 1))
    self.assertTrue(math.isnan(got.low) and math.isnan(got.high))
    self.assertFalse(got.clear_of_zero)

  @parameterized.parameters(
    ([1.0, 1.1, 0.9], True),
    ([-1.0, -1.1, -0.9], True),
    ([1.0, -1.1, 0.9], False),
    ([0.0, 0.0], False),
  )
  def test_clear_of_zero_is_an_interval_without_zero(self, sample, clear):
    got = intervals.interval(sample)
    self.assertEqual(got.clear_of_zero, clear)
    self.assertEqual(got.clear_of_zero, not got.low <= 0 <= got.high)


class PairedTest(absltest.TestCase):
  def test_paired_is_the_interval_of_the_differences(self):
    small = {2: 0.5, 0: 0.9, 1: 0.7}
    large = {0: 0.1, 1: 0.3, 2: 0.2}
    got = intervals.paired(small, large)
    np.testing.assert_allclose(
      got, intervals.interval([0.9 - 0.1, 0.7 - 0.3, 0.5 - 0.2])
    )

  def test_only_seeds_of_both_arms_count(self):
    small = {0: 0.9, 1: 0.7, 7: 1e6}
    large = {0: 0.1, 1: 0.3, 8: -1e6}
    got = intervals.paired(small, large)
    self.assertEqual(got.num, 2)
    np.testing.assert_allclose(got, intervals.interval([0.8, 0.4]))

  def test_pairing_removes_what_the_seeds_share(self):
    # The seeds spread by 100, the arms by 1: unpaired nothing would be seen.
    small = {s: 100.0 * s + 1.0 + 0.01 * s for s in range(-2, 3)}
    large = {s: 100.0 * s for s in range(-2, 3)}
    self.assertTrue(intervals.paired(small, large).clear_of_zero)
    self.assertFalse(intervals.interval(list(small.values())).clear_of_zero)


if __name__ == "__main__":
  absltest.main()
