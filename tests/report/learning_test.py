"""What seeds were planted to learn is found, and so are means over them."""

import math
import pathlib

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import collect, learning, measures
from tests.report import fake

LOG2 = math.log(2)
P, Q = "train_loss/p_only", "train_loss/q_only"


def loss(above):
  return LOG2 * (1 - above)


def losses(seed, *, p, q, anneal=None, stretch=1, last=400):
  """A seed whose P rises straight from 0 to 0.8 at step `p`, and Q at `q`."""
  at = sorted({*range(0, last + 1, 20), *((anneal,) if anneal else ())})
  return [
    fake.row(
      stretch * step,
      seed,
      "anneal" if step == anneal else None,
      **{P: loss(0.8 * min(1, step / p)), Q: loss(0.8 * min(1, step / q))},
    )
    for step in at
  ]


def runs_of(*arms, **kwargs):
  """[(name, {seed: rows})] -> runs as `collect.load` gives them."""
  return [
    fake.run_log(
      name,
      rows=[row for rows in by_seed.values() for row in rows],
      seeds={str(s): fake.seed_end(stop=400) for s in by_seed},
      **kwargs,
    )
    for name, by_seed in arms
  ]


def experiment(runs, track="theory"):
  record = {"track": track, "name": track}
  return collect.Experiment(pathlib.Path("."), record, runs)


def large_and_small(stretch=1):
  """P is there ten times before Q at the large rate, and after it at small."""
  large = {
    s: losses(s, p=40, q=400 - 20 * s, anneal=100, stretch=stretch)
    for s in range(4)
  }
  small = {s: losses(s, p=400, q=40, stretch=stretch) for s in range(4)}
  return runs_of(("large", large), ("small", small))


def entry(entries, **fields):
  """The value of the only entry with these fields."""
  (found,) = [
    e for e in entries if all(getattr(e, k) == v for k, v in fields.items())
  ]
  return found.value


def mean_of(means, **fields):
  (found,) = [
    m for m in means if all(getattr(m, k) == v for k, v in fields.items())
  ]
  return found


