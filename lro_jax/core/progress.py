"""The line a person watches: where a run is, and when all of it will be done.

On a terminal one line is rewritten in place; elsewhere a log line appears every
few seconds.
"""

import datetime
import sys
import time

import tqdm
from absl import logging

LOG_SECONDS = 15.0


def clock(seconds: float) -> str:
  """Seconds as h:mm:ss. Ours."""
  return str(datetime.timedelta(seconds=round(max(0.0, seconds))))


class Progress:
  """Progress of an experiment of several runs."""

  def __init__(self, num_runs: int):
    self._num_runs = num_runs
    self._done_seconds: list[float] = []
    self._index = 0
    self._bar = tqdm.tqdm(
      total=0, bar_format="{desc}", leave=False, disable=None
    )
    self._last_log = -float("inf")

  def start(self, name: str, step: int, max_steps: int) -> None:
    """A run begins, at some step of at most `max_steps`."""
    self._index += 1
    self._name, self._max_steps = name, max_steps
    self._start_step, self._start_time = step, time.monotonic()

  def skip(self) -> None:
    """A run is done by somebody else."""
    self._index += 1

  def line(self, *, step: int, loss: float, phase: str) -> str:
    """The line for a step of the run that began last."""
    elapsed = time.monotonic() - self._start_time
    done = step - self._start_step
    rate = done / elapsed if elapsed > 0 else 0.0
    left = (self._max_steps - step) / rate if rate > 0 else float("nan")
    after = self._num_runs - self._index
    per_run = (
      sum(self._done_seconds) / len(self._done_seconds)
      if self._done_seconds
      else elapsed + left
    )
    if rate > 0:
      eta = f"ETA run <= {clock(left)}, all <= {clock(left + after * per_run)}"
    else:
      eta = "ETA compiling"
    return (
      f"[{self._index}/{self._num_runs} {self._name}] {phase} | step {step:,}"
      f"/{self._max_steps:,} | loss {loss:.4f} | {rate:,.0f} steps/s | {eta}"
    )

  def show(self, *, step: int, loss: float, phase: str) -> None:
    """Shows the line, at most every few seconds where no terminal watches."""
    text = self.line(step=step, loss=loss, phase=phase)
    if not self._bar.disable:
      self._bar.set_description_str(text)
    elif time.monotonic() - self._last_log >= LOG_SECONDS:
      self._last_log = time.monotonic()
      logging.info("%s", text)

  def finish(self, message: str) -> None:
    """A run has ended: says so on a line that stays."""
    seconds = time.monotonic() - self._start_time
    self._done_seconds.append(seconds)
    text = (
      f"[{self._index}/{self._num_runs} {self._name}] {message}"
      f" ({clock(seconds)})"
    )
    if not self._bar.disable:
      self._bar.set_description_str("")
      self._bar.write(text, file=sys.stderr)
    else:
      logging.info("%s", text)

  def close(self) -> None:
    """Leaves the terminal clean."""
    self._bar.close()
