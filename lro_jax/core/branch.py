"""Branches: a run that begins where another one was, under other schedules.

`branch_from` of a config is '' or RUN@STEP: the folder of a run, as it stands
under its workdir, and a step of which it saved a checkpoint. The branch takes
that state and all rows before it; what follows is its own. Where RUN has a
folder for every seed, RUN may name their parent.

  runs/patches/large/base@4000    seed k begins from .../base/seed_k
"""

import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lro_jax.core import checkpoint, hosts, metrics, saving
from lro_jax.core.config import differences
from lro_jax.core.rows import Written
from lro_jax.core.schema import (
  MAX_STEPS,
  ConfigDict,
  UserError,
  shown,
  to_steps,
)
from lro_jax.core.task import Task, Tree

# What any branch may have otherwise than its run; a track adds its schedules.
FREE = (
  "branch_from",
  "checkpoint",
  "eval.every",
  "eval.per_decade",
  "name",
  "train.num_devices",
  "train.steps_per_call",
)
# Leaves of a state that say what is to come, not what was: the branch's own.
SCHEDULED = ".threshold"


class Origin(NamedTuple):
  """Where a branch begins: the folder of a run, and a step."""

  folder: pathlib.Path
  step: int

  @property
  def where(self) -> str:
    """To begin a sentence with."""
    return f"The state of step {self.step} in {self.folder}"


def origin(config: ConfigDict) -> Origin | None:
  """Where a run begins; None where it does so at step 0. Ours.

  Args:
    config: a run's; read here: `branch_from`, `seeds`.

  Raises:
    UserError: `branch_from` is not written as it must be.
  """
  if not config.branch_from:
    return None
  run, step = split(config.branch_from)
  folder = pathlib.Path(run)
  if len(config.seeds) == 1:
    apart = folder / f"seed_{config.seeds[0]}"
    folder = apart if (apart / metrics.CONFIG).exists() else folder
  return Origin(folder, step)


def split(text: str) -> tuple[str, int]:
  """RUN and STEP of RUN@STEP. Ours.

  Raises:
    UserError: it is written otherwise.
  """
  match = re.fullmatch(r"(.+)@([0-9]{1,10})", text)
  if not match or not 0 < int(match[2]) <= MAX_STEPS:
    raise UserError(
      f"Got branch_from {shown(text)}: write RUN@STEP, the folder of a run and"
      " a step above 0 that it saved, as in runs/patches/large/base@4000."
    )
  return match[1], int(match[2])


def check(
  config: ConfigDict, free: Sequence[str], *, steps_per_epoch: int
) -> None:
  """Refuses a branch that its run's folder does not allow. Ours.

  Reads config.json and the names of the checkpoints; touches no device.

  Args:
    config: of the branch.
    free: fields and sections, besides `FREE`, that may be otherwise.
    steps_per_epoch: for durations.

  Raises:
    UserError: no such run or step, one past the branch's end, or a field that
      must not be otherwise is.
  """
  begin = origin(config)
  if begin is None:
    return
  path = begin.folder / metrics.CONFIG
  if not path.exists():
    raise UserError(
      f"Got branch_from {shown(config.branch_from)}, but there is no run in"
      f" {begin.folder}: name the folder that holds its config.json."
    )
  allowed = (*FREE, *free)
  found = [
    difference
    for difference in differences(
      metrics.plain(config.to_dict()), metrics.read_json(path)
    )
    if not _is_among(difference.split(":")[0], allowed)
  ]
  if found:
    raise UserError(
      f"A branch of {begin.folder} must be like it but for"
      f" {', '.join(sorted(allowed))}; here these differ: {'; '.join(found)}."
    )
  steps = checkpoint.steps_saved(begin.folder)
  if begin.step not in steps:
    raise UserError(
      f"{begin.folder} holds no state of step {begin.step}, but of"
      f" {', '.join(str(s) for s in steps) or 'no step'}: name one of them, or"
      " do that run with --config.checkpoint.every='100 steps' and"
      " --config.checkpoint.keep=1000, or the like."
    )

  if begin.step >= to_steps(config.train.max, steps_per_epoch=steps_per_epoch):
    raise UserError(
      f"Got branch_from {shown(config.branch_from)}, but the branch ends after"
      f" {config.train.max}: raise train.max, or branch earlier."
    )