class LearningTest(parameterized.TestCase):
  @parameterized.parameters((0.5, 20), (0.8, 32), (0.9, 36))
  def test_shares_are_reached_where_they_were_planted(self, share, step):
    entries = learning.of_cell(large_and_small(), "theory")
    here = dict(seed=0, quantity="first_step", fraction=share)
    for arm, metric, times in (
      ("large", P, 1),
      ("large", Q, 10),
      ("small", Q, 1),
      ("small", P, 10),
    ):
      found = entry(entries, arm=arm, metric=metric, **here)
      self.assertAlmostEqual(found, times * step)

  def test_final_and_areas_are_of_the_curve_above_chance(self):
    entries = learning.of_cell(large_and_small(), "theory")
    here = dict(arm="large", seed=0, metric=Q)
    for quantity, value in (
      ("final", 0.8),
      ("area", 0.4),
      ("area_before", 0.1),
      ("area_after", 0.5),
    ):
      self.assertAlmostEqual(entry(entries, quantity=quantity, **here), value)

  def test_an_arm_that_never_anneals_has_the_other_arms_step(self):
    runs = large_and_small()
    found = measures.annealings(runs)
    self.assertEqual(found["large"][2], (100, "large"))
    self.assertEqual(found["small"][2], (100, "large"))
    entries = learning.of_cell(runs, "theory")
    here = dict(arm="small", seed=0, metric=Q, quantity="area_after")
    self.assertAlmostEqual(entry(entries, **here), 0.8)
    # No other arm's step is borrowed.
    noise = runs[0]._replace(arm="small_noise")
    self.assertNotIn("small", measures.annealings([noise, runs[1]]))
    alone = learning.of_cell(runs[1:], "theory")
    quantities = {e.quantity for e in alone}
    self.assertNotIn("area_before", quantities)
    self.assertIn("area", quantities)

  def test_of_the_best_arms_end_one_that_knows_little_is_not_early(self):
    # Arm 'small' knows half as much of P in the end, and is there at once.
    runs = runs_of(
      ("large", {0: losses(0, p=200, q=400)}),
      ("small", {0: [self.halved(row) for row in losses(0, p=20, q=100)]}),
    )
    entries = learning.of_cell(runs, "theory")
    here = dict(arm="small", seed=0, fraction=0.8)
    own = entry(entries, quantity="first_step", metric=P, **here)
    self.assertAlmostEqual(own, 16)
    (common,) = [
      e
      for e in entries
      if (e.arm, e.quantity, e.metric, e.fraction)
      == ("small", "first_step_common", P, 0.8)
    ]
    self.assertEqual((common.value, common.bound), (400, ">="))
    by = dict(metric=learning.measures.TRAINING, **here)
    self.assertEqual(entry(entries, quantity="first", **by), -1)
    self.assertEqual(entry(entries, quantity="first_common", **by), 1)
    # The best arm's own levels are the common ones.
    for quantity in ("first_step", "index", "first"):
      for e in entries:
        if (e.arm, e.quantity) == ("large", quantity):
          at = dict(seed=0, metric=e.metric, fraction=e.fraction)
          same = entry(
            entries, arm="large", quantity=f"{quantity}_common", **at
          )
          self.assertEqual(same, e.value)

  def halved(self, row):
    return row | {P: loss((1 - row[P] / LOG2) / 2)}

  @parameterized.parameters(1, 7)
  def test_arms_differ_by_the_planted_index(self, stretch):
    runs = large_and_small(stretch)
    entries = learning.of_cell(runs, "theory")
    means = learning.means(entries, experiment(runs))
    here = dict(quantity="index", metric=learning.measures.TRAINING)
    small = mean_of(means, arm="small", against=None, fraction=0.5, **here)
    np.testing.assert_allclose(small.interval[:3], [1.0] * 3, atol=1e-9)
    gap = mean_of(means, arm="small", against="large", fraction=0.5, **here)
    q = [400 - 20 * s for s in range(4)]
    planted = [1.0 + math.log10(x / 40) for x in q]
    self.assertAlmostEqual(gap.interval.mean, np.mean(planted), delta=1e-9)
    self.assertBetween(np.mean(planted), gap.interval.low, gap.interval.high)

  def test_a_paired_interval_is_of_the_differences(self):
    # Seeds differ by decades, and from the other arm by a factor 2 +- noise.
    noise = np.random.default_rng(0).normal(0, 0.02, 8)
    entries = [
      learning.Entry("base", arm, s, "first_step", Q, 0.5, value)
      for s in range(8)
      for arm, value in (
        ("large", 10.0 ** (s + 1)),
        ("small", 2 * 10.0 ** (s + 1 + noise[s])),
      )
    ]
    runs = large_and_small()
    means = learning.means(entries, experiment(runs))
    found = mean_of(means, arm="small", against="large").interval
    self.assertBetween(2.0, found.low, found.high)
    self.assertLess(found.high / found.low, 1.1)
    own = mean_of(means, arm="small", against=None).interval
    self.assertGreater(own.high / own.low, 100)

  def test_a_seed_that_never_learns_makes_the_mean_a_bound(self):
    by_seed = {s: losses(s, p=40, q=100) for s in range(4)}
    for row in by_seed[3]:
      row[Q] = LOG2
    runs = runs_of(("large", by_seed))
    entries = learning.of_cell(runs, "theory")
    means = learning.means(entries, experiment(runs))
    step = mean_of(means, quantity="first_step", metric=Q, fraction=0.5)
    self.assertEqual(step.bound, ">=")
    self.assertTrue(math.isnan(step.interval.low))
    geometric = (50**3 * 400) ** 0.25
    self.assertAlmostEqual(step.interval.mean, geometric, delta=1e-6)
    index = mean_of(means, quantity="index", fraction=0.5)
    self.assertEqual(index.bound, "<=")

  def test_seeds_without_an_end_are_left_out(self):
    by_seed = {s: losses(s, p=40, q=100) for s in range(3)}
    by_seed[1][-1]["event"] = "diverge"
    (run,) = runs_of(("large", by_seed), status="running")
    del run.record["seeds"]["2"]
    self.assertEqual(measures.left_out(run), {1: "diverged", 2: "not finished"})
    entries = learning.of_cell([run], "theory")
    self.assertEqual({e.seed for e in entries}, {0})
    run.record["seeds"]["0"]["status"] = "diverged"
    self.assertIn(0, measures.left_out(run))

  def test_runs_without_these_metrics_have_no_order(self):
    self.assertEmpty(learning.of_cell([fake.run_log()], "theory"))

  def test_accuracies_errors_and_losses_are_above_chance(self):
    values = np.array([0.1, 0.5])
    for metric, classes, expected in (
      ("accuracy/clean", 10, [0.0, 0.4]),
      ("test_error/q_only", 2, [0.4, 0.0]),
      ("train_loss/q_only", 2, 1 - values / LOG2),
    ):
      found = measures.above_chance(metric, values, classes)
      np.testing.assert_allclose(found, expected, atol=1e-12)


if __name__ == "__main__":
  absltest.main()
