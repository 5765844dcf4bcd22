"""Each rule on both sides of its border, and on it."""

import math

from absl.testing import absltest, parameterized

from lro_jax.report import claim_rules as rules
from lro_jax.report.intervals import Interval

ONE_SEED = Interval(1.0, math.nan, math.nan, 1)
NEVER = math.inf


def between(low, high):
  return Interval((low + high) / 2, low, high, 4)


class IntervalRulesTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.1, 0.3, True, False),
    (-0.1, 0.3, None, None),
    (-0.3, -0.1, False, True),
    (0.0, 0.3, None, False),
    (-0.3, 0.0, False, None),
  )
  def test_above_and_below_want_the_whole_interval(
    self, low, high, is_above, is_below
  ):
    found = between(low, high)
    self.assertEqual(rules.above(found, limit=0.0).holds, is_above)
    self.assertEqual(rules.below(found, limit=0.0).holds, is_below)

  @parameterized.parameters(
    (0.4, 0.6, True),
    (0.375, 0.625, True),
    (0.374, 0.6, None),
    (0.1, 0.9, None),
    (0.625, 0.7, None),
    (0.626, 0.7, False),
    (0.1, 0.374, False),
  )
  def test_within_wants_all_of_the_interval_near_and_not_only_its_mean(
    self, low, high, expected
  ):
    found = rules.within(between(low, high), centre=0.5, tolerance=0.125)
    self.assertEqual(found.holds, expected)

  @parameterized.parameters(
    (0.65, 0.83, 0.70, 0.73, True),
    (0.65, 0.83, 0.70, 0.75, None),
    (0.65, 0.83, 0.75, 0.76, False),
    (0.90, 0.76, 0.84, 0.86, True),
    (0.90, 0.76, 0.80, 0.82, False),
  )
  def test_closer_is_on_the_near_side_of_the_middle(
    self, to, than, low, high, expected
  ):
    found = rules.closer(between(low, high), to=to, than=than)
    self.assertEqual(found.holds, expected)

  def test_one_seed_decides_nothing(self):
    for found in (
      rules.above(ONE_SEED, limit=0.0),
      rules.below(ONE_SEED, limit=9.0),
      rules.within(ONE_SEED, centre=1.0, tolerance=1.0),
      rules.closer(ONE_SEED, to=1.0, than=2.0),
      rules.bounded(rules.Ratios([ONE_SEED], "at most"), limit=9.0),
    ):
      self.assertIsNone(found.holds)


class BeforeTest(parameterized.TestCase):
  @parameterized.parameters(
    ({0: 1, 1: 2}, {0: 2, 1: 3}, True, True),
    ({0: 1, 1: 3}, {0: 2, 1: 3}, False, False),
    ({0: 1}, {0: NEVER}, True, False),
    ({0: NEVER}, {0: NEVER}, False, False),
    ({0: NEVER}, {0: 5}, False, False),
    ({0: 1}, {1: 2}, None, None),
  )
  def test_it_is_so_in_every_seed(self, first, second, never, must):
    pair = rules.Pair(first, second)
    self.assertEqual(rules.before(pair, never_is_later=True).holds, never)
    self.assertEqual(rules.before(pair, never_is_later=False).holds, must)


class OrderTest(parameterized.TestCase):
  @parameterized.parameters(
    ("at most", "infinity", 0.6, 0.9, True),
    ("at most", "infinity", 0.9, 1.1, True),
    ("at most", "infinity", 1.01, 1.1, False),
    ("at most", "zero", 1.01, 1.1, True),
    ("at most", "zero", 0.6, 0.9, False),
    ("equal", None, 0.9, 1.1, True),
    ("equal", None, 1.01, 1.1, False),
    ("equal", None, math.nan, math.nan, None),
  )
  def test_an_exponent_of_one(self, relation, towards, low, high, expected):
    slope = rules.Slope(between(low, high), 1.0, relation, towards)
    self.assertEqual(rules.order(rules.Slopes([slope])).holds, expected)

  def test_one_exponent_beyond_its_bound_breaks_the_law(self):
    good, bad = (
      rules.Slope(between(low, low + 0.1), 1.0, "at most", "infinity")
      for low in (0.5, 1.5)
    )
    self.assertTrue(rules.order(rules.Slopes([good, good])).holds)
    self.assertFalse(rules.order(rules.Slopes([good, bad])).holds)


class BoundedTest(parameterized.TestCase):
  @parameterized.parameters(
    ("at most", [(0.2, 0.4), (0.3, 0.5)], True),
    ("at most", [(0.2, 0.4), (0.6, 1.0)], None),
    ("at most", [(0.2, 0.4), (0.6, 1.1)], False),
    ("at most", [(1.2, 1.4), (1.3, 1.5)], None),
    ("at most", [(0.2, 1.0)], True),
    ("at most", [(0.2, 1.01)], None),
    ("at least", [(1.2, 1.4), (1.3, 1.5)], True),
    ("at least", [(1.5, 1.7), (1.0, 1.2)], None),
    ("at least", [(1.5, 1.7), (0.8, 1.2)], False),
    ("at least", [(0.2, 0.4), (0.3, 0.5)], None),
  )
  def test_it_wants_the_side_and_no_drift(self, kind, ends, expected):
    ratios = [between(*pair) for pair in ends]
    found = rules.bounded(rules.Ratios(ratios, kind), limit=1.0)
    self.assertEqual(found.holds, expected)


if __name__ == "__main__":
  absltest.main()
