"""Runs one Task to its end: resume, advance, measure, save, stop."""

import collections
import contextlib
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from lro_jax.core import cadence, checkpoint, folders, metrics, steps
from lro_jax.core.progress import Progress
from lro_jax.core.schema import ConfigDict, UserError, to_steps
from lro_jax.core.task import NOT_YET, DivergedError, Task

STATUS_OF_EVENT = {"stop": "stopped", "diverge": "diverged"}


AT_MAX_STEPS = "max_steps"


class _Log:
  """Turns Readings into rows of metrics.jsonl, each event once."""

  def __init__(self, writer: metrics.MetricsWriter, task: Task, step, events):
    self._writer, self._seeds = writer, task.seeds
    self._names = {at: name for name, at in task.marks.items()}
    # What has been written: last step and known latches of every seed.
    self._step, self._events = step, events

  def write(self, reading: steps.Reading) -> None:
    for i, seed in enumerate(self._seeds):
      ended = False
      fresh = sorted(
        (int(at[i]), name)
        for name, at in reading.events.items()
        if at[i] != NOT_YET and self._events[name][i] == NOT_YET
      )
      for step, name in fresh:
        measured = reading.at_events.get(name)
        values = {} if measured is None else _values(measured, i)
        self._writer.write(step=step, seed=seed, event=name, values=values)
        ended |= name in STATUS_OF_EVENT
      if self._step is None or (reading.step[i] > self._step[i] and not ended):
        values = _values(reading.now, i)
        if reading.num_steps[i]:
          values |= {
            f"running/{name}": float(total[i] / reading.num_steps[i])
            for name, total in reading.sums.items()
          }
        step = int(reading.step[i])
        self._writer.write(
          step=step, seed=seed, event=self._names.get(step), values=values
        )
    self._step, self._events = reading.step, reading.events


def _values(measured, i: int) -> dict[str, float]:
  """One seed's metrics: sums divided by counts, and readings."""
  with np.errstate(divide="ignore", invalid="ignore"):
    out = {
      name: float(measured.sums[name][i] / measured.counts[name][i])
      for name in sorted(measured.sums)
    }
  return out | {n: float(v[i]) for n, v in sorted(measured.values.items())}


class Result(NamedTuple):
  """How a run ended: seed -> {'status', 'step', 'events'}; its errors."""

  seeds: dict[int, dict[str, Any]]
  diverged: list[DivergedError]


def _result(task: Task, last: steps.Reading) -> Result:
  seeds, diverged = {}, []
  for i, seed in enumerate(task.seeds):
    at = {n: int(v[i]) for n, v in last.events.items() if v[i] != NOT_YET}
    at |= {n: step for n, step in task.marks.items() if step <= last.step[i]}
    ends = [STATUS_OF_EVENT[n] for n in at if n in STATUS_OF_EVENT]
    seeds[seed] = {
      "status": ends[0] if ends else AT_MAX_STEPS,
      "step": int(last.step[i]),
      "events": at,
    }
    if "diverge" in at:
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
  after_save: Callable[[int], None] = lambda index: None,
) -> Result:
  """Runs a Task until every seed is over, continuing what is there. Ours.

  Args:
    task: what to run.
    config: the run's config; read here: `train`, `eval`, `checkpoint`.
    folder: the run's folder, already claimed.
    steps_per_epoch: for durations.
    devices: number of devices the task was made for.
    progress: where to show the progress line.
    name: the run's name.
    after_save: called with the index of every checkpoint saved; for tests.

  Returns:
    How each seed ended. Diverged seeds are listed, not raised: they are a
    result, and the other seeds went on.
  """
  with jax.enable_x64(task.x64):
    return _run(
      task, config, folder, steps_per_epoch, devices, progress, name, after_save
    )


