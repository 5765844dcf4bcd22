"""WideResNet-d-k for small images, and the noise before its activations.

Zagoruyko and Komodakis (2016), as the authors' PyTorch code has it (authors'
code: models/wideresnet.py): pre-activation blocks, in widening blocks the
shortcut reads the activated input, no dropout. Noise (H.1) goes between every
BatchNorm and its ReLU, in training only. Images are [n, h, w, ch].
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from lro_jax.core.schema import UserError
from lro_jax.core.task import Array, Tree

WIDTHS = (16, 32, 64)
# PyTorch's 0.1, which weighs the new value where Flax weighs the old.
MOMENTUM, EPSILON = 0.9, 1e-5
SHARED, CHANNEL, EXAMPLE = "shared", "channel", "example"


class Site(NamedTuple):
  """One activation: height, width and channels of what enters it."""

  height: int
  width: int
  channels: int


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
    # One multiply-add per entry, in the dtype of the activations.
    shift = bias - mean * factor
    return x * factor.astype(x.dtype) + shift.astype(x.dtype)


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
  return count, mean, jnp.maximum(square - jnp.square(mean), 0)


class _Conv(nn.Module):
  """A bias-free convolution padded on both sides, as PyTorch's."""

  features: int
  size: int
  stride: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.zeros, shape)
    # "SAME" would pad (0, 1) at stride 2.
    pad = self.size // 2
    return jax.lax.conv_general_dilated(
      x,
      kernel.astype(x.dtype),
      (self.stride, self.stride),
      [(pad, pad), (pad, pad)],
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


class _Block(nn.Module):
  """Two convolutions behind their activations, beside the shortcut."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x: Array, activate) -> Array:
    widens = x.shape[-1] != self.features
    out = activate(BatchNorm(name="bn1"), x)
    if widens:
      x = _Conv(self.features, 1, self.stride, name="shortcut")(out)
    out = _Conv(self.features, 3, self.stride, name="conv1")(out)
    out = activate(BatchNorm(name="bn2"), out)
    return x + _Conv(self.features, 3, 1, name="conv2")(out)


class WideResNet(nn.Module):
  """The net; use it through `init` and `apply`."""

  depth: int
  widen_factor: int
  num_classes: int

  @nn.compact
  def __call__(
    self, x: Array, how: Normalized, noise: Sequence[Array] | None = None
  ) -> Array:
    """Logits [n, num_classes] of normalised images [n, h, w, ch]."""
    maps = iter(noise) if noise is not None else None

    def activate(norm, x):
      x = norm(x, how)
      if maps is not None:
        x = x + next(maps).astype(x.dtype)
      return nn.relu(x)

    x = _Conv(WIDTHS[0], 3, 1, name="conv")(x.astype(how.dtype))
    for group, width in enumerate(WIDTHS):
      for block in range(num_blocks(self.depth)):
        stride = 2 if group and not block else 1
        name = f"group{group + 1}_block{block + 1}"
        x = _Block(width * self.widen_factor, stride, name=name)(x, activate)
    x = activate(BatchNorm(name="bn"), x)
    # Mean over all pixels: the authors' 8 x 8 pool, for any image size.
    x = jnp.mean(x.astype(jnp.float32), (1, 2))
    kernel = self.param(
      "kernel", nn.initializers.zeros, (x.shape[-1], self.num_classes)
    )
    return x @ kernel + self.param(
      "bias", nn.initializers.zeros, (self.num_classes,)
    )


def num_blocks(depth: int) -> int:
  """Blocks in each of the three groups. Authors' code: WideResNet.__init__.

  Raises:
    UserError: `depth` is not 6n + 4 for a whole n >= 1.
  """
  if depth < 10 or depth % 6 != 4:
    raise UserError(
      f"Got model.depth {depth}: a WideResNet's depth is 6n + 4, so 10, 16, 22,"
      " 28, 40, ..."
    )
  return (depth - 4) // 6


def _constant(like: Array, is_one: bool) -> Array:
  # With its dtype named: a weakly typed array would compile the step twice.
  return (jnp.ones if is_one else jnp.zeros)(like.shape, jnp.float32)


def init(
  key: Array, net: WideResNet, image: tuple[int, int, int]
) -> tuple[Tree, Tree]:
  """Weights and BatchNorm statistics of a new net. Authors' code: WideResNet.

  Convolutions N(0, 2 / (k^2 out)), the fan-out rule; BatchNorm 1 and 0; the
  last layer uniform in +-1/sqrt(in), PyTorch's default, its bias 0.

  Args:
    key: key of the draw, [].
    net: the net.
    image: height, width, channels.

  Returns:
    params, batch_stats: trees of float32 arrays.
  """
  how = Normalized(True, None, None, jnp.float32)
  shapes = jax.eval_shape(
    lambda k: net.init(k, jnp.zeros((1, *image)), how), jax.random.key(0)
  )
  conv_key, last_key = jax.random.split(key)
  leaves, treedef = jax.tree.flatten(shapes["params"])
  is_conv = [leaf.ndim == 4 for leaf in leaves]
  sizes = [math.prod(x.shape) for x in leaves]
  # One draw for all layers: a draw per shape takes XLA seconds to compile.
  normal = jax.random.normal(
    conv_key, (sum(n for n, conv in zip(sizes, is_conv, strict=True) if conv),)
  )
  start = treedef.unflatten(range(len(leaves)))
  filled, at = [], 0
  names = [path[-1].key for path, _ in jax.tree.leaves_with_path(start)]
  for name, leaf, size in zip(names, leaves, sizes, strict=True):
    if leaf.ndim == 4:
      std = math.sqrt(2 / (leaf.shape[0] * leaf.shape[1] * leaf.shape[3]))
      filled.append(std * normal[at : at + size].reshape(leaf.shape))
      at += size
    elif leaf.ndim == 2:
      bound = 1 / math.sqrt(leaf.shape[0])
      filled.append(
        jax.random.uniform(last_key, leaf.shape, minval=-bound, maxval=bound)
      )
    else:
      filled.append(_constant(leaf, name == "scale"))
  stats = jax.tree.map_with_path(
    lambda path, x: _constant(x, path[-1].key == "var"),
    shapes["batch_stats"],
  )
  return treedef.unflatten(filled), stats


def apply(
  net: WideResNet,
  params: Tree,
  batch_stats: Tree,
  x: Array,
  *,
  train: bool,
  dtype: Any = jnp.float32,
  weight: Array | None = None,
  noise: Sequence[Array] | None = None,
  axis_name: str | None = None,
) -> tuple[Array, Tree]:
  """Logits, and BatchNorm statistics after the batch. Section 6, H.1.

  Args:
    net: the net.
    params: its weights, float32.
    batch_stats: running BatchNorm statistics.
    x: normalised images, [n, h, w, ch].
    train: whether the batch's own statistics normalise it, and move the running
      ones.
    dtype: of the activations: float32 or bfloat16.
    weight: see `moments`.
    noise: one array per activation, from `sample_noise`; None for none.
    axis_name: name of the device axis, or None.

  Returns:
    logits float32 [n, num_classes], batch_stats.
  """
  variables = {"params": params, "batch_stats": batch_stats}
  how = Normalized(train, weight, axis_name, dtype)
  if not train:
    return net.apply(variables, x, how, noise), batch_stats
  logits, moved = net.apply(variables, x, how, noise, mutable=["batch_stats"])
  return logits, moved["batch_stats"]


def sites(net: WideResNet, image: tuple[int, int, int]) -> list[Site]:
  """What enters each activation, in the order of the forward pass. Ours."""
  height, width = image[:2]
  channels, out = WIDTHS[0], []
  for group, base in enumerate(WIDTHS):
    for block in range(num_blocks(net.depth)):
      out.append(Site(height, width, channels))
      if group and not block:
        height, width = (height + 1) // 2, (width + 1) // 2
      channels = base * net.widen_factor
      out.append(Site(height, width, channels))
  return [*out, Site(height, width, channels)]


def sample_noise(
  key: Array,
  net: WideResNet,
  image: tuple[int, int, int],
  *,
  std: Array,
  shape: str = SHARED,
  index: Array | None = None,
) -> list[Array]:
  """Gaussian noise for every activation of one step. H.1; (F.1).

  Args:
    key: key of this step, [], the same on all devices.
    net: the net.
    image: height, width, channels of the images.
    std: standard deviation, [].
    shape: 'shared' is one map [h, w] for all examples and channels (H.1 and the
      authors' code), 'channel' one [h, w, c] for all examples (one value per
      neuron, as in F.1), 'example' one map [h, w] for each example.
    index: global index of each example, [n]; read by 'example' only, so that a
      draw does not depend on which device makes it.

  Returns:
    A list of arrays that broadcast against [n, h, w, c].
  """
  places = sites(net, image)
  per_site = [
    site.height * site.width * (site.channels if shape == CHANNEL else 1)
    for site in places
  ]
  # One draw, cut up: a draw per shape takes XLA seconds to compile.
  draw = functools.partial(jax.random.normal, shape=(sum(per_site),))
  if shape == EXAMPLE:
    flat = jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(index)
  else:
    flat = draw(key)[None]
  out, at = [], 0
  for site, size in zip(places, per_site, strict=True):
    channels = site.channels if shape == CHANNEL else 1
    cut = std * flat[:, at : at + size]
    out.append(cut.reshape(-1, site.height, site.width, channels))
    at += size
  return out


def forward_flops(net: WideResNet, image: tuple[int, int, int]) -> int:
  """Floating-point operations of one image's forward pass. Ours.

  A multiply and an add for each weight a convolution or the last layer uses;
  BatchNorm, ReLU and pooling are left out.
  """
  height, width, channels = image
  macs = 9 * channels * WIDTHS[0] * height * width
  places = sites(net, image)
  for first, second in zip(places[:-1:2], places[1::2], strict=True):
    pixels = second.height * second.width
    macs += 9 * (first.channels + second.channels) * second.channels * pixels
    if first.channels != second.channels:
      macs += first.channels * second.channels * pixels
  return 2 * (macs + places[-1].channels * net.num_classes)
