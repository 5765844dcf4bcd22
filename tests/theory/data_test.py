"""The P/Q sampler against Section 2."""

import jax
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import prng
from lro_jax.core.schema import UserError
from lro_jax.theory import data

DIM, NUM, P0, Q0, R, Q_NORM = 20, 20000, 0.15, 0.25, 0.3, 2.0


def draw(seed=0, p0=P0, q0=Q0, num=NUM):
  key = prng.root_key(seed)
  vectors = data.sample_vectors(key, dim=DIM, r=R, q_norm=Q_NORM)
  examples = data.sample_examples(
    prng.step_key(key, 1), vectors, num=num, p0=p0, q0=q0
  )
  return jax.tree.map(np.asarray, (vectors, examples))


def assert_mean(test, sample, expected):
  """The sample's mean is within 4 standard errors of `expected`."""
  sample = np.asarray(sample, float)
  error = sample.std(ddof=1) / np.sqrt(sample.size)
  test.assertLess(abs(sample.mean() - expected), 4 * error)


class VectorsTest(parameterized.TestCase):
  def test_lengths_and_right_angles(self):
    vectors, _ = draw()
    minus, middle, plus = vectors.directions
    zeta = (plus - minus) / 2
    self.assertAlmostEqual(np.linalg.norm(vectors.w_star), 1, places=5)
    self.assertAlmostEqual(np.linalg.norm(middle), Q_NORM, places=5)
    self.assertAlmostEqual(np.linalg.norm(zeta), R * Q_NORM, places=5)
    self.assertLess(abs(zeta @ middle), 1e-5)
    np.testing.assert_allclose((plus + minus) / 2, middle, atol=1e-6)

  def test_coordinates_in_their_own_plane_keep_lengths_and_angles(self):
    vectors, _ = draw()
    got = data.in_own_plane(vectors.directions)
    np.testing.assert_allclose(
      got @ got.T, vectors.directions @ vectors.directions.T, rtol=1e-5
    )
    # z first, zeta second.
    np.testing.assert_allclose(got[1], [Q_NORM, 0], atol=1e-5)
    self.assertGreater(got[2, 1], 0)

  @parameterized.parameters(2, 5, DIM)
  def test_support_is_the_last_coordinates_at_the_same_lengths(self, support):
    vectors = data.sample_vectors(
      prng.root_key(0), dim=DIM, r=R, q_norm=Q_NORM, support=support
    )
    minus, middle, plus = np.asarray(vectors.directions)
    zeta = (plus - minus) / 2
    self.assertFalse(vectors.directions[:, : DIM - support].any())
    self.assertTrue((middle[DIM - support :] != 0).all())
    self.assertTrue((zeta[DIM - support :] != 0).all())
    self.assertAlmostEqual(np.linalg.norm(middle), Q_NORM, places=5)
    self.assertAlmostEqual(np.linalg.norm(zeta), R * Q_NORM, places=5)
    self.assertLess(abs(zeta @ middle), 1e-5)
    # P's vector does not know of it.
    np.testing.assert_array_equal(vectors.w_star, draw()[0].w_star)

  def test_full_support_and_none_are_the_same_draw_to_the_bit(self):
    whole = data.sample_vectors(
      prng.root_key(0), dim=DIM, r=R, q_norm=Q_NORM, support=DIM
    )
    for got, expected in zip(whole, draw()[0], strict=True):
      np.testing.assert_array_equal(got, expected)

  @parameterized.parameters(-1, 0, 1, DIM + 1)
  def test_support_without_room_for_two_vectors_is_refused(self, support):
    with self.assertRaisesRegex(UserError, f"Got support {support} .* from 2"):
      data.sample_vectors(
        prng.root_key(0), dim=DIM, r=R, q_norm=Q_NORM, support=support
      )

  def test_plane_coordinates_have_the_same_gram_matrix(self):
    vectors, _ = draw()
    plane = data.directions_in_plane(R, Q_NORM)
    np.testing.assert_allclose(
      plane @ plane.T, vectors.directions @ vectors.directions.T, rtol=1e-5
    )


class ExamplesTest(absltest.TestCase):
  def test_fractions_of_the_three_kinds(self):
    _, ex = draw()
    m1, m2 = data.in_m1(ex), data.in_m2(ex)
    assert_mean(self, m1 & ~m2, P0)
    assert_mean(self, m2 & ~m1, Q0)
    assert_mean(self, m1 & m2, 1 - P0 - Q0)

  def test_labels_are_fair_signs(self):
    _, ex = draw()
    self.assertEqual(set(ex.y), {-1.0, 1.0})
    assert_mean(self, ex.y, 0)

  def test_w_star_separates_p_with_margin_gamma0(self):
    vectors, ex = draw()
    along = ex.y * (ex.x1 @ vectors.w_star)
    here = np.asarray(data.in_m1(ex))
    # Rounding of a 20-term float32 dot product.
    self.assertGreaterEqual(along[here].min(), 1 / np.sqrt(DIM) - 1e-6)

  def test_p_is_a_half_gaussian_along_w_star_and_gaussian_across(self):
    vectors, ex = draw()
    here = np.asarray(data.in_m1(ex))
    scaled = np.sqrt(DIM) * ex.x1[here]
    along = ex.y[here] * (scaled @ vectors.w_star) - 1
    assert_mean(self, along, np.sqrt(2 / np.pi))
    assert_mean(self, along**2, 1)
    other = np.cross(np.eye(DIM)[0][:3], vectors.w_star[:3])
    other = np.concatenate([other, np.zeros(DIM - 3)])
    other /= np.linalg.norm(other)
    across = scaled @ other
    assert_mean(self, across, 0)
    assert_mean(self, across**2, 1)
    assert_mean(self, across * ex.y[here], 0)

  def test_q_lies_on_the_direction_of_its_label(self):
    _, ex = draw()
    here = np.asarray(data.in_m2(ex))
    self.assertTrue(((ex.direction == data.MIDDLE) == (ex.y > 0)).all())
    negative = ex.direction[here & (ex.y < 0)]
    assert_mean(self, negative == data.PLUS, 0.5)
    assert_mean(self, ex.alpha[here], 0.5)
    assert_mean(self, ex.alpha[here] ** 2, 1 / 3)
    self.assertTrue(((ex.alpha >= 0) & (ex.alpha <= 1)).all())
    self.assertTrue((ex.alpha[~here] == 0).all())


if __name__ == "__main__":
  absltest.main()