def _run(
  task, config, folder, steps_per_epoch, devices, progress, name, after_save
):
  max_steps = to_steps(config.train.max, steps_per_epoch=steps_per_epoch)
  every = (
    None
    if config.eval.every == "never"
    else to_steps(config.eval.every, steps_per_epoch=steps_per_epoch)
  )
  schedule = cadence.eval_steps(
    max_steps,
    per_decade=config.eval.per_decade,
    every=every,
    marks=task.marks.values(),
  )
  # Of the data as well: a config names a file, not what is in it.
  fingerprint = checkpoint.fingerprint(
    metrics.plain(
      {"config": config.to_dict()}
      | {name: task.facts.get(name) for name in ("data", "patches")}
    )
  )
  compiled = steps.compile_task(task, devices)
  record = {
    "name": name,
    "status": folders.RUNNING,
    "versions": folders.versions(),
    "num_devices": devices,
    "facts": task.facts,
    "wall_seconds": 0.0,
    "resumed": 0,
  }

  carry = compiled.init()
  start, offset, known = 0, 0, None
  with contextlib.ExitStack() as stack:
    checkpoints = stack.enter_context(
      checkpoint.Checkpoints(folder, config.checkpoint.keep)
    )
    restored = checkpoints.restore(compiled.fetch(carry))
    if restored is not None and restored.note["fingerprint"] != fingerprint:
      raise UserError(
        f"The checkpoint in {folder} belongs to another config, or to other"
        " data or patches under the same name: choose another --workdir, or put"
        " them back."
      )
    if restored is not None:
      carry = compiled.put(restored.tree)
      start, offset = restored.note["next"], restored.note["metrics_offset"]
      known = compiled.fetch(compiled.evaluate(carry))
      record["wall_seconds"] = restored.note["wall_seconds"]
      record["resumed"] = restored.note["resumed"] + 1
      logging.info("%s: continuing from a checkpoint.", name)
    earlier_seconds, began = record["wall_seconds"], time.monotonic()

    def wall_seconds():
      return earlier_seconds + time.monotonic() - began

    writer = stack.enter_context(
      metrics.MetricsWriter(folder / metrics.METRICS, offset)
    )
    no_events = collections.defaultdict(
      lambda: np.full(len(task.seeds), NOT_YET)
    )
    log = _Log(
      writer,
      task,
      known.step if known else None,
      known.events if known else no_events,
    )
    for file, content in task.files.items():
      metrics.write_bytes(folder / file, content)
    metrics.write_json(folder / metrics.RUN, record)
    progress.start(name, int(known.step.min()) if known else 0, max_steps)
    last_save = time.monotonic()
    pending: collections.deque = collections.deque()
    last = known

    def drain(limit):
      nonlocal last
      while len(pending) > limit:
        item = pending.popleft()
        if isinstance(item, steps.Reading):
          last = compiled.fetch(item)
          log.write(last)
          _show(progress, last, task.marks)
        else:
          jax.block_until_ready(item)

    for index in range(start, len(schedule)):
      target = schedule[index]
      fresh = True
      at = schedule[index - 1] if index else 0
      while at < target:
        at = min(target, at + config.train.steps_per_call)
        carry, handle = compiled.advance(carry, at, fresh)
        pending.append(handle)
        drain(steps.IN_FLIGHT)
        fresh = False
      pending.append(compiled.evaluate(carry))
      drain(steps.IN_FLIGHT)
      minutes = (time.monotonic() - last_save) / 60
      if minutes >= config.checkpoint.minutes and target < max_steps:
        drain(0)
        checkpoints.save(
          index,
          compiled.fetch(carry),
          {
            "fingerprint": fingerprint,
            "next": index + 1,
            "metrics_offset": writer.offset,
            "wall_seconds": wall_seconds(),
            "resumed": record["resumed"],
          },
        )
        last_save = time.monotonic()
        after_save(index)
      if last is not None and last.over.all():
        break
    drain(0)
    result = _result(task, last)
    record |= {
      "status": folders.DONE,
      "seeds": {str(s): v for s, v in result.seeds.items()},
      "wall_seconds": wall_seconds(),
      "state_digest": checkpoint.digest(compiled.fetch(carry.state)),
      "metrics_bytes": writer.offset,
    }
  metrics.write_json(folder / metrics.RUN, record)
  progress.finish(_summary(result))
  for error in result.diverged:
    logging.error("%s: %s", name, error)
  return result


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
