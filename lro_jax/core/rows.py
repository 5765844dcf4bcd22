"""Rows of metrics.jsonl, out of what the device hands over.

One row per seed and evaluation, and one per event at its exact step. Which rows
have been written already is part of a run's position: a checkpoint may fall
between an event and the evaluation that tells of it.
"""

from typing import Any, NamedTuple

import numpy as np

from lro_jax.core import metrics, steps
from lro_jax.core.task import NOT_YET, Task

STATUS_OF_EVENT = {"stop": "stopped", "diverge": "diverged"}


class Written(NamedTuple):
  """What the rows so far have told.

  Attributes:
    step: last step of every seed, or None before the first row.
    events: event name -> its latch of every seed, as far as told.
  """

  step: list[int] | None
  events: dict[str, list[int]]

  @classmethod
  def read(cls, plain: dict[str, Any]) -> "Written":
    """Back from JSON."""
    return cls(plain["step"], plain["events"])


NOTHING = Written(None, {})


class Log:
  """Turns Readings into rows of metrics.jsonl, each event once."""

  def __init__(
    self, writer: metrics.MetricsWriter, task: Task, written: Written
  ):
    self.written = written
    self._writer, self._seeds = writer, task.seeds
    self._names = {at: name for name, at in task.marks.items()}

  def write(self, reading: steps.Reading) -> None:
    """Writes what a reading tells that earlier ones did not.

    Raises:
      OSError: it could not be written whole.
    """
    told, events = self.written
    for i, seed in enumerate(self._seeds):
      ended = False
      fresh = sorted(
        (int(at[i]), name)
        for name, at in reading.events.items()
        if at[i] != NOT_YET and (name not in events or events[name][i] != at[i])
      )
      for step, name in fresh:
        measured = reading.at_events.get(name)
        values = {} if measured is None else _values(measured, i)
        self._writer.write(step=step, seed=seed, event=name, values=values)
        ended |= name in STATUS_OF_EVENT
      step = int(reading.step[i])
      if told is None or (step > told[i] and not ended):
        values = _values(reading.now, i)
        if reading.num_steps[i]:
          values |= {
            f"running/{name}": float(total[i] / reading.num_steps[i])
            for name, total in reading.sums.items()
          }
        self._writer.write(
          step=step, seed=seed, event=self._names.get(step), values=values
        )
    self.written = Written(
      reading.step.tolist(),
      {n: at.tolist() for n, at in reading.events.items()},
    )


def _values(measured, i: int) -> dict[str, float]:
  """One seed's metrics: sums divided by counts, and readings."""
  with np.errstate(divide="ignore", invalid="ignore"):
    out = {
      name: float(measured.sums[name][i] / measured.counts[name][i])
      for name in sorted(measured.sums)
    }
  return out | {n: float(v[i]) for n, v in sorted(measured.values.items())}
