"""Does the runs of an experiment, one after the other, then its report.

Finished runs are skipped and partial ones continued; what another process does
is left to it.
"""

import contextlib
import fnmatch
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
from absl import logging
from jax.experimental.compilation_cache import compilation_cache

from lro_jax import record as record_lib
from lro_jax.core import (
  branch,
  checkpoint,
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
from lro_jax.plans import plan, track_of, without_infeasible
from lro_jax.report import page

CACHE = "jax_compilation_cache_dir"

# So many cells are described whole, the others in one line; run.json has all.
FULL_REPORTS = 2


def run_all(
  config: ConfigDict,
  workdir: pathlib.Path,
  *,
  only: str = "*",
  command: str | None = None,
  seconds: float = math.inf,
) -> None:
  """Does every run of an experiment, then writes and prints its report. Ours.

  On several hosts all of them call it; the first one writes.

  Args:
    config: the experiment.
    workdir: where runs and report go.
    only: pattern over run names.
    command: the command line that does the same; by default the process's own.
    seconds: after so many s it is told to end.

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
  record = record_lib.of_experiment(config, runs, infeasible)
  if command is not None:
    record["command"] = command

  def prepare():
    """The names of the runs that are not done; claims their folders."""
    record_lib.refuse_to_drop_runs(workdir, record)
    _check_branches(chosen, where, track)
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
    hosts.first_says(lambda: record_lib.write(workdir, record, infeasible))
    if len(todo) < len(chosen):
      logging.info(
        "%d of %d runs are finished already, or infeasible.",
        len(chosen) - len(todo),
        len(chosen),
      )
    for reason in infeasible.values():
      logging.warning("Left out, the rest runs: %s", reason)
    with _compiling_once():
      ended = _run_chosen(todo, where, devices, track, watch)
    infeasible |= ended.infeasible

  # The others need not wait for the page, which may take a while.
  if hosts.is_first():
    record_lib.write(workdir, record, infeasible)
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
  chosen: list[Run], where: dict[str, pathlib.Path], track
) -> None:
  for run in chosen:
    # One that is done, or has states of its own, needs its origin no more.
    own = where[run.name]
    if (
      run.config.branch_from
      and not folders.is_done(own)
      and not checkpoint.steps_saved(own)
    ):
      branch.check(
        run.config,
        track.schedule_fields(run.config),
        steps_per_epoch=track.steps_per_epoch(run.config),
      )


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


@contextlib.contextmanager
def _compiling_once() -> Iterator[None]:
  """Runs inside that are the same program compile it once: seeds, arms.

  Where it takes JAX more than a second; kept in a folder that goes with the
  process, unless it has one already (`core.cli.cache_flag`). Of several hosts
  only the first would write, and go ahead of the others.
  """
  if jax.config.jax_compilation_cache_dir or hosts.count() > 1:
    yield
    return
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    jax.config.update(CACHE, folder)
    try:
      yield
    finally:
      jax.config.update(CACHE, None)
      compilation_cache.reset_cache()


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
