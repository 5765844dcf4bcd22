r"""Runs an experiment: every arm, cell and seed of a config, then the report.

  python -m lro_jax.main --config=configs/theory.py --workdir=runs/theory

Any field can be set from the command line: `--config.data.dim=200`,
`--config.seeds=0,1,2`. Finished runs are skipped and partial ones continued, so
the same command repeated completes the work; `--only` picks runs by name.
"""

import contextlib
import fnmatch
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
from absl import flags, logging
from ml_collections import config_flags

from lro_jax import presets
from lro_jax.core import (
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
  seconds: float = math.inf,
) -> None:
  """Does every run of an experiment, then writes and prints its report. Ours.

  On several hosts all of them call it; the first one writes.

  Args:
    config: the experiment.
    workdir: where runs and report go.
    only: pattern over run names.
    seconds: after so many s it is told to end.

  Raises:
    UserError: bad config, or a workdir that is another's or cannot be written.
    InterruptedRun: the process was told to end, and what it did is saved.
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

  def prepare():
    """The names of the runs that are not done; claims their folders."""
    _refuse_to_drop_runs(workdir, record)
    for run in chosen:
      folders.claim(where[run.name], run.config)
    done = [run for run in chosen if folders.is_done(where[run.name])]
    return [run.name for run in chosen if run not in done]

  with (
    interrupt.Watch(seconds) as watch,
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
    hosts.first_says(
      lambda: _write_record(workdir, record | {"infeasible": infeasible})
    )
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
    _write_record(workdir, record | {"infeasible": infeasible})
    left = [run for run in runs if run.cell not in infeasible]
    if only == "*" or all(folders.is_done(where[run.name]) for run in left):
      print(page.write(workdir))
  if ended.elsewhere:
    logging.warning(
      "%d runs are under way in other processes, and not in the tables above:"
      " %s. Give the same command again when they are done.",
      len(ended.elsewhere),
      ", ".join(ended.elsewhere),
    )
  logging.info("All done in %s.", clock(time.monotonic() - started))


def _write_record(workdir: pathlib.Path, record: dict) -> None:
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
  # Another process may have left the folder to a mended config meanwhile.
  folders.claim(folder, run.config)
  if not stack.enter_context(folders.hold(folder)):
    return folders.holder(folder)
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
    "command": " ".join(["python -m lro_jax.main", *sys.argv[1:]]),
  }


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
  minutes = flags.DEFINE_float(
    "minutes",
    math.inf,
    "After so many minutes the run under way saves its state and the process"
    " ends with status 75, as if it were told to: for machines lent by the"
    " slice of time. The same command goes on.",
    lower_bound=0,
  )
  cli.cache_flag()

  def run():
    if diff.value:
      file = config.value and config_flags.get_config_filename(
        flags.FLAGS["config"]
      )
      print(presets.diff(presets.pair(diff.value), expand, file))
      return
    one = ConfigDict(config.value), pathlib.Path(workdir.value)
    how = {"only": only.value, "seconds": 60 * minutes.value}
    explicit = (coordinator.value, num_processes.value, process_id.value)
    given = [x is not None for x in explicit]
    if any(given) and not all(given):
      raise UserError(
        "Got some of --coordinator, --num_processes and --process_id: give all"
        " three, or --distributed alone where the hosts know each other."
      )
    if not (distributed.value or all(given)):
      run_all(*one, **how)
      return
    plan(one[0])  # what is wrong with the config, before the hosts meet
    status = hosts.guard()
    if status is not None:
      sys.exit(status)
    with hosts.leaving_at_once():
      hosts.start(*explicit, timeout=host_timeout.value)
      run_all(*one, **how)

  cli.run(
    run,
    required=("config", "workdir"),
    example="python -m lro_jax.main --config=configs/theory.py"
    " --workdir=FOLDER",
    instead="diff",
  )


if __name__ == "__main__":
  main()
