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

from lro_jax.core.task import Array, Tree


class Parts(NamedTuple):
  """Signal and noise part of the weights; each has the weights' structure."""

  signal: Tree
  noise: Tree


def start(params: Tree) -> Parts:
  """Signal 0, noise U_0: the parts at step 0. Paper: Eq. (3.4) at t = 0."""
  return Parts(jax.tree.map(jnp.zeros_like, params), params)


def update_with_noise_part(
  tx: optax.GradientTransformationExtraArgs,
  opt_state: Tree,
  params: Tree,
  noise_part: Tree,
  grads: Tree,
  *,
  loss: Array,
) -> tuple[Tree, Tree, Tree]:
  """Moves the weights, and beside them their noise part, one update forward.

  Feeding the chain a zero gradient isolates what this update's Gaussian draw
  and weight decay do on their own. Paper: Eq. (3.4). Both go through the chain
  under one vmap that its state is not part of: the draw is made once, and is
  the same for both.

  Args:
    tx: chain from `optim.make`; must contain no momentum.
    opt_state: the chain's state before the update.
    params: the weights.
    noise_part: accumulated noise, shaped as the weights. U_0 at step 0.
    grads: gradient of the unregularised loss, shaped as the weights.
    loss: training loss before the update, []; drives the annealing latch.

  Returns:
    Weights, noise part and the chain's state after the update.
  """

  def update(grads, weights):
    updates, new_state = tx.update(grads, opt_state, weights, value=loss)
    return optax.apply_updates(weights, updates), new_state

  def stack(a, b):
    return jax.tree.map(lambda x, y: jnp.stack([x, y]), a, b)

  zeros = jax.tree.map(jnp.zeros_like, grads)
  moved, opt_state = jax.vmap(update, out_axes=(0, None))(
    stack(grads, zeros), stack(params, noise_part)
  )
  params, noise_part = (
    jax.tree.map(lambda x, i=i: x[i], moved) for i in range(2)
  )
  return params, noise_part, opt_state


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
