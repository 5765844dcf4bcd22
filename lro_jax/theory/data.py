"""The P/Q distribution of Section 2, its index sets, and coordinates for it.

P is hard to generalise and easy to fit: a half Gaussian with a small margin in
d dimensions. Q is easy to generalise and hard to fit: three nearly parallel
directions, the middle one labelled against its neighbours (Figure 2).

Letters: see `lro_jax.theory`.

Deviation: Q is scaled by `q_norm` as a whole, 1 in the paper. The paper's
choices are up to constants, and this one brings the sizes at which the theorems
act within reach (README, Deviations).
"""

import functools
import hashlib
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core.prng import Stream, root_key, stream_key
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


def sample_vectors(key: Array, *, dim: int, r: float, q_norm: float) -> Vectors:
  """Draws w*, z and zeta. Paper: Section 2.

  Args:
    key: key, [].
    dim: d, at least 2.
    r: ||zeta|| / ||z||.
    q_norm: ||z||.

  Returns:
    The vectors: w* of unit length; zeta orthogonal to z.
  """
  w_key, z_key, zeta_key = jax.random.split(key, 3)
  unit = lambda v: v / jnp.linalg.norm(v)  # noqa: E731
  z = unit(jax.random.normal(z_key, (dim,)))
  zeta = jax.random.normal(zeta_key, (dim,))
  zeta = unit(zeta - (zeta @ z) * z)
  return Vectors(
    w_star=unit(jax.random.normal(w_key, (dim,))),
    directions=q_norm * jnp.stack([z - r * zeta, z, z + r * zeta]),
  )


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
  y_key, kind_key, x1_key, alpha_key, b_key = jax.random.split(key, 5)
  y = jax.random.rademacher(y_key, (num,), jnp.result_type(float))
  kind = jax.random.uniform(kind_key, (num,))
  has_p = (kind < p0) | (kind >= p0 + q0)
  has_q = kind >= p0

  z = jax.random.normal(x1_key, (num, dim)) / jnp.sqrt(dim)
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
  """Membership of M1, the examples with a P component, bool [n]. Sec. 2."""
  return jnp.any(examples.x1 != 0, axis=-1)


def in_m2(examples: Examples) -> Array:
  """Membership of M2, the examples with a Q component, bool [n]. Sec. 2."""
  return examples.alpha > 0


class Problem(NamedTuple):
  """All a run needs of the distribution, NumPy float64, [s] in front of all.

  Attributes:
    vectors: w*, directions.
    train: N training examples.
    test: test draws that all have both components. `test error on P-only`
      looks at their x1 alone, on Q-only at their x2 alone.
  """

  vectors: Vectors
  train: Examples
  test: Examples


@functools.partial(jax.jit, static_argnames=("dim", "num_train", "num_test"))
def _sample_seed(seed, numbers, *, dim, num_train, num_test) -> Problem:
  """One seed's problem; compiled once for all arms and seeds of a size."""
  p0, q0, r, q_norm = numbers
  root = root_key(seed)
  vector_key, train_key = jax.random.split(stream_key(root, Stream.DATA))
  vectors = sample_vectors(vector_key, dim=dim, r=r, q_norm=q_norm)
  train = sample_examples(train_key, vectors, num=num_train, p0=p0, q0=q0)
  test_key = stream_key(root, Stream.EVAL)
  test = sample_examples(test_key, vectors, num=num_test, p0=0.0, q0=0.0)
  return Problem(vectors, train, test)


