"""SIGTERM and SIGINT: noticed at once, obeyed at the next safe place.

Machines that are taken away say so with SIGTERM some seconds before, people
with Ctrl-C. The run then saves its state and ends with a status of its own, so
that a scheduler knows to start the same command again. A limit on the time that
a process may take is such news as well.
"""

import math
import os
import signal
import time
from types import FrameType

# "Temporary failure, try again" among the statuses of sysexits.h.
EXIT_STATUS = os.EX_TEMPFAIL

# Signals closer together than this, in s, are one.
SAME_NEWS_SECONDS = 2.0

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class InterruptedRun(Exception):
  """A run was told to end, and has saved its state."""


class Watch:
  """Whether this process was told to end; a context manager.

  Inside, a signal is only noted; one that follows after a while acts as it ever
  does. Not at once: a scheduler signals every process it has started, so that
  one may hear the same news twice.
  """

  def __init__(self, limit: float = math.inf):
    """Begins to count the time.

    Args:
      limit: after so many s the process is told to end as well.
    """
    self._told, self._since = False, 0.0
    self._ends = time.monotonic() + limit
    self._before: dict[int, object] = {}

  @property
  def asked(self) -> bool:
    """Whether to end at the next safe place."""
    return self._told or time.monotonic() >= self._ends

  def __enter__(self):
    for number in SIGNALS:
      self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *unused):
    self._restore()

  def _note(self, number: int, frame: FrameType | None) -> None:
    del frame
    if not self._told:
      self._since = time.monotonic()
    elif time.monotonic() - self._since > SAME_NEWS_SECONDS:
      self._restore()
      signal.raise_signal(number)
    self._told = True

  def _restore(self):
    while self._before:
      number, handler = self._before.popitem()
      signal.signal(number, handler)
