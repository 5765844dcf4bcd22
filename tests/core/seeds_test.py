"""Branches and choices along the seed axis."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import seeds


class IfAnyTest(parameterized.TestCase):
  @parameterized.parameters((0, 0, 0), (0, 1, 0), (1, 1, 1))
  def test_each_seed_takes_its_own_branch(self, *conditions):
    ran = []

    def double(value, other):
      jax.debug.callback(lambda: ran.append(1))
      return {"x": 2 * value["x"] + other}

    def of_seed(condition, x, other):
      return seeds.if_any(condition, double, {"x": x}, other)["x"]

    x, other = jnp.arange(3.0), jnp.array([10.0, 20.0, 30.0])
    condition = jnp.array(conditions, bool)
    got = jax.jit(jax.vmap(of_seed))(condition, x, other)
    jax.effects_barrier()
    np.testing.assert_array_equal(got, np.where(condition, 2 * x + other, x))
    # The branch is not run where no seed wants it.
    self.assertEqual(bool(ran), any(conditions))
    alone = [
      of_seed(c, a, b) for c, a, b in zip(condition, x, other, strict=True)
    ]
    np.testing.assert_array_equal(got, np.stack(alone))

  def test_what_has_no_seed_axis_is_shared(self):
    def of_seed(condition, x):
      return seeds.if_any(condition, jnp.add, x, jnp.float32(5.0))

    got = jax.vmap(of_seed)(jnp.array([True, False]), jnp.zeros(2))
    np.testing.assert_array_equal(got, [5.0, 0.0])


if __name__ == "__main__":
  absltest.main()
