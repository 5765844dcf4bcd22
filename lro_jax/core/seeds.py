"""The seed axis [s] in front of every array of a run."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import custom_batching

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


def if_any(
  condition: Array, on_true: Callable[..., Tree], value: Tree, *rest: Tree
) -> Tree:
  """`on_true(value, *rest)` where `condition`, else `value`. One seed's view.

  Ours. Mapped over seeds, a `lax.cond` computes both branches always. This one
  runs the branch only where some seed wants it: for what is rare and dear.

  Args:
    condition: bool [].
    on_true: of these arguments and of constants alone; keeps the structure of
      `value`.
    value: tree of arrays.
    *rest: trees of arrays.
  """

  def choose(condition, value, *rest):
    return jax.lax.cond(
      condition, on_true, lambda value, *_: value, value, *rest
    )

  run = custom_batching.custom_vmap(choose)

  @run.def_vmap
  def _(axis_size, in_batched, *args):
    condition, value, *rest = jax.tree.map(
      lambda x, is_batched: (
        x if is_batched else jnp.broadcast_to(x, (axis_size, *jnp.shape(x)))
      ),
      args,
      tuple(in_batched),
    )

    def some(value, *rest):
      return select(condition, jax.vmap(on_true)(value, *rest), value)

    out = jax.lax.cond(
      jnp.any(condition), some, lambda value, *_: value, value, *rest
    )
    return out, jax.tree.map(lambda _: True, out)

  return run(condition, value, *rest)
