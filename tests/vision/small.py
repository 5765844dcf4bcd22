"""Configs of the image experiments at the size of a test."""

import functools
import pathlib
import tempfile

from configs import patches as patches_config
from lro_jax import main
from lro_jax.core import metrics, placement
from lro_jax.core.schema import ConfigDict
from lro_jax.vision import images
from lro_jax.vision import task as vision
from tests import testing

# 60 images in batches of 16: the last batch of an epoch has 12, which leaves
# the last of four devices none.
FIELDS = {
  "seeds": (0,),
  "train.num_devices": 1,
  "train.max": "20 steps",
  "shrink": {},
  "smoke": False,
  "data": dict(
    source="synthetic",
    dir="",
    num_train=60,
    num_validation=10,
    num_test=20,
    mean=(125.3, 123.0, 113.9),
    std=(63.0, 62.1, 66.7),
  ),
  "model": dict(net="wide_resnet", depth=10, widen_factor=1, dtype="float32"),
  "train.batch_size": 16,
  "train.steps_per_call": 3,
  "eval.per_decade": 1,
  "eval.batch_size": 7,
  "eval.num_train": 20,
  "eval.num_probe": 10,
}


def experiment(fields=None, preset="authors") -> ConfigDict:
  """A preset of configs/patches.py at the size of a test."""
  config = patches_config.get_config(preset)
  with config.unlocked(), config.ignore_type():
    testing.set_fields(config, FIELDS | (fields or {}))
    for arm in config.arms.values():
      for group in arm.values():
        if "anneal_at" in group:
          group.anneal_at = ("9 steps",)
  return config


def run_config(arm="large", fields=None) -> ConfigDict:
  """One arm's run, with fields set on top."""
  runs = main.expand(experiment())
  run = next(r for r in runs if r.arm == arm)
  config = ConfigDict(run.config.to_dict())
  with config.ignore_type():
    return testing.set_fields(config, fields or {})


def make_task(config: ConfigDict, devices: int = 1):
  """The Task of a run, checked as main checks it."""
  vision.validate(config)
  vision.check_data(config, devices)
  return vision.make(config, axis_name=placement.axis_name(devices))


@functools.cache
def task(arm="large", devices=1):
  """The Task of an arm, made once."""
  return make_task(run_config(arm), devices)


@functools.cache
def task_of_small_images():
  """The Task of arm 'large' on the middles, 8 x 8, of the drawn images."""
  drawn = images.synthetic()
  content = {name: getattr(drawn, name) for name in ("y_train", "y_test")} | {
    name: getattr(drawn, name)[:, 12:20, 12:20]
    for name in ("x_train", "x_test")
  }
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "small.npz"
    path.write_bytes(metrics.npz(content))
    return make_task(run_config(fields={"data.source": str(path)}))
