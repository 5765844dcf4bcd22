"""How long a call takes."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

REPEATS = 5


def once(call: Callable[[], Any]) -> float:
  """Time of this very call, in s. Ours."""
  start = time.perf_counter()
  call()
  return time.perf_counter() - start


def seconds(
  call: Callable[[], Any],
  *,
  at_least: float = 0.5,
  at_most: float = math.inf,
) -> float:
  """Median time of a warm call, in s. Ours.

  Args:
    call: waits for its own result.
    at_least: how long one repeat runs, in s.
    at_most: no further repeat is begun after so many s.
  """
  begun = time.perf_counter()
  call()
  num = max(1, round(at_least / once(call)))
  times = []
  while len(times) < REPEATS:
    times.append(once(lambda: [call() for _ in range(num)]) / num)
    if time.perf_counter() - begun > at_most:
      break
  return float(np.median(times))
