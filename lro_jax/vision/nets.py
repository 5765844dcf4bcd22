"""The nets that a config may name, and what a net must be.

A net is a Flax module. Called with images [n, h, w, ch], a `Normalized` for its
BatchNorm layers and noise, or None, it gives logits [n, num_classes], float32.
Two methods it may have or not: `draw(key, image)`, its own initialisation, and
`sites(image)`, what enters each activation; without the latter there is no
activation noise. `label` says what it is.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lro_jax.core.registry import Registry
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.core.task import Array, Tree
from lro_jax.vision.batch_norm import Normalized
from lro_jax.vision.wide_resnet import Site, WideResNet, num_blocks

# (section `model` of a config, number of classes) -> the net.
Builder = Callable[[ConfigDict, int], nn.Module]


def _wide_resnet(model: ConfigDict, num_classes: int) -> nn.Module:
  num_blocks(model.depth)
  return WideResNet(model.depth, model.widen_factor, num_classes)


NETS: Registry[Builder] = Registry("model.net", {"wide_resnet": _wide_resnet})


def make(model: ConfigDict, num_classes: int) -> nn.Module:
  """The net that a config names. Section 6. Touches no device.

  Args:
    model: section `model` of a config.
    num_classes: of the dataset.

  Raises:
    UserError: there is no such net, or not of that size.
  """
  return NETS.find(model.net)(model, num_classes)


def label(net: nn.Module) -> str:
  """What the net is called. Ours."""
  return getattr(net, "label", type(net).__name__)


def sites(net: nn.Module, image: tuple[int, int, int]) -> list[Site]:
  """What enters each activation, in the order of the forward pass. Ours.

  Args:
    net: the net.
    image: height, width, channels.

  Raises:
    UserError: the net does not say.
  """
  if not hasattr(net, "sites"):
    raise UserError(
      f"Got act_noise.std above 0 with the net {label(net)}, which has no"
      " method `sites` and so no place for noise: set act_noise.std to 0, or"
      " give it one."
    )
  return net.sites(image)


def init(
  key: Array, net: nn.Module, image: tuple[int, int, int]
) -> tuple[Tree, Tree]:
  """Weights and BatchNorm statistics of a new net. Section 6.

  Args:
    key: key of the draw, [].
    net: the net.
    image: height, width, channels.

  Returns:
    params, batch_stats: trees of float32 arrays; the latter may be empty.
  """
  if hasattr(net, "draw"):
    return net.draw(key, image)
  how = Normalized(True, None, None, jnp.float32)
  variables = net.init(key, jnp.zeros((1, *image)), how, None)
  return variables["params"], variables.get("batch_stats", {})


def apply(
  net: nn.Module,
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
    weight: see `batch_norm.moments`.
    noise: one array per activation, see `noise.sample`; None for none.
    axis_name: name of the device axis, or None.

  Returns:
    logits float32 [n, num_classes], batch_stats.
  """
  variables = {"params": params, "batch_stats": batch_stats}
  how = Normalized(train, weight, axis_name, dtype)
  if not train:
    return net.apply(variables, x, how, noise), batch_stats
  logits, moved = net.apply(variables, x, how, noise, mutable=["batch_stats"])
  return logits, moved.get("batch_stats", {})
