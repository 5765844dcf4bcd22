"""Random streams: distinct, without memory, the same in every setting."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import prng
from lro_jax.core.prng import Stream

# How far a sample statistic may lie from its law, in standard errors.
STANDARD_ERRORS = 4


def data(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


def key_of(seed, stream, step):
  return prng.step_key(prng.stream_key(prng.root_key(seed), stream), step)


class KeysTest(parameterized.TestCase):
  def test_every_seed_stream_and_step_has_a_key_of_its_own(self):
    keys = [data(prng.root_key(seed)) for seed in range(4)]
    for seed, stream in itertools.product(range(4), Stream):
      stream_key = prng.stream_key(prng.root_key(seed), stream)
      keys.append(data(stream_key))
      steps = jnp.arange(200)
      folded = jax.vmap(lambda t, k=stream_key: prng.step_key(k, t))(steps)
      keys += map(tuple, np.asarray(jax.random.key_data(folded)).tolist())
    self.assertLen(set(keys), len(keys))

  def test_the_number_of_a_stream_is_part_of_every_result(self):
    # Kept here a second time: renumbering changes every run ever made.
    names = "INIT DATA ORDER AUGMENT GRAD_NOISE ACT_NOISE EVAL".split()
    self.assertEqual(
      {s.name: int(s) for s in Stream}, {n: i for i, n in enumerate(names)}
    )

  def test_the_key_of_a_step_does_not_depend_on_the_steps_before(self):
    stream_key = prng.stream_key(prng.root_key(3), Stream.GRAD_NOISE)
    in_order = [data(prng.step_key(stream_key, t)) for t in range(20)]
    for t in np.random.default_rng(0).permutation(20):
      self.assertEqual(data(key_of(3, Stream.GRAD_NOISE, int(t))), in_order[t])

  def test_seeds_and_steps_may_be_traced_or_mapped(self):
    seeds = np.arange(5, dtype=np.uint32)
    steps = np.array([0, 1, 7, 2**20, 2**31 - 1], np.int32)
    mapped = jax.jit(
      jax.vmap(lambda seed, step: key_of(seed, Stream.ORDER, step))
    )(seeds, steps)
    for i, (seed, step) in enumerate(zip(seeds, steps, strict=True)):
      alone = key_of(int(seed), Stream.ORDER, int(step))
      self.assertEqual(data(mapped[i]), data(alone))

  def test_double_precision_does_not_change_the_keys(self):
    single = data(key_of(11, Stream.DATA, 2**31 - 1))
    with jax.enable_x64(True):
      self.assertEqual(data(key_of(11, Stream.DATA, 2**31 - 1)), single)


class SettingsTest(parameterized.TestCase):
  @parameterized.parameters("rbg", "unsafe_rbg")
  def test_a_users_default_generator_changes_no_draw(self, impl):
    def draws():
      key = key_of(5, Stream.INIT, 2)
      halves = jax.random.split(key)
      return jax.random.normal(key, (50,)), jax.random.bits(halves[1], (50,))

    usual = draws()
    own = jax.random.bits(jax.random.key(5), (50,))
    with jax.default_prng_impl(impl):
      self.assertNotEqual(
        jax.random.key(5).dtype, prng.root_key(5).dtype, "setting not in force"
      )
      chex.assert_trees_all_equal(draws(), usual)
      self.assertFalse(
        np.array_equal(jax.random.bits(jax.random.key(5), (50,)), own)
      )


class IndependenceTest(parameterized.TestCase):
  @parameterized.parameters(
    ((0, Stream.INIT, 0), (1, Stream.INIT, 0)),
    ((0, Stream.INIT, 0), (0, Stream.DATA, 0)),
    ((0, Stream.GRAD_NOISE, 0), (0, Stream.GRAD_NOISE, 1)),
    # Sums and swaps of the numbers are not confused with each other.
    ((0, Stream.DATA, 2), (0, Stream.ORDER, 1)),
    ((1, Stream.INIT, 0), (0, Stream.DATA, 0)),
    ((0, Stream.GRAD_NOISE, 5), (0, Stream.ACT_NOISE, 4)),
  )
  def test_draws_of_two_keys_are_uncorrelated(self, one, other):
    n = 40_000
    a, b = (
      np.asarray(jax.random.normal(key_of(*which), (n,)), np.float64)
      for which in (one, other)
    )
    # The product of two independent N(0, 1) has mean 0 and variance 1.
    self.assertLess(abs(np.mean(a * b)), STANDARD_ERRORS / np.sqrt(n))

  def test_first_draws_of_consecutive_steps_are_normal(self):
    n = 40_000
    stream_key = prng.stream_key(prng.root_key(0), Stream.GRAD_NOISE)
    draws = jax.vmap(lambda t: jax.random.normal(prng.step_key(stream_key, t)))(
      jnp.arange(n)
    )
    draws = np.asarray(draws, np.float64)
    self.assertLess(abs(draws.mean()), STANDARD_ERRORS / np.sqrt(n))
    # Var z^2 = 2 for z ~ N(0, 1).
    self.assertLess(
      abs(np.mean(draws**2) - 1), STANDARD_ERRORS * np.sqrt(2 / n)
    )
    neighbours = np.mean(draws[1:] * draws[:-1])
    self.assertLess(abs(neighbours), STANDARD_ERRORS / np.sqrt(n - 1))


if __name__ == "__main__":
  absltest.main()