def _is_among(field: str, names: Sequence[str]) -> bool:
  return any(field == name or field.startswith(f"{name}.") for name in names)


def begin(
  at: Origin,
  task: Task,
  like: Tree,
  folder: pathlib.Path,
  schedule: list[int],
) -> tuple[Tree, saving.Position]:
  """The state a branch begins with; writes the rows before it. Ours.

  On several hosts the first one reads and writes, for all.

  Args:
    at: where it begins.
    task: the branch's Task.
    like: NumPy tree of its state at step 0.
    folder: its folder.
    schedule: steps at which it is measured, `at.step` among them: it is
      measured there anew, for its schedules may have names for that step.

  Returns:
    NumPy tree of the state, and where the run is.

  Raises:
    UserError: the state is damaged, or of other data or arrays.
  """
  leaves, treedef = jax.tree.flatten(like)
  plain = hosts.first_says(lambda: _read(at, task, like, folder, leaves))
  position = saving.Position(
    index=schedule.index(at.step),
    at=at.step,
    metrics_offset=plain["metrics_offset"],
    written=Written.read(plain["written"]),
  )
  return treedef.unflatten(hosts.from_first(leaves)), position


def _read(
  at: Origin, task: Task, like: Tree, folder: pathlib.Path, leaves: list
) -> dict[str, Any]:
  """Reads into `leaves`; returns what the rows have told, plain."""
  arrays = saving.arrays_of(like)
  # Its metrics.jsonl may have lost rows, or its run have begun anew.
  accepted = []

  def accept(note):
    saving.refuse_other_format(note, at.where)
    found = differences(metrics.plain(saving.facts_of(task)), note["facts"])
    if found:
      raise UserError(
        f"{at.where} belongs to other data or patches under the same name"
        f" ({'; '.join(found)}): put them back, or branch from another run."
      )
    if note["arrays"] != arrays:
      first = next(iter(sorted(set(note["arrays"]) ^ set(arrays))), "order")
      raise UserError(
        f"{at.where} has other arrays than the branch (first: {first}): a"
        " schedule may change, but not switch on what the run had not, as"
        " momentum; and both need one version of lro_jax, jax and optax."
      )
    accepted.append(note)

  with checkpoint.Checkpoints(at.folder, keep=None) as checkpoints:
    try:
      tree = checkpoints.read(at.step, like, accept=accept).tree
    except UserError:
      raise
    except Exception as error:  # orbax raises many kinds for a damaged file
      lines = str(error).strip().splitlines() or [type(error).__name__]
      raise UserError(
        f"{at.where} cannot be used ({lines[0][:200]}): branch from another"
        " step, or do that run again."
      ) from error
  own = jax.tree_util.tree_leaves_with_path(like)
  leaves[:] = [
    np.asarray(mine)
    if jax.tree_util.keystr(path).endswith(SCHEDULED)
    else theirs
    for (path, mine), theirs in zip(own, jax.tree.leaves(tree), strict=True)
  ]
  position = accepted[0]["position"]
  rows = _rows_before(at, position["metrics_offset"])
  metrics.write_bytes(
    folder / metrics.METRICS, b"".join(line + b"\n" for _, line in rows)
  )
  last = {row["seed"]: row["step"] for row, _ in rows}
  return {
    "metrics_offset": sum(len(line) + 1 for _, line in rows),
    "written": position["written"]
    | {"step": [last[seed] for seed in task.seeds] if last else None},
  }


def _rows_before(at: Origin, offset: int) -> list[tuple[dict, bytes]]:
  """Rows, parsed and as bytes, that the run had written before the step."""
  path = at.folder / metrics.METRICS
  content = path.read_bytes()[:offset] if path.exists() else b""
  try:
    lines = content.split(b"\n")[:-1]
    rows = [(json.loads(line), line) for line in lines]
  except ValueError:
    rows = []
  if len(content) < offset or (content and not rows):
    raise UserError(
      f"{path} has lost rows since step {at.step} was saved: branch from"
      " another run."
    )
  return [(row, line) for row, line in rows if row["step"] < at.step]
