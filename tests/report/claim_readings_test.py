"""What a claim reads is what the summary holds, with its sign and seeds."""

import math

from absl.testing import absltest, parameterized

from lro_jax.report import claim_readings as readings
from lro_jax.report.claim_rules import Pair, Ratios
from lro_jax.report.intervals import Interval

CURVE = {
  "epoch": [0, 1, 2, 3],
  "mean": [0.1, 0.2, 0.6, 0.9],
  "seeds": {"0": [0.1, None, 0.5, 0.9], "7": [0.1, 0.2, 0.4, 0.5]},
}
CELL = {
  "cell": "base",
  "seeds": [0, 7],
  "milestones": {"large": [2.0, 3.0], "small": []},
  "curves": {"large": {"acc": CURVE}, "small": {"acc": CURVE}},
  "metrics": {"end/loss": {"small - large": [0.2, 0.1, 0.4, 5]}},
  "by_seed": {
    "end/acc": {"large": {"0": 0.9, "7": 0.7}, "small": {"0": 0.5, "7": 0.5}},
    "anneal/step": {"noise": {"0": 11, "7": 12}},
  },
  "learned": {"large": {"p": {"0": 4.0, "7": None}}},
  "instruments": {"large": {"4.1": [3.0, 2.0, 1.5, 1.2, 1.8, 4]}},
}


def read(kind, saved=None, cells=(CELL,), **fields):
  what = {"kind": kind} | fields
  return readings.read(what, saved or {}, list(cells))


class ReadTest(parameterized.TestCase):
  def test_a_value_is_the_mean_over_seeds(self):
    found = read("value", arm="large", phase="end", metric="acc")
    self.assertAlmostEqual(found.mean, 0.8)
    self.assertEqual(found.num, 2)

  def test_a_difference_is_paired_by_seed(self):
    found = read(
      "difference", arm="small", minus="large", phase="end", metric="acc"
    )
    self.assertAlmostEqual(found.mean, -0.3)
    self.assertAlmostEqual(found.high, -0.3 + 0.1 * 12.706, places=3)

  @parameterized.parameters(
    ("small", "large", Interval(0.2, 0.1, 0.4, 5)),
    ("large", "small", Interval(-0.2, -0.4, -0.1, 5)),
    ("large", "noise", None),
  )
  def test_what_is_not_saved_by_seed_comes_from_the_means_either_way(
    self, arm, minus, expected
  ):
    found = read("difference", arm=arm, minus=minus, phase="end", metric="loss")
    self.assertEqual(found, expected)

  def test_before_annealing_is_the_last_evaluation_up_to_the_first(self):
    for arm in ("large", "small"):
      found = read("value", arm=arm, phase="first anneal", metric="acc")
      self.assertAlmostEqual(found.mean, 0.45)

  @parameterized.parameters(
    ({"arm": "large", "metric": "acc", "above": 0.5}, {0: 3, 7: math.inf}),
    ({"arm": "large", "metric": "acc", "above": 0.49}, {0: 2, 7: 3}),
    ({"arm": "large", "event": "anneal"}, {0: 2.0, 7: 2.0}),
    ({"arm": "noise", "event": "anneal"}, {0: 11, 7: 12}),
    ({"arm": "large", "learned": "p"}, {0: 4.0, 7: math.inf}),
    ({"arm": "small", "learned": "p"}, {}),
    ({"arm": "small", "event": "anneal"}, {}),
  )
  def test_times(self, what, expected):
    self.assertEqual(readings.times(CELL, what), expected)

  def test_a_ratio_is_value_over_bound_and_ratios_are_of_all_cells(self):
    expected = Interval(1.5, 1.2, 1.8, 4)
    self.assertEqual(read("ratio", arm="large", instrument="4.1"), expected)
    saved = {"statements": [{"name": "4.1", "kind": "at least"}]}
    found = read("ratios", saved, (CELL, CELL), arm="large", instrument="4.1")
    self.assertEqual(found, Ratios([expected, expected], "at least"))
    self.assertIsNone(
      read("ratios", saved, (CELL, {}), arm="large", instrument="4.1")
    )

  def test_a_law_lacks_nothing_or_is_not_there(self):
    entry = {
      "name": "a",
      "kind": "exponent",
      "exponent": [1.0, 0.9, 1.1, 4],
      "claimed": 1.0,
      "relation": "equal",
    }
    saved = {"exponents": [entry, entry | {"name": "b", "kind": "curve"}]}
    found = read("exponents", saved, names=["a", "a"])
    self.assertLen(found.slopes, 2)
    self.assertEqual(readings.num_seeds(found), 4)
    self.assertIsNone(read("exponents", saved, names=["a", "b"]))

  @parameterized.parameters(
    (
      Pair({0: 1.0, 1: 2.5}, {0: math.inf, 1: 4000.0}),
      "1 / never, 2.5 / 4,000",
    ),
    (
      Pair(dict.fromkeys(range(5), 1.0), {k: float(k) for k in range(5)}),
      "1 / 0 to 4",
    ),
  )
  def test_times_are_listed_where_seeds_are_few(self, found, text):
    self.assertEqual(readings.text({"kind": "times"}, found), text)


if __name__ == "__main__":
  absltest.main()
