"""What the network engine's instruments are made from, read off a logged state.

Letters: see `lro_jax.theory`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lro_jax.core.task import Array, Data, TrainState, Tree
from lro_jax.theory import (
  convolution,
  decomposition,
  lemmas,
  models,
  structures,
)
from lro_jax.theory.data import MIDDLE, MINUS, PLUS
from lro_jax.theory.network_probe import Probe
from lro_jax.theory.settings import CONV, Setting


def norms(params: Tree, probe: Probe) -> dict[str, Array]:
  """Squared norms of signal and noise by block, stds, and (3.4)'s error. Ours.

  A net without blocks has one line, under `u`.

  Returns:
    By metric name, [] each.
  """
  parts = probe.parts
  out = {}
  for name, signal, noise in zip(
    ("w", "v") if isinstance(params, models.Blocks) else ("u",),
    jax.tree.leaves(parts.signal),
    jax.tree.leaves(parts.noise),
    strict=True,
  ):
    out |= {
      f"signal_norm2/{name}": jnp.sum(jnp.square(signal)),
      f"noise_norm2/{name}": jnp.sum(jnp.square(noise)),
      f"noise_std/{name}": jnp.std(noise),
    }
  return out | {
    "noise_std/closed_form": probe.noise_std,
    "decomposition_error": decomposition.relative_error(params, parts),
  }


def p_only_x1(train: dict[str, np.ndarray]) -> np.ndarray:
  """x1 of the P-only examples, [s, n, rank], zero rows as padding. Ours."""
  member = train["m2"] == 0
  out = np.zeros(
    (len(member), int(member.sum(-1).max()), train["x1"].shape[-1])
  )
  for row, x1, present in zip(out, train["x1"], member, strict=True):
    row[: present.sum()] = x1[present]
  return out


def read(
  net: structures.Net,
  state: TrainState,
  data: Data,
  s: Setting,
  rows: tuple[int, int],
  *,
  f: Array,
  r: Array,
  g_at: Array,
  r_test: Array,
  r_opposite: Array,
  rate: Array,
  annealed_at: Array,
  loss: Callable,
  axis_name: str | None,
) -> lemmas.Reading:
  """What the instruments are made from, equal on every device. Ours.

  Args:
    net: the structure.
    state: the engine's state.
    data: evaluation data, this device's share.
    s: the run's numbers.
    rows: of W and V.
    f: on the training examples, [n].
    r: on their x1, [n].
    g_at: g at the directions, [3].
    r_test: r on the test x1, [n].
    r_opposite: r on their opposites, [n].
    rate: gamma_t, [].
    annealed_at: the latch, [].
    loss: of `core.optim.gradient_step`; its noise is left out here.
    axis_name: name of the device axis, or None.
  """
  probe, ex = state.probe, data.examples["train"]
  total = (lambda x: x) if axis_name is None else _over(jax.lax.psum, axis_name)
  largest = (
    (lambda x: x) if axis_name is None else _over(jax.lax.pmax, axis_name)
  )
  quiet = {"heads": state.model_state["heads"]}
  batch = Data(ex, data.shared)
  grads, (_, sums) = jax.grad(loss, has_aux=True)(
    state.params, quiet, batch, state.step
  )
  grads, sums = total((grads, sums))
  here = jnp.where(ex["weight"] > 0, 1.0, 0.0).astype(f.dtype)

  def mean(outputs, member):
    each = models.logistic_loss(outputs, ex["y"]) * member * here
    top, count = total((jnp.sum(each), jnp.sum(member * here)))
    return top / count

  by_block = _norms2(probe.parts.signal)
  seen_by_noise = net.seen_of_q(probe.parts.noise, data.shared["directions"])
  signs = seen_by_noise >= 0
  wedge = signs[MINUS] != signs[PLUS]
  out = {
    "step": state.step,
    "annealed_at": annealed_at,
    "rate": rate,
    "p": data.shared["p"],
    "q": data.shared["q"],
    "loss": sums["loss"],
    "loss_m2": mean(f, ex["m2"]),
    "loss_q_only": mean(f, 1 - ex["m1"]),
    "r_loss_m1": mean(r, ex["m1"]),
    "g_at": g_at,
    "norm2_w": by_block[0],
    "norm2_v": by_block[1] if len(by_block) > 1 else jnp.zeros_like(rate),
    "rho": sums["rho"],
    "large_rho_steps": probe.large_rho_steps,
    "m2_learned_at": probe.m2_learned_at,
    "grad_norm2": optax.tree.norm(grads, squared=True),
    "wedge_share": jnp.mean(wedge.astype(f.dtype)),
    "wedge_reach": jnp.max(jnp.where(wedge, jnp.abs(seen_by_noise[MIDDLE]), 0)),
    "tau": probe.noise_std,
  }
  if probe.at_anneal is not None:
    moved = jax.tree.map(
      jnp.subtract, probe.parts.signal, probe.at_anneal.signal
    )
    out["moved2"] = optax.tree.norm(moved, squared=True)
  if isinstance(state.params, models.Blocks):
    out |= _of_blocks(state, data, s, rows, grads, f, r_test, r_opposite)
    out |= {name: largest(out[name]) for name in _LARGEST if name in out}
    if "alpha_rest" in out:
      count = total(jnp.sum(data.examples["test"]["count"]))
      out["alpha_rest"] = jnp.sqrt(total(out["alpha_rest"]) / count)
  if s.structure == CONV:
    out["channels"] = _channels(state, data, s)
  return lemmas.Reading(**out)


# What is a maximum over this device's examples until all are asked.
_LARGEST = ("reach", "flips", "pattern_gap", "anneal_flips", "anneal_gap")


def _over(collective, axis_name):
  return lambda tree: collective(tree, axis_name)


def _norms2(tree: Tree) -> list[Array]:
  return [jnp.sum(jnp.square(x)) for x in jax.tree.leaves(tree)]


def _flips(a: Array, b: Array) -> Array:
  """Most units on which two pre-activations disagree, [n, units] -> []."""
  return jnp.max(jnp.sum((a >= 0) != (b >= 0), axis=1)).astype(a.dtype)


def _of_blocks(
  state, data, s, rows, grads, f, r_test, r_opposite
) -> dict[str, Array]:
  """Readings of the split net, by block: W at [0], V at [1]."""
  params, probe, heads = state.params, state.probe, state.model_state["heads"]
  ex, directions = data.examples["train"], data.shared["directions"]
  signal, noise = probe.parts
  inputs = models.Blocks(ex["x1"], directions)

  def rows_of(tree):
    return jnp.stack([jnp.max(jnp.linalg.norm(x, axis=1)) for x in tree])

  def each(fn, *trees):
    return jnp.stack(
      [fn(*args) for args in zip(*trees, inputs, heads, strict=True)]
    )

  def pattern_gap(u, a, x, head):
    gap = models.two_layer(head, u, x) - models.two_layer_with_patterns_of(
      a, head, u, x
    )
    return jnp.max(jnp.abs(gap))

  entries = [x.size for x in noise]
  second = [jnp.mean(x**2) for x in noise]
  out = {
    "units": 2 * jnp.asarray(rows, f.dtype),
    "reach": jnp.stack([jnp.max(jnp.linalg.norm(x, axis=1)) for x in inputs]),
    "row_grad": rows_of(grads),
    "row_signal": rows_of(signal),
    "noise_std": jnp.sqrt(jnp.stack(second)),
    "noise_kurtosis": jnp.stack(
      [jnp.mean(x**4) / m2**2 - 3 for x, m2 in zip(noise, second, strict=True)]
    ),
    "noise_entries": jnp.asarray(entries, f.dtype),
    "flips": each(lambda u, a, x, _: _flips(x @ u.T, x @ a.T), params, noise),
    "pattern_gap": each(pattern_gap, params, noise),
  }
  if probe.at_anneal is not None:
    then = probe.at_anneal.params
    # m counts the units of both blocks, of which this one has half.
    counts = each(lambda u, a, x, _: _flips(x @ u.T, x @ a.T), params, then)
    out["anneal_flips"] = counts / jnp.asarray(rows, f.dtype)

    def seen_then(a, u, x, head):
      return models.two_layer_with_patterns_of(a, head, u, x)

    r_then = seen_then(then.w, signal.w, inputs.w, heads.w)
    g_then = seen_then(then.v, signal.v, inputs.v, heads.v)
    f_then = r_then + models.q_output(g_then, ex["alpha"], ex["direction"])
    real = ex["weight"] > 0
    out["anneal_gap"] = jnp.max(jnp.where(real, jnp.abs(f - f_then), 0))
  if probe.from_m2 is not None:
    rank = params.w.shape[1]
    alpha = heads.w @ (signal.w - probe.from_m2) / 2
    test_x1 = data.examples["test"]["x1"][:, :rank]
    rest = r_test - r_opposite - 2 * test_x1 @ alpha
    counted = data.examples["test"]["count"]
    out |= {
      "norm2_m2": jnp.sum(jnp.square(probe.from_m2)),
      "alpha_norm": jnp.linalg.norm(alpha),
      # A sum of squares till all devices are asked.
      "alpha_rest": jnp.sum(counted * jnp.square(rest)),
    }
  if probe.w_at_start is not None:
    out["rest2"] = _rest2(
      data.shared["p_only_x1"], probe.w_at_start, heads.w, signal.w
    )
  return out


def _rest2(x1: Array, w0: Array, head: Array, signal: Array) -> Array:
  """||W'||^2 of Lemma B.6 at the alpha_k that make it least, []."""
  active = (x1 @ w0.T >= 0) * head
  gram = (active @ active.T) * (x1 @ x1.T)
  target = jnp.sum(active * (x1 @ signal.T), axis=1)
  return lemmas.least_rest2(gram, target, jnp.sum(jnp.square(signal)))


