"""Numbers as the tables and sentences of a report show them."""

import math
from collections.abc import Callable
from typing import NamedTuple

from lro_jax.report.intervals import Interval

NOTHING = "-"


def _signless_zero(text: str) -> str:
  """'0.00%' for '-0.00%': what rounds to zero has no sign."""
  return text.lstrip("-") if not text.strip("-0.,%") else text


def steps(value: float) -> str:
  """A step count. Ours."""
  return _signless_zero(f"{value:,.0f}")


def loss(value: float) -> str:
  """A loss. Ours."""
  return _signless_zero(f"{value:.3f}")


def percent(value: float) -> str:
  """A share, as percent. Ours."""
  return _signless_zero(f"{100 * value:.2f}%")


def real(value: float) -> str:
  """A number of any size. Ours."""
  return f"{value:.3g}"


def epoch(value: float) -> str:
  """An epoch, finer inside the first. Ours."""
  return _signless_zero(f"{value:.{2 if 0 < abs(value) < 1 else 1}f}")


class Row(NamedTuple):
  """One line of the table: label, phase and metric it shows, number format."""

  label: str
  phase: str
  metric: str
  format: Callable[[float], str]


def show(interval: Interval, fmt: Callable[[float], str]) -> str:
  """'mean [low, high]', or the mean alone where there is no interval. Ours."""
  if interval.num == 0:
    return NOTHING
  if math.isnan(interval.low):
    seeds = "1 seed" if interval.num == 1 else f"{interval.num} seeds"
    return f"{fmt(interval.mean)} ({seeds})"
  return f"{fmt(interval.mean)} [{fmt(interval.low)}, {fmt(interval.high)}]"


def in_words(interval: Interval) -> str:
  """A paired difference of shares in percentage points. Ours."""
  if math.isnan(interval.low):
    return f"{100 * interval.mean:.2f} points (1 seed)"
  return (
    f"{100 * interval.mean:.2f} points (95% interval"
    f" {100 * interval.low:.2f} to {100 * interval.high:.2f},"
    f" {interval.num} paired seeds)"
  )
