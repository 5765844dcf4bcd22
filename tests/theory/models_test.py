"""The two-layer nets against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from lro_jax.core import prng
from lro_jax.theory import data, models

M, D, N = 40, 7, 11


def draw(index, *shape):
  return jax.random.normal(prng.step_key(prng.root_key(0), index), shape)


class ModelsTest(absltest.TestCase):
  def test_output_is_the_sum_over_active_units(self):
    u, weights, x = draw(0, M), draw(1, M, D), draw(2, N, D)
    expected = [
      sum(u[i] * max(0.0, float(weights[i] @ xi)) for i in range(M)) for xi in x
    ]
    np.testing.assert_allclose(
      models.two_layer(u, weights, x), expected, rtol=2e-5, atol=1e-5
    )

  def test_own_patterns_give_the_net_and_others_do_not(self):
    u, weights, x = draw(0, M), draw(1, M, D), draw(2, N, D)
    net = models.two_layer(u, weights, x)
    own = models.two_layer_with_patterns_of(weights, u, weights, x)
    np.testing.assert_allclose(own, net, rtol=1e-5, atol=1e-5)
    other = models.two_layer_with_patterns_of(-weights, u, weights, x)
    # The inactive half: together they are the linear net.
    np.testing.assert_allclose(
      own + other, x @ weights.T @ u, rtol=1e-5, atol=1e-5
    )

  def test_decoupled_net_is_linear_in_its_linear_part(self):
    a, u, x = draw(3, M, D), draw(0, M), draw(2, N, D)
    b, c = draw(4, M, D), draw(5, M, D)
    apply = lambda w: models.two_layer_with_patterns_of(a, u, w, x)  # noqa: E731
    np.testing.assert_allclose(
      apply(2 * b - c), 2 * apply(b) - apply(c), rtol=1e-4, atol=1e-4
    )

  def test_three_directions_give_the_plain_forward_pass(self):
    with jax.enable_x64(True):
      vectors = data.sample_vectors(prng.root_key(1), dim=D, r=0.2, q_norm=3.0)
      ex = data.sample_examples(
        prng.root_key(2), vectors, num=50, p0=0.2, q0=0.2
      )
      u, v = draw(6, M), draw(7, M, D)
      g_at = models.directions_output(u, v, vectors.directions)
      got = models.q_output(g_at, ex.alpha, ex.direction)
      plain = models.two_layer(u, v, data.x2_of(ex, vectors))
      np.testing.assert_allclose(got, plain, rtol=1e-13, atol=1e-13)

  def test_a_few_columns_written_out_are_the_product_and_its_gradient(self):
    with jax.enable_x64(True):
      weights, x = draw(9, M, 2), draw(10, 3, 2)
      cotangent = draw(11, 3, M)
      got, pull = jax.vjp(models.pre_activations, weights, x)
      np.testing.assert_allclose(got, x @ weights.T, rtol=1e-13, atol=1e-13)
      by_weights, by_x = pull(cotangent)
      np.testing.assert_allclose(by_weights, cotangent.T @ x, rtol=1e-13)
      np.testing.assert_allclose(by_x, cotangent @ weights, rtol=1e-12)

  def test_second_difference_vanishes_for_a_linear_g(self):
    vectors = data.sample_vectors(prng.root_key(1), dim=D, r=0.2, q_norm=1.0)
    linear = vectors.directions @ draw(8, D)
    self.assertLess(abs(models.second_difference(linear)), 1e-6)
    self.assertAlmostEqual(
      float(models.second_difference(jnp.array([2.0, 5.0, 11.0]))), 3.0
    )

  def test_head_is_signs_over_the_root_of_both_blocks_units(self):
    head = np.asarray(models.sample_head(prng.root_key(3), 10000))
    np.testing.assert_allclose(np.abs(head), 1 / np.sqrt(20000), rtol=1e-6)
    # Mean of 10^4 fair signs within 4 standard errors.
    self.assertLess(abs(np.sign(head).mean()), 4 / 100)

  def test_logistic_loss_at_known_values(self):
    f, y = jnp.array([0.0, 2.0, -2.0, 800.0]), jnp.array([1.0, 1.0, 1.0, -1.0])
    expected = [np.log(2), np.log1p(np.exp(-2)), np.log1p(np.exp(2)), 800.0]
    np.testing.assert_allclose(models.logistic_loss(f, y), expected, rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
