"""Eq. (3.1) written plainly in NumPy: the tests' oracle and bench's baseline.

Knows nothing of the other files: no structure of Q, no basis, no optax, no
autodiff. U sees (x1, x2) through its blocks W and V, gradients are Proposition
A.1's. Letters: see `lro_jax.theory`.
"""

from typing import NamedTuple

import numpy as np


class Weights(NamedTuple):
  """W [m/2, d] and V [m/2, d]."""

  w: np.ndarray
  v: np.ndarray


class Inputs(NamedTuple):
  """x1 [N, d], x2 [N, d], labels y [N]."""

  x1: np.ndarray
  x2: np.ndarray
  y: np.ndarray


def output(head: Weights, weights: Weights, inputs: Inputs) -> np.ndarray:
  """f = N_W(w, W; x1) + N_V(v, V; x2), [N]. Paper: Section 2."""
  r = np.maximum(inputs.x1 @ weights.w.T, 0) @ head.w
  g = np.maximum(inputs.x2 @ weights.v.T, 0) @ head.v
  return r + g


def loss(f: np.ndarray, y: np.ndarray) -> float:
  """Mean logistic loss of outputs f [n], labels y [n]. Paper: Section 2."""
  return float(np.mean(np.logaddexp(0, -y * f)))


def gradient(
  head: Weights, weights: Weights, inputs: Inputs
) -> tuple[float, Weights]:
  """Loss and its gradient. Paper: Proposition A.1, (A.1).

  Args:
    head: u's two halves, [m/2] each.
    weights: W and V.
    inputs: training examples.
  """
  pre_w, pre_v = inputs.x1 @ weights.w.T, inputs.x2 @ weights.v.T
  f = np.maximum(pre_w, 0) @ head.w + np.maximum(pre_v, 0) @ head.v
  # l' = -y sigmoid(-y f), over N.
  derivative = -inputs.y / (1 + np.exp(inputs.y * f)) / len(f)

  def block(u, pre, x):
    return ((pre > 0) * derivative[:, None] * u).T @ x

  return loss(f, inputs.y), Weights(
    block(head.w, pre_w, inputs.x1), block(head.v, pre_v, inputs.x2)
  )


def update(
  weights: Weights,
  grads: Weights,
  noise: Weights,
  *,
  rate: float,
  weight_decay: float,
) -> Weights:
  """U <- (1 - gamma lambda) U - gamma (grad L + xi). Paper: (3.1)."""
  return Weights(
    *(
      (1 - rate * weight_decay) * u - rate * (g + xi)
      for u, g, xi in zip(weights, grads, noise, strict=True)
    )
  )
