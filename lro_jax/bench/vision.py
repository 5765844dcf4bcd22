"""What a training step of the image experiments costs; for bench."""

from typing import Any

import jax
import numpy as np

from lro_jax.bench import device as bench_device
from lro_jax.core import config as config_lib
from lro_jax.core import steps, timing
from lro_jax.core.schema import ConfigDict
from lro_jax.vision import data, settings, wide_resnet
from lro_jax.vision import task as vision

# A gradient step costs about three forward passes: one forward, one backward
# by the inputs, one backward by the weights.
PASSES = 3
AT_MOST = 60.0


def run_config(config: ConfigDict) -> ConfigDict:
  """The first run of a config, on images that need no dataset. Ours.

  Net, batch, dtype, noise and patches are the run's own, on one device; the
  images are synthetic, which changes nothing of what a step does.
  """
  runs = config_lib.expand(config, vision.SCHEMA, seeds_apart=True)
  c = ConfigDict(runs[0].config.to_dict())
  c.data.update(source=data.SYNTHETIC, dir="", num_validation=0)
  size = c.train.batch_size
  c.data.update(num_train=0, num_test=0)
  c.patches.bank = ""
  c.optim.anneal_at = c.act_noise.anneal_at = ()
  c.train.max = "1000 epochs"
  c.eval.update(num_train=size, num_probe=size)
  vision.validate(c)
  return c


def seconds_per_step(config: ConfigDict) -> dict[str, float]:
  """Compile time and cost of a step in the compiled loop, in s. Ours."""
  task = vision.make(config, axis_name=None)
  compiled = steps.compile_task(task, 1)
  # On a device loop, enough steps to hide the one call that starts them.
  per_call = 20 if task.device_loop else 1
  state = {"carry": compiled.init(), "until": 0}

  def call():
    state["until"] += per_call
    state["carry"], handle = compiled.advance(
      state["carry"], state["until"], False
    )
    jax.block_until_ready(handle)

  started = timing.once(call)
  cost = timing.seconds(call, at_most=AT_MOST)
  return {"compile_seconds": started - cost, "seconds": cost / per_call}


def run(config: ConfigDict) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours.

  Args:
    config: an experiment of the vision track.

  Returns:
    Images per second, FLOPs per image (a multiply and an add are two), share of
    what the device makes of one large matrix product in the same dtype, peak
    memory, and on a CPU the same of PyTorch's net where it is installed.
  """
  c = run_config(config)
  images = settings.images_of(c)
  image = images.x_train.shape[1:]
  net = settings.net_of(c, images.num_classes)
  flops = wide_resnet.forward_flops(net, image)
  batch = c.train.batch_size
  cost = seconds_per_step(c)
  peak = bench_device.matrix_product_flops_per_second(dtype=c.model.dtype)
  used, whose = bench_device.peak_bytes()
  speed = batch / cost["seconds"]
  out = {
    "net": f"WRN-{net.depth}-{net.widen_factor}",
    "num_parameters": settings.num_parameters(net, image),
    "batch_size": batch,
    "dtype": c.model.dtype,
    "forward_flops_per_image": flops,
    "training_flops_per_image": PASSES * flops,
    "images_per_second": speed,
    "compile_seconds": cost["compile_seconds"],
    "flops_per_second": PASSES * flops * speed,
    "matrix_product_flops_per_second": peak,
    "share_of_matrix_product": PASSES * flops * speed / peak,
    "peak_bytes": used,
    "peak_bytes_of": whose,
  }
  print(
    f"{out['net']}, {out['num_parameters']:,} parameters, batch {batch},"
    f" {c.model.dtype}: {speed:.1f} images/s ({cost['seconds']:.3f} s a step,"
    f" compiled in {cost['compile_seconds']:.0f} s)\n"
    f"  {flops / 1e9:.3f} GFLOP an image forward, {PASSES} times that in"
    f" training: {out['flops_per_second'] / 1e9:.0f} GFLOP/s,"
    f" {out['share_of_matrix_product']:.0%} of the {peak / 1e9:.0f} that one"
    " large matrix product makes here\n"
    f"  peak memory of the {whose}: {used / 2**30:.2f} GiB",
    flush=True,
  )
  if jax.default_backend() == "cpu":
    out |= _beside_torch(net, image, batch, speed)
  return out


def _beside_torch(net, image, batch: int, speed: float) -> dict[str, Any]:
  """PyTorch's images per second on the same cores, and ours over them."""
  try:
    from lro_jax.bench import torch_peer
  except ImportError:
    print("  PyTorch is not installed: no peer to compare with.", flush=True)
    return {}
  theirs = batch / timing.seconds(
    torch_peer.training_step(net, image, batch), at_most=AT_MOST
  )
  print(
    f"  PyTorch {torch_peer.version()}, eager, channels-last, float32:"
    f" {theirs:.1f} images/s; ratio {speed / theirs:.2f}",
    flush=True,
  )
  return {
    "torch": torch_peer.version(),
    "torch_images_per_second": theirs,
    "ratio_to_torch": float(np.divide(speed, theirs)),
  }
