"""How long a call takes."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

REPEATS = 5


def seconds(call: Callable[[], Any], *, at_least: float = 0.5) -> float:
  """Median time of a warm call, in s. Ours.

  Args:
    call: waits for its own result.
    at_least: how long one repeat runs, in s.
  """
  call()
  start = time.perf_counter()
  call()
  num = max(1, round(at_least / (time.perf_counter() - start)))
  times = []
  for _ in range(REPEATS):
    start = time.perf_counter()
    for _ in range(num):
      call()
    times.append((time.perf_counter() - start) / num)
  return float(np.median(times))
