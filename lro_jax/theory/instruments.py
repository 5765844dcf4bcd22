"""Which statement is measured where: the catalogue, and the choice from it.

`theory.lemmas` has the functions. A run measures those of `config.lemmas` at
every evaluation and logs `lemma/<name>` and `bound/<name>`, null where the
statement does not speak of that step. Letters: see `lro_jax.theory`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from lro_jax.core.registry import Registry
from lro_jax.core.schema import UserError, nearest, shown
from lro_jax.core.task import NOT_YET, Array
from lro_jax.theory import lemmas
from lro_jax.theory.lemmas import Measured, Reading
from lro_jax.theory.settings import (
  CONV,
  GENERAL,
  LARGE,
  LIMIT,
  NETWORK,
  SMALL,
  SPLIT,
  Setting,
)

ALL, NONE = "all", "none"
BOTH = "both"
# Phases: up to annealing, that step, after it, the last state, the whole run.
BEFORE, ANNEALING, AFTER, END, WHOLE = (
  "before",
  "annealing",
  "after",
  "end",
  "whole",
)
AT_MOST, AT_LEAST, EQUAL = "at most", "at least", "equal"
# What a run must carry along for some statements.
MOVED, FROM_M2, FROM_START = "moved", "from_m2", "from_start"

EVERYWHERE = (LIMIT, NETWORK)
STRUCTURES = (SPLIT, CONV, GENERAL)


class Instrument(NamedTuple):
  """A statement and where it stands.

  Attributes:
    name: in metric names and on the command line.
    source: its place in the paper.
    statement: in words and symbols.
    algorithm: the one it is stated for, or `BOTH`; F.1's mitigation counts as
      L-S.
    phase: of the run, that it speaks of.
    kind: how the value stands to the bound.
    measure: (Reading, Setting) -> Measured.
    engines: that have the quantity.
    structures: likewise.
    carries: what a run must carry for it.
  """

  name: str
  source: str
  statement: str
  algorithm: str
  phase: str
  kind: str
  measure: Callable[[Reading, Setting], Measured]
  engines: tuple[str, ...] = EVERYWHERE
  structures: tuple[str, ...] = STRUCTURES
  carries: tuple[str, ...] = ()


def _by_block(measure: Callable, name: str, *rest: Any, **where: Any):
  """An instrument of W and one of V."""
  return tuple(
    Instrument(
      f"{name} {block}",
      *rest,
      functools.partial(measure, block=i),
      **where,
    )
    for i, block in enumerate("WV")
  )


_NET = dict(engines=(NETWORK,))
_BLOCKS = dict(structures=(SPLIT,))
_CONV = dict(structures=(CONV,), engines=(NETWORK,))

_OF_THE_PAPER: tuple[Instrument, ...] = (
  Instrument(
    "4.1 steps",
    "Lemma 4.1",
    "steps till annealing <= d / (eta1 eps1)",
    *(LARGE, ANNEALING, AT_MOST, lemmas.lemma_4_1_steps),
  ),
  Instrument(
    "4.1 norm",
    "Lemma 4.1",
    "||Ubar||^2 <= d log^2(1/eps1)",
    *(LARGE, ANNEALING, AT_MOST, lemmas.lemma_4_1_norm),
  ),
  Instrument(
    "4.2",
    "Lemma 4.2, (4.1)",
    "|g(z+zeta) + g(z-zeta) - 2g(z)| <= r^2 |z|^2 / lambda",
    *(LARGE, BEFORE, AT_MOST, lemmas.lemma_4_2),
  ),
  Instrument(
    "4.2 ours",
    "ours, for Lemma 4.2",
    "|g(z+zeta) + g(z-zeta) - 2g(z)| <= (1-p) r^3 |z|^2 / (24 pi lambda)",
    *(LARGE, BEFORE, AT_MOST, lemmas.plateau),
  ),
  Instrument(
    "4.3 steps",
    "Lemma 4.3",
    "steps since annealing <= 1 / (eps1^3 eta2 r |z|^2)",
    *(LARGE, END, AT_MOST, lemmas.lemma_4_3_steps),
  ),
  Instrument(
    "4.3 norm",
    "Lemma 4.3",
    "||Ubar_t - Ubar_t0||^2 <= 1 / (eps1^2 r |z|^2)",
    *(LARGE, END, AT_MOST, lemmas.lemma_4_3_norm),
    carries=(MOVED,),
  ),
  Instrument(
    "4.4 M1",
    "Lemma 4.4, (4.2)",
    "loss of r on M1 <= sqrt(eps1/q)",
    *(LARGE, END, AT_MOST, lemmas.lemma_4_4_m1),
  ),
  Instrument(
    "4.4 Q",
    "Lemma 4.4, (4.2)",
    "loss of g on Q-only <= sqrt(eps1/q^3)",
    *(LARGE, END, AT_MOST, lemmas.lemma_4_4_q),
  ),
  Instrument(
    "5.1 M2 steps",
    "Lemma 5.1",
    "steps till loss eps2 on M2 <= 1 / (eta2 eps2^3 r |z|^2)",
    *(SMALL, END, AT_MOST, lemmas.lemma_5_1_m2_steps),
  ),
  Instrument(
    "5.1 steps",
    "Lemma 5.1",
    "steps till loss eps2 <= 1 / (eta2 eps2^3 r |z|^2) + Np / (eta2 eps2)",
    *(SMALL, END, AT_MOST, lemmas.lemma_5_1_steps),
  ),
  Instrument(
    "5.1 norm",
    "Lemma 5.1",
    "||Ubar||^2 <= 1 / (eps2^2 r |z|^2) + Np",
    *(SMALL, END, AT_MOST, lemmas.lemma_5_1_norm),
  ),
  Instrument(
    "5.2",
    "Lemma 5.2, (5.1)",
    "||W^(2)|| <= d^(15/32) / eps2^2",
    *(SMALL, END, AT_MOST, lemmas.lemma_5_2),
    carries=(FROM_M2,),
    **_BLOCKS,
  ),
  Instrument(
    "5.3 alpha",
    "Lemma 5.3",
    "||alpha|| >= sqrt(Np)",
    *(SMALL, END, AT_LEAST, lemmas.lemma_5_3_alpha),
    carries=(FROM_M2,),
    **_BLOCKS,
  ),
  Instrument(
    "5.3 fit",
    "Lemma 5.3, (5.2)",
    "rms of r(x) - r(-x) - 2<alpha,x> <= d^(-1/32) / eps2^2",
    *(SMALL, END, AT_MOST, lemmas.lemma_5_3_fit),
    carries=(FROM_M2,),
    **_BLOCKS,
  ),
  Instrument(
    "B.6",
    "Lemma B.6",
    "||W'|| <= d^(15/32) / eps2^2",
    *(SMALL, END, AT_MOST, lemmas.lemma_b_6),
    carries=(FROM_START,),
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.proposition_a_2,
    *("A.2", "Proposition A.2", "largest row of grad L <= |x| / sqrt(m)"),
    *(BOTH, WHOLE, AT_MOST),
    **_NET,
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.proposition_a_3_row,
    "A.3",
    "Proposition A.3",
    "largest row of Ubar <= min(1/lambda, eta t) |x| / sqrt(m)",
    *(BOTH, BEFORE, AT_MOST),
    **_NET,
    **_BLOCKS,
  ),
  Instrument(
    "A.3 norm",
    "Proposition A.3",
    "||Ubar|| <= max(1, |z|) / lambda",
    *(BOTH, WHOLE, AT_MOST, lemmas.proposition_a_3_norm),
  ),
  *_by_block(
    lemmas.proposition_a_7_std,
    *("A.7 std", "Proposition A.7", "std of Utilde's entries = tau0"),
    *(LARGE, BEFORE, EQUAL),
    **_NET,
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.proposition_a_7_law,
    "A.7 law",
    "Proposition A.7",
    "|excess kurtosis of Utilde's entries| <= its standard error",
    *(LARGE, BEFORE, AT_MOST),
    **_NET,
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.lemma_a_8_flips,
    "A.8 flips",
    "Lemma A.8",
    "|1(Ux) - 1(Utilde x)|_1 <= ||Ubar||^(4/3) tau^(-4/3) m^(2/3)",
    *(BOTH, WHOLE, AT_MOST),
    **_NET,
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.lemma_a_8_output,
    "A.8 output",
    "Lemma A.8, (A.11)",
    "|N_U(U) - N_Utilde(U)| <= |x| ||Ubar|| tau^-2 m^(-1/6)",
    *(BOTH, WHOLE, AT_MOST),
    **_NET,
    **_BLOCKS,
  ),
  *_by_block(
    lemmas.lemma_b_3_flips,
    "B.3 flips",
    "Lemma B.3, (B.8)",
    "|1(U_t x) - 1(U_t0 x)|_1 / m <= sqrt(eta2/eta1) + eps_s",
    *(LARGE, AFTER, AT_MOST),
    carries=(MOVED,),
    **_BLOCKS,
  ),
  Instrument(
    "B.3 output",
    "Lemma B.3, (B.9)",
    "|f_t - N_U_t0(Ubar_t)| <= |x|^2 (sqrt(eta2/eta1) + eps_s) / lambda"
    " + |x| tau0 log d",
    *(LARGE, AFTER, AT_MOST, lemmas.lemma_b_3_output),
    carries=(MOVED,),
    **_NET,
    **_BLOCKS,
  ),
  Instrument(
    "B.4",
    "Lemma B.4, (B.11)",
    "||grad L||^2 >= r |z|^2 rho^4",
    *(SMALL, WHOLE, AT_LEAST, lemmas.lemma_b_4),
  ),
  Instrument(
    "B.5",
    "Proposition B.5",
    "steps with rho >= 0.1 <= 1 / (r |z|^2 0.1^4 eta2)",
    *(SMALL, END, AT_MOST, lemmas.proposition_b_5),
  ),
  Instrument(
    "C.1",
    "Lemma C.1",
    "min y g(x2) / |x2| >= 1 / (|z| (loss on Q-only))",
    *(LARGE, END, AT_LEAST, lemmas.lemma_c_1),
  ),
  Instrument(
    "D.3 share",
    "Proposition D.3, (D.26)",
    "share of units that split z-zeta from z+zeta <= r sqrt(log d)",
    *(LARGE, BEFORE, AT_MOST, lemmas.proposition_d_3_share),
  ),
  Instrument(
    "D.3 reach",
    "Proposition D.3",
    "|Vtilde_i z| of these <= tau0 r |z| sqrt(log d)",
    *(LARGE, BEFORE, AT_MOST, lemmas.proposition_d_3_reach),
    **_NET,
  ),
  Instrument(
    "D.9 loss",
    "Proposition D.9, (D.74)",
    "log 2 - loss on Q-only <= delta + log d / sqrt(qN)",
    *(LARGE, BEFORE, AT_MOST, lemmas.proposition_d_9_loss),
  ),
  Instrument(
    "D.9 output",
    "Proposition D.9",
    "max |g| on Q <= sqrt(delta' + log d / sqrt(qN))",
    *(LARGE, BEFORE, AT_MOST, lemmas.proposition_d_9_output),
  ),
  Instrument(
    "F.3",
    "Lemma F.3, (F.8)",
    "|all heads - each on its own signal| <= k^2 |x| / (lambda sqrt(m))"
    " + k eps_s |x|",
    *(BOTH, WHOLE, AT_MOST, lemmas.lemma_f_3),
    **_CONV,
  ),
  Instrument(
    "F.4",
    "Lemma F.4, (F.9)",
    "|head i' on head i's gradient| <= d^2 |x|^2 / sqrt(m)"
    " + |x|^2 sqrt(eps_s) + |x| eps_s",
    *(BOTH, WHOLE, AT_MOST, lemmas.lemma_f_4),
    **_CONV,
  ),
)
CATALOGUE: Registry[Instrument] = Registry("lemmas.measure", {})


def add(instrument: Instrument) -> None:
  """Adds an instrument of one's own to the catalogue. Ours.

  Raises:
    UserError: its name is taken.
  """
  CATALOGUE.add(instrument.name, instrument)


for _instrument in _OF_THE_PAPER:
  add(_instrument)


def available(engine: str, structure: str) -> list[Instrument]:
  """The instruments that an engine has for a structure. Ours."""
  return [
    i
    for i in CATALOGUE.entries()
    if engine in i.engines and structure in i.structures
  ]


def choose(measure: str, engine: str, structure: str) -> list[Instrument]:
  """The instruments that a config asks for, in the catalogue's order. Ours.

  Args:
    measure: 'all' that there are, 'none', or names with commas between them.
    engine: of the run.
    structure: of its first layer.

  Raises:
    UserError: an unknown name, or one that this engine or structure has not.
  """
  there = available(engine, structure)
  if measure in (ALL, NONE):
    return there if measure == ALL else []
  names = [name.strip() for name in measure.split(",")]
  for name in names:
    if name not in CATALOGUE:
      raise UserError(
        f"Field 'lemmas.measure' names {shown(name)}{nearest(name, CATALOGUE)}:"
        f" it must be all, none, or out of {', '.join(CATALOGUE)}, commas"
        " between them."
      )
    if name not in [i.name for i in there]:
      raise UserError(
        f"Instrument {name!r} has no value in engine {engine!r} with structure"
        f" {structure!r}: choose out of {', '.join(i.name for i in there)}, or"
        " all for all of these."
      )
  return [i for i in there if i.name in names]


def carried(chosen: Sequence[Instrument]) -> frozenset[str]:
  """What a run must carry along for these. Ours."""
  return frozenset(name for i in chosen for name in i.carries)


def measure(
  chosen: Sequence[Instrument], reading: Reading, setting: Setting
) -> dict[str, Array]:
  """`lemma/<name>` and `bound/<name>` of each, [] each. Ours.

  Args:
    chosen: the instruments.
    reading: of one state.
    setting: the run's numbers.

  Returns:
    NaN where the phase is not the statement's.
  """
  annealed = reading.annealed_at != NOT_YET
  largest = float(jnp.finfo(reading.loss.dtype).max)
  speaks_at = {BEFORE: ~annealed, ANNEALING: ~annealed, AFTER: annealed}
  out = {}
  for i in chosen:
    found = i.measure(reading, setting)
    speaks = speaks_at.get(i.phase, True)
    for kind, value in zip(("lemma", "bound"), found, strict=True):
      if isinstance(value, float) and value > largest:
        value = jnp.inf  # no bound at all, and no overflow to warn of
      value = jnp.asarray(value, reading.loss.dtype)
      out[f"{kind}/{i.name}"] = jnp.where(speaks, value, jnp.nan)
  return out


def as_facts(chosen: Sequence[Instrument]) -> list[dict[str, str]]:
  """What run.json says of them, in order. Ours."""
  fields = ("name", "source", "statement", "algorithm", "phase", "kind")
  return [{name: getattr(i, name) for name in fields} for i in chosen]
