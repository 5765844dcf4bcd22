"""Stationarity (3.3), footnote 2, and Assumption 3.3 as numbers."""

import math

from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from configs import theory as theory_config
from lro_jax.core.schema import UserError
from lro_jax.theory import regime, settings
from tests import testing

POSITIVE = st.floats(1e-4, 10.0)


class StationaryTest(parameterized.TestCase):
  @given(tau0=POSITIVE, eta=POSITIVE, a=st.floats(1e-9, 0.999))
  def test_every_unknown_solves_the_equation(self, tau0, eta, a):
    lam = a / eta
    full = settings.solve_stationary(
      init_std=tau0, large_learning_rate=eta, weight_decay=lam
    )
    for unknown in settings.STATIONARY:
      got = settings.solve_stationary(**full | {unknown: None})
      left = (1 - got["large_learning_rate"] * got["weight_decay"]) ** 2 * got[
        "init_std"
      ] ** 2 + (got["large_learning_rate"] * got["noise_std"]) ** 2
      # float64, and (1 - a)^2 cancels to a few ulp of 1.
      self.assertAlmostEqual(left / got["init_std"] ** 2, 1.0, delta=1e-13)
      self.assertAlmostEqual(got[unknown] / full[unknown], 1.0, delta=1e-6)

  @parameterized.parameters(
    dict(init_std=1.0, noise_std=9.0, large_learning_rate=1.0),
    dict(noise_std=1.0, large_learning_rate=1.0, weight_decay=0.0),
    dict(init_std=1.0, noise_std=0.0, weight_decay=0.0),
    dict(init_std=1.0, large_learning_rate=3.0, weight_decay=1.0),
    dict(init_std=1.0),
    dict(
      init_std=1.0, noise_std=1.0, large_learning_rate=1.0, weight_decay=1.0
    ),
  )
  def test_no_solution_is_said_not_returned(self, **given_values):
    with self.assertRaises(UserError):
      settings.solve_stationary(**given_values)


class NoiseStdTest(parameterized.TestCase):
  @parameterized.product(
    rate=(0.1, 0.01), weight_decay=(0.0, 0.3), steps=(0, 1, 37)
  )
  def test_closed_form_is_the_recursion_of_footnote_2(
    self, rate, weight_decay, steps
  ):
    tau = 0.7
    for _ in range(steps):
      tau = math.sqrt(
        (1 - rate * weight_decay) ** 2 * tau**2 + rate**2 * 0.5**2
      )
    got = settings.noise_std_after(
      0.7, steps, rate=rate, weight_decay=weight_decay, noise_std=0.5
    )
    self.assertAlmostEqual(got, tau, delta=1e-13)

  def test_drifts_to_the_fixed_point_from_both_sides(self):
    solved = settings.solve_stationary(
      noise_std=0.3, large_learning_rate=0.5, weight_decay=0.1
    )
    for start in (0.1, 3.0):
      end = settings.noise_std_after(
        start, 2000, rate=0.5, weight_decay=0.1, noise_std=0.3
      )
      self.assertAlmostEqual(end, solved["init_std"], delta=1e-12)


class ResolveTest(absltest.TestCase):
  def test_paper_scaling_is_assumption_3_3(self):
    config = testing.run_config(
      theory_config.get_config("paper"), {"data.dim": 256, "data.kappa": 0.5}
    )
    s = settings.resolve(config)
    self.assertEqual(s.num_train, 1024)  # N / d = 1 / kappa^2
    self.assertAlmostEqual(s.r, 256**-0.75)
    self.assertAlmostEqual(s.p0, 0.125)  # kappa^2 / 2
    self.assertAlmostEqual(s.weight_decay, 256**-1.25)
    self.assertEqual(s.q_norm, 1.0)
    held = {
      c.statement: c.holds
      for c in regime.report(s, engine="limit", rows_w=1, rows_v=1)
      if c.source in ("Assumption 3.1, (3.3)", "Assumption 3.3")
    }
    self.assertNotEmpty(held)
    self.assertTrue(all(held.values()), held)

  def test_arms_share_everything_but_the_schedule(self):
    config = testing.run_config(theory_config.get_config("split"), {})
    large = settings.resolve(config)
    config.optim.algorithm = "small"
    small = settings.resolve(config)
    self.assertEqual(small.learning_rate, large.small_learning_rate)
    self.assertEqual(small.anneal_factor, 1.0)
    self.assertEqual(small.anneal_excess, -math.inf)
    self.assertAlmostEqual(
      large.learning_rate * large.anneal_factor, small.learning_rate
    )
    self.assertEqual(small.noise_std, large.noise_std)


if __name__ == "__main__":
  absltest.main()
