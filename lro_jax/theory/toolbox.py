"""General tools of the proofs: Theorem B.2, Lemmas G.1 and G.2.

Each is a function of arrays that measures what its statement is about, so that
a statement can be held against any numbers, those of its proof or a run's.

Letters of this file's statements, where they are not those of `lro_jax.theory`:
K_t convex functions with the common solution z*; R radius around it; L their
Lipschitz constant; mu the excess over c* >= K_t(z*); X1, X2 independent
standard normals, a^2 + b^2 = 1; M a matrix with beta's rank-one part.

Deviation: in Theorem B.2 the functions are numbered from 0, as the iterates
are, and t* = 0 is allowed. With t* from 1 on, as printed, the second conclusion
can fail: nothing printed keeps eta lambda below 1 unless mu < L R, and with
mu >= L R it is t* = 0 that makes the theorem true.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from lro_jax.core.task import Array

# Largest density of N(0, 1), the constant that the proof of Lemma G.1 hides.
LARGEST_DENSITY = 1 / math.sqrt(2 * math.pi)
# Comparisons that a proof makes without slack get this many ulp of it.
ROUNDING_ULPS = 64


class Reading(NamedTuple):
  """A quantity that a lemma bounds, and the bound; both [...], of one shape."""

  measured: Array
  bound: Array


class Premises(NamedTuple):
  """Theorem B.2's premises, bool [] each; the first four are about numbers.

  The others are read along the path, which is all that the proof uses.

  Attributes:
    decay_is_small: lambda R^2 <= mu / 100.
    rate_is_small: eta <= mu / (100 (lambda^2 R^2 + L^2)).
    time_is_long: eta T > R^2 / mu.
    solution_is_near: ||z_0 - z*|| <= R and ||z*|| <= R.
    solution_is_common: K_t(z*) <= c* for all t < T.
    gradients_are_bounded: ||grad K_t(z_t)|| <= L for all t < T.
    path_is_convex: K_t(z*) >= K_t(z_t) + <grad K_t(z_t), z* - z_t>, t < T.
  """

  decay_is_small: Array
  rate_is_small: Array
  time_is_long: Array
  solution_is_near: Array
  solution_is_common: Array
  gradients_are_bounded: Array
  path_is_convex: Array


class Descent(NamedTuple):
  """Gradient descent on changing functions beside what Theorem B.2 says of it.

  Attributes:
    values: K_t(z_t), t = 0 ... T - 1, [T].
    distances: ||z_t - z*||, [T].
    first: first t with K_t(z_t) <= c* + mu, int []; T if there is none.
    premises: which premises hold.
    reached: first conclusion, there is such a t < T, bool [].
    stayed_near: second conclusion, ||z_t - z*|| <= R for all t <= first,
      bool []; without a first one, for all t < T.
  """

  values: Array
  distances: Array
  first: Array
  premises: Premises
  reached: Array
  stayed_near: Array


def _norm(z):
  """Euclidean length of an array of any shape."""
  return jnp.sqrt(jnp.sum(z * z))


def _at_most(value, bound, scale):
  """value <= bound up to the rounding of numbers of size `scale`."""
  ulp = jnp.finfo(jnp.result_type(value)).eps
  return value <= bound + ROUNDING_ULPS * ulp * scale


def descend(
  value_at: Callable[[Array, Array], Array],
  start: Array,
  solution: Array,
  *,
  num_steps: int,
  rate: float | Array,
  weight_decay: float | Array,
  radius: float | Array,
  lipschitz: float | Array,
  solution_value: float | Array,
  excess: float | Array,
) -> Descent:
  """Descends K_t + (lambda / 2) ||z||^2, one step on each. Theorem B.2, (B.6).

  Args:
    value_at: (t, z) -> K_t(z), []; differentiable in z; t is int [], from 0.
    start: z_0, [...], any shape.
    solution: z*, [...], shaped as `start`.
    num_steps: T, static.
    rate: eta, [].
    weight_decay: lambda, [].
    radius: R, [].
    lipschitz: L, [].
    solution_value: c*, [].
    excess: mu > 0, [].

  Returns:
    The path's readings, the premises and the conclusions (B.7). Pure; it can
    be compiled and mapped over.
  """
  chex.assert_equal_shape([start, solution])

  def step(z, t):
    value, grad = jax.value_and_grad(value_at, argnums=1)(t, z)
    at_solution = value_at(t, solution)
    slope = jnp.sum(grad * (z - solution))
    scale = jnp.abs(value) + jnp.abs(at_solution) + jnp.abs(slope)
    row = (
      value,
      _norm(z - solution),
      _at_most(at_solution, solution_value, jnp.abs(solution_value)),
      _at_most(_norm(grad), lipschitz, lipschitz),
      _at_most(value - at_solution, slope, scale),
    )
    return z - rate * (grad + weight_decay * z), row

  _, (values, distances, common, bounded, convex) = jax.lax.scan(
    step, start, jnp.arange(num_steps)
  )
  hit = values <= solution_value + excess
  reached = hit.any()
  first = jnp.where(reached, jnp.argmax(hit), num_steps)
  near = _at_most(distances, radius, radius)
  premises = Premises(
    decay_is_small=jnp.asarray(weight_decay * radius**2 <= excess / 100),
    rate_is_small=jnp.asarray(
      rate * 100 * ((weight_decay * radius) ** 2 + lipschitz**2) <= excess
    ),
    time_is_long=jnp.asarray(rate * num_steps > radius**2 / excess),
    solution_is_near=near[0] & _at_most(_norm(solution), radius, radius),
    solution_is_common=common.all(),
    gradients_are_bounded=bounded.all(),
    path_is_convex=convex.all(),
  )
  stayed_near = jnp.where(jnp.arange(num_steps) <= first, near, True).all()
  return Descent(values, distances, first, premises, reached, stayed_near)


def conditional_law(b: Array, gamma2: Array) -> tuple[Array, Array]:
  """Mean and std of X1 given a X1 + b X2 = gamma2: a gamma2, b. Lemma G.1.

  The smaller number is the argument: where the paper uses the lemma, b is that.

  Args:
    b: weight of X2, in (0, 1), [...].
    gamma2: value of the sum, [...].

  Returns:
    Mean and std, broadcast, [...].
  """
  return jnp.sqrt((1 - b) * (1 + b)) * gamma2, b + jnp.zeros_like(gamma2)


def _normal_mass(low, high):
  """Pr[low <= Z <= high] for low <= high, without cancellation in the tail."""
  flip = low > 0
  low, high = jnp.where(flip, -high, low), jnp.where(flip, -low, high)
  return jax.scipy.special.ndtr(high) - jax.scipy.special.ndtr(low)


def conditioning_shift(gamma1: Array, gamma2: Array, b: Array) -> Reading:
  """|Pr[X1 >= gamma1 | gamma2] - Pr[X1 >= gamma1 | 0]|. Lemma G.1, (G.1).

  Args:
    gamma1: threshold, [...].
    gamma2: value of a X1 + b X2, [...].
    b: weight of X2, in (0, 1), [...].

  Returns:
    The difference, exactly, and a |gamma2| / (sqrt(2 pi) b); broadcast shape.
  """
  mean, std = conditional_law(b, gamma2)
  ends = gamma1 / std, (gamma1 - mean) / std
  return Reading(
    _normal_mass(jnp.minimum(*ends), jnp.maximum(*ends)),
    LARGEST_DENSITY * jnp.abs(mean) / std + jnp.zeros_like(ends[0]),
  )


def conditional_mass_near_zero(
  gamma1: Array, gamma2: Array, b: Array
) -> Reading:
  """Pr[|X1| <= gamma1 | a X1 + b X2 = gamma2]. Paper: Lemma G.1, (G.2).

  Args:
    gamma1: half the width, [...]; where it is negative the probability is 0.
    gamma2: value of a X1 + b X2, [...].
    b: weight of X2, in (0, 1), [...].

  Returns:
    The probability, exactly, and 2 |gamma1| / (sqrt(2 pi) b): the interval has
    two sides. Broadcast shape.
  """
  mean, std = conditional_law(b, gamma2)
  width = jnp.maximum(gamma1, 0.0)
  mass = _normal_mass((-width - mean) / std, (width - mean) / std)
  bound = 2 * LARGEST_DENSITY * jnp.abs(gamma1) / std
  return Reading(mass, bound + jnp.zeros_like(mass))


def largest_cosine(w_star: Array, matrix: Array) -> Array:
  """max over z of <w*, M z> / ||M z||, []. Paper: Lemma G.2, (G.4).

  It is the length of the projection of w* on M's columns. With w* of unit
  length, M = M1 + w* beta^T and d'/d = c it tends, for d to infinity, to
  sqrt(s / (1 + s)), s = (||beta||^2 + c) / (1 - c), if beta does not depend on
  M1.

  Deviation: the lemma's 0.9 is not taken for a bound. As printed, for d' <= d
  and any beta of length <= 1 that may depend on M1, it is false: without beta
  the squared length is d'/d on average, and 1 at d' = d; and at d' = d/2, to
  which (C.2) restricts it, beta = M1^T w* at length 1 gives 0.93 and M1's last
  right singular vector 0.96; the worst beta passes 0.9 at c of about 0.22. The
  proof stops at ||M z||^2 >= <w*, M z>^2 + ||M1 z||^2 / 2 (G.8), and M1 z may
  be short against <w*, M z>. What (C.2) needs holds: its beta is
  sign(M1^T w*) / sqrt(d), for which s = c (2 + 2 sqrt(2 / pi)) / (1 - c); the
  limit is 0.885 at c = 1/2 and passes 0.9 at c = 0.542.

  Args:
    w_star: w*, [d].
    matrix: M, [d, d']; its columns may depend on each other.
  """
  chex.assert_rank([w_star, matrix], [1, 2])
  chex.assert_equal_shape_prefix([w_star, matrix], 1)
  basis, lengths, _ = jnp.linalg.svd(matrix, full_matrices=False)
  ulp = jnp.finfo(lengths.dtype).eps
  spans = lengths > max(matrix.shape) * ulp * lengths[0]
  return _norm(jnp.where(spans, w_star @ basis, 0.0))
