"""The two-layer convolutional net of Section F.2, and its Lemmas F.3, F.4.

The input is x = (x1, x2), [2 d]. Patch i has length d and starts (i - 1) d/k
coordinates from the left; each patch meets the same first layer U, [m/k, d],
and its own head u_i, [m/k], of entries +-1/sqrt(m).

Letters: see `lro_jax.theory`; besides, k is the number of strides in d, and
m/k the number of channels. On every patch of x: `heads` is [k + 1, m/k].

Deviation: there are k + 1 patches, not k. With k of them, as printed, the last
one ends d/k coordinates before x does, and no patch sees the coordinates on
which z and zeta live. With one more, the last patch is x2 itself, and patches 1
to k see x1 shifted left by 0, d/k, ..., as in (F.26), and of x2 only
coordinates on which Q is zero; so (F.6) and (F.7) hold to the letter, with
x(k + 1) for their x(k).
"""

import chex
import jax
import jax.numpy as jnp

from lro_jax.core.schema import UserError
from lro_jax.core.task import Array
from lro_jax.theory.toolbox import Reading


def _stride(dim: int, num_strides: int) -> int:
  """d/k, or a refusal."""
  if num_strides < 1 or dim % num_strides:
    raise UserError(
      f"Got k = {num_strides} patches over dimension {dim}: k must be a"
      f" positive divisor of {dim}, so that patches start at whole"
      " coordinates; change one of the two."
    )
  return dim // num_strides


def patches_of(x: Array, num_strides: int) -> Array:
  """Patches 1 to k + 1 of x = (x1, x2), [n, k + 1, d]. Paper: Section F.2.

  Args:
    x: inputs, [n, 2 d].
    num_strides: k, a divisor of d.

  Raises:
    UserError: k does not divide d.
  """
  chex.assert_rank(x, 2)
  dim = x.shape[1] // 2
  chex.assert_axis_dimension(x, 1, 2 * dim)
  stride = _stride(dim, num_strides)
  starts = range(0, dim + 1, stride)
  return jnp.stack([x[:, s : s + dim] for s in starts], axis=1)


def patches_of_x1(x1: Array, num_strides: int) -> Array:
  """Patches 1 to k of (x1, x2), [n, k, d], for any x2 of Q. Paper: (F.7).

  Patch i is x1 shifted left by (i - 1) d/k and filled up with zeros: Q's
  vectors are zero wherever these patches reach into x2. Patch k + 1 is x2.

  Args:
    x1: P components, [n, d].
    num_strides: k, a divisor of d.

  Raises:
    UserError: k does not divide d.
  """
  chex.assert_rank(x1, 2)
  x = jnp.concatenate([x1, jnp.zeros_like(x1)], axis=1)
  return patches_of(x, num_strides)[:, :-1]


