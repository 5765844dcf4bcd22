"""Schedules of a level - learning rate or noise std - over update counts."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import optax

from lro_jax.core.task import Array


def stepwise(
  initial: float,
  *,
  factor: float = 1.0,
  boundaries: Sequence[int] = (),
  decay: float = 1.0,
  decay_steps: int = 1,
) -> optax.Schedule:
  """initial * factor^(boundaries reached) * decay^(step // decay_steps).

  H.1 and H.2; authors' code: train_util.py, lr_decay_*, act_noise_decay_*. In
  integers up to the last multiplication, where optax's staircase floors a
  quotient of floats.

  Args:
    initial: level of the first update.
    factor: what each boundary multiplies the level by.
    boundaries: counts of updates after which the level drops: update number b,
      from 0, is the first with the lower one.
    decay: what every `decay_steps` updates multiply the level by.
    decay_steps: 1 decays per update, an epoch's length per epoch.

  Returns:
    (updates done, int32 []) -> level of the next update, float32 [].
  """
  levels = initial * np.power(factor, np.arange(len(boundaries) + 1))
  edges = np.asarray(sorted(boundaries), np.int32)

  def schedule(count: Array) -> Array:
    reached = jnp.sum(count >= edges)
    level = jnp.asarray(levels, jnp.float32)[reached]
    if decay == 1:
      return level
    return level * jnp.float32(decay) ** (count // decay_steps)

  return schedule
