"""The P/Q sampler against Section 2."""

import jax
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import prng
from lro_jax.core.schema import UserError
from lro_jax.theory import data
from lro_jax.theory import problem as problem_lib

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


class VectorsTest(absltest.TestCase):
  def test_lengths_and_right_angles(self):
    vectors, _ = draw()
    minus, middle, plus = vectors.directions
    zeta = (plus - minus) / 2
    self.assertAlmostEqual(np.linalg.norm(vectors.w_star), 1, places=5)
    self.assertAlmostEqual(np.linalg.norm(middle), Q_NORM, places=5)
    self.assertAlmostEqual(np.linalg.norm(zeta), R * Q_NORM, places=5)
    self.assertLess(abs(zeta @ middle), 1e-5)
    np.testing.assert_allclose((plus + minus) / 2, middle, atol=1e-6)

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


class ProblemTest(parameterized.TestCase):
  def sample(self, seeds=(0, 1), **kw):
    fields = dict(
      dim=DIM, num_train=24, num_test=10, p0=P0, q0=Q0, r=R, q_norm=Q_NORM
    )
    return problem_lib.sample_problem(seeds, **fields | kw)

  def test_a_seed_means_the_same_problem_in_any_company(self):
    together, alone = self.sample((5, 1)), self.sample((1,))
    for a, b in zip(
      jax.tree.leaves(together), jax.tree.leaves(alone), strict=True
    ):
      np.testing.assert_array_equal(a[1], b[0])

  def test_train_and_test_are_different_draws(self):
    problem = self.sample(num_test=24)
    self.assertGreater(
      np.abs(problem.train.x1 - problem.test.x1).min(-1).max(), 0
    )
    self.assertNotEqual(
      problem_lib.digest(problem), problem_lib.digest(self.sample((2, 3)))
    )

  @parameterized.parameters((dict(p0=0.0), "P-only"), (dict(q0=0.0), "Q-only"))
  def test_a_missing_kind_is_refused_by_name(self, fields, kind):
    with self.assertRaisesRegex(UserError, f"No {kind} example"):
      self.sample(**fields)

  @parameterized.parameters(12, 60)
  def test_rotation_keeps_all_inner_products_and_fills_leading_columns(
    self, num_train
  ):
    problem = self.sample(num_train=num_train, p0=0.3, q0=0.3)
    rotated, rank, basis = problem_lib.rotate_to_span(problem)
    for s in range(2):
      before = np.vstack(
        [problem.train.x1[s], problem.test.x1[s], problem.vectors.w_star[s]]
      )
      after = np.vstack(
        [rotated.train.x1[s], rotated.test.x1[s], rotated.vectors.w_star[s]]
      )
      # float64 products of 20 terms.
      np.testing.assert_allclose(before @ before.T, after @ after.T, atol=1e-13)
      np.testing.assert_allclose(
        problem.test.x1[s] @ basis[s], rotated.test.x1[s], atol=1e-13
      )
    self.assertTrue((rotated.train.x1[..., rank:] == 0).all())
    expected = min(DIM, problem.train.x1.any(-1).sum(-1).max())
    self.assertEqual(rank, expected)


if __name__ == "__main__":
  absltest.main()
