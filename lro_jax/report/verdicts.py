"""What the interval of a measured exponent says of a claimed one."""

import math
from typing import Any

from lro_jax.core.schema import UserError
from lro_jax.report.formats import NOTHING
from lro_jax.report.intervals import Interval

EQUAL, AT_MOST = "equal", "at most"
# Which way the paper's limit takes x.
TOWARDS = ("infinity", "zero")
AGREES, DIFFERS = "agrees", "differs"
TIGHT, LOOSE = "within the bound, tight", "within the bound, not tight"
FASTER = "grows faster than the bound"
# Of the numbers of a fit without noise, whose interval has no width.
ROUNDING = 1e-9


def check(entry: dict[str, Any]) -> None:
  """Lets an entry of experiment.json pass whose claim has a meaning. Ours.

  Raises:
    UserError: a word that means nothing, and those that do.
  """
  allowed = {"kind": ("exponent", "curve")}
  if entry["kind"] == "exponent":
    allowed["relation"] = (EQUAL, AT_MOST)
    if entry.get("relation") == AT_MOST:
      allowed["towards"] = TOWARDS
  for name, options in allowed.items():
    if entry.get(name) not in options:
      raise UserError(
        f"Exponent {entry['name']!r} of experiment.json has {name}"
        f" {entry.get(name)!r}: it must be {' or '.join(options)}."
      )


def verdict(
  claimed: float | None,
  found: Interval,
  relation: str,
  towards: str | None = None,
) -> str:
  """What an exponent's interval says of a claimed one. Ours.

  A bound y <= C x^claimed says that y / x^claimed, which moves like
  x^(found - claimed), does not grow in the direction of the limit: that found
  is at most claimed where x goes to infinity, at least where x goes to zero.

  Args:
    claimed: the claimed exponent, None if there is none.
    found: the measured one.
    relation: 'equal' or 'at most'.
    towards: where the limit takes x, 'infinity' or 'zero'; read for 'at most'.
  """
  if claimed is None or math.isnan(found.low):
    return NOTHING
  inside = found.low - ROUNDING <= claimed <= found.high + ROUNDING
  if relation == EQUAL:
    return AGREES if inside else DIFFERS
  if inside:
    return TIGHT
  faster = {"infinity": found.low > claimed, "zero": found.high < claimed}
  return FASTER if faster[towards] else LOOSE
