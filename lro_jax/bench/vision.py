"""What a training step of the image experiments costs; for bench."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from typing import Any

import jax

from lro_jax.bench import device as bench_device
from lro_jax.bench import programs
from lro_jax.core import config as config_lib
from lro_jax.core import timing
from lro_jax.core.schema import ConfigDict, UserError, shown
from lro_jax.vision import data, nets, settings, wide_resnet
from lro_jax.vision import task as vision
from lro_jax.vision.wide_resnet import WideResNet

# A gradient step costs about three forward passes: one forward, one backward
# by the inputs, one backward by the weights.
PASSES = 3
AT_MOST = 60.0
# Compiling is the peer's best on a GPU, and bfloat16 only there worth it.
PEERS = (
  ("eager", "float32"),
  ("eager", "bfloat16"),
  ("compiled", "bfloat16"),
)
PEER_NET = "wide_resnet"
PEERS_ON_CPU = (("eager", "float32"), ("compiled", "float32"))


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
  # On a device loop, enough steps to hide the one call that starts them.
  run = programs.start(config, per_call=20)
  started = timing.once(run.step)
  cost = timing.seconds(run.step, at_most=AT_MOST)
  return {"compile_seconds": started - cost, "seconds": cost / run.per_call}


def check_peer(config: ConfigDict) -> None:
  """Refuses a run that the peer is not like. Ours.

  Args:
    config: a valid config of one run.

  Raises:
    UserError: another net than the peer's, or noise, which the peer lacks.
  """
  if config.model.net != PEER_NET:
    raise UserError(
      f"Got --baseline with model.net {shown(config.model.net)}: the peer in"
      f" PyTorch is {PEER_NET!r} alone; set model.net to it, or leave"
      " --baseline out."
    )
  if config.act_noise.std:
    raise UserError(
      f"Got --baseline with act_noise.std {config.act_noise.std:g}: the peer in"
      " PyTorch has no noise; set it to 0, or leave --baseline out."
    )


def run(config: ConfigDict, *, baseline: bool = False) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours.

  Args:
    config: an experiment of the vision track.
    baseline: whether to run PyTorch's net beside it, where it is installed.

  Returns:
    Images per second, FLOPs per image (a multiply and an add are two), share of
    what the device makes of one large matrix product in the same dtype, peak
    memory, and the speed of PyTorch's net. Of a net that is no WideResNet no
    formula for its FLOPs is known: without them and what follows from them.

  Raises:
    UserError: a bad field, or a run that the peer is not like.
  """
  c = run_config(config)
  if baseline:
    check_peer(c)
  images = settings.images_of(c)
  image = images.x_train.shape[1:]
  net = settings.net_of(c, images.num_classes)
  batch = c.train.batch_size
  cost = seconds_per_step(c)
  speed = batch / cost["seconds"]
  out = {
    "net": nets.label(net),
    "num_parameters": settings.num_parameters(net, image),
    "batch_size": batch,
    "dtype": c.model.dtype,
    "images_per_second": speed,
    "compile_seconds": cost["compile_seconds"],
  }
  print(
    f"{out['net']}, {out['num_parameters']:,} parameters, batch {batch},"
    f" {c.model.dtype}: {speed:.1f} images/s ({cost['seconds']:.3f} s a step,"
    f" compiled in {cost['compile_seconds']:.0f} s)",
    flush=True,
  )
  if isinstance(net, WideResNet):
    out |= _by_formula(net, image, speed, dtype=c.model.dtype)
  used, whose = bench_device.peak_bytes()
  out |= {"peak_bytes": used, "peak_bytes_of": whose}
  print(f"  peak memory of the {whose}: {used / 2**30:.2f} GiB", flush=True)
  if baseline:
    out["peers"] = beside_torch(net, batch, speed)
  return out


def _by_formula(
  net: WideResNet, image: tuple[int, int, int], speed: float, *, dtype: str
) -> dict[str, float]:
  """FLOPs of a net by formula, at so many images per second; printed."""
  flops = wide_resnet.forward_flops(net, image)
  peak = bench_device.matrix_product_flops_per_second(dtype=dtype)
  out = {
    "forward_flops_per_image": flops,
    "training_flops_per_image": PASSES * flops,
    "flops_per_second": PASSES * flops * speed,
    "matrix_product_flops_per_second": peak,
    "share_of_matrix_product": PASSES * flops * speed / peak,
  }
  print(
    f"  {flops / 1e9:.3f} GFLOP an image forward, {PASSES} times that in"
    f" training: {out['flops_per_second'] / 1e9:.0f} GFLOP/s,"
    f" {out['share_of_matrix_product']:.0%} of the {peak / 1e9:.0f} that one"
    " large matrix product makes here",
    flush=True,
  )
  return out


def beside_torch(
  net: WideResNet, batch: int, speed: float
) -> list[dict[str, Any]]:
  """PyTorch's images per second on the same device, and ours over them. Ours.

  Each in a process of its own, one after the other: the memory that one holds
  is not the other's.

  Args:
    net: the net to be like, for CIFAR-10's images.
    batch: images of a step.
    speed: our images per second.
  """
  if importlib.util.find_spec("torch") is None:
    print("  PyTorch is not installed: no peer to compare with.", flush=True)
    return []
  peers = PEERS_ON_CPU if jax.default_backend() == "cpu" else PEERS
  out = []
  for how, dtype in peers:
    sizes = (net.depth, net.widen_factor, batch)
    child = subprocess.run(
      [sys.executable, "-m", "lro_jax.bench.torch_peer"]
      + [str(x) for x in (*sizes, how, dtype)],
      capture_output=True,
      text=True,
    )
    peer = {
      "peer": f"PyTorch {importlib.metadata.version('torch')}, {how},"
      f" channels-last, {dtype}"
    }
    if child.returncode:
      last = child.stderr.strip().splitlines()[-1:] or ["no word"]
      peer["failed"] = last[0][:200]
      print(f"  {peer['peer']} failed: {peer['failed']}", flush=True)
    else:
      cost = json.loads(child.stdout.splitlines()[-1])
      theirs = batch / cost["seconds"]
      peer |= cost | {"images_per_second": theirs, "ratio": speed / theirs}
      print(
        f"  {peer['peer']}: {theirs:.1f} images/s; ratio {speed / theirs:.2f}",
        flush=True,
      )
    out.append(peer)
  return out
