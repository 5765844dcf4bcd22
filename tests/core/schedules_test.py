"""Rates and noise levels at the epochs where the authors' code changes them."""

import jax
import numpy as np
from absl.testing import absltest, parameterized

from configs import cifar10, patches
from lro_jax import main
from lro_jax.core import schedules
from lro_jax.vision import settings

STEPS = 391  # of 50,000 images in batches of 128, the last one short
# One rounding to float32, and another in the product.
ROUNDING = 3e-7


def plan(config_module, preset, arm):
  config = config_module.get_config(preset)
  run = next(r for r in main.expand(config) if r.arm == arm)
  return settings.plan(run.config, steps_per_epoch=STEPS)


def at(schedule, step):
  """The level of an update as training computes it: compiled, of an array."""
  return float(jax.jit(schedule)(np.int32(step)))


def in_epoch(schedule, epoch):
  """Level of the first and of the last update of an epoch counted from 1."""
  first = (epoch - 1) * STEPS
  return at(schedule, first), at(schedule, first + STEPS - 1)


class AuthorsScheduleTest(parameterized.TestCase):
  @parameterized.parameters("large", "small", "small_noise")
  def test_table_1_rate_falls_by_a_fifth_at_60_120_and_150(self, arm):
    initial = 0.1 if arm == "large" else 0.01
    rate = plan(cifar10, "authors", arm).learning_rate
    for epoch, drops in (
      (1, 0),
      (29, 0),
      (30, 0),
      (59, 0),
      (60, 1),
      (119, 1),
      (120, 2),
      (149, 2),
      (150, 3),
      (200, 3),
    ):
      for level in in_epoch(rate, epoch):
        np.testing.assert_allclose(
          level, initial * 0.2**drops, rtol=ROUNDING, err_msg=f"epoch {epoch}"
        )

  @parameterized.parameters(("large", 0.1), ("small", 0.004))
  def test_table_2_rate_is_a_25th_from_epoch_30_on(self, arm, initial):
    rate = plan(patches, "authors", arm).learning_rate
    for epoch in (1, 29, 30, 59, 60):
      late = arm == "large" and epoch >= 30
      for level in in_epoch(rate, epoch):
        np.testing.assert_allclose(
          level, 0.004 if late else initial, rtol=ROUNDING
        )

  @parameterized.parameters(("authors", 30), ("paper", 31))
  def test_table_2_noise_falls_from_0_4_to_4e_6(self, preset, first_low):
    noise = plan(patches, preset, "small_noise").noise_std
    for epoch in (1, 29, 30, 31, 60):
      for level in in_epoch(noise, epoch):
        np.testing.assert_allclose(
          level, 4e-6 if epoch >= first_low else 0.4, rtol=ROUNDING
        )

  def test_table_1_noise_decays_per_epoch_in_the_code(self):
    noise = plan(cifar10, "authors", "small_noise").noise_std
    for epoch in (1, 2, 60, 200):
      for level in in_epoch(noise, epoch):
        # 0.995 in float32 is off by up to 3e-8 of it, once for each factor.
        np.testing.assert_allclose(level, 0.2 * 0.995 ** (epoch - 1), rtol=1e-5)

  def test_table_1_noise_decays_per_step_in_the_text(self):
    noise = plan(cifar10, "paper", "small_noise").noise_std
    for step in (0, 1, STEPS, 919):
      # As above, for up to 919 factors.
      np.testing.assert_allclose(at(noise, step), 0.2 * 0.995**step, rtol=4e-5)
    # A hundredth of the start after 919 steps, 2.4 epochs (ledger item 19).
    self.assertLess(at(noise, 919), 0.01 * 0.2)
    self.assertGreater(at(noise, 918), 0.01 * 0.2)

  def test_the_other_arms_have_no_noise(self):
    for module in (cifar10, patches):
      for arm in ("large", "small"):
        self.assertEqual(plan(module, "authors", arm).noise_std(0), 0)


class StepwiseTest(absltest.TestCase):
  def test_a_boundary_is_the_first_update_at_the_lower_level(self):
    schedule = schedules.stepwise(2.0, factor=0.5, boundaries=(7, 3))
    levels = jax.vmap(schedule)(np.arange(9))
    np.testing.assert_array_equal(levels, [2, 2, 2, 1, 1, 1, 1, 0.5, 0.5])

  def test_decay_counts_whole_periods(self):
    schedule = schedules.stepwise(1.0, decay=0.5, decay_steps=3)
    levels = jax.vmap(schedule)(np.arange(8))
    np.testing.assert_array_equal(levels, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])

  def test_decay_and_boundaries_multiply(self):
    schedule = schedules.stepwise(
      8.0, factor=0.25, boundaries=(2,), decay=0.5, decay_steps=1
    )
    levels = jax.vmap(schedule)(np.arange(4))
    np.testing.assert_array_equal(levels, [8, 4, 0.5, 0.25])


if __name__ == "__main__":
  absltest.main()
