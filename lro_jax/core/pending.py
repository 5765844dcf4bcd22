"""Calls of the device that the host has not waited for yet.

On several hosts all must go on or end after the same call. So what a call has
told counts only once `steps.IN_FLIGHT` others were sent after it, even where a
host has waited for it sooner, in order to save.
"""

import collections
import time
from collections.abc import Callable

from lro_jax.core import steps
from lro_jax.core.task import Tree


class Pending:
  """A queue of calls, and what they have told.

  Attributes:
    all_over: whether every seed has stopped or diverged.
    stop: whether any host was told to end.
    seconds_per_step: as the last calls have taken, evaluations and saves
      between them included; None before the second has ended.
  """

  def __init__(
    self,
    fetch: Callable[[Tree], Tree],
    read: Callable[[steps.Reading], None],
  ):
    """An empty queue.

    Args:
      fetch: waits for a tree on the device, and brings it to the host.
      read: called with every Reading, in order.
    """
    self.all_over = self.stop = False
    self.seconds_per_step: float | None = None
    self._ended: tuple[float, int] | None = None
    self._fetch, self._read = fetch, read
    self._sent = 0
    self._queue: collections.deque = collections.deque()
    self._told: collections.deque = collections.deque()

  def send(self, item: steps.Handle | steps.Reading) -> None:
    """Another call was sent; waits for those that were sent long before."""
    self._sent += 1
    self._queue.append((self._sent, item))
    self._wait(steps.IN_FLIGHT, timed=True)
    while self._told and self._told[0][0] <= self._sent - steps.IN_FLIGHT:
      _, self.all_over, stop = self._told.popleft()
      self.stop = self.stop or stop

  def wait_for_all(self) -> None:
    """Waits until nothing is in flight."""
    self._wait(0)

  def _wait(self, limit, timed=False):
    while len(self._queue) > limit:
      number, item = self._queue.popleft()
      item = self._fetch(item)
      is_reading = isinstance(item, steps.Reading)
      if is_reading:
        self._read(item)
      if timed:
        self._time(int(item.step.max()))
      stop = not is_reading and bool(item.stop)
      self._told.append((number, bool(item.over.all()), stop))

  def _time(self, step):
    """Another call is seen to have ended, `step` steps into the run."""
    now = time.monotonic()
    if self._ended is not None and step > self._ended[1]:
      before, at = self._ended
      self.seconds_per_step = (now - before) / (step - at)
    self._ended = now, step
