"""Runs one Task to its end: resume, advance, measure, save, stop."""

import collections
import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from lro_jax.core import (
  branch,
  cadence,
  checkpoint,
  folders,
  hosts,
  metrics,
  pending,
  rows,
  saving,
  steps,
)
from lro_jax.core.interrupt import InterruptedRun
from lro_jax.core.progress import Progress
from lro_jax.core.schema import ConfigDict, UserError, to_steps
from lro_jax.core.task import NOT_YET, DivergedError, Task

# One host ends a call after so many s, to be quick where it is told to end: it
# has `steps.IN_FLIGHT` of them to wait for. Hosts would have to agree.
CALL_SECONDS = 5.0
# Before anything is known of a step's time.
FIRST_CALLS = 100

AT_MAX_STEPS = "max_steps"


class Result(NamedTuple):
  """How a run ended.

  Attributes:
    seeds: seed -> {'status', 'step', 'events'}, of a diverged one also
      'learning_rate'.
    diverged: an error for each seed that diverged.
  """

  seeds: dict[int, dict[str, Any]]
  diverged: list[DivergedError]


def _result(task: Task, last: steps.Reading) -> Result:
  seeds, diverged = {}, []
  for i, seed in enumerate(task.seeds):
    at = {n: int(v[i]) for n, v in last.events.items() if v[i] != NOT_YET}
    at |= {n: step for n, step in task.marks.items() if step <= last.step[i]}
    ends = [rows.STATUS_OF_EVENT[n] for n in at if n in rows.STATUS_OF_EVENT]
    seeds[seed] = {
      "status": ends[0] if ends else AT_MAX_STEPS,
      "step": int(last.step[i]),
      "events": at,
    }
    if "diverge" in at:
      seeds[seed]["learning_rate"] = float(last.learning_rate[i])
      diverged.append(
        DivergedError(
          step=at["diverge"],
          seed=seed,
          learning_rate=float(last.learning_rate[i]),
        )
      )
  return Result(seeds, diverged)


def run(
  task: Task,
  config: ConfigDict,
  folder: pathlib.Path,
  *,
  steps_per_epoch: int,
  devices: int,
  progress: Progress,
  name: str,
  told_to_end: Callable[[], bool] = lambda: False,
  after_save: Callable[[int], None] = lambda at: None,
) -> Result:
  """Runs a Task until every seed is over, continuing what is there. Ours.

  Args:
    task: what to run.
    config: the run's config; read here: `train`, `eval`, `checkpoint`,
      `branch_from`.
    folder: the run's folder, already claimed, and held.
    steps_per_epoch: for durations.
    devices: number of devices the task was made for.
    progress: where to show the progress line.
    name: the run's name.
    told_to_end: asked before every call of the device.
    after_save: called with the step of every checkpoint saved; for tests and
      the bench.

  Returns:
    How each seed ended. Diverged seeds are listed, not raised: they are a
    result, and the other seeds went on.

  Raises:
    UserError: the state that is there cannot be continued, or nothing can be
      written any more; what was saved and logged is kept.
    InterruptedRun: it was told to end; its state is saved.
  """
  begins = branch.origin(config)
  schedule = eval_steps(task, config, steps_per_epoch, begins)
  max_steps = schedule[-1]
  # Python calls every step by itself where the device must not loop.
  per_call = config.train.steps_per_call if task.device_loop else 1
  alone = hosts.count() == 1
  with contextlib.ExitStack() as stack:
    stack.enter_context(_one_sentence_when_unwritable(name, folder))
    stack.enter_context(jax.enable_x64(task.x64))
    compiled = steps.compile_task(task, devices)
    carry = compiled.init()
    saver = stack.enter_context(
      saving.Saver(
        folder,
        config,
        task,
        devices=devices,
        steps_per_epoch=steps_per_epoch,
        schedule=schedule,
      )
    )
    like = compiled.fetch(carry)
    restored = saver.restore(like)
    position, last = saving.Position(), None
    if restored is not None:
      tree, position = restored
      position = position._replace(resumed=position.resumed + 1)
      logging.info("%s: continuing from a checkpoint.", name)
    elif begins is not None:
      restored = branch.begin(begins, task, like, folder, schedule)
      tree, position = restored
      logging.info("%s: begins from step %d of %s.", name, *begins[::-1])
    if restored is not None:
      carry = compiled.put(tree)
      last = compiled.fetch(compiled.evaluate(carry))
    record = {
      "name": name,
      "status": folders.RUNNING,
      "versions": folders.versions(),
      "num_devices": devices,
      "num_hosts": hosts.count(),
      "facts": task.facts,
      "wall_seconds": position.wall_seconds,
      "resumed": position.resumed,
    }
    began = time.monotonic()
    writer = log = None
    if hosts.is_first():
      writer = stack.enter_context(
        metrics.MetricsWriter(folder / metrics.METRICS, position.metrics_offset)
      )
      log = rows.Log(writer, task, position.written)
      for file, content in task.files.items():
        metrics.write_bytes(folder / file, content)
      metrics.write_json(folder / metrics.RUN, record)
    progress.start(name, int(last.step.min()) if restored else 0, max_steps)

    def read(reading):
      nonlocal last
      last = reading
      if log:
        log.write(reading)
      _show(progress, reading, task.marks)

    sent = pending.Pending(compiled.fetch, read)

    def stop():
      # Several hosts end after the same call.
      return sent.stop or (alone and told_to_end())

    def save(index, at):
      sent.wait_for_all()
      saved = saver.save(
        compiled.fetch(carry),
        saving.Position(
          index,
          at,
          writer.offset if writer else 0,
          log.written if log else rows.NOTHING,
          position.wall_seconds + time.monotonic() - began,
          position.resumed,
        ),
      )
      if saved:
        after_save(at)
      return saved

    for index in range(position.index, len(schedule)):
      begin, target = schedule[index - 1] if index else 0, schedule[index]
      at = max(begin, position.at)
      while at < target and not sent.all_over:
        fresh = at == begin
        length = _call_length(per_call, sent.seconds_per_step, alone)
        at = min(target, saver.next_at(at, at + length))
        carry, handle = compiled.call(carry, at, fresh, told_to_end())
        sent.send(handle)
        if at < target and (stop() or saver.due(at)):
          _end_if(stop(), save(index, at), name)
      sent.send(compiled.evaluate(carry))
      if target < max_steps and (stop() or saver.due(target)):
        _end_if(stop(), save(index + 1, target), name)
      if sent.all_over:
        break
    sent.wait_for_all()
    result = _result(task, last)
    record |= {
      "status": folders.DONE,
      "seeds": {str(s): v for s, v in result.seeds.items()},
      "wall_seconds": position.wall_seconds + time.monotonic() - began,
      "state_digest": checkpoint.digest(compiled.fetch(carry.state)),
      "metrics_bytes": writer.offset if writer else 0,
    }
    if hosts.is_first():
      metrics.write_json(folder / metrics.RUN, record)
  progress.finish(_summary(result))
  for error in result.diverged:
    logging.error("%s: %s", name, error)
  return result


