r"""Runs an experiment: every arm, cell and seed of a config, then the report.

  python -m lro_jax.main --config=configs/theory.py --workdir=runs/theory

Any field can be set from the command line: `--config.data.dim=200`,
`--config.seeds=0,1,2`. Finished runs are skipped and partial ones continued, so
the same command repeated completes the work; `--only` picks runs by name.
"""

import contextlib
import fnmatch
import os
import pathlib
import re
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
from absl import flags, logging
from ml_collections import config_flags

from lro_jax import branching, presets
from lro_jax.core import (
  branch,
  checkpoint,
  cli,
  folders,
  hosts,
  interrupt,
  loop,
  metrics,
  placement,
)
from lro_jax.core.config import Run
from lro_jax.core.progress import Progress, clock
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.plans import expand, plan, track_of, without_infeasible
from lro_jax.report import page

# So many cells are described whole, the others in one line; run.json has all.
FULL_REPORTS = 2


def run_all(
  config: ConfigDict,
  workdir: pathlib.Path,
  *,
  only: str = "*",
  command: str | None = None,
) -> None:
  """Does every run of an experiment, then writes and prints its report. Ours.

  On several hosts all of them call it; the first one writes.

  Args:
    config: the experiment.
    workdir: where runs and report go.
    only: pattern over run names.
    command: the command line that does the same; by default the process's own.

  Raises:
    UserError: bad config, or a workdir that is another's or cannot be written.
    InterruptedRun: the process was told to end, and what it did is saved; or
      it did all but what other processes are doing.
  """
  started = time.monotonic()
  runs, infeasible = plan(config)
  track = track_of(config)
  chosen = [run for run in runs if fnmatch.fnmatch(run.name, only)]
  if not chosen:
    raise UserError(
      f"--only={only} fits no run: the runs are"
      f" {', '.join(run.name for run in runs)}."
    )
  hosts.must_agree("config", f"{config.to_json(sort_keys=True)} {only}")
  where = {run.name: folders.run_folder(workdir, run) for run in runs}
  record = experiment_record(config, runs, infeasible)
  if command is not None:
    record["command"] = command

  def prepare():
    """The names of the runs that are not done; claims their folders."""
    _refuse_to_drop_runs(workdir, record)
    for run in chosen:
      folders.claim(where[run.name], run.config)
    done = [run for run in chosen if folders.is_done(where[run.name])]
    return [run.name for run in chosen if run not in done]

  with (
    interrupt.Watch() as watch,
    _freeing_what_never_began([where[run.name] for run in chosen]),
  ):
    names = hosts.first_says(prepare)
    todo = [run for run in chosen if run.name in names]
    devices = {
      run.name: placement.num_devices(track.num_devices(run.config))
      for run in todo
    }
    todo, found = hosts.all_do(
      lambda: without_infeasible(
        todo, lambda run: track.check_data(run.config, devices[run.name])
      )
    )
    infeasible = infeasible | found
    hosts.first_says(lambda: _check_branches(todo, where, track))
    hosts.first_says(lambda: _write_record(workdir, record, infeasible))
    if len(todo) < len(chosen):
      logging.info(
        "%d of %d runs are finished already, or infeasible.",
        len(chosen) - len(todo),
        len(chosen),
      )
    for reason in infeasible.values():
      logging.warning("Left out, the rest runs: %s", reason)
    ended = _run_chosen(todo, where, devices, track, watch)
    infeasible |= ended.infeasible

  # The others need not wait for the page, which may take a while.
  if hosts.is_first():
    _write_record(workdir, record, infeasible)
    left = [run for run in runs if run.cell not in infeasible]
    if only == "*" or all(folders.is_done(where[run.name]) for run in left):
      print(page.write(workdir))
  if ended.elsewhere:
    names = ", ".join(ended.elsewhere)
    raise interrupt.InterruptedRun(
      f"{len(ended.elsewhere)} runs are under way in other processes, and not"
      f" in the tables above ({names}); when they are done"
    )
  logging.info("All done in %s.", clock(time.monotonic() - started))


