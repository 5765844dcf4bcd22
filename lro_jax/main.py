r"""Runs an experiment: every arm, cell and seed of a config, then the report.

  python -m lro_jax.main --config=configs/theory.py --workdir=runs/theory

Any field can be set from the command line: `--config.data.dim=200`,
`--config.seeds=0,1,2`. Finished runs are skipped and partial ones continued, so
the same command repeated completes the work; `--only` picks runs by name.
"""

import fnmatch
import pathlib
import sys
import time

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from lro_jax.core import config as config_lib
from lro_jax.core import loop, metrics, steps
from lro_jax.core.config import ConfigDict, Run, UserError
from lro_jax.core.progress import Progress, clock
from lro_jax.report import page
from lro_jax.theory import regime
from lro_jax.theory import task as theory

_CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "Config file, with a preset after a colon: configs/theory.py:paper.",
  lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder that receives runs and report; made if missing."
)
_ONLY = flags.DEFINE_string(
  "only",
  "*",
  "Which runs to do, a pattern over arm/cell: 'large/*'. Several hosts with"
  " disjoint patterns share one experiment.",
)

TRACKS = {"theory": theory}


def track_of(config: ConfigDict):
  """The module of the config's track. Ours.

  Raises:
    UserError: no track of that name.
  """
  name = config.get("track")
  if name not in TRACKS:
    raise UserError(
      f"Field 'track' is {name!r}: it must be one of {', '.join(TRACKS)}."
    )
  return TRACKS[name]


def expand(config: ConfigDict) -> list[Run]:
  """The config's runs, all of them valid. Touches no device. Ours.

  Raises:
    UserError: the first thing wrong, in one sentence.
  """
  track = track_of(config)
  runs = config_lib.expand(config, track.SCHEMA)
  for run in runs:
    try:
      track.validate(run.config)
    except UserError as error:
      raise UserError(f"Run {run.name}: {error}") from error
  return runs


def run_all(
  config: ConfigDict, workdir: pathlib.Path, *, only: str = "*"
) -> None:
  """Does every run of an experiment, then writes and prints its report. Ours.

  Args:
    config: the experiment.
    workdir: where runs and report go.
    only: pattern over run names.

  Raises:
    UserError: bad config, or a workdir that is another's or cannot be written.
  """
  started = time.monotonic()
  track = track_of(config)
  runs = expand(config)
  chosen = [run for run in runs if fnmatch.fnmatch(run.name, only)]
  if not chosen:
    raise UserError(
      f"--only={only} fits no run: the runs are"
      f" {', '.join(run.name for run in runs)}."
    )
  folders = {run.name: loop.run_folder(workdir, run) for run in runs}
  for run in chosen:
    loop.claim(folders[run.name], run.config)
  metrics.write_json(workdir / "experiment.json", experiment_record(config, runs))

  todo = [run for run in chosen if not loop.is_done(folders[run.name])]
  if len(todo) < len(chosen):
    logging.info(
      "%d of %d runs are finished already.",
      len(chosen) - len(todo),
      len(chosen),
    )
  progress = Progress(len(todo))
  shown = set()
  for run in todo:
    lines = tuple(regime.lines(track.conditions(run.config)))
    if lines not in shown:
      shown.add(lines)
      text = "\n  ".join(lines)
      logging.info("Regime of %s:\n  %s", run.name, text)
    devices = steps.num_devices(track.num_devices(run.config))
    with logging_memory(run.name):
      task = track.make(run.config, axis_name=steps.axis_name(devices))
      loop.run(
        task,
        run.config,
        folders[run.name],
        steps_per_epoch=track.STEPS_PER_EPOCH,
        devices=devices,
        progress=progress,
        name=run.name,
      )
  progress.close()
  if only == "*" or all(loop.is_done(f) for f in folders.values()):
    print(page.write(workdir))
  logging.info("All done in %s.", clock(time.monotonic() - started))


def experiment_record(config: ConfigDict, runs: list[Run]) -> dict:
  """What experiment.json says: name, arms, cells and runs in order. Ours."""
  return {
    "name": config.name,
    "track": config.track,
    "arms": list(dict.fromkeys(run.arm for run in runs)),
    "cells": list(dict.fromkeys(run.cell for run in runs)),
    "smoke": config.smoke,
    "command": " ".join(["python -m lro_jax.main", *sys.argv[1:]]),
  }


class logging_memory:  # noqa: N801 - used as a statement
  """Turns running out of device memory into one sentence."""

  def __init__(self, name: str):
    self._name = name

  def __enter__(self):
    return self

  def __exit__(self, kind, error, trace):
    if isinstance(error, jax.errors.JaxRuntimeError) and (
      "RESOURCE_EXHAUSTED" in str(error)
    ):
      raise UserError(
        f"Run {self._name} ran out of device memory: lower model.num_hidden,"
        " data.num_train or max_seeds, or use more devices."
      ) from error


def _main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
  # Orbax logs a paragraph per checkpoint at this level.
  logging.get_absl_handler().addFilter(lambda r: "orbax" not in r.pathname)
  try:
    run_all(
      ConfigDict(_CONFIG.value), pathlib.Path(_WORKDIR.value), only=_ONLY.value
    )
  except UserError as error:
    sys.exit(f"Error: {error}")


def cli() -> None:
  """Entry point: flags, one sentence for a mistake, exit status 1 for it."""
  flags.mark_flags_as_required(["config", "workdir"])
  logging.set_verbosity(logging.INFO)
  try:
    app.run(_main)
  except (AttributeError, ValueError, TypeError) as error:
    # Raised by the flags themselves: an unknown field or preset.
    if flags.FLAGS.is_parsed():
      raise
    sys.exit(f"Error: {str(error).strip()}")


if __name__ == "__main__":
  cli()
