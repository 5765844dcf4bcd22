"""The P/Q distribution of Section 2, its index sets, and coordinates for it.

P is hard to generalise and easy to fit: a half Gaussian with a small margin in
d dimensions. Q is easy to generalise and hard to fit: three nearly parallel
directions, the middle one labelled against its neighbours (Figure 2).

Letters: see `lro_jax.theory`.

Deviation: Q is scaled by `q_norm` as a whole, 1 in the paper. The paper's
choices are up to constants, and this one brings the sizes at which the theorems
act within reach (README, Deviations).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core.normal import normal
from lro_jax.core.schema import UserError
from lro_jax.core.task import Array

# Columns of `Vectors.directions`: b = -1, 0, +1 in z + b zeta.
MINUS, MIDDLE, PLUS = 0, 1, 2


class Vectors(NamedTuple):
  """The distribution's fixed vectors: w* [d]; z - zeta, z, z + zeta [3, d]."""

  w_star: Array
  directions: Array


class Examples(NamedTuple):
  """Examples of the distribution.

  Attributes:
    y: labels -1 or +1, [n].
    x1: P component, zero where absent, [n, d].
    alpha: length of the Q component, 0 where absent, [n]; x2 is alpha times
      the direction.
    direction: which of the three directions x2 lies on, int32 [n].
  """

  y: Array
  x1: Array
  alpha: Array
  direction: Array


def sample_vectors(
  key: Array,
  *,
  dim: int,
  r: float,
  q_norm: float,
  support: int | None = None,
) -> Vectors:
  """Draws w*, z and zeta. Paper: Section 2; Section F.2 for `support`.

  Args:
    key: key, [].
    dim: d, at least 2.
    r: ||zeta|| / ||z||.
    q_norm: ||z||.
    support: z and zeta are zero but on this many last coordinates, from 2 to
      d; None for all of them. Convolutional nets need d/k.

  Returns:
    The vectors: w* of unit length; zeta orthogonal to z.

  Raises:
    UserError: no two orthogonal vectors have that support.
  """
  w_key, z_key, zeta_key = jax.random.split(key, 3)
  unit = lambda v: v / jnp.linalg.norm(v)  # noqa: E731
  dtype = jnp.result_type(float)
  z = normal(z_key, (dim,), dtype)
  zeta = normal(zeta_key, (dim,), dtype)
  if support is not None:
    if not 2 <= support <= dim:
      raise UserError(
        f"Got support {support} for z and zeta in dimension {dim}: two"
        f" orthogonal vectors need from 2 to {dim} coordinates, so choose"
        " fewer patches or a larger dim."
      )
    here = jnp.arange(dim) >= dim - support
    z, zeta = jnp.where(here, z, 0.0), jnp.where(here, zeta, 0.0)
  z = unit(z)
  zeta = unit(zeta - (zeta @ z) * z)
  return Vectors(
    w_star=unit(normal(w_key, (dim,), dtype)),
    directions=q_norm * jnp.stack([z - r * zeta, z, z + r * zeta]),
  )


def sample_components(
  key: Array, *, num: int, p0: float, q0: float
) -> tuple[Array, Array]:
  """Which examples have a P and which a Q component, bool [n]. (2.2)-(2.4).

  Args:
    key: key, [].
    num: n.
    p0: probability of P-only.
    q0: probability of Q-only.
  """
  kind = jax.random.uniform(key, (num,))
  return (kind < p0) | (kind >= p0 + q0), kind >= p0


def example_keys(key):
  """Keys of the parts of `sample_examples`: y, components, x1, alpha, b."""
  return jax.random.split(key, 5)


def sample_examples(
  key: Array, vectors: Vectors, *, num: int, p0: float, q0: float
) -> Examples:
  """Draws examples. Paper: (2.1)-(2.5).

  Args:
    key: key, [].
    vectors: the distribution's vectors.
    num: n.
    p0: probability that an example has only its P component.
    q0: probability that an example has only its Q component.

  Returns:
    n examples; one with both components has probability 1 - p0 - q0.
  """
  dim = vectors.w_star.shape[0]
  y_key, kind_key, x1_key, alpha_key, b_key = example_keys(key)
  y = jax.random.rademacher(y_key, (num,), jnp.result_type(float))
  has_p, has_q = sample_components(kind_key, num=num, p0=p0, q0=q0)

  z = normal(x1_key, (num, dim), jnp.result_type(float)) / jnp.sqrt(dim)
  along = z @ vectors.w_star
  # Conditioning on y <w*, z> >= 0 is reflecting the draws on the wrong side.
  wrong = jnp.where(y * along < 0, 1.0, 0.0)
  z = z - 2 * (wrong * along)[:, None] * vectors.w_star
  x1 = z + y[:, None] * vectors.w_star / jnp.sqrt(dim)

  alpha = jax.random.uniform(alpha_key, (num,))
  b = jax.random.rademacher(b_key, (num,), jnp.int32)
  return Examples(
    y=y,
    x1=jnp.where(has_p[:, None], x1, 0.0),
    alpha=jnp.where(has_q, alpha, 0.0),
    direction=jnp.where(y > 0, MIDDLE, MIDDLE + b).astype(jnp.int32),
  )


def x2_of(examples: Examples, vectors: Vectors) -> Array:
  """The Q components, [n, d]. Paper: (2.5)."""
  return examples.alpha[:, None] * vectors.directions[examples.direction]


def in_m1(examples: Examples) -> Array:
  """Membership of M1, those with a P component, bool [..., n]. Sec. 2."""
  return (examples.x1 != 0).any(axis=-1)


def in_m2(examples: Examples) -> Array:
  """Membership of M2, the examples with a Q component, bool [n]. Sec. 2."""
  return examples.alpha > 0


def in_own_plane(directions: np.ndarray) -> np.ndarray:
  """Coordinates of z - zeta, z, z + zeta along z and zeta, [3, 2]. Ours.

  Args:
    directions: as drawn, [3, d].
  """
  minus, middle, plus = directions
  zeta = (plus - minus) / 2
  length = np.linalg.norm(zeta)
  axes = np.stack(
    [middle / np.linalg.norm(middle), zeta / (length if length else 1.0)]
  )
  return directions @ axes.T


def directions_in_plane(r: float, q_norm: float) -> np.ndarray:
  """z - zeta, z, z + zeta in the basis (z, zeta) / lengths, [3, 2]. Ours."""
  return q_norm * np.array([[1.0, -r], [1.0, 0.0], [1.0, r]])