def _channels(state, data, s) -> tuple[lemmas.Measured, lemmas.Measured]:
  """Lemmas F.3 and F.4 on a few training examples.

  U_i of F.3: the present gradient's part for head i, u_i taken off, scaled so
  that the largest has norm 1 / lambda. F.4: head 1 on x1 against head k + 1 on
  x2, at one and the same step.
  """
  heads, weights = state.model_state["heads"], state.params
  ex, directions = data.shared["few"], data.shared["directions"]
  k = s.num_strides
  x2 = ex["alpha"][:, None] * directions[ex["direction"]]
  x = jnp.concatenate([ex["x1"], x2], axis=1)
  patches = convolution.patches_of(x, k)
  f = convolution.conv_two_layer(heads, weights, patches)
  force = ex["y"] * jax.nn.sigmoid(-ex["y"] * f)
  active = jnp.einsum("npd,hd->nph", patches, weights) >= 0
  parts = jnp.einsum("n,nph,npd->phd", force, active.astype(f.dtype), patches)
  lengths = jnp.sqrt(jnp.sum(parts**2, axis=(1, 2)))
  decay = s.weight_decay or 1.0
  law = dict(weight_decay=decay, init_std=s.init_std)
  crossed = convolution.cross_talk(
    weights, heads, parts / (decay * jnp.max(lengths)), x, **law
  )
  met = convolution.gradient_cross_talk(
    weights,
    weights,
    heads[0],
    heads[k],
    ex["x1"],
    x2,
    num_strides=k,
    **law,
  )

  def worst(found):
    value, bound = (x.reshape(-1) for x in found)
    at = jnp.argmax(jnp.where(bound > 0, value / bound, 0))
    return lemmas.Measured(value[at], bound[at])

  return worst(crossed), worst(met)
