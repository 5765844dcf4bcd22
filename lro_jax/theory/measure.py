"""What both engines measure: losses by subset, test errors, Lemma 4.2's probe.

An engine supplies r on the x1 it sees and g at Q's three directions; all else
is the same arithmetic. Letters: see `lro_jax.theory`.

Metric names:
  train_loss/all, m1, q_only, m2, p_only   mean logistic loss of f; q_only is
      the complement of M1, p_only that of M2
  r_loss/m1                                loss of r alone on M1 (Lemma 4.4)
  test_error/p_only, q_only, both, all     share of test points misclassified;
      an output of exactly 0 counts half; `all` mixes by p0, q0, 1 - p0 - q0
  second_difference                        g(z+zeta) + g(z-zeta) - 2 g(z)
"""

import jax.numpy as jnp
import numpy as np

from lro_jax.core.task import Array, Data, Measurements
from lro_jax.theory import models
from lro_jax.theory import problem as problem_lib
from lro_jax.theory.data import in_m1, in_m2


def train_data(problem: problem_lib.Problem) -> dict[str, np.ndarray]:
  """Training arrays of every engine but x1, [s, N] each. Section 2."""
  train = problem.train
  m1, m2 = in_m1(train), in_m2(train)
  n = train.y.shape[-1]
  return {
    "y": train.y,
    "alpha": train.alpha,
    "direction": train.direction,
    "m1": m1.astype(train.y.dtype),
    "m2": m2.astype(train.y.dtype),
    # 0 for the padding that evens out devices.
    "weight": np.full_like(train.y, 1 / n),
  }


def test_data(problem: problem_lib.Problem) -> dict[str, np.ndarray]:
  """Test arrays of every engine but x1, [s, n] each. Section 2."""
  test = problem.test
  return {
    "y": test.y,
    "alpha": test.alpha,
    "direction": test.direction,
    "count": np.ones_like(test.y),
  }


def train_sums(
  f: Array, r: Array, batch: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
  """Sums and counts of the training losses by subset. Sec. 2, Lemma 4.4.

  Args:
    f: outputs on the training examples, [n].
    r: outputs on their x1 alone, [n].
    batch: arrays of `train_data`, [n].

  Returns:
    Sums and counts by metric name, [] each.
  """
  y, m1, m2 = batch["y"], batch["m1"], batch["m2"]
  here = jnp.where(batch["weight"] > 0, 1.0, 0.0).astype(y.dtype)
  loss, r_loss = models.logistic_loss(f, y), models.logistic_loss(r, y)
  subsets = {
    "train_loss/all": (loss, here),
    "train_loss/m1": (loss, here * m1),
    "train_loss/q_only": (loss, here * (1 - m1)),
    "train_loss/m2": (loss, here * m2),
    "train_loss/p_only": (loss, here * (1 - m2)),
    "r_loss/m1": (r_loss, here * m1),
  }
  sums = {k: jnp.sum(values * mask) for k, (values, mask) in subsets.items()}
  counts = {k: jnp.sum(mask) for k, (_, mask) in subsets.items()}
  return sums, counts


def mean_loss(f: Array, batch: dict[str, Array], member: Array) -> Array:
  """Mean logistic loss of outputs over a subset, []. Section 2.

  Args:
    f: outputs, [n].
    batch: arrays of `train_data`, [n].
    member: 1 or 0, [n] or [].
  """
  member = member * (batch["weight"] > 0)
  return jnp.sum(models.logistic_loss(f, batch["y"]) * member) / jnp.sum(member)


def test_sums(
  f: Array | None,
  r: Array,
  g_at: Array,
  test: dict[str, Array],
  *,
  p0: float,
  q0: float,
) -> tuple[dict[str, Array], dict[str, Array]]:
  """Sums and counts of the test errors. Paper: Theorems 3.4, 3.5.

  Every test draw has both components; an error on P-only looks at r alone, on
  Q-only at g alone.

  Args:
    f: outputs on the test points, [n]; None where they are r + g.
    r: outputs on the test x1 alone, [n].
    g_at: g at the three directions, [3].
    test: arrays of `test_data`, [n].
    p0: probability of P-only.
    q0: probability of Q-only.

  Returns:
    Sums and counts by metric name, [] each.
  """
  g = models.q_output(g_at, test["alpha"], test["direction"])

  def errors(f):
    wrong = jnp.where(f * test["y"] < 0, 1.0, jnp.where(f == 0, 0.5, 0.0))
    return jnp.sum(wrong.astype(r.dtype) * test["count"])

  sums = {
    "test_error/p_only": errors(r),
    "test_error/q_only": errors(g),
    "test_error/both": errors(r + g if f is None else f),
  }
  sums["test_error/all"] = (
    p0 * sums["test_error/p_only"]
    + q0 * sums["test_error/q_only"]
    + (1 - p0 - q0) * sums["test_error/both"]
  )
  total = jnp.sum(test["count"])
  return sums, dict.fromkeys(sums, total)


def measurements(
  f: Array,
  r: Array,
  g_at: Array,
  r_test: Array,
  f_test: Array | None,
  data: Data,
  values: dict[str, Array],
  *,
  p0: float,
  q0: float,
) -> Measurements:
  """All common measurements of a state. Ours.

  Args:
    f: outputs on the training examples, [n].
    r: outputs on the training x1 alone, [n].
    g_at: g at the three directions, [3].
    r_test: outputs on the test x1 alone, [n_test].
    f_test: outputs on the test points, [n_test]; None where they are r + g.
    data: evaluation data; examples['train'] and examples['test'].
    values: the engine's own readings, [] each.
    p0: probability of P-only.
    q0: probability of Q-only.
  """
  sums, counts = train_sums(f, r, data.examples["train"])
  more, their_counts = test_sums(
    f_test, r_test, g_at, data.examples["test"], p0=p0, q0=q0
  )
  values = values | {"second_difference": models.second_difference(g_at)}
  return Measurements(sums | more, counts | their_counts, values)
