"""Step time of WRN-16-10 on TPUs that nobody here has: a prediction.

Per chip, with batch b = B / chips, all from the net's shapes:

  compute     sum over convolutions of 3 x 2 b h w k^2 pad(in) pad(out) / peak,
              pad to the next 128, the side of the matrix unit
  memory      (A b sum(h w c) 2 bytes + W parameters 4 bytes) / bandwidth, A
              passes over every activation in bfloat16 and W over float32
              parameters, gradients and momentum
  all-reduce  2 (chips - 1) / chips x 4 bytes parameters / link
  step        between max(compute, memory) + all-reduce, where the chip hides
              one behind the other, and their sum

Peak figures: Cloud TPU documentation, "TPU v4"
(https://cloud.google.com/tpu/docs/v4), and Jouppi et al. (2023), "TPU v4",
arXiv:2304.01433: 275 TFLOP/s in bfloat16, 1200 GB/s of HBM2, 6 links
of 50 GB/s a chip.
"""

import math
from typing import Any, NamedTuple

from lro_jax.vision import settings, wide_resnet
from lro_jax.vision.wide_resnet import WideResNet

TILE = 128
# Forward: the convolution writes, statistics, normalising and the next one
# read, ReLU writes; backward the same twice, and the input's gradient.
ACTIVATION_PASSES = 5 + 2 * 5 + 1
# Weights, gradient and momentum read and written, weights read twice more.
PARAMETER_PASSES = 8


class Chip(NamedTuple):
  """Peak figures of one chip.

  Attributes:
    flops: per s, bfloat16.
    bytes: per s, of its memory.
    link: bytes per s of a ring along one axis of the torus, both ways.
  """

  flops: float
  bytes: float
  link: float


V4 = Chip(flops=275e12, bytes=1200e9, link=2 * 50e9)
# Names count cores, of which a chip has two.
SLICES = {"TPU v4-8": 4, "TPU v4-32": 16}


def _padded(channels: int) -> int:
  return TILE * math.ceil(channels / TILE)


def convolutions(
  net: WideResNet, image: tuple[int, int, int]
) -> list[tuple[int, int, int, int]]:
  """(pixels out, kernel places, in, out) of every convolution. Ours.

  Args:
    net: the net.
    image: height, width, channels.
  """
  height, width, channels = image
  out = [(height * width, 9, channels, wide_resnet.WIDTHS[0])]
  places = wide_resnet.sites(net, image)
  for first, second in zip(places[:-1:2], places[1::2], strict=True):
    pixels = second.height * second.width
    out.append((pixels, 9, first.channels, second.channels))
    out.append((pixels, 9, second.channels, second.channels))
    if first.channels != second.channels:
      out.append((pixels, 1, first.channels, second.channels))
  return out


def predict(
  net: WideResNet,
  image: tuple[int, int, int],
  *,
  num_parameters: int,
  batch: int,
  chips: int,
  chip: Chip = V4,
) -> dict[str, float]:
  """Seconds of a training step, by part, and images per second. Ours.

  Args:
    net: the net, in bfloat16.
    image: height, width, channels.
    num_parameters: of the net.
    batch: of all chips together.
    chips: how many.
    chip: its peak figures.

  Returns:
    `compute`, `memory`, `all_reduce`; `step_at_best`, `step_at_worst`; images
    per second of both.
  """
  each = batch / chips
  flops = sum(
    3 * 2 * each * pixels * size * _padded(a) * _padded(b)
    for pixels, size, a, b in convolutions(net, image)
  )
  activations = sum(
    s.height * s.width * s.channels for s in wide_resnet.sites(net, image)
  )
  moved = (
    ACTIVATION_PASSES * each * activations * 2
    + PARAMETER_PASSES * num_parameters * 4
  )
  compute, memory = flops / chip.flops, moved / chip.bytes
  reduced = 2 * (chips - 1) / chips * 4 * num_parameters / chip.link
  best, worst = max(compute, memory) + reduced, compute + memory + reduced
  return {
    "compute": compute,
    "memory": memory,
    "all_reduce": reduced,
    "step_at_best": best,
    "step_at_worst": worst,
    "images_per_second_at_best": batch / best,
    "images_per_second_at_worst": batch / worst,
  }


def run() -> dict[str, Any]:
  """Prints, and returns, the prediction for WRN-16-10, batch 128. Ours."""
  net, image = WideResNet(16, 10, 10), (32, 32, 3)
  num = settings.num_parameters(net, image)
  print("A prediction, not a measurement; formula and sources:", flush=True)
  print(__doc__.partition("\n\n")[2])
  out = {}
  for name, chips in SLICES.items():
    out[name] = found = predict(
      net, image, num_parameters=num, batch=128, chips=chips
    )
    parts = ", ".join(
      f"{k.replace('_', '-')} {1e3 * found[k]:.2f} ms"
      for k in ("compute", "memory", "all_reduce")
    )
    print(
      f"{name}, {chips} chips, batch 128: {1e3 * found['step_at_best']:.2f} to"
      f" {1e3 * found['step_at_worst']:.2f} ms a step,"
      f" {found['images_per_second_at_worst']:,.0f} to"
      f" {found['images_per_second_at_best']:,.0f} images/s ({parts})"
    )
  return {"prediction": out}
