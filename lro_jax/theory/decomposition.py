"""Weights = signal + noise, advanced exactly beside training. Eq. (3.4).

Letters: see `lro_jax.theory`. Ubar, the signal part, collects the decayed
gradients; Utilde, the noise part, the decayed initialisation and noise. The
chain of Eq. (3.1) is affine in the gradient, so each part moves by the chain
itself: the noise part with the gradient set to zero, the signal part with the
noise left out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lro_jax.core import optim
from lro_jax.core.task import Array, Tree


class Parts(NamedTuple):
  """Signal and noise part of the weights; each has the weights' structure."""

  signal: Tree
  noise: Tree


def start(params: Tree) -> Parts:
  """Signal 0, noise U_0: the parts at step 0. Paper: Eq. (3.4) at t = 0."""
  return Parts(jax.tree.map(jnp.zeros_like, params), params)


def update_with_noise_part(
  links: optim.Links,
  opt_state: Tree,
  params: Tree,
  noise_part: Tree,
  grads: Tree,
  *,
  loss: Array,
) -> tuple[Tree, Tree, Tree]:
  """Moves the weights, and beside them their noise part, one update forward.

  Feeding the chain a zero gradient isolates what this update's Gaussian draw
  and weight decay do on their own. Paper: Eq. (3.4). One draw goes through the
  rest of the chain twice, with the gradient and without.

  Args:
    links: chain from `optim.links`; must contain no momentum.
    opt_state: the chain's state before the update.
    params: the weights.
    noise_part: accumulated noise, shaped as the weights. U_0 at step 0.
    grads: gradient of the unregularised loss, shaped as the weights.
    loss: training loss before the update, []; drives the annealing latch.

  Returns:
    Weights, noise part and the chain's state after the update.
  """
  noise_state, rest_state = opt_state
  zeros = jax.tree.map(jnp.zeros_like, grads)
  drawn, noise_state = links.noise.update(zeros, noise_state)

  def moved(updates, weights):
    updates, state = links.rest.update(updates, rest_state, weights, value=loss)
    return optax.apply_updates(weights, updates), state

  params, new_state = moved(optax.tree.add(grads, drawn), params)
  noise_part, _ = moved(drawn, noise_part)
  return params, noise_part, (noise_state, new_state)


def advance_signal_part(
  signal_part: Tree, grads: Tree, *, rate: Array, weight_decay: float
) -> Tree:
  """Moves the signal part one update forward. Paper: Eq. (3.4).

  Args:
    signal_part: Ubar, shaped as the weights; 0 at step 0.
    grads: gradient of the unregularised loss before the update.
    rate: gamma_t of this update, [].
    weight_decay: lambda.

  Returns:
    (1 - gamma lambda) Ubar - gamma grad, shaped as the weights.
  """
  return jax.tree.map(
    lambda s, g: s - rate.astype(s.dtype) * (weight_decay * s + g),
    signal_part,
    grads,
  )


def relative_error(params: Tree, parts: Parts) -> Array:
  """||U - Ubar - Utilde|| / ||U||, []: how exactly Eq. (3.4) holds. Ours."""
  gap = jax.tree.map(
    lambda u, s, n: u - s - n, params, parts.signal, parts.noise
  )
  return optax.tree.norm(gap) / optax.tree.norm(params)
