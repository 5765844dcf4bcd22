"""Whether a run takes as long as its parts.

Steps, evaluations, reading what they found, writing rows, saves. The parts are
timed by themselves; then `core.loop` does the run, untouched but for a clock
around the writing of rows and of checkpoints. What it takes beyond the parts
are the host's gaps; less than nothing where the host's work is hidden behind
the device's.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from lro_jax.core import folders, loop, metrics, rows, saving
from lro_jax.core.progress import Progress
from lro_jax.core.schema import ConfigDict
from lro_jax.core.task import Task
from lro_jax.plans import track_of


@contextlib.contextmanager
def _clock(owner: type, name: str) -> Iterator[list[tuple[float, float]]]:
  """Notes begin and end of every call of a method, in s."""
  original, noted = getattr(owner, name), []

  def timed(*args, **kwargs):
    began = time.monotonic()
    try:
      return original(*args, **kwargs)
    finally:
      noted.append((began, time.monotonic()))

  setattr(owner, name, timed)
  try:
    yield noted
  finally:
    setattr(owner, name, original)


def run_in(
  folder: pathlib.Path,
  config: ConfigDict,
  task: Task,
  told_to_end: Callable[[], bool],
) -> None:
  """Does a run as `main` does it, on one device. Ours.

  Args:
    folder: an empty one, for what the run writes.
    config: a run's config.
    task: of that config.
    told_to_end: asked between calls of the device.

  Raises:
    InterruptedRun: it was told to end.
  """
  folders.claim(folder, config)
  loop.run(
    task,
    config,
    folder,
    steps_per_epoch=track_of(config).steps_per_epoch(config),
    devices=1,
    progress=Progress(1),
    name=config.name,
    told_to_end=told_to_end,
  )


def compare(config: ConfigDict, found: dict[str, Any], num: int) -> dict:
  """A run of some steps beside the sum of its parts. Ours.

  Both from the return of the device's first call on: it compiles.

  Args:
    config: a run's config.
    found: of the same run, from `programs.measure`.
    num: how many steps; half way a checkpoint is saved.

  Returns:
    `seconds` of the run, `parts` in s, `host gaps` among them, and
    `sum_over_whole`: of the parts that were timed, over the run.
  """
  config = ConfigDict(config.to_dict())
  config.train.max = f"{num} steps"
  config.checkpoint.every = f"{max(1, num // 2)} steps"
  task = track_of(config).make(config, axis_name=None)
  asked: list[float] = []

  def told_to_end():
    asked.append(time.monotonic())
    return False

  with (
    tempfile.TemporaryDirectory() as name,
    _clock(rows.Log, "write") as logs,
    _clock(saving.Saver, "save") as saves,
  ):
    folder = pathlib.Path(name)
    run_in(folder, config, task, told_to_end)
    ended = time.monotonic()
    written = (folder / metrics.METRICS).read_text().count("\n")
  # Asked after the measurement at step 0, before the first call, which compiles
  # before it returns, and after it.
  begun = asked[2]
  whole = ended - begun
  num_rows = sum(b > begun for b, _ in logs)
  parts = {
    "steps": (num - _first_steps(config, task)) * found["step_seconds"],
    "evaluation": num_rows * found["evaluation_seconds"],
    "reading": num_rows * found["fetch_seconds"],
    "logging": sum(e - b for b, e in logs if b > begun),
    "checkpoint": sum(e - b for b, e in saves if b > begun),
  }
  known = sum(parts.values())
  parts["host gaps"] = whole - known
  print(
    f"  a run of {num} steps, {written} rows: {whole:.2f} s; "
    + ", ".join(f"{k} {v / whole:.1%}" for k, v in parts.items()),
    flush=True,
  )
  return {
    "steps": num,
    "seconds": whole,
    "parts": parts,
    "sum_over_whole": known / whole,
  }


def _first_steps(config: ConfigDict, task) -> int:
  """How many steps the first call of the device makes."""
  epoch = track_of(config).steps_per_epoch(config)
  per_call = config.train.steps_per_call if task.device_loop else 1
  return min(per_call, loop.eval_steps(task, config, epoch)[1])
