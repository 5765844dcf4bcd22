"""The convolutional net of Section F.2 against plain loops, and its lemmas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import prng
from lro_jax.core.schema import UserError
from lro_jax.theory import convolution, data, models

D, K, H, N = 12, 3, 5, 4


def draw(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


def heads(seed, k=K, channels=H):
  signs = np.random.default_rng(seed).choice([-1.0, 1.0], (k + 1, channels))
  return signs / np.sqrt(k * channels)


def loop_patches(x, k):
  """Patch i starts at (i - 1) d/k, i = 1 ... k + 1; by coordinates."""
  d = x.shape[1] // 2
  out = np.zeros((len(x), k + 1, d))
  for n in range(len(x)):
    for i in range(1, k + 2):
      for j in range(1, d + 1):
        out[n, i - 1, j - 1] = x[n, (i - 1) * (d // k) + j - 1]
  return out


def loop_channel(a, head, weights, patch):
  """N_A(u_i, U; x) of one patch, unit by unit. (F.5)."""
  return sum(
    head[j] * (a[j] @ patch >= 0) * (weights[j] @ patch)
    for j in range(len(head))
  )


class PatchesTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 3, 12)
  def test_patches_are_the_definition_s(self, k):
    x = draw(0, N, 2 * D).astype(np.float32)
    got = convolution.patches_of(x, k)
    np.testing.assert_array_equal(got, loop_patches(x, k))
    np.testing.assert_array_equal(got[:, 0], x[:, :D])
    np.testing.assert_array_equal(got[:, k], x[:, D:])

  @parameterized.parameters(1, 2, 3, 6)
  def test_those_of_x1_do_not_see_a_q_on_the_last_coordinates(self, k):
    x1, x2 = draw(1, N, D), draw(2, N, D)
    x2[:, : D - D // k] = 0
    x = np.concatenate([x1, x2], axis=1).astype(np.float32)
    np.testing.assert_array_equal(
      convolution.patches_of_x1(x[:, :D], k),
      convolution.patches_of(x, k)[:, :k],
    )
    # One coordinate more, and the k-th patch sees it.
    if k > 1:
      x[:, 2 * D - D // k - 1] = 1.0
      more = convolution.patches_of(x, k)[:, :k]
      self.assertTrue((more[:, k - 1, -1] == 1.0).all())

  @parameterized.parameters(0, -1, 5, 13)
  def test_number_of_patches_that_does_not_divide_is_refused(self, k):
    with self.assertRaisesRegex(UserError, rf"Got k = {k} patches .* divisor"):
      convolution.patches_of(np.zeros((1, 2 * D)), k)
    with self.assertRaisesRegex(UserError, "divisor of 12.*change one"):
      convolution.patches_of_x1(np.zeros((1, D)), k)

  @parameterized.parameters((10, 3), (10, 0), (0, 2))
  def test_units_that_do_not_divide_are_refused(self, num_hidden, k):
    with self.assertRaisesRegex(UserError, "multiple of k.*change one"):
      convolution.sample_heads(
        prng.root_key(0), num_hidden=num_hidden, num_strides=k
      )

  def test_heads_are_signs_over_the_root_of_all_units(self):
    u = np.asarray(
      convolution.sample_heads(prng.root_key(0), num_hidden=9000, num_strides=3)
    )
    self.assertEqual(u.shape, (4, 3000))
    np.testing.assert_allclose(np.abs(u), 9000**-0.5, rtol=1e-6)
    # Means of 3000 fair signs, and of products of two heads': 4 std errors.
    signs = np.sign(u)
    self.assertLess(np.abs(signs.mean(1)).max(), 4 / 3000**0.5)
    self.assertLess(abs((signs[0] * signs[1]).mean()), 4 / 3000**0.5)


class NetTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_outputs_are_the_loops(self):
    u, a, w = heads(0), draw(1, H, D), draw(2, H, D)
    x = draw(3, N, 2 * D)
    patches = loop_patches(x, K)
    expected = np.array(
      [
        [loop_channel(a, u[i], w, patches[n, i]) for i in range(K + 1)]
        for n in range(N)
      ]
    )
    got = convolution.channel_outputs_with_patterns_of(a, u, w, patches)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
      convolution.conv_two_layer_with_patterns_of(a, u, w, patches),
      expected.sum(1),
      rtol=1e-12,
      atol=1e-14,
    )
    relu = [
      sum(
        u[i, j] * max(0.0, w[j] @ patches[n, i])
        for i in range(K + 1)
        for j in range(H)
      )
      for n in range(N)
    ]
    np.testing.assert_allclose(
      convolution.conv_two_layer(u, w, patches), relu, rtol=1e-12, atol=1e-14
    )

  def test_own_patterns_give_the_net_and_others_do_not(self):
    u, w, patches = heads(0), draw(1, H, D), draw(2, N, K + 1, D)
    net = convolution.conv_two_layer(u, w, patches)
    by = convolution.conv_two_layer_with_patterns_of
    np.testing.assert_allclose(by(w, u, w, patches), net, rtol=1e-12)
    self.assertGreater(np.abs(by(-w, u, w, patches) - net).min(), 1e-3)

  def test_net_scales_with_input_and_weights(self):
    u, w, patches = heads(0), draw(1, H, D), draw(2, N, K + 1, D)
    net = convolution.conv_two_layer(u, w, patches)
    for scaled in (
      convolution.conv_two_layer(u, 3.5 * w, patches),
      convolution.conv_two_layer(u, w, 3.5 * patches),
    ):
      np.testing.assert_allclose(scaled, 3.5 * net, rtol=1e-12)
    self.assertGreater(
      np.abs(convolution.conv_two_layer(u, -w, patches) + net).min(), 1e-3
    )

  def test_one_stride_is_the_dense_net_with_a_shared_first_layer(self):
    u, w, x = heads(0, 1), draw(1, H, D), draw(2, N, 2 * D)
    got = convolution.conv_two_layer(u, w, convolution.patches_of(x, 1))
    expected = models.two_layer(u[0], w, x[:, :D]) + models.two_layer(
      u[1], w, x[:, D:]
    )
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)

  @parameterized.parameters(1, 2, 3, 6)
  def test_net_is_r_of_x1_plus_g_of_x2_for_q_on_its_last_coordinates(self, k):
    def gap(support):
      vectors = data.sample_vectors(
        prng.root_key(0), dim=D, r=0.3, q_norm=2.0, support=support
      )
      ex = data.sample_examples(
        prng.root_key(1), vectors, num=20, p0=0.2, q0=0.2
      )
      u, w = heads(2, k), draw(3, H, D)
      x2 = data.x2_of(ex, vectors)
      whole = convolution.conv_two_layer(
        u, w, convolution.patches_of(jnp.concatenate([ex.x1, x2], 1), k)
      )
      r = convolution.conv_two_layer(
        u[:k], w, convolution.patches_of_x1(ex.x1, k)
      )
      g = convolution.conv_two_layer(u[k:], w, x2[:, None])
      return np.abs(whole - r - g).max()

    self.assertLess(gap(D // k), 1e-13)
    if k > 1:
      self.assertGreater(gap(None), 1e-2)
      self.assertGreater(gap(D // k + 1), 1e-3)


LEMMA = dict(weight_decay=0.5, init_std=0.1)


def cross_talk_draws(log2_m, *, normalised):
  """Mean squares over 64 inputs of 16 draws of all else, [16]. Lemma F.3."""
  m, k, d = 2**log2_m, 4, 8
  out = []
  for seed in range(16):
    matrices = draw(seed + 100, k + 1, m // k, d)
    matrices /= np.sqrt((matrices**2).sum((1, 2), keepdims=True))
    if normalised == "with head":
      matrices *= np.sqrt(m)
    reading = convolution.cross_talk(
      draw(seed, m // k, d),
      heads(seed + 200, k, m // k),
      matrices,
      draw(seed + 300, 64, 2 * d),
      **LEMMA,
    )
    out.append((reading.measured**2).mean())
  return np.array(out)


def gradient_cross_talk_draws(log2_m):
  """Mean squares over 64 x 64 pairs of 16 draws of all else. Lemma F.4."""
  m, k, d = 2**log2_m, 4, 8
  out = []
  for seed in range(16):
    u = heads(seed, k, m // k)
    a = draw(seed + 100, m // k, d)
    reading = convolution.gradient_cross_talk(
      a,
      a + 0.5 * draw(seed + 200, m // k, d),
      u[1],
      u[0],
      draw(seed + 300, 64, d),
      draw(seed + 400, 64, d),
      num_strides=k,
      **LEMMA,
    )
    out.append((reading.measured**2).mean())
  return np.array(out)


class LemmasTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  def test_cross_talk_is_the_loops(self):
    a, u, matrices = draw(0, H, D), heads(1), draw(2, K + 1, H, D)
    x = draw(3, N, 2 * D)
    got = convolution.cross_talk(a, u, matrices, x, **LEMMA)
    patches = loop_patches(x, K)
    scaled = u[:, :, None] * matrices
    m = K * H
    for n in range(N):
      whole = sum(
        loop_channel(a, u[i], scaled.sum(0), patches[n, i])
        for i in range(K + 1)
      )
      apart = sum(
        loop_channel(a, u[i], scaled[i], patches[n, i]) for i in range(K + 1)
      )
      self.assertAlmostEqual(
        float(got.measured[n]), abs(whole - apart), places=12
      )
      length = np.linalg.norm(x[n])
      flips = (1 / (0.5 * 0.1)) ** (4 / 3) * m ** (-1 / 3)
      bound = K**2 * length / (0.5 * m**0.5) + K * flips * length
      self.assertAlmostEqual(float(got.bound[n]), bound, places=9)

  def test_gradient_cross_talk_is_the_loops(self):
    a, b, u = draw(0, H, D), draw(1, H, D), heads(2)
    x, x_earlier = draw(3, N, D), draw(4, N + 1, D)
    got = convolution.gradient_cross_talk(
      a, b, u[2], u[0], x, x_earlier, num_strides=K, **LEMMA
    )
    self.assertEqual(got.measured.shape, (N, N + 1))
    m = K * H
    flips = (1 / (0.5 * 0.1)) ** (4 / 3) * m ** (-1 / 3)
    for n in range(N):
      for k in range(N + 1):
        pattern = b @ x_earlier[k] >= 0
        matrix = np.outer(u[0] * pattern, x_earlier[k])
        expected = abs(loop_channel(a, u[2], matrix, x[n]))
        self.assertAlmostEqual(float(got.measured[n, k]), expected, places=12)
        one, two = np.linalg.norm(x[n]), np.linalg.norm(x_earlier[k])
        bound = D**2 * one * two / m**0.5 + one * two * flips**0.5 + one * flips
        self.assertAlmostEqual(float(got.bound[n, k]), bound, places=8)

  def test_no_cross_talk_from_a_single_matrix_through_a_single_head(self):
    a, u, matrices = draw(0, H, D), heads(1), draw(2, K + 1, H, D)
    x = draw(3, N, 2 * D)
    matrices[1:] = 0
    # Patches 2 to k + 1 are zero: x lives on the first d/k coordinates.
    x[:, D // K :] = 0
    got = convolution.cross_talk(a, u, matrices, x, **LEMMA).measured
    np.testing.assert_allclose(got, 0, atol=1e-15)
    # The same head twice is no cross talk of independent heads: it is large.
    x = draw(4, N, D)
    same = convolution.gradient_cross_talk(
      a, a, u[0], u[0], x, x, num_strides=K, **LEMMA
    ).measured
    active = (x @ a.T >= 0).sum(1)
    np.testing.assert_allclose(
      np.diag(same), active / (K * H) * (x**2).sum(1), rtol=1e-12
    )

  def assert_power(self, draws, power):
    """Root mean squares from m = 2^10 to 2^14 go like m^power."""
    few, many = draws(10), draws(14)
    error = np.sqrt(
      sum(v.var(ddof=1) / v.size / v.mean() ** 2 for v in (few, many))
    )
    slope = np.log2(many.mean() / few.mean()) / 2 / 4
    # 4 standard errors, and enough draws to tell powers apart.
    delta = 4 * error / np.log(2) / 2 / 4
    self.assertLess(delta, 0.25)
    self.assertAlmostEqual(slope, power, delta=delta)

  @parameterized.parameters(("alone", -1.0), ("with head", -0.5))
  def test_cross_talk_of_wider_nets_shrinks(self, normalised, power):
    # 1/m for ||U_i|| of the order of 1, 1/sqrt(m) for ||u_i * U_i||.
    self.assert_power(
      functools.partial(cross_talk_draws, normalised=normalised), power
    )

  def test_gradient_cross_talk_of_wider_nets_shrinks_like_the_root(self):
    self.assert_power(gradient_cross_talk_draws, -0.5)

  def test_both_stay_below_their_bounds_without_constants(self):
    m, k, d = 2**12, 4, 8
    a, u, x = draw(0, m // k, d), heads(1, k, m // k), draw(3, 64, 2 * d)
    matrices = draw(2, k + 1, m // k, d)
    matrices /= 0.5 * np.sqrt((matrices**2).sum((1, 2), keepdims=True))
    one = convolution.cross_talk(a, u, matrices, x, **LEMMA)
    two = convolution.gradient_cross_talk(
      a, a, u[1], u[0], x[:, :d], x[:, :d], num_strides=k, **LEMMA
    )
    for measured, bound in (one, two):
      self.assertTrue((measured <= bound).all())


if __name__ == "__main__":
  absltest.main()