def _check_branches(
  todo: list[Run], where: dict[str, pathlib.Path], track
) -> None:
  for run in todo:
    # One that has states of its own needs its origin no more.
    if not checkpoint.steps_saved(where[run.name]):
      branch.check(
        run.config,
        track.schedule_fields(run.config),
        steps_per_epoch=track.steps_per_epoch(run.config),
      )


def _write_record(
  workdir: pathlib.Path, record: dict, infeasible: dict[str, str]
) -> None:
  """Writes experiment.json, keeping what other processes have added to it."""
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


class Ended(NamedTuple):
  """How a list of runs went.

  Attributes:
    infeasible: {cell: reason} of those that proved so.
    elsewhere: names of those that another process was doing.
  """

  infeasible: dict[str, str]
  elsewhere: list[str]


def _run_chosen(
  todo: list[Run],
  where: dict[str, pathlib.Path],
  devices: dict[str, int],
  track,
  watch: interrupt.Watch,
) -> Ended:
  """Trains; skips what proves infeasible, or what another process does."""
  progress = Progress(len(todo))
  shown: set[str] = set()
  ended = Ended({}, [])
  for run in todo:
    if hosts.any_says(watch.asked):
      raise interrupt.InterruptedRun(f"Told to end before run {run.name}")
    whole = run.cell not in shown and len(shown) < FULL_REPORTS
    if whole:
      shown.add(run.cell)
    with contextlib.ExitStack() as stack:
      free = hosts.first_says(
        lambda run=run, stack=stack: _take(where[run.name], run, stack)
      )
      if free is not True:
        if free:
          ended.elsewhere.append(run.name)
          logging.warning("%s is being done by %s: skipped.", run.name, free)
        progress.skip()
        continue
      logging.info("%s: %s", run.name, track.describe(run.config, whole=whole))
      with _one_sentence_when_out_of_memory(run.name, track.MEMORY_FIELDS):
        try:
          task = hosts.all_do(
            lambda run=run: track.make(
              run.config, axis_name=placement.axis_name(devices[run.name])
            )
          )
        except UserError as error:
          if all(other.cell == run.cell for other in todo):
            raise
          ended.infeasible[run.cell] = f"Run {run.name}: {error}"
          logging.warning(
            "Left out, the rest runs: %s", ended.infeasible[run.cell]
          )
          continue
        loop.run(
          task,
          run.config,
          where[run.name],
          steps_per_epoch=track.steps_per_epoch(run.config),
          devices=devices[run.name],
          progress=progress,
          name=run.name,
          told_to_end=lambda: watch.asked,
        )
  progress.close()
  return ended


def _take(
  folder: pathlib.Path, run: Run, stack: contextlib.ExitStack
) -> bool | str:
  """Holds a run's folder: True, or who has it, or '' where it is done."""
  # Another process may have left the folder to a mended config meanwhile, and
  # may do so until the folder is held.
  folders.claim(folder, run.config)
  if not stack.enter_context(folders.hold(folder)):
    return folders.holder(folder)
  folders.claim(folder, run.config)
  return "" if folders.is_done(folder) else True


def _refuse_to_drop_runs(workdir: pathlib.Path, record: dict) -> None:
  """An experiment may grow in its workdir, but not lose arms or cells."""
  path = workdir / "experiment.json"
  there = metrics.read_json(path) if os.path.exists(path) else {}
  for kind in ("arms", "cells"):
    lost = [name for name in there.get(kind, ()) if name not in record[kind]]
    if lost:
      raise UserError(
        f"{workdir} holds an experiment with the {kind} {', '.join(lost)},"
        " which this config lacks: choose another --workdir, or keep them."
      )


def experiment_record(
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
    "command": " ".join([_program(), *sys.argv[1:]]),
  }


def _program() -> str:
  """How this was started: as here, or by a file of one's own."""
  file = os.path.basename(sys.argv[0])
  own = file.endswith(".py") and file not in ("main.py", "__main__.py")
  return f"python {file}" if own else "python -m lro_jax.main"


@contextlib.contextmanager
def _one_sentence_when_out_of_memory(name: str, fields: str) -> Iterator[None]:
  try:
    yield
  except (MemoryError, jax.errors.JaxRuntimeError) as error:
    full = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
    if not full:
      raise
    raise UserError(
      f"Run {name} ran out of memory: lower {fields}, or use more devices."
    ) from error


