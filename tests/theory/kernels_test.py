"""The infinite-width kernel's laws, and n steps at once."""

import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.theory import kernels, settings
from tests.theory.limit_test import config


class AdvanceTest(parameterized.TestCase):
  @parameterized.parameters((0.0, 0.0), (0.01, 0.0), (0.0, 0.7), (0.01, 0.7))
  def test_n_steps_at_once_equal_n_steps_where_the_noise_is_stationary(
    self, weight_decay, u_of_one
  ):
    rates = np.array([0.0, 1.0, 3.0, 50.0])
    kernel = kernels.Kernel(rates, 1, None, None, None, 0.0)
    with jax.enable_x64(True):
      sums = jnp.arange(8.0).reshape(4, 2)
      force = jnp.array([0.3, -0.2])
      move = dict(rate=0.5, weight_decay=weight_decay)
      once = kernels.advance(kernel, sums, force, n=6.0, u=6 * u_of_one, **move)
      for _ in range(6):
        sums = kernels.advance(kernel, sums, force, n=1.0, u=u_of_one, **move)
    np.testing.assert_allclose(once, sums, rtol=1e-13, atol=1e-13)


class OffDiagonalTest(parameterized.TestCase):
  """A sum over pairs, however it is cut."""

  # Of 14 examples: in one block; three and two left; seven, none left; 14.
  @parameterized.parameters(1000, 40, 20, 1)
  def test_it_is_the_double_sum_in_blocks_of_any_size(self, block_size):
    rng = np.random.default_rng(0)
    num_odd, num, n = 3, 14, 10
    off = rng.normal(size=1 + num_odd)
    kernel = kernels.Kernel(None, num_odd, off, None, None, 0.0)
    cosines = rng.uniform(-0.5, 0.5, (num, n))
    norms, log_a = rng.uniform(1, 2, num), rng.uniform(-1, 0, n)
    sums = rng.normal(size=(1 + num_odd, num))
    with (
      jax.enable_x64(True),
      mock.patch.object(kernels, "BLOCK_SIZE", block_size),
    ):
      got = kernels.off_diagonal(kernel, cosines, norms, sums)
      shrunk = kernels.off_diagonal(kernel, cosines, norms, sums, log_a)
    for out, a in ((got, np.ones(n)), (shrunk, np.exp(log_a))):
      # The kernel of a pair: a constant, then odd powers of its cosine.
      of_pairs = off[0] * sums[0][:, None] + sum(
        off[1 + k] * sums[1 + k][:, None] * (cosines * a) ** (2 * k + 1)
        for k in range(num_odd)
      )
      want = np.sum(norms[:, None] * cosines * of_pairs, axis=0)
      np.testing.assert_allclose(out, want, rtol=1e-12)


class QKernelTest(parameterized.TestCase):
  """Laws of the second difference with the loss derivative at its start."""

  P = 0.125

  def second_difference(self, r, weight_decay, n, eta, stationary=True):
    setting = settings.resolve(
      config(
        **{
          "data.r": r,
          "data.q_norm": 5.0,
          "data.p0": self.P,
          "optim.weight_decay": weight_decay,
          "optim.large_learning_rate": eta,
          "optim.small_learning_rate": eta,
          "optim.stationary": "noise_std" if stationary else "none",
          "optim.noise_std": 0.0,
        }
      )
    )
    with jax.enable_x64(True):
      kernel = kernels.make_kernel(setting, 0.5, 10**6)
      # l' = -y/2; half of the labels +1 on z, a quarter -1 on z +- zeta;
      # E alpha = 1/2; a share 1 - p has Q.
      force = 0.5 * (1 - self.P) * 0.5 * jnp.array([-0.25, 0.5, -0.25])
      u = -n * math.log1p(-eta * weight_decay) if stationary else 0.0
      sums = kernels.advance(
        kernel,
        jnp.zeros((len(kernel.rates), 3)),
        force,
        n=float(n),
        rate=eta,
        u=u,
        weight_decay=weight_decay,
      )
      minus, middle, plus = kernels.q_directions_output(kernel, sums)
      return float(plus + minus - 2 * middle)

  @parameterized.parameters(0.2, 0.05, 0.0125)
  def test_starts_at_the_rate_of_the_closed_form(self, r):
    got = self.second_difference(r, 0.0, 1, 1.0, stationary=False)
    expected = -r * 25 * (1 - self.P) / (16 * math.pi)
    # Leading order in r; the next is O(r^2) relative.
    self.assertAlmostEqual(got / expected, 1, delta=2 * r**2 + 1e-4)

  @parameterized.parameters(
    (0.2, 0.92), (0.1, 0.96), (0.05, 0.98), (0.025, 0.991), (0.0125, 0.995)
  )
  def test_plateau_is_r_cubed_over_lambda(self, r, ratio):
    # Ratios measured beforehand by quadrature of the kernel, to the digits
    # given; eta lambda = 1e-8 so that a step is a differential.
    lam = 1e-5
    got = self.second_difference(r, lam, 10**13, 1e-3)
    law = -(1 - self.P) * 25 * r**3 / (24 * math.pi * lam)
    self.assertAlmostEqual(got / law, ratio, delta=0.006)


if __name__ == "__main__":
  absltest.main()
