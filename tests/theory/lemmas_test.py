"""Every statement's value and bound on numbers that a hand can work out."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.task import NOT_YET
from lro_jax.theory import instruments, lemmas, settings
from tests.theory import small

BY_NAME = {i.name: i for i in instruments.CATALOGUE.entries()}

# d 16, N 50, r 0.25, |z| 2, tau0 0.1, eta1 0.5, eta2 0.05, lambda 0.02,
# eps1 0.2, eps2 0.3, k 3; t 40, t0 30, p 0.2, q 0.3, ||Wbar|| 3, ||Vbar|| 4.
# Name -> what is measured, the bound as the paper has it, the field of
# `Reading` it is read off.
LOG_D = math.log(16)
SHARE = math.sqrt(0.05 / 0.5)
EXPECTED = {
  "4.1 steps": (40, 16 * 3 / (0.5 * 0.2), "step"),
  "4.1 norm": (25, 16 * 3 * math.log(1 / 0.2) ** 2, "norm2_w"),
  # |-0.5 - 0.25 - 2 * 0.75|; r^2 |z|^2 / lambda.
  "4.2": (2.25, 0.25**2 * 2**2 / 0.02, "g_at"),
  "4.2 ours": (2.25, 0.8 * 4 * 0.25**3 / (24 * math.pi * 0.02), "g_at"),
  "4.3 steps": (10, 3 / (0.2**3 * 0.05 * 0.25 * 4), "step"),
  "4.3 norm": (2.5, 3 / (0.2**2 * 0.25 * 4), "moved2"),
  "4.4 M1": (0.35, math.sqrt(0.2 / 0.3), "r_loss_m1"),
  "4.4 Q": (0.6, math.sqrt(0.2 / 0.3**3), "loss_q_only"),
  "5.1 M2 steps": (12, 3 / (0.05 * 0.3**3 * 0.25 * 4), "m2_learned_at"),
  "5.1 steps": (
    40,
    3 / (0.05 * 0.3**3 * 0.25 * 4) + 50 * 0.2 * 3 / (0.05 * 0.3),
    "step",
  ),
  "5.1 norm": (25, 3 / (0.3**2 * 0.25 * 4) + 50 * 0.2 * 3, "norm2_v"),
  "5.2": (2.5, 16 ** (15 / 32) / 0.3**2, "norm2_m2"),
  "5.3 alpha": (1.5, math.sqrt(50 * 0.2), "alpha_norm"),
  "5.3 fit": (0.8, 16 ** (-1 / 32) / 0.3**2, "alpha_rest"),
  "B.6": (0.7, 16 ** (15 / 32) / 0.3**2, "rest2"),
  "A.2 W": (0.01, 1 / 8, "row_grad"),
  "A.2 V": (0.02, 2 / math.sqrt(1000), "row_grad"),
  # eta t = 20 is less than 1 / lambda = 50.
  "A.3 W": (0.3, 20 / 8, "row_signal"),
  "A.3 V": (0.4, 20 * 2 / math.sqrt(1000), "row_signal"),
  "A.3 norm": (5, 2 / 0.02, "norm2_v"),
  "A.7 std W": (0.11, 0.1, "noise_std"),
  "A.7 std V": (0.12, 0.1, "noise_std"),
  "A.7 law W": (0.3, math.sqrt(24 / 600), "noise_kurtosis"),
  "A.7 law V": (0.2, math.sqrt(24 / 2400), "noise_kurtosis"),
  "A.8 flips W": (5, 3 ** (4 / 3) * 0.125 ** (-4 / 3) * 64 ** (2 / 3), "flips"),
  "A.8 flips V": (
    6,
    4 ** (4 / 3) * 0.125 ** (-4 / 3) * 1000 ** (2 / 3),
    "flips",
  ),
  "A.8 output W": (0.07, 1.5 * 3 / 0.125**2 / 2, "pattern_gap"),
  "A.8 output V": (
    0.08,
    2.5 * 4 / 0.125**2 / math.sqrt(10),
    "pattern_gap",
  ),
  # 1 / (lambda tau0) = 500, and |z| times that of the net that x2' meets.
  "B.3 flips W": (0.1, SHARE + 500 ** (4 / 3) / 4, "anneal_flips"),
  "B.3 flips V": (0.2, SHARE + 1000 ** (4 / 3) / 10, "anneal_flips"),
  # V's bound, in which 1 / lambda is |z|^2 and tau0 |z| times as large.
  "B.3 output": (
    0.9,
    4 / 0.02 * (SHARE + 1000 ** (4 / 3) / 10) + 2 * 0.1 * LOG_D,
    "anneal_gap",
  ),
  "B.4": (0.03, 0.25 * 4 / 3 * 0.4**4, "grad_norm2"),
  "B.5": (7, 3 / (0.25 * 4 * 0.1**4 * 0.05), "large_rho_steps"),
  # Margins 0.5, 0.75, 0.25; the last on z + zeta, of length |z| sqrt(1 + r^2).
  "C.1": (0.25 / (2 * math.sqrt(1.0625)), 1 / (2 * 0.6), "g_at"),
  "D.3 share": (0.15, 0.25 * math.sqrt(LOG_D), "wedge_share"),
  "D.3 reach": (0.05, 0.1 * 0.25 * 2 * math.sqrt(LOG_D), "wedge_reach"),
  "D.9 loss": (
    math.log(2) - 0.6,
    2.25 + LOG_D / math.sqrt(0.3 * 50),
    "loss_q_only",
  ),
  "D.9 output": (0.75, math.sqrt(2.25 + LOG_D / math.sqrt(15)), "g_at"),
  "F.3": (0.1, 0.2, "channels"),
  "F.4": (0.3, 0.4, "channels"),
}


def setting_of(name, **numbers):
  """k is 1 where only the split net has the statement."""
  split = BY_NAME[name].structures == (settings.SPLIT,)
  return small.setting(**({"num_strides": 1} if split else {}) | numbers)


def measured(name, reading=None, **numbers):
  with jax.enable_x64(True):
    reading = reading or small.reading()
    found = BY_NAME[name].measure(reading, setting_of(name, **numbers))
    return tuple(float(x) for x in found)


def reading(**fields):
  with jax.enable_x64(True):
    return small.reading(**fields)


class StatementsTest(parameterized.TestCase):
  def test_every_statement_of_the_catalogue_is_worked_out(self):
    self.assertCountEqual(EXPECTED, BY_NAME)

  @parameterized.parameters(*EXPECTED)
  def test_value_and_bound_are_the_papers(self, name):
    value, bound, _ = EXPECTED[name]
    np.testing.assert_allclose(measured(name), (value, bound), rtol=1e-13)

  @parameterized.parameters(*EXPECTED)
  def test_the_value_follows_what_it_is_read_off(self, name):
    field = EXPECTED[name][2]
    old = getattr(reading(), field)
    with jax.enable_x64(True):
      more = jax.tree.map(lambda x: 1.25 * x, old)
    moved, _ = measured(name, reading(**{field: more}))
    self.assertNotAlmostEqual(moved, measured(name)[0], places=3)

  def test_rows_stop_growing_at_the_decay_time(self):
    # eta t = 75 has passed 1 / lambda = 50.
    _, bound = measured("A.3 W", reading(step=150))
    self.assertAlmostEqual(bound, 50 / 8, places=12)

  def test_outputs_on_q_are_bounded_by_the_loss_where_that_is_more(self):
    # D.9: delta' = 3 - log 2 is above delta = 2.25.
    _, bound = measured("D.9 output", reading(loss_q_only=3.0))
    expected = 3 - math.log(2) + LOG_D / math.sqrt(15)
    self.assertAlmostEqual(bound, math.sqrt(expected), places=12)

  def test_a_net_without_width_flips_by_the_rates_alone(self):
    for name in ("B.3 flips W", "B.3 flips V"):
      _, bound = measured(name, reading(units=None))
      self.assertAlmostEqual(bound, SHARE, places=12)

  def test_plateau_is_the_stationary_integral_to_leading_order(self):
    # Forces -(1 - p) s_b / 16 with s = (1, -2, 1), kernel <a, b> arcsin(c rho)
    # / (4 pi) beside what is linear, e^-v / lambda integrated at rho = e^-v.
    r, q_norm, p, decay = 0.01, 2.0, 0.2, 0.02
    s, z = (1, -2, 1), np.array([(1, -r), (1, 0), (1, r)])
    total = 0.0
    for a in range(3):
      for b in range(3):
        # Angle between the two, without the cancellation of arccos.
        cross = abs(z[a, 0] * z[b, 1] - z[a, 1] * z[b, 0])
        angle = math.atan2(cross, z[a] @ z[b])
        cos = math.cos(angle)
        integral = math.pi / 2 - angle + (math.sin(angle) - 1) / cos
        total += s[a] * s[b] * (z[a] @ z[b]) * integral
    exact = (1 - p) * q_norm**2 / (64 * math.pi * decay) * total
    _, bound = measured("4.2 ours", r=r)
    # The next order is r times a number of the order of 1.
    self.assertAlmostEqual(bound / exact, 1, delta=0.02)


class SilenceTest(parameterized.TestCase):
  @parameterized.parameters(
    # Lemma 4.2 speaks till t = 1 / (gamma lambda) = 100.
    ("4.2", dict(step=100), dict(step=101)),
    ("4.3 steps", dict(annealed_at=0), dict(annealed_at=NOT_YET)),
    ("4.3 norm", dict(annealed_at=0), dict(annealed_at=NOT_YET)),
    ("5.1 M2 steps", dict(m2_learned_at=0), dict(m2_learned_at=NOT_YET)),
    # rho >= 1 / N.
    ("B.4", dict(rho=0.02), dict(rho=0.0199)),
  )
  def test_value_is_nan_exactly_where_the_statement_is_silent(
    self, name, speaks, silent
  ):
    self.assertTrue(math.isfinite(measured(name, reading(**speaks))[0]))
    self.assertTrue(math.isnan(measured(name, reading(**silent))[0]))

  @parameterized.parameters(
    (
      dict(weight_decay=0.0),
      {"4.2", "4.2 ours", "A.3 norm"}
      | {"B.3 flips W", "B.3 flips V", "B.3 output"},
    ),
    (dict(excess=0.0), {"4.1 steps", "4.1 norm", "4.3 steps", "4.3 norm"}),
    (
      dict(stop_loss=0.0),
      {"5.1 M2 steps", "5.1 steps", "5.1 norm", "5.2", "5.3 fit", "B.6"},
    ),
  )
  def test_a_bound_that_a_zero_takes_away_is_infinite(self, zero, expected):
    infinite = {n for n in BY_NAME if math.isinf(measured(n, **zero)[1])}
    self.assertSetEqual(infinite, expected)
    for name in BY_NAME:
      # 4.4's bounds are then 0: without excess the loss is all of Q.
      self.assertFalse(math.isnan(measured(name, **zero)[1]), name)


class LeastRestTest(parameterized.TestCase):
  @parameterized.parameters(0, 3)
  def test_least_rest_is_that_of_least_squares(self, padding):
    rng = np.random.default_rng(0)
    phi = rng.normal(size=(5, 40))
    target = rng.normal(size=40) + 2 * phi.sum(0)
    rest2 = np.linalg.lstsq(phi.T, target, rcond=None)[1]
    # Less than without alpha, by far.
    self.assertLess(rest2[0], 0.3 * target @ target)
    padded = np.concatenate([phi, np.zeros((padding, 40))])
    with jax.enable_x64(True):
      got = lemmas.least_rest2(
        jnp.array(padded @ padded.T),
        jnp.array(padded @ target),
        jnp.array(target @ target),
      )
    # A relative ridge of 2e-16, at a condition number below 10.
    self.assertAlmostEqual(float(got) / rest2[0], 1, delta=1e-13)

  def test_a_doubled_column_changes_nothing(self):
    rng = np.random.default_rng(1)
    phi, target = rng.normal(size=(4, 30)), rng.normal(size=30)
    rest2 = np.linalg.lstsq(phi.T, target, rcond=None)[1][0]
    doubled = np.concatenate([phi, phi[:1]])
    with jax.enable_x64(True):
      got = lemmas.least_rest2(
        jnp.array(doubled @ doubled.T),
        jnp.array(doubled @ target),
        jnp.array(target @ target),
      )
    # Along the difference of the two, rounding over ridge is of the order of 1;
    # its effect is of second order.
    self.assertAlmostEqual(float(got) / rest2, 1, delta=1e-10)


if __name__ == "__main__":
  absltest.main()
