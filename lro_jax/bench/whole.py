"""Whether a run takes as long as its parts.

Steps, evaluations, reading what they found, writing rows, saves. `core.loop`
does the run, with a clock around the writing of rows and of checkpoints. After
every save it pauses, and as much as it did since the last is done by parts,
each timed by itself: so that a machine whose speed drifts is the same machine
for both. To the loop a pause looks like slow steps: its next calls are shorter.
What the run takes beyond the parts are the host's gaps; less than nothing where
the host's work is hidden behind the device's.
"""

import contextlib
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from lro_jax.bench import programs
from lro_jax.core import folders, loop, metrics, rows, saving, timing
from lro_jax.core.progress import Progress
from lro_jax.core.schema import ConfigDict, UserError
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
  after_save: Callable[[int], None] = lambda at: None,
) -> None:
  """Does a run as `main` does it, on one device. Ours.

  Args:
    folder: an empty one, for what the run writes.
    config: a run's config.
    task: of that config.
    told_to_end: asked between calls of the device.
    after_save: called with the step of every checkpoint saved.

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
    after_save=after_save,
  )


# In minutes: a run here saves by steps alone.
NEVER = 1e6
# How often a run pauses.
SLICES = 16


class Alone(NamedTuple):
  """Seconds of so many calls, each kind by itself."""

  steps: float
  evaluation: float
  reading: float


def alone(run: programs.Running, num_steps: int, num_evals: int) -> Alone:
  """Times steps, evaluations, and reading what these find. Ours.

  Args:
    run: from `programs.start`, and warm.
    num_steps: how many steps.
    num_evals: how many evaluations.
  """

  def several(call):
    return timing.once(lambda: [call() for _ in range(num_evals)])

  return Alone(
    timing.once(lambda: run.advance(num_steps)),
    several(run.evaluate),
    several(run.fetch),
  )


def compare(config: ConfigDict, num: int) -> dict:
  """A run of some steps beside the sum of its parts. Ours.

  Both from the return of the device's first call on: it compiles.

  Args:
    config: a valid config of one run, that anneals and stops nowhere.
    num: how many steps.

  Returns:
    `seconds` of the run, `parts` in s, `host gaps` among them, and
    `sum_over_whole`: of the parts that were timed, over the run; `alone`: what
    was timed in each pause, of so many `alone_steps` and `alone_evaluations`.

  Raises:
    UserError: no checkpoint could be saved, so that there was no pause.
  """
  every = max(1, num // SLICES)
  config = ConfigDict(config.to_dict())
  config.train.max = f"{num} steps"
  config.checkpoint.update(every=f"{every} steps", minutes=NEVER)
  # Of the same config: at infinite width a longer run has a dearer step. Saves
  # are by steps alone, and none at the end: it makes no more than the run.
  by_parts = programs.start(config)
  alone(by_parts, 1, 1)  # compiles
  task = track_of(config).make(config, axis_name=None)
  at = loop.eval_steps(task, config, track_of(config).steps_per_epoch(config))
  num_evals = max(1, len(at) // SLICES)
  asked: list[float] = []
  timed: list[Alone] = []
  paused = 0.0

  def told_to_end():
    asked.append(time.monotonic())
    return False

  def pause(unused_step):
    nonlocal paused
    began = time.monotonic()
    timed.append(alone(by_parts, every, num_evals))
    paused += time.monotonic() - began

  with (
    tempfile.TemporaryDirectory() as name,
    _clock(rows.Log, "write") as logs,
    _clock(saving.Saver, "save") as saves,
  ):
    folder = pathlib.Path(name)
    run_in(folder, config, task, told_to_end, pause)
    ended = time.monotonic()
    if not timed:
      raise UserError(
        f"Got no checkpoint saved in {folder}, after which to pause: make room"
        " there."
      )
    written = (folder / metrics.METRICS).read_text().count("\n")
  # Asked after the measurement at step 0, before the first call, which compiles
  # before it returns, and after it.
  begun = asked[2]
  whole = ended - begun - paused
  num_rows = sum(b > begun for b, _ in logs)
  mean = Alone(*(sum(x) / len(timed) for x in zip(*timed, strict=True)))
  parts = {
    "steps": mean.steps * (num - _first_steps(config, task, at, every)) / every,
    "evaluation": mean.evaluation * num_rows / num_evals,
    "reading": mean.reading * num_rows / num_evals,
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
    "alone": [x._asdict() for x in timed],
    "alone_steps": every,
    "alone_evaluations": num_evals,
  }


def _first_steps(
  config: ConfigDict, task: Task, at: list[int], every: int
) -> int:
  """How many steps the first call of the device makes."""
  per_call = config.train.steps_per_call if task.device_loop else 1
  return min(per_call, loop.FIRST_CALLS, at[1], every)
