"""Normal draws: JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import normal, prng
from lro_jax.core.prng import Stream


def key_of(seed):
  return prng.stream_key(prng.root_key(seed), Stream.GRAD_NOISE)


class NormalTest(parameterized.TestCase):
  @parameterized.product(
    dtype=("float32", "float64", "bfloat16"), shape=((), (7,), (129, 3))
  )
  def test_draws_are_jaxs_own_bit_for_bit(self, dtype, shape):
    with jax.enable_x64(True):
      for seed in (0, 1, 2**31):
        ours = jax.jit(lambda k: normal.normal(k, shape, jnp.dtype(dtype)))(
          key_of(seed)
        )
        theirs = jax.random.normal(key_of(seed), shape, dtype)
        self.assertEqual(ours.dtype, theirs.dtype)
        self.assertEqual(
          np.asarray(ours).tobytes(), np.asarray(theirs).tobytes()
        )

  def test_mapped_over_keys_each_draws_as_if_alone(self):
    keys = jax.vmap(key_of)(jnp.arange(3, dtype=jnp.uint32))
    mapped = jax.vmap(lambda k: normal.normal(k, (50,), np.float32))(keys)
    for i in range(3):
      alone = normal.normal(key_of(i), (50,), np.float32)
      np.testing.assert_array_equal(mapped[i], alone)

  def test_the_rounds_are_no_loop_on_the_device(self):
    # What JAX writes is one, and costs twice the time.
    def text(draw):
      return jax.jit(draw).lower(key_of(0)).as_text()

    self.assertNotIn(
      "while", text(lambda k: normal.normal(k, (64,), np.float32))
    )


if __name__ == "__main__":
  absltest.main()
