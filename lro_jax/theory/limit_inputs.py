"""What the limit engine keeps of the inputs: cosines, norms, index sets.

Ours. In the limit x1 enters through inner products alone. Patches, axis [P],
are the parts of x1 that the heads of a convolutional net see (Section F.2); a
dense net has one. Since heads are independent signs, cross terms between
patches vanish with the width (Lemmas F.3, F.4), and the kernel is a sum over
patches, whose running sums are the same for all.

The examples of M1 come in two groups, those with only a P component first: so
the sum over all of M1 is the sum over both, and Lemma 5.2's restriction to M2
costs nothing. Matrices are kept by group: a step need not cut them.
Letters: see `lro_jax.theory`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lro_jax.core.task import Array
from lro_jax.theory import convolution, kernels
from lro_jax.theory.data import Examples, in_m1, in_m2
from lro_jax.theory.kernels import Kernel
from lro_jax.theory.settings import CONV, Setting, unit_share


class ByGroup(NamedTuple):
  """What the two groups of M1 have, or give.

  Attributes:
    p_only: of the examples with only a P component, their own rows [..., k, n1]
      or values [..., k]; or what comes from them, [n1].
    m2: of those of M2, [..., n1 - k, n1] or [..., n1 - k]; or from them, [n1].
  """

  p_only: Array
  m2: Array

  @property
  def whole(self) -> Array:
    """The sum of what both give, [n1]. Lemma B.6 and Section 5 part it."""
    return self.p_only + self.m2


class Inputs(NamedTuple):
  """x1 of one seed, or of every seed with [s] in front.

  Attributes:
    index: where in the training set each of M1 is, N where it is padding, [n1].
    cosines: of a group's patches with all training patches, 0 with themselves,
      [P, group, n1] each.
    norms: of training patches, [P, n1].
    gram: <grad f_i, grad f_j> under equal patterns, [group, n1] each.
    test_cosines: of training with test patches, [P, n1, n].
    test_norms: of test patches, [P, n].
  """

  index: Array
  cosines: ByGroup
  norms: Array
  gram: ByGroup
  test_cosines: Array
  test_norms: Array

  @property
  def num_p_only(self) -> int:
    """Size of the first group, the largest of any seed."""
    return self.cosines.p_only.shape[-2]

  def by_group(self, on_m1: Array) -> ByGroup:
    """Values on M1, [..., n1], of one group and of the other. Ours."""
    k = self.num_p_only
    return ByGroup(on_m1[..., :k], on_m1[..., k:])


def make(setting: Setting, train: Examples, test: Examples) -> Inputs:
  """The inputs of every seed. Ours.

  Args:
    setting: the run's numbers.
    train: training examples, leaves [s, N, ...].
    test: test draws, leaves [s, n, ...].

  Returns:
    Inputs with [s] in front, NumPy.
  """
  index, num_p_only = _grouped(in_m1(train), in_m2(train))
  padded = np.concatenate([train.x1, np.zeros_like(train.x1[:, :1])], axis=1)
  x1 = np.take_along_axis(padded, index[..., None], axis=1)
  unit_train, norms = _unit(_patches(setting, x1))
  unit_test, test_norms = _unit(_patches(setting, test.x1))
  cosines = unit_train @ unit_train.swapaxes(-1, -2)
  share = unit_share(setting)
  active = share * (0.25 + np.arcsin(np.clip(cosines, -1, 1)) / (2 * np.pi))
  products = cosines * norms[..., :, None] * norms[..., None, :]
  here = np.arange(cosines.shape[-1])
  active[..., here, here] = share / 2
  cosines[..., here, here] = 0.0

  def rows(x):
    # Not views: what is put on a device need not be contiguous first.
    cut = x[..., :num_p_only, :], x[..., num_p_only:, :]
    return ByGroup(*(np.ascontiguousarray(part) for part in cut))

  return Inputs(
    index=index,
    cosines=rows(cosines),
    norms=norms,
    gram=rows(np.sum(products * active, axis=1)),
    test_cosines=unit_train @ unit_test.swapaxes(-1, -2),
    test_norms=test_norms,
  )


def largest_cosine(inputs: Inputs) -> float:
  """Largest |cos| between two different x1, or patches of them. Ours."""
  found = (*inputs.cosines, inputs.test_cosines)
  return float(max(np.abs(c).max(initial=0.0) for c in found))


def p_output(
  kernel: Kernel,
  inputs: Inputs,
  sums: Array,
  log_a: Array | None = None,
) -> ByGroup:
  """r_t on the training x1, [n1] each, by where its signal comes from.

  Ours, from the formula of `theory.kernels`.

  Args:
    kernel: the kernel.
    inputs: of one seed.
    sums: A_k, [K, n1].
    log_a: log a of the x1, [n1], under noise (one patch only); else None.
  """
  by_group = inputs.by_group(sums[: kernel.num_odd + 1])
  parts = [0.0, 0.0]
  for patch, norms in enumerate(inputs.norms):
    own = norms * kernels.diagonal(kernel, norms, sums, log_a)
    # The diagonal belongs to an example's own group.
    is_p_only = jnp.arange(norms.shape[0]) < inputs.num_p_only
    owned = jnp.where(is_p_only, own, 0), jnp.where(is_p_only, 0, own)
    for i, norms_of_group in enumerate(inputs.by_group(norms)):
      off = kernels.off_diagonal(
        kernel, inputs.cosines[i][patch], norms_of_group, by_group[i], log_a
      )
      parts[i] = parts[i] + norms * off + owned[i]
  return ByGroup(*parts)


def test_output(kernel: Kernel, inputs: Inputs, sums: Array) -> Array:
  """r_t on the test x1, [n]. Arguments as `p_output`, without noise. Ours."""
  total = 0.0
  for cosines, norms, test_norms in zip(
    inputs.test_cosines, inputs.norms, inputs.test_norms, strict=True
  ):
    total += test_norms * kernels.off_diagonal(kernel, cosines, norms, sums)
  return total


def on_all(inputs: Inputs, of_m1: Array, num_train: int) -> Array:
  """Values on M1, [n1], spread over all examples, [N]; 0 elsewhere. Ours."""
  return jnp.zeros(num_train).at[inputs.index].set(of_m1, mode="drop")


def of_m1(inputs: Inputs, on_examples: Array) -> Array:
  """Values of all examples, [N], at M1, [n1]; 0 at padding. Ours."""
  return on_examples.at[inputs.index].get(mode="fill", fill_value=0.0)


def on_directions(values: Array, direction: Array) -> Array:
  """Sums of values, [..., N], by Q's direction, [..., 3]. Ours."""
  return values @ (direction[:, None] == jnp.arange(3)).astype(values.dtype)


def _patches(setting: Setting, x1: np.ndarray) -> np.ndarray:
  """Patches of x1, [s, P, n, d]."""
  if setting.structure != CONV:
    return x1[:, None]
  s, n, d = x1.shape
  patches = convolution.patches_of_x1(x1.reshape(s * n, d), setting.num_strides)
  patches = np.asarray(patches).reshape(s, n, setting.num_strides, d)
  return np.moveaxis(patches, 2, 1)


def _grouped(has_p: np.ndarray, has_q: np.ndarray) -> tuple[np.ndarray, int]:
  """Positions of P-only, then of both, padded with N; size of the first."""
  n = has_p.shape[-1]
  columns = []
  for member in (has_p & ~has_q, has_p & has_q):
    size = int(member.sum(-1).max())
    index = np.full((len(member), size), n)
    for row, present in zip(index, member, strict=True):
      row[: present.sum()] = np.flatnonzero(present)
    columns.append(index)
  return np.concatenate(columns, axis=1), columns[0].shape[1]


def _unit(x):
  """Vectors of unit length (zero ones stay zero), and their lengths."""
  norms = np.linalg.norm(x, axis=-1)
  return x / np.where(norms > 0, norms, 1.0)[..., None], norms
