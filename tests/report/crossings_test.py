"""Planted crossings, indices, orders and areas are found, and bounds are."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import crossings

STEPS = np.array([0.0, 10.0, 20.0, 40.0])


def crossing(above, share=0.5, steps=STEPS):
  return crossings.crossing(np.array(steps), np.array(above), share)


class CrossingTest(parameterized.TestCase):
  def test_it_is_linear_between_logged_points(self):
    found = crossing([0.0, 0.1, 0.5, 0.8])
    self.assertEqual((found.low, found.high, found.bound), (10, 20, ""))
    self.assertAlmostEqual(found.step, 17.5)

  def test_a_logged_point_on_the_level_is_the_step(self):
    self.assertEqual(crossing([0.0, 0.1, 0.4, 0.8]).step, 20)

  def test_the_first_of_two_crossings_counts(self):
    self.assertEqual(crossing([0.0, 0.4, 0.2, 0.8]).step, 10)

  def test_all_of_the_end_is_reached_at_the_latest_at_the_end(self):
    self.assertEqual(crossing([0.0, 0.1, 0.2, 0.8], share=1.0).step, 40)

  def test_what_is_never_learned_is_a_bound_at_the_last_step(self):
    found = crossing([0.0, 0.05, 0.3, 0.09])
    self.assertEqual(found, (40, ">=", 40, math.inf))

  def test_what_is_there_from_the_start_is_a_bound_at_the_first(self):
    found = crossing([0.6, 0.7, 0.7, 0.8])
    self.assertEqual((found.step, found.bound), (0, "<="))

  @parameterized.parameters(2.0, 1000.0)
  def test_steps_times_a_constant_are_so_much_later(self, c):
    above = [0.0, 0.1, 0.5, 0.8]
    scaled = crossing(above, steps=c * STEPS)
    self.assertAlmostEqual(scaled.step, c * crossing(above).step)


class IndexTest(parameterized.TestCase):
  # At half: 20 of the early one, 30 of the late one.
  early, late = [0.0, 0.1, 0.4, 0.8], [0.0, 0.0, 0.2, 0.6]

  def test_it_is_positive_where_the_easy_pattern_came_first(self):
    early, late = crossing(self.early), crossing(self.late)
    found = crossings.index(hard=late, easy=early)
    self.assertAlmostEqual(found.value, math.log10(25 / 20))
    self.assertEqual(found.bound, "")
    turned = crossings.index(hard=early, easy=late)
    self.assertAlmostEqual(turned.value, -found.value)

  @parameterized.parameters(3.0, 1e4)
  def test_steps_times_a_constant_leave_it(self, c):
    one, other = (
      crossings.index(
        crossing(self.late, steps=k * STEPS),
        crossing(self.early, steps=k * STEPS),
      )
      for k in (1, c)
    )
    self.assertAlmostEqual(one.value, other.value, delta=1e-12)

  def test_a_pattern_that_is_never_learned_makes_it_a_bound(self):
    never, early = crossing([0, 0, 0, 0.01]), crossing(self.early)
    low = crossings.index(hard=never, easy=early)
    self.assertEqual(low.bound, ">=")
    self.assertAlmostEqual(low.value, math.log10(40 / 20))
    self.assertEqual(crossings.index(hard=early, easy=never).bound, "<=")
    self.assertIsNone(crossings.index(never, never))

  def test_what_is_there_at_step_0_has_no_ratio_but_an_order(self):
    start = crossing([0.9, 0.9, 0.9, 0.9])
    self.assertIsNone(crossings.index(start, crossing(self.early)))
    self.assertEqual(crossings.first(start, crossing(self.early)), -1)

  def test_the_order_is_decided_only_by_logged_points_between(self):
    early, late = crossing(self.early), crossing(self.late)
    self.assertEqual(crossings.first(hard=late, easy=early), 1)
    self.assertEqual(crossings.first(hard=early, easy=late), -1)
    # Both between 20 and 40, though interpolation has them apart.
    near = crossing([0.0, 0.0, 0.1, 0.8])
    self.assertNotEqual(near.step, late.step)
    self.assertEqual(crossings.first(near, late), 0)
    never = crossing([0, 0, 0, 0.01])
    self.assertEqual(crossings.first(never, early), 1)
    self.assertEqual(crossings.first(never, never), 0)

  def test_bounds_of_differences(self):
    self.assertEqual(crossings.join(">=", ""), ">=")
    self.assertEqual(crossings.join("", ">="), "<=")
    self.assertEqual(crossings.join(">=", "<="), ">=")
    self.assertIsNone(crossings.join(">=", ">="))


class AreaTest(absltest.TestCase):
  def test_a_line_and_its_halves_are_their_means(self):
    line = 0.02 * STEPS
    for ends, mean in (((0, 40), 0.4), ((0, 15), 0.15), ((15, 40), 0.55)):
      found = crossings.mean_between(STEPS, line, *ends)
      self.assertAlmostEqual(found, mean)

  def test_there_is_none_where_nothing_was_logged(self):
    for ends in ((0, 41), (40, 40), (-1, 5)):
      self.assertIsNone(crossings.mean_between(STEPS, STEPS, *ends))


if __name__ == "__main__":
  absltest.main()
