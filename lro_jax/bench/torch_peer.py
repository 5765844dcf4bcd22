"""The same net in PyTorch: bench's peer and tests' oracle.

Channels-last, eager or compiled, float32 or under autocast to bfloat16: what a
careful user of PyTorch would write, on its GPU where there is one. Importing
this file without PyTorch raises ImportError; nothing else needs it.

  python -m lro_jax.bench.torch_peer 16 10 128 compiled bfloat16

prints seconds per training step: depth, widening, batch, how, dtype.
"""

import json
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lro_jax.core import timing
from lro_jax.core.task import Tree
from lro_jax.vision import wide_resnet
from lro_jax.vision.wide_resnet import WideResNet


class _Block(nn.Module):
  def __init__(self, channels, features, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(channels)
    self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(features)
    self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
    self.shortcut = None
    if channels != features:
      self.shortcut = nn.Conv2d(channels, features, 1, stride, bias=False)

  def forward(self, x):
    out = functional.relu(self.bn1(x))
    if self.shortcut is not None:
      x = self.shortcut(out)
    out = functional.relu(self.bn2(self.conv1(out)))
    return x + self.conv2(out)


class Peer(nn.Module):
  """`wide_resnet.WideResNet` without noise, in PyTorch."""

  def __init__(self, net: WideResNet, channels: int = 3):
    """Builds the net.

    Args:
      net: the net to be like.
      channels: of the images.
    """
    super().__init__()
    width = wide_resnet.WIDTHS[0]
    self.conv = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
    self.blocks = nn.ModuleDict()
    for group, base in enumerate(wide_resnet.WIDTHS):
      for block in range(wide_resnet.num_blocks(net.depth)):
        features = base * net.widen_factor
        stride = 2 if group and not block else 1
        name = f"group{group + 1}_block{block + 1}"
        self.blocks[name] = _Block(width, features, stride)
        width = features
    self.bn = nn.BatchNorm2d(width)
    self.last = nn.Linear(width, net.num_classes)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Logits [n, c] of normalised images [n, ch, h, w]."""
    x = self.conv(x)
    for block in self.blocks.values():
      x = block(x)
    x = functional.relu(self.bn(x)).mean((2, 3))
    return self.last(x)


def from_flax(params: Tree, batch_stats: Tree, net: WideResNet) -> Peer:
  """A peer with the weights and statistics of `net`. Ours."""
  channels = np.shape(params["conv"]["kernel"])[2]
  peer = Peer(net, channels).to(memory_format=torch.channels_last)

  def conv(module, tree):
    kernel = np.array(tree["kernel"], np.float32).transpose(3, 2, 0, 1)
    module.weight.data.copy_(torch.from_numpy(kernel))

  def norm(module, tree, stats):
    for ours, theirs in (
      (tree["scale"], module.weight.data),
      (tree["bias"], module.bias.data),
      (stats["mean"], module.running_mean),
      (stats["var"], module.running_var),
    ):
      theirs.copy_(torch.from_numpy(np.array(ours, np.float32)))

  conv(peer.conv, params["conv"])
  for name, block in peer.blocks.items():
    for bn in ("bn1", "bn2"):
      norm(getattr(block, bn), params[name][bn], batch_stats[name][bn])
    for layer in ("conv1", "conv2", "shortcut"):
      if layer in params[name]:
        conv(getattr(block, layer), params[name][layer])
  norm(peer.bn, params["bn"], batch_stats["bn"])
  last = np.array(params["kernel"], np.float32).T.copy()
  peer.last.weight.data.copy_(torch.from_numpy(last))
  bias = np.array(params["bias"], np.float32)
  peer.last.bias.data.copy_(torch.from_numpy(bias))
  return peer


def logits(peer: Peer, x: np.ndarray, *, train: bool) -> np.ndarray:
  """The peer's logits [n, c] of images [n, h, w, ch]. Ours."""
  peer.train(train)
  with torch.no_grad():
    return peer(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()


def training_step(
  net: WideResNet,
  image: tuple[int, int, int],
  batch: int,
  *,
  compiled: bool = False,
  dtype: str = "float32",
):
  """A closure that makes one Nesterov step and waits for it. Ours.

  Args:
    net: the net to be like.
    image: height, width, channels.
    batch: images of a step; always the same ones.
    compiled: whether by torch.compile.
    dtype: 'float32', or 'bfloat16' for autocast.
  """
  device = "cuda" if torch.cuda.is_available() else "cpu"
  torch.manual_seed(0)
  height, width, channels = image
  peer = Peer(net, channels).to(device, memory_format=torch.channels_last)
  forward = torch.compile(peer) if compiled else peer
  optimizer = torch.optim.SGD(
    peer.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4
  )
  x = torch.randn(batch, channels, height, width).to(
    device, memory_format=torch.channels_last
  )
  y = (torch.arange(batch) % net.num_classes).to(device)
  cast = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

  def step():
    optimizer.zero_grad()
    with cast:
      loss = functional.cross_entropy(forward(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()

  return step


def version() -> str:
  """PyTorch's version. Ours."""
  return torch.__version__


def main() -> None:
  """Entry point of the child process that bench starts. Ours."""
  depth, widen, batch = (int(x) for x in sys.argv[1:4])
  how, dtype = sys.argv[4:6]
  step = training_step(
    WideResNet(depth, widen, 10),
    (32, 32, 3),
    batch,
    compiled=how == "compiled",
    dtype=dtype,
  )
  started = timing.once(step)
  cost = timing.seconds(step, at_most=60.0)
  print(json.dumps({"seconds": cost, "compile_seconds": started - cost}))


if __name__ == "__main__":
  main()
