"""Which regime a setting is in: Assumptions 3.1-3.3 and finite-size conditions.

Letters: see `lro_jax.theory`. The theorems are asymptotic; a run is not. This
file says by what factor each condition holds or fails for a run's numbers,
which come from `theory.settings`.
"""

import math
from typing import Any, NamedTuple

from lro_jax.theory.settings import LIMIT, NETWORK, Setting, noise_std_after

# What 'up to constants' is taken to allow where the paper has an equality.
UP_TO = 2.0


class Condition(NamedTuple):
  """One line of the regime report.

  Attributes:
    source: where the condition stands.
    statement: in words.
    value: the number it is about.
    bound: what the number must not exceed, or must equal.
    holds: value <= bound (for '<<' conditions the constant is taken as 1), or
      within a factor `UP_TO` of it.
    factor: bound / value: above 1 there is room, below 1 it fails by that; for
      an equality `UP_TO` over how far apart they are.
  """

  source: str
  statement: str
  value: float
  bound: float
  holds: bool
  factor: float


def _ratio(above: float, below: float) -> float:
  # Products of small numbers of a config are 0 before any of them is.
  return above / below if below > 0 else math.inf


def _at_most(source: str, statement: str, value: float, bound: float):
  factor = bound / value if value > 0 else math.inf
  # Equalities such as (3.3) are met up to rounding.
  return Condition(
    source, statement, value, bound, value <= bound * (1 + 1e-9), factor
  )


def _equal(source: str, statement: str, value: float, bound: float):
  statement += f" up to a factor {UP_TO:g}"
  ratio = max(value / bound, bound / value) if value > 0 else math.inf
  return Condition(
    source, statement, value, bound, ratio <= UP_TO, UP_TO / ratio
  )


def report(
  setting: Setting, *, engine: str, rows_w: int, rows_v: int
) -> list[Condition]:
  """Which conditions hold, and by what factor. Assumptions 3.1-3.3; ours.

  Args:
    setting: the run's numbers.
    engine: 'limit' or 'network'; the limit has infinite width.
    rows_w: rows of W.
    rows_v: rows of V.

  Returns:
    List of `Condition`.
  """
  s = setting
  kappa = math.sqrt(s.dim / s.num_train)
  p, q, lam = s.p0, s.q0, s.weight_decay
  q2 = s.q_norm**2
  tau2 = s.init_std**2
  after = noise_std_after(
    s.init_std,
    1,
    rate=s.large_learning_rate,
    weight_decay=lam,
    noise_std=s.noise_std,
  )
  # eta t at which either part is learned: rules of thumb, from a prototype of
  # the limit engine.
  eta_t_p = 10 * s.dim if s.num_train > s.dim else 16 * s.num_train
  eta_t_q = _ratio(1000, s.r * q2)
  out = [
    _at_most(
      "Assumption 3.1, (3.3)",
      "relative change of the noise variance in one large step is 0",
      _ratio(abs(after**2 - tau2), tau2),
      1e-9,
    ),
    _at_most(
      "Assumption 3.1",
      "eta1 <= eps1",
      s.large_learning_rate,
      s.anneal_excess,
    )
    if math.isfinite(s.anneal_excess)
    else None,
    _at_most("Assumption 3.3", "kappa = sqrt(d/N) <= 1", kappa, 1.0),
    _equal("Assumption 3.3", "r = d^(-3/4)", s.r, s.dim**-0.75),
    _equal("Assumption 3.3", "p0 = kappa^2/2", p, kappa**2 / 2),
    _equal("Assumption 3.3", "lambda = d^(-5/4)", lam, s.dim**-1.25),
    _at_most(
      "Section 3, used in proofs",
      "(r d)^(-1) <= min(kappa, 1)",
      _ratio(1, s.r * s.dim),
      min(kappa, 1.0),
    )
    if s.r > 0
    else None,
    _at_most(
      "Section 3, used in proofs",
      "d lambda <= min(kappa, 1)",
      s.dim * lam,
      min(kappa, 1.0),
    ),
    _at_most(
      "Section 3, used in proofs",
      "lambda / r <= min(kappa, 1)",
      lam / s.r,
      min(kappa, 1.0),
    )
    if s.r > 0
    else None,
    _at_most(
      "Section 3, used in proofs",
      "lambda <= r^2 / (kappa^2 q^3 p^2)",
      lam,
      _ratio(s.r**2, kappa**2 * q**3 * p**2),
    ),
    _at_most(
      "Finite size, ours",
      "Q first at the small rate: 1000 / (r |z|^2) << eta t of P",
      eta_t_q,
      eta_t_p,
    ),
    _at_most(
      "Finite size, ours",
      "Q suppressed at the large rate: plateau (1-p)|z|^2 r^3 / (24 pi"
      " lambda) <= 1",
      _ratio((1 - p) * q2 * s.r**3, 24 * math.pi * lam),
      1.0,
    ),
    _at_most(
      "Finite size, ours",
      "P not crushed by decay: lambda x (eta t of P) << 1",
      lam * eta_t_p,
      1.0,
    ),
  ]
  if engine == LIMIT:
    out.append(
      _at_most(
        "Assumption 3.2", "1/m, at infinite width and tau0 -> 0", 0.0, 0.0
      )
    )
  if engine == NETWORK:
    need = (0.27 * s.q_norm * eta_t_p / (s.init_std * s.r)) ** 2 if s.r else 0.0
    out += [
      _at_most(
        "Assumption 3.2",
        "width of V: m >> (0.27 |z| eta t / (tau0 r))^2, or the neurons between"
        " z - zeta and z + zeta die",
        need,
        2.0 * rows_v,
      ),
      _at_most(
        "Assumption 3.2",
        "initial output small: tau0 max(|z|, 1) log d <= 1",
        s.init_std * max(s.q_norm, 1.0) * math.log(s.dim),
        1.0,
      ),
      _at_most(
        "Assumption 3.2",
        "width of W: m >= d",
        float(s.dim),
        2.0 * rows_w,
      ),
    ]
  return [c for c in out if c is not None]


def lines(conditions: list[Condition]) -> list[str]:
  """The report as text lines. Ours."""
  out = []
  for c in conditions:
    mark = "holds" if c.holds else "FAILS"
    room = (
      f"by a factor {c.factor:.2g}"
      if c.holds
      else (f"short by a factor {1 / c.factor:.2g}" if c.factor > 0 else "far")
    )
    if math.isinf(c.factor):
      room = "exactly"
    out.append(
      f"{mark} {room}: {c.statement} ({c.value:.3g} vs {c.bound:.3g};"
      f" {c.source})"
    )
  return out


def one_line(conditions: list[Condition]) -> str:
  """How many conditions hold, and which do not. Ours."""
  failing = [
    f"{c.statement.split(':')[0]} ({c.value:.3g} vs {c.bound:.3g})"
    for c in conditions
    if not c.holds
  ]
  holding = f"{len(conditions) - len(failing)} of {len(conditions)} hold"
  return "; ".join([holding, *(f"not: {f}" for f in failing)])


def as_facts(conditions: list[Condition]) -> list[dict[str, Any]]:
  """The report for run.json. Ours."""
  return [c._asdict() for c in conditions]
