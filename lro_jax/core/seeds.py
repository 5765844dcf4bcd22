"""The seed axis [s] in front of every array of a run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from lro_jax.core.task import Array, Tree


def each_seed(fn: Callable, num_seeds: int) -> Callable:
  """`fn` mapped over the seed axis [s] of all its arguments. Ours.

  One seed is not mapped: as a batch axis of length 1 it would cost a
  convolution its layout.
  """
  if num_seeds > 1:
    return jax.vmap(fn)

  def alone(*args):
    out = fn(*jax.tree.map(lambda x: x[0], args))
    return jax.tree.map(lambda x: x[None], out)

  return alone


def select(condition: Array, on_true: Tree, on_false: Tree) -> Tree:
  """Per seed, one tree or the other. Leaves [s, ...], condition [s]. Ours."""

  def pick(a, b):
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
      # One key per seed: the condition has their shape already.
      return jnp.where(condition, a, b)
    shape = condition.shape + (1,) * (a.ndim - condition.ndim)
    return jnp.where(condition.reshape(shape), a, b)

  return jax.tree.map(pick, on_true, on_false)
