"""experiment.json: what a workdir's experiment is, for the report to read."""

import os
import pathlib
import shlex
import sys

from lro_jax.core import metrics
from lro_jax.core.config import Run
from lro_jax.core.schema import ConfigDict, UserError


def of_experiment(
  config: ConfigDict, runs: list[Run], infeasible: dict[str, str]
) -> dict:
  """What experiment.json says: name, track, arms, cells, command. Ours.

  And what the report is to fit over the cells: see `report.exponents`.
  """
  cells = [*(run.cell for run in runs), *infeasible]
  exponents = config.get("exponents", ConfigDict()).to_dict()
  return {
    "name": config.name,
    "track": config.track,
    "arms": list(dict.fromkeys(run.arm for run in runs)),
    "cells": list(dict.fromkeys(cells)),
    "exponents": [{"name": k} | v for k, v in exponents.items()],
    "smoke": config.smoke,
    "command": shlex.join([*_program(), *sys.argv[1:]]),
  }


def _program() -> list[str]:
  """How this was started: as here, or by a file of one's own.

  Where that file lies in the current folder its path from there is kept; a path
  of somebody's machine never is.
  """
  name = os.path.basename(sys.argv[0])
  if not name.endswith(".py") or name in ("main.py", "__main__.py"):
    return ["python", "-m", "lro_jax.main"]
  path = pathlib.PurePath(os.path.relpath(sys.argv[0]))
  return ["python", name if ".." in path.parts else path.as_posix()]


def refuse_to_drop_runs(workdir: pathlib.Path, record: dict) -> None:
  """An experiment may grow in its workdir, but not lose arms or cells. Ours.

  Raises:
    UserError: it would.
  """
  path = workdir / "experiment.json"
  there = metrics.read_json(path) if os.path.exists(path) else {}
  for kind in ("arms", "cells"):
    lost = [name for name in there.get(kind, ()) if name not in record[kind]]
    if lost:
      raise UserError(
        f"{workdir} holds an experiment with the {kind} {', '.join(lost)},"
        " which this config lacks: choose another --workdir, or keep them."
      )


def write(
  workdir: pathlib.Path, record: dict, infeasible: dict[str, str]
) -> None:
  """Writes experiment.json, keeping what other processes have added. Ours.

  Args:
    workdir: where.
    record: see `of_experiment`.
    infeasible: {cell: reason}.

  Raises:
    UserError: it cannot be written.
  """
  path = workdir / "experiment.json"
  there = metrics.read_json(path) if os.path.exists(path) else {}
  theirs = {
    cell: reason
    for cell, reason in there.get("infeasible", {}).items()
    if cell not in record["cells"]
  }
  for kind in ("arms", "cells"):
    both = [*record[kind], *there.get(kind, ())]
    record = record | {kind: list(dict.fromkeys(both))}
  record |= {"infeasible": theirs | infeasible}
  try:
    metrics.write_json(workdir / "experiment.json", record)
  except OSError as error:
    raise UserError(
      f"Cannot write {workdir} ({error.strerror}): choose a --workdir you may"
      " write to, with room on its disk."
    ) from error
