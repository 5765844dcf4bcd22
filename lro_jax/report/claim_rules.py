"""Rules that decide a claim: what was read, and True, False or undecided.

Each is one small function of evidence and named numbers. True: what was read
says what the paper says. False: it says otherwise. None: it says neither, and
the sentence says why. An interval decides only as a whole.
"""

import inspect
import math
from collections.abc import Callable
from typing import NamedTuple

from lro_jax.report import verdicts
from lro_jax.report.formats import NOTHING
from lro_jax.report.intervals import Interval

NO_INTERVAL = "one seed has no interval"


class Found(NamedTuple):
  """Whether a claim holds, None if that is open, and why."""

  holds: bool | None
  why: str


class Pair(NamedTuple):
  """When two things happened in each seed, {seed: epoch or step}."""

  first: dict[int, float]
  second: dict[int, float]


class Ratios(NamedTuple):
  """Value over bound in cells of growing d, and which side of 1 is meant."""

  ratios: list[Interval]
  kind: str


class Slope(NamedTuple):
  """A measured exponent, the claimed one, and how they are to relate."""

  measured: Interval
  claimed: float
  relation: str
  towards: str | None


class Slopes(NamedTuple):
  """The exponents of one law, one for each of its parameters."""

  slopes: list[Slope]


def _exists(found: Interval) -> bool:
  return found.num > 0 and not math.isnan(found.low)


def above(found: Interval, *, limit: float) -> Found:
  """The mean is above a limit: all of its interval is. Ours."""
  if not _exists(found):
    return Found(None, NO_INTERVAL)
  if found.low > limit:
    return Found(True, f"all of the interval above {limit:g}")
  if found.high <= limit:
    return Found(False, f"all of the interval at most {limit:g}")
  return Found(None, f"the interval holds {limit:g}")


def below(found: Interval, *, limit: float) -> Found:
  """The mean is below a limit: all of its interval is. Ours."""
  if not _exists(found):
    return Found(None, NO_INTERVAL)
  if found.high < limit:
    return Found(True, f"all of the interval below {limit:g}")
  if found.low >= limit:
    return Found(False, f"all of the interval at least {limit:g}")
  return Found(None, f"the interval holds {limit:g}")


def within(found: Interval, *, centre: float, tolerance: float) -> Found:
  """The mean is a number up to a tolerance: all of its interval is. Ours.

  An interval that holds the number but is wide shows nothing.
  """
  low, high = centre - tolerance, centre + tolerance
  if not _exists(found):
    return Found(None, NO_INTERVAL)
  if low <= found.low and found.high <= high:
    return Found(True, f"all of the interval within {tolerance:g} of it")
  if found.high < low or high < found.low:
    return Found(False, f"none of the interval within {tolerance:g} of it")
  return Found(None, f"the interval is not all within {tolerance:g} of it")


def closer(found: Interval, *, to: float, than: float) -> Found:
  """The mean is closer to one number than to another. Ours."""
  middle = (to + than) / 2
  rule = below if to < than else above
  holds, _ = rule(found, limit=middle)
  words = {
    True: "closer",
    False: "not closer",
    None: "undecided whether closer",
  }
  return Found(holds, f"{words[holds]} to {to:g} than to {than:g}")


def before(found: Pair, *, never_is_later: bool) -> Found:
  """The first comes before the second in every seed that has both. Ours.

  Args:
    found: times by seed, infinity for what never came.
    never_is_later: whether a second that never came counts as coming later.
  """
  seeds = sorted(found.first.keys() & found.second.keys())
  if not seeds:
    return Found(None, "no seed has both")
  good = sum(
    found.first[s] < found.second[s]
    and (never_is_later or math.isfinite(found.second[s]))
    for s in seeds
  )
  return Found(good == len(seeds), f"in {good} of {len(seeds)} seeds")


def order(found: Slopes) -> Found:
  """Measured exponents agree with the claimed ones, or keep their bounds. Ours.

  All of a law's exponents must. See `verdicts.verdict`.
  """
  said = [
    verdicts.verdict(s.claimed, s.measured, s.relation, s.towards)
    for s in found.slopes
  ]
  if NOTHING in said:
    return Found(None, "too few seeds for an interval")
  good = (verdicts.AGREES, verdicts.TIGHT, verdicts.LOOSE)
  return Found(all(one in good for one in said), "; ".join(dict.fromkeys(said)))


def bounded(found: Ratios, *, limit: float) -> Found:
  """Value over bound stays on its side of a limit, and does not drift. Ours.

  The paper's bounds lack constants and logarithms: a ratio beyond the limit
  alone is no contradiction, nor is a drift that has not reached it.
  """
  if not all(_exists(ratio) for ratio in found.ratios):
    return Found(None, NO_INTERVAL)
  first, *_, last = found.ratios if len(found.ratios) > 1 else found.ratios * 2
  at_most = found.kind == "at most"
  kept = all(
    r.high <= limit if at_most else r.low >= limit for r in found.ratios
  )
  drifts = last.low > first.high if at_most else last.high < first.low
  side = f"{found.kind} {limit:g} times the printed bound"
  if kept and not drifts:
    return Found(True, side)
  if drifts and not kept:
    return Found(False, f"not {side}, and further from it as d grows")
  if drifts:
    return Found(None, f"{side}, but nearer to it as d grows")
  return Found(None, f"not surely {side}, which lacks constants and logarithms")


class Rule(NamedTuple):
  """A rule and how it is used.

  Attributes:
    decide: evidence and parameters -> Found.
    takes: type of its evidence.
    of_any_size: whether it says anything of a smaller setting: a sign or an
      order does, an accuracy does not.
  """

  decide: Callable[..., Found]
  takes: type
  of_any_size: bool = True

  @property
  def parameters(self) -> set[str]:
    """Names that an entry must give."""
    return set(inspect.signature(self.decide).parameters) - {"found"}


RULES = {
  "above": Rule(above, Interval),
  "below": Rule(below, Interval),
  "within": Rule(within, Interval, of_any_size=False),
  "closer": Rule(closer, Interval, of_any_size=False),
  "before": Rule(before, Pair),
  "order": Rule(order, Slopes),
  "bounded": Rule(bounded, Ratios),
}
