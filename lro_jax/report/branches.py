"""Which branches of a cell make one curve of ends against steps of annealing.

A branch is a run that begins where another one was (`core.branch`). Those that
anneal where they begin make curves, one for each run that they are branches of,
and for whatever else they have otherwise than it.
"""

import json
import pathlib
import re
from typing import NamedTuple

from lro_jax.core.schema import flatten
from lro_jax.report import collect, measures
from lro_jax.report.collect import RunLog

# Fields and sections in which the branches of one curve may differ: what moves
# no number (`core.branch.FREE`), and, by both tracks' names, when to anneal.
ALONG = (
  "branch_from",
  "checkpoint",
  "eval.every",
  "eval.per_decade",
  "name",
  "seeds",
  "train.num_devices",
  "train.steps_per_call",
  "act_noise.anneal_at",
  "optim.act_noise_steps",
  "optim.anneal_at",
  "optim.anneal_latest",
)


def begins_at(run: RunLog) -> int | None:
  """The step at which a run began as a branch; None where it is none. Ours."""
  match = re.search(r"@([0-9]+)$", run.config.get("branch_from") or "")
  return int(match[1]) if match else None


def left_out(run: RunLog) -> dict[int, str]:
  """Seeds that say nothing of annealing there, and why. Ours.

  Besides those without an end, what had stopped by the step of the branch: it
  had nothing left to anneal.

  Args:
    run: a branch.
  """
  at = begins_at(run)
  stopped = {
    seed: f"stopped at step {step}"
    for seed in run.seeds
    for step in [run.event_step("stop", seed)]
    if step is not None and step <= at
  }
  return stopped | measures.left_out(run)


def is_annealed_there(run: RunLog) -> bool:
  """Whether it is a branch that anneals where it begins. Ours.

  In every seed that has an end; where none has, in any seed.

  Args:
    run: an arm of one cell.
  """
  at = begins_at(run)
  if at is None:
    return False
  ended = [seed for seed in run.seeds if seed not in left_out(run)]
  annealed = [
    run.event_step(collect.ANNEAL, seed) == at for seed in ended or run.seeds
  ]
  return all(annealed) if ended else any(annealed)


class Curve(NamedTuple):
  """Branches that differ in where they begin, each at another step.

  Attributes:
    name: what tells it from the figure's other curves; '' where it is alone.
    branches: in the order of their steps.
  """

  name: str
  branches: list[RunLog]

  @property
  def whole(self) -> list[int]:
    """Seeds that every branch with an end has it of: those of the mean."""
    ended = (set(run.seeds) - set(left_out(run)) for run in self.branches)
    return sorted(
      set.intersection(*[seeds for seeds in ended if seeds] or [set()])
    )


def curves(branches: list[RunLog]) -> list[Curve]:
  """The branches of one cell as curves. Ours.

  Branches of two runs, or with other fields besides when to anneal, are on two
  curves, and so are two of the same step, which would hide each other.

  Args:
    branches: all of them, see `is_annealed_there`.
  """
  found: dict[tuple[str, str], list[list[RunLog]]] = {}
  for run in sorted(branches, key=begins_at):
    of_run = found.setdefault((_origin(run), _others(run)), [])
    room = (c for c in of_run if begins_at(c[-1]) != begins_at(run))
    free = next(room, None)
    if free is None:
      of_run.append([run])
    else:
      free.append(run)
  parted = [
    (origin, runs) for (origin, _), of_run in found.items() for runs in of_run
  ]
  if len(parted) == 1:
    return [Curve("", parted[0][1])]
  short = _short(list(dict.fromkeys(origin for origin, _ in parted)))
  names = []
  for origin, runs in parted:
    words = [short[origin]] if len(short) > 1 else []
    if [o for o, _ in parted].count(origin) > 1:
      ends = dict.fromkeys((runs[0].arm, runs[-1].arm))
      words.append(" to ".join(ends))
    names.append(", ".join(words))
  return [
    Curve(name, runs) for name, (_, runs) in zip(names, parted, strict=True)
  ]


def _origin(run: RunLog) -> str:
  """RUN of RUN@STEP, however it was written."""
  return pathlib.PurePath(
    run.config["branch_from"].rpartition("@")[0]
  ).as_posix()


def _others(run: RunLog) -> str:
  """Its fields but for where it begins, when it anneals, and what is free."""
  fields = {
    name: value
    for name, value in flatten(run.config).items()
    if not any(name == one or name.startswith(f"{one}.") for one in ALONG)
  }
  return json.dumps(fields, sort_keys=True, default=str)


def _short(origins: list[str]) -> dict[str, str]:
  """Folders without the parents that all have in common."""
  parts = [pathlib.PurePath(origin).parts for origin in origins]
  # What is left of the shortest is its last part, at the least.
  most = min(map(len, parts)) - 1
  common = next(
    (i for i in range(most) if len({of[i] for of in parts}) > 1), most
  )
  return {
    origin: "/".join(of[common:])
    for origin, of in zip(origins, parts, strict=True)
  }
