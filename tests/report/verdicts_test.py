"""Claims are judged the right way round."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import intervals, verdicts
from tests import testing
from tests.report.exponents_test import finding, power


def measured(low, high):
  return intervals.Interval((low + high) / 2, low, high, 8)


class VerdictTest(parameterized.TestCase):
  @parameterized.parameters(
    # y <= C x^2 as x grows: y must not grow faster than x^2.
    ("infinity", 2.0, 1.4, 1.6, verdicts.LOOSE),
    ("infinity", 2.0, 2.4, 2.6, verdicts.FASTER),
    ("infinity", 2.0, 1.9, 2.1, verdicts.TIGHT),
    # y <= C x^2 as x shrinks: y must not shrink slower than x^2.
    ("zero", 2.0, 1.4, 1.6, verdicts.FASTER),
    ("zero", 2.0, 2.4, 2.6, verdicts.LOOSE),
    ("zero", 2.0, 1.9, 2.1, verdicts.TIGHT),
    # y <= C / x: as x shrinks y may grow like 1/x, not like x^-2.
    ("zero", -1.0, -2.1, -1.9, verdicts.FASTER),
    ("zero", -1.0, -0.6, -0.4, verdicts.LOOSE),
    ("infinity", -1.0, -2.1, -1.9, verdicts.LOOSE),
    ("infinity", -1.0, -0.6, -0.4, verdicts.FASTER),
    # Flat where growth was allowed, or where decay was promised.
    ("infinity", 1.0, -0.1, 0.1, verdicts.LOOSE),
    ("infinity", -1.0, -0.1, 0.1, verdicts.FASTER),
  )
  def test_a_bound_is_judged_in_the_direction_of_its_limit(
    self, towards, claimed, low, high, expected
  ):
    got = verdicts.verdict(claimed, measured(low, high), "at most", towards)
    self.assertEqual(got, expected)

  @parameterized.parameters("infinity", "zero")
  def test_the_verdict_is_what_a_planted_excess_over_the_bound_does(
    self, towards
  ):
    # y / x^claimed, at the end of the limit over its start.
    x = np.array([1.0, 1e6] if towards == "infinity" else [1.0, 1e-6])
    for claimed in (-1.5, 0.0, 0.5):
      for p in (-2.0, -0.5, 1.0):
        start, end = x**p / x**claimed
        got = verdicts.verdict(claimed, measured(p, p), "at most", towards)
        self.assertEqual(
          got, verdicts.FASTER if end > start else verdicts.LOOSE
        )

  @parameterized.parameters(
    (2.0, 1.9, 2.1, verdicts.AGREES),
    (2.0, 2.0, 2.0, verdicts.AGREES),
    (2.0, 2.0 + 1e-12, 2.0 + 1e-12, verdicts.AGREES),
    (2.0, 2.01, 2.1, verdicts.DIFFERS),
    (2.0, 1.8, 1.99, verdicts.DIFFERS),
    (None, 1.8, 1.99, "-"),
    (2.0, math.nan, math.nan, "-"),
  )
  def test_an_equal_claim_lies_in_the_interval_or_differs(
    self, claimed, low, high, expected
  ):
    found = intervals.Interval(2.0, low, high, 8)
    self.assertEqual(verdicts.verdict(claimed, found, "equal"), expected)

  @parameterized.parameters(
    (3.0, 2.0, "within the bound, not tight; ours agrees"),
    (3.0, 2.5, "within the bound, not tight; ours differs"),
    (None, 2.0, "ours agrees"),
    (3.0, None, "within the bound, not tight"),
  )
  def test_our_own_law_is_judged_beside_it(self, claimed, ours, expected):
    entry = dict(relation="at most", towards="infinity")
    found = finding(power(2.0), entry=entry | dict(claimed=claimed, ours=ours))
    self.assertEqual(found.verdict, expected)

  @parameterized.parameters(
    dict(kind="line"),
    dict(relation="at least"),
    dict(relation="at most"),
    dict(relation="at most", towards="one"),
  )
  def test_words_without_a_meaning_are_refused(self, **fields):
    testing.refusal(
      self, lambda: finding(power(1.0), entry=fields), "Exponent 'y'", "or"
    )


if __name__ == "__main__":
  absltest.main()
