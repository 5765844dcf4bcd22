"""What the network engine carries along only to be measured.

Letters: see `lro_jax.theory`. Weights are signal + noise, (3.4); for some
statements a run also carries W^(2), the signal of W from M2, and the state at
annealing. All else is read off the state when it is logged,
`theory.network_reading`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lro_jax.core import optim
from lro_jax.core.task import NOT_YET, Array, Data, TrainState, Tree, latch
from lro_jax.theory import decomposition, instruments, lemmas, models
from lro_jax.theory.settings import Setting


class AtAnneal(NamedTuple):
  """U_t0 and Ubar_t0, shaped as the weights."""

  params: Tree
  signal: Tree


class Probe(NamedTuple):
  """What is carried only to be measured; None where no instrument asks.

  Attributes:
    parts: signal and noise, (3.4).
    noise_std: std of the noise part by its closed form, [].
    large_rho_steps: steps with rho_t >= `lemmas.LARGE_RHO`, int32 [].
    m2_learned_at: latch of the loss on M2 at eps2, int32 [].
    from_m2: -W^(2) of (5.1): what of Wbar came from M2, shaped as W.
    w_at_start: W_0.
    at_anneal: the state at annealing; U_0 and 0 until then.
  """

  parts: decomposition.Parts
  noise_std: Array
  large_rho_steps: Array
  m2_learned_at: Array
  from_m2: Any
  w_at_start: Any
  at_anneal: Any


def start(params: Tree, std: Array, carries: frozenset[str]) -> Probe:
  """The probe of an untrained net. Ours.

  Args:
    params: U_0.
    std: tau0, [].
    carries: what is to be carried, `instruments.carried`.
  """
  parts = decomposition.start(params)
  return Probe(
    parts=parts,
    noise_std=std,
    large_rho_steps=jnp.zeros((), jnp.int32),
    m2_learned_at=jnp.full((), NOT_YET, jnp.int32),
    from_m2=parts.signal.w if instruments.FROM_M2 in carries else None,
    w_at_start=params.w if instruments.FROM_START in carries else None,
    at_anneal=AtAnneal(params, parts.signal)
    if instruments.MOVED in carries
    else None,
  )


def advance(
  before: TrainState,
  seen: optim.Seen,
  noise_part: Tree,
  s: Setting,
  *,
  rate: Array,
  axis_name: str | None,
  noise: Tree | None,
) -> Probe:
  """The probe after an update. Paper: (3.4), (5.1); ours.

  Args:
    before: the state before the update.
    seen: what the step has seen there.
    noise_part: Utilde after it.
    s: the run's numbers.
    rate: gamma_t of this update, [].
    axis_name: name of the device axis, or None.
    noise: Xi of this step, or None.
  """
  old = before.probe

  def gathered(signal, grads):
    return decomposition.advance_signal_part(
      signal, grads, rate=rate, weight_decay=s.weight_decay
    )

  shrink = 1 - rate * s.weight_decay
  variance = (shrink * old.noise_std) ** 2 + (rate * s.noise_std) ** 2
  loss_m2 = seen.sums["loss_m2"] / seen.sums["share_m2"]
  is_large = seen.sums["rho"] >= lemmas.LARGE_RHO
  new = old._replace(
    parts=decomposition.Parts(
      gathered(old.parts.signal, seen.grads), noise_part
    ),
    noise_std=jnp.sqrt(variance).astype(old.noise_std.dtype),
    large_rho_steps=old.large_rho_steps + is_large.astype(jnp.int32),
    m2_learned_at=latch(old.m2_learned_at, loss_m2 <= s.stop_loss, before.step),
  )
  if old.from_m2 is not None:
    grad = _gradient_of_m2(before, seen.batch, noise)
    if axis_name is not None:
      grad = jax.lax.psum(grad, axis_name)
    new = new._replace(from_m2=gathered(old.from_m2, grad))
  return new


def remember(state: TrainState, held: dict[str, Array]) -> TrainState:
  """Keeps the state at annealing, before the update. Ours.

  Args:
    state: of one seed.
    held: event name -> whether it is met in this state, bool [].
  """
  probe = state.probe
  if probe.at_anneal is None:
    return state
  now = AtAnneal(state.params, probe.parts.signal)
  kept = jax.tree.map(
    lambda a, b: jnp.where(held["anneal"], a, b), now, probe.at_anneal
  )
  return state._replace(probe=probe._replace(at_anneal=kept))


def _gradient_of_m2(before: TrainState, batch: Data, noise) -> Array:
  """This device's share of W's gradient from the examples of M2, as W.

  The forward pass is the loss's own: compiled, it is made once.
  """
  ex, directions = batch.examples, batch.shared["directions"]
  heads, params = before.model_state["heads"], before.params
  noise = noise or models.Blocks(0.0, 0.0)

  def r(w):
    return jax.nn.relu(ex["x1"] @ w.T + noise.w) @ heads.w

  r_now, pull = jax.vjp(r, params.w)
  if isinstance(noise.v, float):
    g = models.q_output(
      models.directions_output(heads.v, params.v, directions),
      ex["alpha"],
      ex["direction"],
    )
  else:
    at = models.pre_activations(params.v, directions)[ex["direction"]]
    g = jax.nn.relu(ex["alpha"][:, None] * at + noise.v) @ heads.v
  slope = jax.nn.sigmoid(-ex["y"] * (r_now + g))
  return pull(-ex["weight"] * ex["m2"] * ex["y"] * slope)[0]
