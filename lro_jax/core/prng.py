"""Named random streams: one integer seed decides every draw of a run.

The key of stream S at step t is fold_in(fold_in(root, S), t), so a draw depends
on nothing but its name and its index: not on how many devices there are, not on
what was drawn before, not on whether the run was interrupted.
"""

import enum

import jax


class Stream(enum.IntEnum):
  """What a draw is for. Values are part of every result: never renumber."""

  INIT = 0
  DATA = 1
  ORDER = 2
  AUGMENT = 3
  GRAD_NOISE = 4
  ACT_NOISE = 5
  EVAL = 6


def root_key(seed: int | jax.Array) -> jax.Array:
  """The root key of a seed, []. Ours.

  Args:
    seed: non-negative integer, [].

  Returns:
    Typed threefry key, [].
  """
  # Named, not the process default: a user's jax_default_prng_impl must not
  # change the numbers.
  return jax.random.key(seed, impl="threefry2x32")


def stream_key(root: jax.Array, stream: Stream) -> jax.Array:
  """The key of one named stream, [], from a root key, []. Ours."""
  return jax.random.fold_in(root, int(stream))


def step_key(stream: jax.Array, step: int | jax.Array) -> jax.Array:
  """The key of one step (or epoch, or example), [], of a stream's key. Ours."""
  return jax.random.fold_in(stream, step)
