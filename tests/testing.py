"""What several tests share: configs at smoke size, and runs of them."""

import pathlib

from lro_jax import main
from lro_jax.core import loop, metrics, steps
from lro_jax.core.config import ConfigDict
from lro_jax.core.progress import Progress


def set_fields(config: ConfigDict, fields: dict) -> ConfigDict:
  """`config` with fields set by dotted name."""
  for name, value in fields.items():
    *path, last = name.split(".")
    node = config
    for part in path:
      node = node[part]
    node[last] = value
  return config


def run_config(config: ConfigDict, fields: dict) -> ConfigDict:
  """The first run of an experiment, with fields set on top."""
  run = main.expand(config)[0]
  return set_fields(ConfigDict(run.config.to_dict()), fields)


def make_task(config: ConfigDict, devices: int = 1):
  """The Task of a run's config."""
  track = main.track_of(config)
  track.validate(config)
  return track.make(config, axis_name=steps.axis_name(devices))


def run(
  config: ConfigDict, folder: pathlib.Path, *, devices: int = 1, **kwargs
):
  """Runs one run's config in a folder; returns record and metric rows."""
  loop.claim(folder, config)
  loop.run(
    make_task(config, devices),
    config,
    folder,
    steps_per_epoch=1,
    devices=devices,
    progress=Progress(1),
    name="test",
    **kwargs,
  )
  return (
    metrics.read_json(folder / metrics.RUN),
    metrics.read_metrics(folder / metrics.METRICS),
  )
