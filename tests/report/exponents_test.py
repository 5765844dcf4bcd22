"""Planted powers are found, with intervals that are reproducible."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import collect, exponents, intervals
from tests.report import fake
from tests.report.tables_test import line_of


def finding(by_cell, **kwargs):
  """The only finding of an experiment; entry fields go by `entry`."""
  entry = fake.exponent(**kwargs.pop("entry", {}))
  return all_findings(fake.grid(by_cell, exponents=[entry], **kwargs))[0]


def all_findings(experiment):
  return exponents.findings(experiment, collect.tidy(experiment))


def power(p, c=3.0):
  """y = c r^p, the same in every seed."""
  return lambda arm, r, seed: {"y": c * r**p}


def noisy(p, std, num, seed=0):
  """y = r^p with log-normal noise of its own in every cell and seed."""
  noise = std * np.random.default_rng(seed).normal(size=(3, num))
  place = {0.1: 0, 0.2: 1, 0.4: 2}
  return lambda arm, r, s: {"y": float(r**p * np.exp(noise[place[r], s]))}


class FitTest(parameterized.TestCase):
  @parameterized.parameters(2.0, -1.25, 0.0, 15 / 32)
  def test_a_planted_power_is_found(self, p):
    found = finding(power(p))
    np.testing.assert_allclose(found.exponent[:3], [p] * 3, atol=1e-12)
    self.assertEqual(found.exponent.num, len(fake.SEEDS))

  def test_uneven_cells_are_fitted_by_least_squares(self):
    y = {0.1: 1.0, 0.2: 5.0, 0.4: 2.0}
    found = finding(lambda arm, r, seed: {"y": y[r]})
    slope, _ = np.polyfit(np.log(list(y)), np.log(list(y.values())), 1)
    self.assertAlmostEqual(found.exponent.mean, slope, delta=1e-12)

  def test_only_the_cells_of_the_pattern_are_fitted(self):
    cells = {"a=1": 0.1, "a=2": 0.2, "b=1": 0.4}

    def by_cell(arm, r, seed):
      return {"y": 1e9 if r == 0.4 else r}

    found = finding(by_cell, cells=cells, entry={"cells": "a=*"})
    self.assertEqual([p.cell for p in found.points], ["a=1", "a=2"])
    self.assertAlmostEqual(found.exponent.mean, 1.0, delta=1e-12)

  def test_the_constant_is_that_of_our_power_else_of_the_claimed(self):
    entry = {"constant": 0.5, "ours": 2.0, "claimed": 7.0}
    found = finding(power(2.0, c=0.75), entry=entry)
    np.testing.assert_allclose(found.constant[:3], [0.75] * 3, rtol=1e-12)
    found = finding(power(7.0, c=0.5), entry=entry | {"ours": None})
    np.testing.assert_allclose(found.constant[:3], [0.5] * 3, rtol=1e-12)
    self.assertEqual(finding(power(2.0)).constant.num, 0)

  def test_points_are_geometric_means_with_their_interval(self):
    values = {0: 1.0, 1: 4.0, 2: 8.0, 3: 2.0}
    found = finding(lambda arm, r, seed: {"y": r * values[seed]})
    logs = intervals.interval([math.log(0.1 * v) for v in values.values()])
    np.testing.assert_allclose(found.points[0].y[:3], np.exp(logs[:3]))
    self.assertEqual(found.points[0].x, 0.1)

  def test_points_stand_by_x(self):
    cells = {"c": 0.4, "a": 0.1, "b": 0.2}
    found = finding(power(1.0), cells=cells)
    self.assertEqual([p.cell for p in found.points], ["a", "b", "c"])


class BootstrapTest(parameterized.TestCase):
  def test_the_interval_holds_the_planted_power(self):
    # Of 8 seeds it holds it in 89% of cases; see `intervals.bootstrap`.
    num = 150
    log_x = np.log([0.1, 0.2, 0.4, 0.8])
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(num):
      log_y = 1.5 * log_x + rng.normal(size=(8, 4))
      logs = np.stack([np.broadcast_to(log_x, log_y.shape), log_y], axis=1)
      found = intervals.bootstrap(exponents._slope, logs)
      hits += found.low <= 1.5 <= found.high
    error = math.sqrt(0.89 * 0.11 / num)
    self.assertAlmostEqual(hits / num, 0.89, delta=3 * error)

  def test_it_is_as_wide_as_the_spread_of_the_seeds_says(self):
    found = finding(noisy(2.0, 0.1, 40), seeds=range(40)).exponent
    # Std of a slope over three points a factor 2 apart: std / (sqrt2 log 2).
    half = 1.96 * 0.1 / (math.sqrt(2) * math.log(2) * math.sqrt(40))
    self.assertAlmostEqual((found.high - found.low) / 2, half, delta=half / 3)
    self.assertBetween(found.mean, found.low, found.high)

  def test_the_same_logs_give_the_same_interval_whatever_else_is_fitted(self):
    by_cell = noisy(2.0, 0.3, 4)
    alone = finding(by_cell).exponent
    entries = [fake.exponent(title="other"), fake.exponent()]
    beside = all_findings(fake.grid(by_cell, exponents=entries))
    self.assertGreater(alone.high - alone.low, 0.01)
    self.assertEqual(beside[1].exponent, alone)

  def test_cells_are_resampled_together(self):
    # What a seed does to all cells alike leaves the power as it is.
    scale = {0: 1.0, 1: 50.0, 2: 0.02, 3: 7.0}
    found = finding(lambda arm, r, seed: {"y": scale[seed] * r}).exponent
    np.testing.assert_allclose(found[:3], [1.0] * 3, atol=1e-9)

  @parameterized.parameters(1, 2)
  def test_fewer_than_three_seeds_give_no_interval_and_one_sentence(self, num):
    grid = fake.grid(
      noisy(2.0, 0.1, 4),
      seeds=range(num),
      exponents=[fake.exponent(), fake.exponent(title="other")],
    )
    found = all_findings(grid)
    self.assertTrue(math.isnan(found[0].exponent.low))
    self.assertTrue(math.isnan(found[0].points[0].y.low))
    table = exponents.table(found)
    seeds = "1 seed" if num == 1 else "2 seeds"
    self.assertRegex(line_of(table, "other")[4], rf"^\d\.\d+ \({seeds}\)$")
    self.assertEqual(line_of(table, "other")[5], "-")
    (note,) = [n for n in table.notes if n.startswith("Fewer than 3 seeds")]
    self.assertIn("y against r; other", note)

  def test_three_seeds_have_an_interval(self):
    found = finding(noisy(2.0, 0.1, 4), seeds=range(3))
    self.assertLess(found.exponent.low, found.exponent.high)
    table = exponents.table([found])
    self.assertEmpty([n for n in table.notes if n.startswith("Fewer")])


class TableTest(absltest.TestCase):
  def test_a_line_says_what_is_claimed_and_what_is_found(self):
    entry = dict(relation="at most", towards="zero", claimed=1.5, ours=2.0)
    table = exponents.table([finding(power(2.0), entry=entry)])
    self.assertEqual(
      dict(zip(table.header[1:], line_of(table, "y against r"), strict=True)),
      {
        "source": "Lemma 4.1",
        "against": "data.r",
        "claimed": "1.5 (bound, x to zero)",
        "ours": "2",
        "measured": "2.000 [2.000, 2.000]",
        "verdict": "within the bound, not tight; ours agrees",
        "cells x seeds": "3 x 4",
      },
    )

  def test_constants_have_columns_where_there_are_any(self):
    found = [
      finding(power(2.0, c=0.5), entry=dict(constant=0.4)),
      finding(power(1.0), entry=dict(title="other")),
    ]
    table = exponents.table(found)
    self.assertEqual(
      line_of(table, "y against r")[-2:], ["0.4", "0.5 [0.5, 0.5]"]
    )
    self.assertEqual(line_of(table, "other")[-2:], ["-", "-"])

  def test_curves_are_means_and_stand_in_no_table(self):
    values = {0: 1.0, 1: -4.0, 2: 0.0, 3: None}
    entry = dict(kind="curve", claimed=None)
    found = finding(lambda arm, r, seed: {"y": values[seed]}, entry=entry)
    self.assertEqual(found.exponent.num, 0)
    self.assertEqual(found.points[0].y, intervals.interval([1.0, -4.0, 0.0]))
    self.assertIsNone(exponents.table([found]))
    self.assertNotIn("exponent", exponents.as_json(found))

  def test_without_entries_there_is_nothing(self):
    grid = fake.grid(power(1.0))
    del grid.record["exponents"]
    self.assertEmpty(all_findings(grid))
    self.assertIsNone(exponents.table([]))


if __name__ == "__main__":
  absltest.main()
