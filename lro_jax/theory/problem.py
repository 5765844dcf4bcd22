"""A run's problem: vectors, training and test examples of every seed.

Letters: see `lro_jax.theory`.
"""

import contextlib
import functools
import hashlib
from typing import NamedTuple

import jax
import numpy as np

from lro_jax.core.prng import Stream, root_key, stream_key
from lro_jax.core.schema import UserError
from lro_jax.core.task import Array
from lro_jax.theory.data import (
  Examples,
  Vectors,
  example_keys,
  in_m1,
  sample_components,
  sample_examples,
  sample_vectors,
)


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


def _data_keys(root):
  """Keys of the vectors and of the training examples."""
  return jax.random.split(stream_key(root, Stream.DATA))


@functools.partial(
  jax.jit, static_argnames=("dim", "num_train", "num_test", "support")
)
def _sample_seed(
  seed, numbers, *, dim, num_train, num_test, support
) -> Problem:
  """One seed's problem; compiled once for all arms and seeds of a size."""
  p0, q0, r, q_norm = numbers
  root = root_key(seed)
  vector_key, train_key = _data_keys(root)
  vectors = sample_vectors(
    vector_key, dim=dim, r=r, q_norm=q_norm, support=support
  )
  train = sample_examples(train_key, vectors, num=num_train, p0=p0, q0=q0)
  test_key = stream_key(root, Stream.EVAL)
  test = sample_examples(test_key, vectors, num=num_test, p0=0.0, q0=0.0)
  return Problem(vectors, train, test)


@functools.partial(jax.jit, static_argnames="num_train")
def _sample_mixture(seed, shares, *, num_train) -> tuple[Array, Array]:
  """Which of one seed's training examples have P and which Q, bool [N]."""
  key = example_keys(_data_keys(root_key(seed))[1])[1]
  p0, q0 = shares
  return sample_components(key, num=num_train, p0=p0, q0=q0)


@contextlib.contextmanager
def _on_host():
  # On the host's CPU: the draw must not depend on the accelerator, and a TPU
  # has no double precision worth the name.
  cpu = jax.local_devices(backend="cpu")[0]
  with jax.enable_x64(True), jax.default_device(cpu):
    yield


def check_draw(
  seeds: tuple[int, ...], *, num_train: int, p0: float, q0: float
) -> np.ndarray:
  """q, the share of Q-only examples of each seed, [s]; none may be 0. Ours.

  Cheap: of `sample_problem` it draws the mixture alone.

  Args:
    seeds: the seeds.
    num_train: N.
    p0: probability of P-only.
    q0: probability of Q-only.

  Raises:
    UserError: some seed drew no P-only or no Q-only example.
  """
  shares = []
  for seed in seeds:
    with _on_host():
      has_p, has_q = map(
        np.asarray,
        _sample_mixture(
          np.uint32(seed), np.array([p0, q0]), num_train=num_train
        ),
      )
    for kind, present in (
      ("P-only", has_p & ~has_q),
      ("Q-only", has_q & ~has_p),
    ):
      if not present.any():
        raise UserError(
          f"No {kind} example was drawn for seed {seed} with num_train"
          f" {num_train}, p0 {p0:g}, q0 {q0:g}: raise num_train or that"
          " probability, or leave this seed out."
        )
    shares.append(float((~has_p).mean()))
  return np.array(shares)


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
  support: int | None = None,
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
    support: see `data.sample_vectors`.

  Returns:
    The problem, leaves [s, ...].

  Raises:
    UserError: some seed drew no P-only or no Q-only example.
  """
  check_draw(seeds, num_train=num_train, p0=p0, q0=q0)
  with _on_host():
    # One seed at a time: under vmap the rounding depends on the company.
    each = [
      _sample_seed(
        np.uint32(seed),
        np.array([p0, q0, r, q_norm]),
        dim=dim,
        num_train=num_train,
        num_test=num_test,
        support=support,
      )
      for seed in seeds
    ]
    each = jax.tree.map(np.asarray, each)
  problem = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
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
  has_p = in_m1(problem.train)
  num_p = int(has_p.sum(-1).max())
  rank = min(num_p, problem.train.x1.shape[-1])

  basis = np.stack(
    [
      np.linalg.qr(x1[present].T, mode="complete")[0]
      for x1, present in zip(problem.train.x1, has_p, strict=True)
    ]
  )
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


def digest(problem: Problem) -> str:
  """sha256 of the problem's arrays, first 16 hex digits. Ours."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(problem):
    sha.update(np.ascontiguousarray(leaf).tobytes())
  return sha.hexdigest()[:16]
