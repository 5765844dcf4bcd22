"""Calls in flight: told in order, acted on after the same call everywhere."""

from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import pending, steps


def handle(at, *, over=False, stop=False):
  return steps.Handle(np.array([at]), np.array([over]), np.array(stop))


def reading(at):
  return steps.Reading(
    now=None,
    at_events={},
    events={},
    step=np.array([at]),
    over=np.array([False]),
    learning_rate=None,
    sums={},
    num_steps=None,
  )


def decisions(items, waiting_after=()):
  """What is known after each call, on a host that waits for all after some."""
  fetched, read, out = [], [], []

  def fetch(item):
    fetched.append(int(item.step[0]))
    return item

  queue = pending.Pending(fetch, lambda r: read.append(int(r.step[0])))
  for i, item in enumerate(items):
    queue.send(item)
    out.append((queue.all_over, queue.stop))
    if i in waiting_after:
      queue.wait_for_all()
  queue.wait_for_all()
  return out, fetched, read


class PendingTest(parameterized.TestCase):
  @parameterized.parameters((), (3,), (4,), (3, 4, 5), tuple(range(9)))
  def test_a_host_that_waits_sooner_decides_no_sooner(self, *waiting):
    items = [handle(i, over=i >= 6, stop=i == 4) for i in range(9)]
    known, fetched, _ = decisions(items, waiting)
    alone, *_ = decisions(items)
    self.assertEqual(known, alone)
    self.assertEqual(fetched, list(range(9)))
    # Two calls later, and not forgotten.
    self.assertEqual([stop for _, stop in known], [False] * 6 + [True] * 3)
    self.assertEqual([over for over, _ in known], [False] * 8 + [True])

  def test_readings_are_read_once_in_order(self):
    items = [handle(0), reading(0), handle(1), handle(2), reading(2)]
    _, fetched, read = decisions(items, (1,))
    self.assertEqual(read, [0, 2])
    self.assertEqual(fetched, [0, 0, 1, 2, 2])

  def test_a_steps_time_is_that_between_two_ends(self):
    now = iter([10.0, 30.0, 30.5])
    queue = pending.Pending(lambda x: x, lambda r: None)
    with mock.patch.object(pending.time, "monotonic", lambda: next(now)):
      found = []
      for at in (5, 10, 15, 20, 25):
        queue.send(handle(at))
        found.append(queue.seconds_per_step)
    self.assertEqual(found, [None, None, None, 4.0, 0.1])

  def test_no_more_are_in_flight_than_allowed(self):
    fetched = []
    queue = pending.Pending(lambda x: fetched.append(x) or x, lambda r: None)
    for i in range(5):
      queue.send(handle(i))
      self.assertLen(fetched, max(0, i + 1 - steps.IN_FLIGHT))


if __name__ == "__main__":
  absltest.main()
