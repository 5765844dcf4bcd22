"""The first layer's three structures, each as functions of its arrays.

  split    U = [W; V], W for x1 and V for x2 (Section 2), the paper's main case
  conv     m/k channels that every patch of x = (x1, x2) meets (Section F.2)
  general  U [m, 2d], every unit sees all of x (Section 2, before the split)

The split is a convenience of the analysis: the same engine trains all three.
g is positively homogeneous in all of them, so three forward columns tell g on
every x2 (`models.q_output`), but for the noise of Section F.1. Letters: see
`lro_jax.theory`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lro_jax.core.normal import normal
from lro_jax.core.task import Array, Tree
from lro_jax.theory import convolution, models
from lro_jax.theory.settings import CONV, GENERAL, SPLIT, Setting


class Net(NamedTuple):
  """One structure.

  `examples` has x1 [n, d], alpha [n] and direction [n]; `directions` are Q's,
  [3, d]; both may be in a reduced basis where the structure has one.

  Attributes:
    init: key -> the first layer, entries N(0, 1).
    heads: key -> the fixed second layer.
    noise: key -> Xi of one step at tau = 1, (F.2).
    components: (params, heads, x1, directions) -> r on x1 [n], g at the
      directions [3].
    output: (params, heads, examples, directions, Xi or None) -> f, [n].
    seen_of_q: (params, directions) -> pre-activations of the units that see
      x2, [3, units].
  """

  init: Callable[[Array], Tree]
  heads: Callable[[Array], Tree]
  noise: Callable[[Array], Tree]
  components: Callable[..., tuple[Array, Array]]
  output: Callable[..., Array]
  seen_of_q: Callable[[Tree, Array], Array]


def make(
  setting: Setting, *, rows: tuple[int, int], dims: tuple[int, int], dtype
) -> Net:
  """The structure that a setting names. Sections 2, F.1, F.2.

  Args:
    setting: the run's numbers.
    rows: rows of W and of V; without a split m is their sum.
    dims: columns of W and of V that are kept.
    dtype: of all arrays.
  """
  builder = {SPLIT: _split, CONV: _conv, GENERAL: _general}
  return builder[setting.structure](setting, rows, dims, dtype)


def _split(s: Setting, rows, dims, dtype) -> Net:
  def init(key):
    keys = jax.random.split(key)
    return models.Blocks(
      *(
        normal(k, shape, dtype)
        for k, shape in zip(keys, zip(rows, dims, strict=True), strict=True)
      )
    )

  def heads(key):
    keys = jax.random.split(key)
    return models.Blocks(
      *(
        models.sample_head(k, n).astype(dtype)
        for k, n in zip(keys, rows, strict=True)
      )
    )

  def noise(key):
    # Deviation: q_norm times as large on V, whose pre-activations are.
    w_key, v_key = jax.random.split(key)
    return models.Blocks(
      normal(w_key, (rows[0],), dtype),
      s.q_norm * normal(v_key, (rows[1],), dtype),
    )

  def components(params, heads, x1, directions):
    r = models.two_layer(heads.w, params.w, x1)
    return r, models.directions_output(heads.v, params.v, directions)

  def output(params, heads, examples, directions, noise):
    x1 = examples["x1"]
    if noise is None:
      r, g_at = components(params, heads, x1, directions)
      return r + models.q_output(g_at, examples["alpha"], examples["direction"])
    r = jax.nn.relu(x1 @ params.w.T + noise.w) @ heads.w
    pre = _of_examples(seen_of_q(params, directions), examples) + noise.v
    return r + jax.nn.relu(pre) @ heads.v

  def seen_of_q(params, directions):
    return models.pre_activations(params.v, directions)

  return Net(init, heads, noise, components, output, seen_of_q)


def _general(s: Setting, rows, dims, dtype) -> Net:
  num_hidden, dim = sum(rows), s.dim

  def init(key):
    return normal(key, (num_hidden, 2 * dim), dtype)

  def heads(key):
    # Half a block's head: all m units are one block of 2 (m / 2).
    signs = models.sample_head(key, num_hidden) * jnp.sqrt(2.0)
    return signs.astype(dtype)

  def noise(key):
    # One Xi for both components of x: |z| = q_norm is not told apart.
    return normal(key, (num_hidden,), dtype)

  def components(params, heads, x1, directions):
    r = models.two_layer(heads, params[:, :dim], x1)
    return r, models.two_layer(heads, params[:, dim:], directions)

  def output(params, heads, examples, directions, noise):
    pre = examples["x1"] @ params[:, :dim].T
    pre = pre + _of_examples(seen_of_q(params, directions), examples)
    if noise is not None:
      pre = pre + noise
    return jax.nn.relu(pre) @ heads

  def seen_of_q(params, directions):
    return directions @ params[:, dim:].T

  return Net(init, heads, noise, components, output, seen_of_q)


def _conv(s: Setting, rows, dims, dtype) -> Net:
  k, num_hidden = s.num_strides, sum(rows)
  channels = num_hidden // k

  def init(key):
    return normal(key, (channels, s.dim), dtype)

  def heads(key):
    out = convolution.sample_heads(key, num_hidden=num_hidden, num_strides=k)
    return out.astype(dtype)

  def noise(key):
    # Deviation: q_norm times as large where x2 is seen, as in the split net.
    scale = jnp.ones((k + 1, 1), dtype).at[k].set(s.q_norm)
    return scale * normal(key, (k + 1, channels), dtype)

  def components(params, heads, x1, directions):
    patches = convolution.patches_of_x1(x1, k)
    r = convolution.conv_two_layer(heads[:k], params, patches)
    return r, models.two_layer(heads[k], params, directions)

  def output(params, heads, examples, directions, noise):
    if noise is None:
      r, g_at = components(params, heads, examples["x1"], directions)
      return r + models.q_output(g_at, examples["alpha"], examples["direction"])
    patches = convolution.patches_of_x1(examples["x1"], k)
    pre = jnp.einsum("npd,hd->nph", patches, params) + noise[:k]
    r = jnp.einsum("nph,ph->n", jax.nn.relu(pre), heads[:k])
    pre = _of_examples(seen_of_q(params, directions), examples) + noise[k]
    return r + jax.nn.relu(pre) @ heads[k]

  def seen_of_q(params, directions):
    return directions @ params.T

  return Net(init, heads, noise, components, output, seen_of_q)


def _of_examples(at_directions: Array, examples: dict[str, Array]) -> Array:
  """Pre-activations of x2 = alpha * direction, [n, units]."""
  return examples["alpha"][:, None] * at_directions[examples["direction"]]
