"""When a run is measured."""

import math
from collections.abc import Iterable


def eval_steps(
  max_steps: int,
  *,
  per_decade: int,
  every: int | None,
  marks: Iterable[int] = (),
) -> list[int]:
  """The steps at which a run is measured: 0, dense early, and the last. Ours.

  Args:
    max_steps: last step.
    per_decade: log-spaced evaluations per factor of ten of the step; where
      there are regular ones, only as long as these are not denser.
    every: regular evaluations besides, or None.
    marks: further steps.

  Returns:
    Increasing steps, the first 0 and the last `max_steps`.
  """
  wanted = {0, max_steps, *marks}
  if per_decade:
    decades = math.ceil(per_decade * math.log10(max_steps)) + 1
    spaced = [round(10 ** (i / per_decade)) for i in range(decades)]
    wanted |= {
      step
      for step, before in zip(spaced, [0, *spaced], strict=False)
      if not every or step - before < every
    }
  if every:
    wanted |= set(range(0, max_steps, every))
  return sorted(s for s in wanted if s <= max_steps)
