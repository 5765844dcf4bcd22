"""A child's work: what a step of every engine and net of a config costs.

  python -P lro_jax/bench/step.py configs/theory.py:network 1

Prints one line of JSON, {engine or net: seconds}. Written against what every
commit of this project has, and imports no other file of the bench: so that one
and the same measurement may be run on an older checkout (PYTHONPATH names it).
"""

import importlib
import json
import os
import sys

# Some jaxlib releases deadlock on several CPU devices with few threads.
os.environ.setdefault("NPROC", "16")

import jax
from ml_collections import ConfigDict

FIELDS = {
  "seeds": (0,),
  "max_seeds": 0,
  "optim.anneal_excess": 0.0,
  "optim.stop_loss": 0.0,
  "optim.anneal_at": (),
  "act_noise.anneal_at": (),
  "lemmas.measure": "none",
  "data.source": "synthetic",
  "data.dir": "",
  "data.num_validation": 0,
  "train.max": "1000000 steps",
}
# Of images only: the synthetic ones are few.
OF_IMAGES = {
  "data.num_train": 0,
  "data.num_test": 0,
  "eval.num_train": 128,
  "eval.num_probe": 128,
  "train.max": "1000 epochs",
}


def runs_of(name: str) -> dict:
  """{engine or net: config of the first run that has it}. Ours."""
  from lro_jax import main

  file, _, preset = name.partition(":")
  module = file.removesuffix(".py").replace("/", ".")
  config = importlib.import_module(module).get_config(preset)
  fields = FIELDS | (OF_IMAGES if config.track == "vision" else {})
  out = {}
  for run in main.expand(config):
    # Here, not before: an arm may have fields of its own.
    c = ConfigDict(run.config.to_dict())
    with c.ignore_type():
      for field, value in fields.items():
        *groups, last = field.split(".")
        section = c
        for group in groups:
          section = section.get(group, {})
        if last in section:
          section[last] = value
    key = c.get("engine", "") or (
      f"WRN-{c.model.depth}-{c.model.widen_factor}"
      + ", noise" * (c.act_noise.std > 0)
    )
    out.setdefault(key, c)
  return out


def cost(config, devices: int) -> dict[str, float]:
  """Seconds of a step and of an evaluation, and of the first call. Ours."""
  from lro_jax import plans
  from lro_jax.core import placement, steps, timing

  axis = placement.axis_name(devices)
  task = plans.track_of(config).make(config, axis_name=axis)
  per_call = 100 if task.device_loop else 1
  with jax.enable_x64(task.x64):
    compiled = steps.compile_task(task, devices)
    state = {"carry": compiled.init(), "until": 0}

    def step():
      state["until"] += per_call
      state["carry"], handle = compiled.advance(
        state["carry"], state["until"], False
      )
      jax.block_until_ready(handle)

    def evaluate():
      jax.block_until_ready(compiled.evaluate(state["carry"]))

    first = timing.once(step)
    return {
      "step": timing.seconds(step, at_most=10.0) / per_call,
      "evaluation": timing.seconds(evaluate, at_most=5.0),
      "first_call": first,
    }


def main() -> None:
  """Entry point. Ours."""
  name, devices = sys.argv[1], int(sys.argv[2])
  if devices > 1:
    jax.config.update("jax_num_cpu_devices", devices)
  print(json.dumps({k: cost(c, devices) for k, c in runs_of(name).items()}))


if __name__ == "__main__":
  main()