def _call_length(most: int, seconds_per_step: float | None, alone: bool) -> int:
  """How many steps the next call takes."""
  if not alone:
    return most
  if seconds_per_step is None:
    return min(most, FIRST_CALLS)
  return min(most, max(1, int(CALL_SECONDS / max(seconds_per_step, 1e-9))))


@contextlib.contextmanager
def _one_sentence_when_unwritable(
  name: str, folder: pathlib.Path
) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise UserError(
      f"Run {name} cannot write {error.filename or folder} ({error.strerror}):"
      " its rows and checkpoints till then are kept; make room or make it"
      " writable, and give the same command again to continue."
    ) from error


def eval_steps(
  task: Task,
  config: ConfigDict,
  steps_per_epoch: int,
  begins: branch.Origin | None = None,
) -> list[int]:
  """The steps at which the run is measured, from 0. Ours."""
  every = (
    None
    if config.eval.every == "never"
    else to_steps(config.eval.every, steps_per_epoch=steps_per_epoch)
  )
  return cadence.eval_steps(
    to_steps(config.train.max, steps_per_epoch=steps_per_epoch),
    per_decade=config.eval.per_decade,
    every=every,
    marks=(*task.marks.values(), *([begins.step] if begins else ())),
  )


def _end_if(stop: bool, saved: bool, name: str) -> None:
  if stop:
    raise InterruptedRun(
      f"Run {name} was told to end and has saved its state"
      if saved
      else f"Run {name} was told to end; its state could not be saved, what was"
      " saved before is kept"
    )


def _show(progress: Progress, reading: steps.Reading, marks) -> None:
  annealed = np.zeros(reading.step.shape, bool)
  if "anneal" in reading.events:
    annealed = reading.events["anneal"] != NOT_YET
  elif "anneal" in marks:
    annealed = reading.step > marks["anneal"]
  phase = "training"
  if annealed.any():
    phase = f"{annealed.sum()}/{annealed.size} annealed"
  if reading.over.any():
    phase += f", {reading.over.sum()}/{reading.over.size} over"
  loss = (
    reading.now.sums["train_loss/all"] / reading.now.counts["train_loss/all"]
  )
  running = ~reading.over
  step = reading.step[running].min() if running.any() else reading.step.max()
  progress.show(step=int(step), loss=float(np.mean(loss)), phase=phase)


def _summary(result: Result) -> str:
  counts = collections.Counter(s["status"] for s in result.seeds.values())
  words = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
  return f"done: {words}"
