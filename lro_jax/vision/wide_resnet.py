"""WideResNet-d-k for small images, and the noise before its activations.

Zagoruyko and Komodakis (2016), as the authors' PyTorch code has it (authors'
code: models/wideresnet.py): pre-activation blocks, in widening blocks the
shortcut reads the activated input, no dropout. Noise (H.1) goes between every
BatchNorm and its ReLU, in training only. Images are [n, h, w, ch].
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from lro_jax.core.schema import UserError
from lro_jax.core.task import Array, Tree
from lro_jax.vision.batch_norm import BatchNorm, Normalized
from lro_jax.vision.convolution import convolve

WIDTHS = (16, 32, 64)


class Site(NamedTuple):
  """One activation: height, width and channels of what enters it."""

  height: int
  width: int
  channels: int


class _Conv(nn.Module):
  """A bias-free convolution padded on both sides, as PyTorch's."""

  features: int
  size: int
  stride: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.zeros, shape)
    return convolve(x, kernel.astype(x.dtype), self.stride)


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
  """The net; use it through `nets`."""

  depth: int
  widen_factor: int
  num_classes: int

  @property
  def label(self) -> str:
    """Its name in the literature."""
    return f"WRN-{self.depth}-{self.widen_factor}"

  def draw(self, key: Array, image: tuple[int, int, int]) -> tuple[Tree, Tree]:
    """See `init`; `key` is []."""
    return init(key, self, image)

  def sites(self, image: tuple[int, int, int]) -> list[Site]:
    """See `sites`."""
    return sites(self, image)

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