def sample_heads(key: Array, *, num_hidden: int, num_strides: int) -> Array:
  """Heads of all patches: iid +-1/sqrt(m), [k + 1, m/k]. Paper: Section F.2.

  Args:
    key: key, [].
    num_hidden: m, a multiple of k.
    num_strides: k.

  Raises:
    UserError: k does not divide m.
  """
  if num_strides < 1 or num_hidden < 1 or num_hidden % num_strides:
    raise UserError(
      f"Got {num_hidden} hidden units for k = {num_strides} patches: the number"
      " of units must be a positive multiple of k, so that all patches have as"
      " many channels; change one of the two."
    )
  shape = (num_strides + 1, num_hidden // num_strides)
  signs = jax.random.rademacher(key, shape, jnp.result_type(float))
  return signs / jnp.sqrt(1.0 * num_hidden)


def _preactivations(weights: Array, patches: Array) -> Array:
  """U x(i) for every patch, [n, patches, m/k]."""
  return jnp.einsum("npd,hd->nph", patches, weights)


def conv_two_layer(heads: Array, weights: Array, patches: Array) -> Array:
  """N_U(u, U; x) = sum_i u_i . relu(U x(i)), [n]. Paper: (F.3).

  With the first k heads and patches it is r, with the last ones g.

  Args:
    heads: u, [p, m/k], p being k, k + 1 or 1.
    weights: U, [m/k, d].
    patches: x(i), [n, p, d].
  """
  chex.assert_rank([heads, weights, patches], [2, 2, 3])
  chex.assert_equal(heads.shape[0], patches.shape[1])
  hidden = jax.nn.relu(_preactivations(weights, patches))
  return jnp.einsum("nph,ph->n", hidden, heads)


def channel_outputs_with_patterns_of(
  a: Array, heads: Array, weights: Array, patches: Array
) -> Array:
  """N_A(u_i, U; x) = u_i . (1(A x(i) >= 0) * U x(i)), [n, p]. Paper: (F.5).

  Args:
    a: matrix that decides the pattern, [m/k, d].
    heads: u, [p, m/k].
    weights: U, [m/k, d].
    patches: x(i), [n, p, d].
  """
  chex.assert_rank([heads, weights, patches], [2, 2, 3])
  chex.assert_equal_shape([a, weights])
  chex.assert_equal(heads.shape[0], patches.shape[1])
  pattern = _preactivations(a, patches) >= 0
  active = jnp.where(pattern, _preactivations(weights, patches), 0.0)
  return jnp.einsum("nph,ph->np", active, heads)


def conv_two_layer_with_patterns_of(
  a: Array, heads: Array, weights: Array, patches: Array
) -> Array:
  """N_A(u, U; x), the sum of (F.5) over the patches, [n]. Paper: (F.4).

  Args:
    a: matrix that decides the pattern, [m/k, d].
    heads: u, [p, m/k].
    weights: U, [m/k, d].
    patches: x(i), [n, p, d].
  """
  return channel_outputs_with_patterns_of(a, heads, weights, patches).sum(1)


def share_of_flips(
  num_hidden: int, *, weight_decay: float, init_std: float
) -> float:
  """eps_s = (1 / (lambda tau0))^(4/3) m^(-1/3). Paper: below Lemma A.8.

  Args:
    num_hidden: m.
    weight_decay: lambda > 0.
    init_std: tau0 > 0.
  """
  return (weight_decay * init_std) ** (-4 / 3) * num_hidden ** (-1 / 3)


def cross_talk(
  a: Array,
  heads: Array,
  matrices: Array,
  x: Array,
  *,
  weight_decay: float,
  init_std: float,
) -> Reading:
  """Output of u_i * U_i through the other heads, by example. Lemma F.3, (F.8).

  |N_A(u, sum_i u_i * U_i; x) - sum_i N_A(u_i, u_i * U_i; x)|, A = U_t.

  The lemma's U_i have ||U_i||_F of the order of 1/lambda. Its proof then gives
  k^2 ||x|| / (lambda m) for the first term of the bound; the statement's
  sqrt(m) is what u_i * U_i of that norm has.

  Args:
    a: U_t, [m/k, d].
    heads: u, [k + 1, m/k].
    matrices: U_i, none of which may depend on u, [k + 1, m/k, d].
    x: inputs, [n, 2 d].
    weight_decay: lambda > 0.
    init_std: tau0 > 0.

  Returns:
    The difference and k^2 ||x|| / (lambda sqrt(m)) + k eps_s ||x||, without
    constants, [n].
  """
  chex.assert_equal_shape_prefix([heads, matrices], 2)
  k = heads.shape[0] - 1
  num_hidden = k * heads.shape[1]
  patches = patches_of(x, k)
  # The signs' sum has the first layer's size; the pairs (i, i') are not formed.
  together = jnp.einsum("ph,phd->hd", heads, matrices)
  own = jnp.einsum("phd,npd->nph", matrices, patches) * heads
  others = _preactivations(together, patches) - own
  active = jnp.where(_preactivations(a, patches) >= 0, others, 0.0)
  length = jnp.linalg.norm(x, axis=-1)
  flips = share_of_flips(
    num_hidden, weight_decay=weight_decay, init_std=init_std
  )
  return Reading(
    jnp.abs(jnp.einsum("nph,ph->n", active, heads)),
    length * (k**2 / (weight_decay * num_hidden**0.5) + k * flips),
  )


def gradient_cross_talk(
  a: Array,
  earlier: Array,
  other_head: Array,
  head: Array,
  x: Array,
  x_earlier: Array,
  *,
  num_strides: int,
  weight_decay: float,
  init_std: float,
) -> Reading:
  """What patch i's gradient does to patch i' != i, by pair. Lemma F.4, (F.9).

  |N_A(u_i', U_i; x)| for U_i = (u_i * 1(B x' >= 0)) x'^T, A = U_t, B = U_s: up
  to a factor the gradient of head i on patch x' at step s, seen by head i' on
  patch x at step t.

  Args:
    a: U_t, [m/k, d].
    earlier: U_s, [m/k, d].
    other_head: u_i', [m/k].
    head: u_i, [m/k].
    x: patches at step t, [n, d].
    x_earlier: patches x' at step s, [n', d].
    num_strides: k.
    weight_decay: lambda > 0.
    init_std: tau0 > 0.

  Returns:
    The output and d^2 ||x|| ||x'|| / sqrt(m) + ||x|| ||x'|| sqrt(eps_s) +
    ||x|| eps_s, without constants, [n, n'].
  """
  chex.assert_equal_shape([a, earlier])
  chex.assert_equal_shape([head, other_head])
  num_hidden = num_strides * head.shape[0]
  now = jnp.where(x @ a.T >= 0, head * other_head, 0.0)
  then = (x_earlier @ earlier.T >= 0).astype(now.dtype)
  flips = share_of_flips(
    num_hidden, weight_decay=weight_decay, init_std=init_std
  )
  length = jnp.linalg.norm(x, axis=-1)[:, None]
  length_earlier = jnp.linalg.norm(x_earlier, axis=-1)
  pairs = x.shape[1] ** 2 / num_hidden**0.5 + flips**0.5
  return Reading(
    jnp.abs((now @ then.T) * (x @ x_earlier.T)),
    length * (length_earlier * pairs + flips),
  )
