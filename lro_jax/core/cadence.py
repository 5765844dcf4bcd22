"""When a run is measured."""

import math
from collections.abc import Iterable

from lro_jax.core.schema import ConfigDict, UserError, to_steps

# Regular ones of a run, each a row: a million are a gigabyte of metrics.jsonl.
MAX_EVALUATIONS = 10**6


def check(config: ConfigDict, *, steps_per_epoch: int) -> None:
  """Refuses durations that are none, or too many evaluations. Ours.

  Args:
    config: a run's; read here: `train.max`, `eval.every`.
    steps_per_epoch: for durations.

  Raises:
    UserError: of either.
  """
  end, every = (
    value != "never"
    and to_steps(value, steps_per_epoch=steps_per_epoch, field=field)
    for field, value in (
      ("train.max", config.train.max),
      ("eval.every", config.eval.every),
    )
  )
  if every and end // every > MAX_EVALUATIONS:
    raise UserError(
      f"Got eval.every {config.eval.every!r} with train.max"
      f" {config.train.max!r}: {end // every:,} evaluations, where"
      f" {MAX_EVALUATIONS:,} are possible; raise eval.every or lower train.max."
    )


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

  Raises:
    ValueError: they are more than `MAX_EVALUATIONS`; see `check`.
  """
  if every and max_steps // every > MAX_EVALUATIONS:
    raise ValueError(f"{max_steps // every} evaluations")
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
