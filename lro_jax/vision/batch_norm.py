"""BatchNorm over weighed examples of all devices, as PyTorch keeps it."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from lro_jax.core.task import Array

# PyTorch's 0.1, which weighs the new value where Flax weighs the old.
MOMENTUM, EPSILON = 0.9, 1e-5


class Normalized(NamedTuple):
  """Settings that every layer shares.

  Attributes:
    train: batch statistics, and noise where there is any.
    weight: which examples count for the statistics, [n]: 0 for padding.
    axis_name: name of the device axis, None on one device.
    dtype: of the activations; statistics and weights are float32.
  """

  train: bool
  weight: Array | None
  axis_name: str | None
  dtype: Any


class BatchNorm(nn.Module):
  """BatchNorm over all devices' examples of positive weight, as PyTorch's.

  Flax's own cannot weigh examples across devices, and keeps the biased
  variance for evaluation, where PyTorch keeps n/(n-1) times it.
  """

  @nn.compact
  def __call__(self, x: Array, how: Normalized) -> Array:
    """Normalised `x`, [n, h, w, channels]."""
    channels = x.shape[-1]
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    running = {
      name: self.variable("batch_stats", name, start, (channels,), jnp.float32)
      for name, start in (("mean", jnp.zeros), ("var", jnp.ones))
    }
    if how.train:
      count, mean, var = moments(x, how.weight, how.axis_name)
      if not self.is_initializing():
        unbiased = var * (count / jnp.maximum(count - 1, 1))
        for name, new in (("mean", mean), ("var", unbiased)):
          old = running[name].value
          running[name].value = MOMENTUM * old + (1 - MOMENTUM) * new
    else:
      mean, var = running["mean"].value, running["var"].value
    factor = scale * jax.lax.rsqrt(var + EPSILON)
    shift = bias - mean * factor
    # In float32: the gradients of factor and shift are sums over all pixels,
    # which bfloat16 could not hold.
    return (x.astype(jnp.float32) * factor + shift).astype(x.dtype)


def moments(
  x: Array, weight: Array | None, axis_name: str | None
) -> tuple[Array, Array, Array]:
  """Count [], mean [c] and biased variance [c] of a batch's channels. Ours.

  Args:
    x: activations of this device, [n, h, w, c].
    weight: 1 for an example that counts, 0 for padding, [n]; None: all count.
    axis_name: name of the device axis, or None.

  Returns:
    Of the examples of all devices together, float32.
  """
  n, height, width, channels = x.shape
  weight = jnp.ones(n) if weight is None else weight
  flat = x.astype(jnp.float32).reshape(-1, channels)
  # As a product: XLA's CPU sums over pixels on one thread, but not products.
  by_pixel = jnp.repeat(weight, height * width)
  sums = [
    jnp.dot(by_pixel, power, precision=jax.lax.Precision.HIGHEST)
    for power in (flat, jnp.square(flat))
  ]
  count = jnp.sum(weight) * (height * width)
  if axis_name is not None:
    count, sums = jax.lax.psum((count, sums), axis_name)
  mean, square = (total / jnp.maximum(count, 1) for total in sums)
  var = square - jnp.square(mean)
  # No maximum: on a CPU XLA's may turn a NaN into 0.
  return count, mean, jnp.where(var < 0, 0.0, var)
