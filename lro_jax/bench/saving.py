"""What saving a run's state costs, and whether memory stays flat meanwhile.

  python -m lro_jax.bench.saving --config=configs/theory.py:network --minutes=3

The first run of the config is saved a few times by itself; then, with
--minutes, it runs for so long, measured and saved far more often than by
default, and the memory of the process is sampled: what leaks shows.
"""

import os
import pathlib
import tempfile
import threading
import time
from typing import Any

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from lro_jax.bench import vision as bench_vision
from lro_jax.bench import whole
from lro_jax.core import (
  checkpoint,
  cli,
  folders,
  interrupt,
  metrics,
  packing,
  saving,
  steps,
  timing,
)
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.plans import expand, track_of

REPEATS = 5
# Saves and evaluations of the long run, each so often.
LONG = {"checkpoint.minutes": 0.02, "eval.every": "50 steps"}


def first_run(config: ConfigDict) -> ConfigDict:
  """The config of the run to measure: of images, as the bench has it. Ours."""
  track_of(config)
  if config.track == "vision":
    return bench_vision.run_config(config)
  return ConfigDict(expand(config)[0].config.to_dict())


def cost(config: ConfigDict) -> dict[str, Any]:
  """Seconds of one save, and its share of a run at the config's interval. Ours.

  Args:
    config: a run's config.

  Returns:
    Bytes of a state, seconds of a save with the copy from the device, and the
    share.
  """
  task = track_of(config).make(config, axis_name=None)
  compiled = steps.compile_task(task, 1)
  carry = compiled.init()
  seconds = []
  with tempfile.TemporaryDirectory() as name:
    saver = saving.Saver(
      pathlib.Path(name), config, task, devices=1, steps_per_epoch=1
    )
    with saver:
      for at in range(REPEATS + 1):

        def save(at=at):
          saver.save(compiled.fetch(carry), saving.Position(at=at))

        seconds.append(timing.once(save))
  size = packing.pack(jax.tree.leaves(compiled.fetch(carry))).nbytes
  # The first one meets what is loaded once.
  one = float(np.median(seconds[1:]))
  share = one / (60 * config.checkpoint.minutes)
  print(
    f"{config.name}: a state of {size / 2**20:.1f} MiB is saved in {one:.3f} s;"
    f" every {config.checkpoint.minutes:g} minutes that is {share:.2%} of a"
    " run's time.",
    flush=True,
  )
  return {
    "bytes": size,
    "seconds": one,
    "minutes": config.checkpoint.minutes,
    "share": share,
  }


def _resident() -> float:
  """Memory of this process, in MiB."""
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
  return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(config: ConfigDict, minutes: float) -> dict[str, list[float]]:
  """Memory of the process over a run that is ended after some minutes. Ours.

  Args:
    config: a run's config.
    minutes: how long it runs.

  Returns:
    'seconds' since its start, and 'mebibytes'.
  """
  with config.unlocked():
    for name, value in LONG.items():
      group, field = name.split(".")
      config[group][field] = value
    config.train.max = "40000000 steps"
  task = track_of(config).make(config, axis_name=None)
  began, out = time.monotonic(), {"seconds": [], "mebibytes": []}
  ended = threading.Event()

  def sample():
    while not ended.wait(1.0):
      out["seconds"].append(time.monotonic() - began)
      out["mebibytes"].append(_resident())

  thread = threading.Thread(target=sample)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    thread.start()
    try:
      whole.run_in(
        folder,
        config,
        task,
        lambda: time.monotonic() - began > 60 * minutes,
      )
    except interrupt.InterruptedRun:
      pass
    finally:
      ended.set()
      thread.join()
    rows = (folder / metrics.METRICS).read_text().count("\n")
    kept = len(list((folder / checkpoint.FOLDER).iterdir()))
  half = len(out["mebibytes"]) // 2
  first, last = out["mebibytes"][half], out["mebibytes"][-1]
  print(
    f"{config.name}: {first:.0f} MiB half way through {minutes:g} minutes,"
    f" {last:.0f} at the end, after {rows:,} rows; {kept} checkpoints kept.",
    flush=True,
  )
  return out | {"rows": rows}


def draw(found: dict[str, list[float]], path: pathlib.Path) -> None:
  """Memory against time, as a PNG. Ours."""
  figure = Figure(figsize=(6, 3), layout="constrained")
  axes = figure.subplots()
  axes.plot(np.divide(found["seconds"], 60), found["mebibytes"])
  axes.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=(0, None))
  figure.savefig(path, dpi=150)


def main() -> None:
  """Entry point. Ours."""
  config = cli.config_flag()
  minutes = flags.DEFINE_float(
    "minutes",
    0.0,
    "How long to watch memory; 0 for not at all.",
    lower_bound=0.0,
  )
  out = flags.DEFINE_string("out", None, "JSON file for the numbers, or none.")

  def bench():
    run = first_run(ConfigDict(config.value))
    if not run.checkpoint.minutes:
      raise UserError("Got checkpoint.minutes 0: give the interval to measure.")
    result = {"versions": folders.versions(), "saving": cost(run)}
    if minutes.value > 0:
      result["memory"] = memory(run, minutes.value)
    if out.value:
      path = pathlib.Path(out.value)
      metrics.write_json(path, result)
      if "memory" in result:
        draw(result["memory"], path.with_suffix(".png"))

  cli.run(
    bench,
    required=("config",),
    example="python -m lro_jax.bench.saving --config=configs/theory.py:network",
  )


if __name__ == "__main__":
  main()