def sample_problem(
  seeds: tuple[int, ...],
  *,
  dim: int,
  num_train: int,
  num_test: int,
  p0: float,
  q0: float,
  r: float,
  q_norm: float,
) -> Problem:
  """Draws vectors, training and test examples for every seed. Section 2.

  The same seed gives the same problem whatever the arm or the engine: drawn in
  double precision from the streams DATA and EVAL.

  Args:
    seeds: the seeds.
    dim: d.
    num_train: N.
    num_test: test draws per seed.
    p0: probability of P-only.
    q0: probability of Q-only.
    r: ||zeta|| / ||z||.
    q_norm: ||z||.

  Returns:
    The problem, leaves [s, ...].

  Raises:
    UserError: some seed drew no P-only or no Q-only example.
  """
  # On the host's CPU: the draw must not depend on the accelerator, and a TPU
  # has no double precision worth the name.
  cpu = jax.local_devices(backend="cpu")[0]
  with jax.enable_x64(True), jax.default_device(cpu):
    # One seed at a time: under vmap the rounding depends on the company.
    each = [
      _sample_seed(
        np.uint32(seed),
        np.array([p0, q0, r, q_norm]),
        dim=dim,
        num_train=num_train,
        num_test=num_test,
      )
      for seed in seeds
    ]
    each = jax.tree.map(np.asarray, each)
  problem = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
  has_p = np.any(problem.train.x1 != 0, axis=-1)
  has_q = problem.train.alpha > 0
  for kind, present in (("P-only", has_p & ~has_q), ("Q-only", has_q & ~has_p)):
    empty = [s for s, row in zip(seeds, present, strict=True) if not row.any()]
    if empty:
      raise UserError(
        f"No {kind} example was drawn for seed {empty[0]} with num_train"
        f" {num_train}, p0 {p0:g}, q0 {q0:g}: raise num_train or that"
        " probability, or leave this seed out."
      )
  return problem


def rotate_to_span(problem: Problem) -> tuple[Problem, int, np.ndarray]:
  """Turns P's coordinates so that the training x1 fill the first few. Ours.

  The law of the weights is the same in any orthonormal basis, and the gradient
  of W lies in the span of the training x1. In these coordinates the rows of W
  split into a part that is trained and a part that is noise and nothing else.

  Args:
    problem: the problem, leaves [s, ...].

  Returns:
    The problem with x1 and w* in new coordinates; the number of leading
    coordinates outside of which every training x1 is zero (largest over seeds);
    the orthogonal matrices [s, d, d] whose columns are the new axes.
  """
  num_p = int(np.any(problem.train.x1 != 0, axis=-1).sum(-1).max())
  rank = min(num_p, problem.train.x1.shape[-1])

  def rotation(x1):
    present = x1[np.any(x1 != 0, axis=-1)]
    return np.linalg.qr(present.T, mode="complete")[0]

  basis = np.stack([rotation(x1) for x1 in problem.train.x1])
  train_x1 = problem.train.x1 @ basis
  train_x1[..., rank:] = 0.0  # rounding of exact zeros
  return (
    problem._replace(
      vectors=problem.vectors._replace(
        w_star=np.einsum("sd,sde->se", problem.vectors.w_star, basis)
      ),
      train=problem.train._replace(x1=train_x1),
      test=problem.test._replace(x1=problem.test.x1 @ basis),
    ),
    rank,
    basis,
  )


def directions_in_plane(r: float, q_norm: float) -> np.ndarray:
  """z - zeta, z, z + zeta in the basis (z, zeta) / lengths, [3, 2]. Ours."""
  return q_norm * np.array([[1.0, -r], [1.0, 0.0], [1.0, r]])


def digest(problem: Problem) -> str:
  """sha256 of the problem's arrays, first 16 hex digits. Ours."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(problem):
    sha.update(np.ascontiguousarray(leaf).tobytes())
  return sha.hexdigest()[:16]


def gram(a: Array, b: Array) -> tuple[Array, Array]:
  """Inner products and cosines of rows, [n, k] each; 0 for zero rows. Ours."""
  chex.assert_rank([a, b], 2)
  products = a @ b.T
  norms = jnp.linalg.norm(a, axis=1)[:, None] * jnp.linalg.norm(b, axis=1)
  safe = jnp.where(norms > 0, norms, 1.0)
  return products, jnp.where(norms > 0, products / safe, 0.0)