@contextlib.contextmanager
def _freeing_what_never_began(created: list[pathlib.Path]) -> Iterator[None]:
  """Leaves folders claimed inside, but never run in, to a mended config."""
  ours = [f for f in created if not os.path.exists(f / metrics.CONFIG)]
  try:
    yield
  finally:
    for folder in ours:
      # Whoever holds it is about to begin.
      claimed = hosts.is_first() and os.path.exists(folder / metrics.CONFIG)
      if claimed and not os.path.exists(folder / metrics.RUN):
        # What was the matter is more than that this may fail, too.
        with contextlib.suppress(OSError, UserError):
          with folders.hold(folder) as free:
            if free:
              (folder / metrics.CONFIG).unlink(missing_ok=True)


def main() -> None:
  """Entry point: the flags, and what they ask for. Ours."""
  config = cli.config_flag()
  workdir = flags.DEFINE_string(
    "workdir", None, "Folder that receives runs and report; made if missing."
  )
  only = flags.DEFINE_string(
    "only",
    "*",
    "Which runs to do, a pattern over arm/cell, with images arm/cell/seed_k:"
    " 'large/*', '*/seed_1'. Several hosts with disjoint patterns share one"
    " experiment.",
  )

  diff = flags.DEFINE_string(
    "diff",
    None,
    "Two presets, authors,paper: prints the fields in which they differ, of"
    " every config or of that of --config, and runs nothing.",
  )

  branch_from = flags.DEFINE_string(
    "branch_from",
    None,
    "RUN@STEP: every run of --config begins where RUN was at STEP, a step of"
    " which it saved a checkpoint. Without --config RUN@STEP,STEP...: RUN as it"
    " went on, and annealed at each STEP, as"
    " --config=configs/branch.py:RUN@STEP,STEP..., which takes overrides.",
  )

  distributed = flags.DEFINE_bool(
    "distributed",
    False,
    "Run over all devices of all hosts, started alike, where TPU pod, Slurm or"
    " Open MPI says which hosts there are.",
  )
  coordinator = flags.DEFINE_string(
    "coordinator",
    None,
    "The same elsewhere: host:port of process 0, with --num_processes and"
    " --process_id.",
  )
  num_processes = flags.DEFINE_integer(
    "num_processes", None, "How many hosts there are.", lower_bound=1
  )
  process_id = flags.DEFINE_integer(
    "process_id", None, "Which of them this is, from 0.", lower_bound=0
  )
  host_timeout = flags.DEFINE_integer(
    "host_timeout",
    100,
    "After so many seconds a host that does not answer is given up.",
    lower_bound=1,
  )

  def run():
    if diff.value:
      file = config.value and config_flags.get_config_filename(
        flags.FLAGS["config"]
      )
      print(presets.diff(presets.pair(diff.value), expand, file))
      return
    if config.value is None:
      experiment = branching.experiment(branch_from.value)
    else:
      experiment = ConfigDict(config.value)
      if branch_from.value:
        experiment.branch_from = branch_from.value
    one = experiment, pathlib.Path(workdir.value)
    explicit = (coordinator.value, num_processes.value, process_id.value)
    given = [x is not None for x in explicit]
    if any(given) and not all(given):
      raise UserError(
        "Got some of --coordinator, --num_processes and --process_id: give all"
        " three, or --distributed alone where the hosts know each other."
      )
    if coordinator.value and not re.fullmatch(r".+:[0-9]+", coordinator.value):
      raise UserError(
        f"Got --coordinator={coordinator.value}: write host:port, as in"
        " 10.0.0.1:1234."
      )
    if not (distributed.value or all(given)):
      run_all(*one, only=only.value)
      return
    plan(one[0])  # what is wrong with the config, before the hosts meet
    status = hosts.guard()
    if status is not None:
      sys.exit(status)
    with hosts.leaving_at_once():
      hosts.start(*explicit, timeout=host_timeout.value)
      run_all(*one, only=only.value)

  cli.run(
    run,
    required=("config", "workdir"),
    example="python -m lro_jax.main --config=configs/theory.py"
    " --workdir=FOLDER",
    instead={"diff": ("config", "workdir"), "branch_from": ("config",)},
  )


if __name__ == "__main__":
  main()
