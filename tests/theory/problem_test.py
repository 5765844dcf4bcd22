"""Problems of several seeds: pairing, what is refused, the rotation."""

from unittest import mock

import jax
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.schema import UserError
from lro_jax.theory import data
from lro_jax.theory import problem as problem_lib
from tests.theory.data_test import DIM, P0, Q0, Q_NORM, R


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

  def test_the_check_of_the_draw_is_that_of_the_problem(self):
    fields = dict(num_train=6, p0=P0, q0=Q0)
    for seed in range(12):
      refused = False
      try:
        problem_lib.check_draw((seed,), **fields)
      except UserError:
        refused = True
      # The same draw, with enough of each kind that nothing is refused.
      with mock.patch.object(problem_lib, "check_draw"):
        problem = self.sample((seed,), num_train=6)
      m1 = data.in_m1(problem.train)
      m2 = data.in_m2(problem.train)
      lacks = not (m1 & ~m2).any() or not (m2 & ~m1).any()
      self.assertEqual(refused, lacks, seed)


if __name__ == "__main__":
  absltest.main()
