"""Two-layer ReLU nets as plain functions of arrays. Paper: Section 2, (2.6).

Letters: see `lro_jax.theory`. The net splits in two blocks, W for x1 and V for
x2, of m/2 rows each; a block's head is +-1/sqrt(m), where m counts both blocks.

Deviation: the blocks may have different numbers of rows. A block of n rows has
the head of the net with m = 2 n, so that its output has the law it would have
in that net.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lro_jax.core.task import Array

# Products of up to so many rows and columns are written out.
FEW = 4


class Blocks(NamedTuple):
  """The first layer: W [m/2, d] and V [m/2, d] (d may be a basis' size)."""

  w: Array
  v: Array


def sample_head(key: Array, num_rows: int) -> Array:
  """Fixed second layer of a block: iid +-1/sqrt(2 num_rows), [num_rows].

  Paper: Proposition A.4 (u uniform on {-1/sqrt(m), 1/sqrt(m)}).
  """
  signs = jax.random.rademacher(key, (num_rows,), jnp.result_type(float))
  return signs / jnp.sqrt(2.0 * num_rows)


def pre_activations(weights: Array, x: Array) -> Array:
  """U x of every unit, [n, m]. Paper: (2.6).

  Of a few inputs in a few columns, as Q's three directions in their plane, it
  is written out: one pass over the units, forward and backward, where a matrix
  product has nothing to block.

  Args:
    weights: U, [m, d].
    x: inputs, [n, d].
  """
  if max(x.shape) > FEW:
    return x @ weights.T
  columns = weights.T
  return jnp.stack(
    [sum(a * u for a, u in zip(row, columns, strict=True)) for row in x]
  )


def two_layer(u: Array, weights: Array, x: Array) -> Array:
  """N_U(u, U; x) = u . relu(U x), [n]. Paper: (2.6) with A = U.

  Args:
    u: head, [m].
    weights: U, [m, d].
    x: inputs, [n, d].
  """
  chex.assert_rank([u, weights, x], [1, 2, 2])
  return jax.nn.relu(pre_activations(weights, x)) @ u


def two_layer_with_patterns_of(
  a: Array, u: Array, weights: Array, x: Array
) -> Array:
  """N_A(u, U; x) = u . (1(A x >= 0) * U x), [n]. Paper: (2.6).

  The activation pattern is A's, the linear part U's.

  Args:
    a: matrix that decides the pattern, [m, d].
    u: head, [m].
    weights: U, [m, d].
    x: inputs, [n, d].
  """
  chex.assert_equal_shape([a, weights])
  pattern = (x @ a.T >= 0).astype(x.dtype)
  return (pattern * (x @ weights.T)) @ u


def directions_output(u: Array, v: Array, directions: Array) -> Array:
  """g at z - zeta, z, z + zeta, [3]. Paper: (3.5) on Q's three directions.

  Args:
    u: head of the V block, [m/2].
    v: V, [m/2, d or 2].
    directions: [3, d or 2], in V's basis.
  """
  return two_layer(u, v, directions)


def q_output(at_directions: Array, alpha: Array, direction: Array) -> Array:
  """g(x2) for every example, [n]: g(a x) = a g(x) for a >= 0. Ours.

  ReLU is positively homogeneous and Q has three directions, so three forward
  columns serve any number of examples.

  Args:
    at_directions: g at the three directions, [3].
    alpha: lengths, [n].
    direction: which direction, int [n].
  """
  chex.assert_shape(at_directions, (3,))
  return alpha * at_directions[direction]


def second_difference(at_directions: Array) -> Array:
  """g(z + zeta) + g(z - zeta) - 2 g(z), []. Paper: Lemma 4.2, (4.1).

  Args:
    at_directions: g at z - zeta, z, z + zeta, [3].
  """
  minus, middle, plus = at_directions
  return plus + minus - 2 * middle


def logistic_loss(f: Array, y: Array) -> Array:
  """-log sigmoid(y f), [n] of f [n], y [n]. Paper: Section 2, objective."""
  return jax.nn.softplus(-y * f)
