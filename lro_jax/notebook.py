"""What the notebooks of colabs/ call: a setting, its runs, what they show.

A cell names a config and the fields it changes, as the command line does, and
gets the same experiment: `setting`, then `run`; what it shows is `inline`'s.
"""

import contextlib
import io
import logging as python_logging
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from absl import logging

from lro_jax import inline, main, presets
from lro_jax.core.schema import (
  ConfigDict,
  UserError,
  flatten,
  is_mapping,
  nearest,
  shown,
)
from lro_jax.vision.cifar10 import CIFAR10

# What the kinds of devices mean for what can be run in an hour or two.
MEANING = {
  "tpu": "Full-scale image runs belong here. float32 products are made of"
  " bfloat16 passes; the theory's limit engine, in double precision, gains"
  " nothing from it.",
  "gpu": "Full-scale image runs belong here. The theory's limit engine, in"
  " double precision, is at home on a CPU just as well.",
  "cpu": "Smoke and small settings run in minutes, and so does all of the"
  " theory; images at full scale are for a GPU or TPU: in Colab, Runtime >"
  " Change runtime type, then run all cells again.",
}


class Setting(NamedTuple):
  """An experiment: its config, and the command line that has the same."""

  config: ConfigDict
  arguments: tuple[str, ...]

  def __repr__(self) -> str:
    return shlex.join(["python", "-m", "lro_jax.main", *self.arguments])


def device() -> str:
  """Which kind of device JAX has found here, and what that means. Ours."""
  backend = jax.default_backend()
  kind = jax.local_devices()[0].device_kind
  what = (
    f"CPU, {os.cpu_count()} cores"
    if backend == "cpu"
    else f"{backend.upper()}, {jax.local_device_count()} x {kind}"
  )
  return f"{what}. {MEANING.get(backend, '')}".strip()


@inline.in_one_line
def setting(config: str, fields: Mapping[str, Any] | None = None) -> Setting:
  """A preset with fields changed, as --config and --config.FIELD do. Ours.

  Args:
    config: file and preset, 'configs/theory.py:limit'.
    fields: value by dotted name, {'data.dim': 200, 'seeds': (0, 1)}.

  Raises:
    UserError: no such config, preset or field, or a value of another type.
  """
  file, _, preset = config.partition(":")
  known = presets.experiments()
  if file not in known:
    raise UserError(
      f"Got config {shown(config)}{nearest(file, known)}: it must be one of"
      f" {', '.join(known)}, and may have a preset after a colon."
    )
  try:
    made = known[file].get_config(preset)
  except ValueError as error:
    raise UserError(str(error)) from error
  arguments = [f"--config={config}"]
  for name, value in (fields or {}).items():
    there = flatten(made)
    if name not in there:
      raise UserError(
        f"Unknown field {shown(name)}{nearest(name, there)}: the fields are"
        f" listed in {file}."
      )
    if is_mapping(there[name]):
      raise UserError(
        f"Field {name!r} is a section of its own: change it in {file}."
      )
    try:
      made.update_from_flattened_dict({name: value})
    except TypeError as error:
      raise UserError(
        f"Field {name!r} is {shown(value)}: it must be of the type of"
        f" {shown(there[name])}."
      ) from error
    arguments.append(f"--config.{name}={value}")
  return Setting(made, tuple(arguments))


@inline.in_one_line
def run(
  made: Setting, workdir: str | pathlib.Path, *, label: str | None = None
) -> pathlib.Path:
  """Does what of an experiment is not done yet, and writes its page. Ours.

  Args:
    made: the experiment.
    workdir: where runs and report go; the same one again continues.
    label: name of a folder in `workdir` that takes its place, so that one
      workdir may have several settings; none by default.

  Returns:
    Where they went, for `inline.load`.

  Raises:
    UserError: bad config or label, or a workdir that is another's or cannot be
      written.
  """
  if label and (label in (".", "..") or re.search(r"[/\\]", label)):
    raise UserError(
      f"Got label {shown(label)}: it must be the name of one folder in"
      f" {workdir}, as 'r_0.2'."
    )
  folder = pathlib.Path(workdir, label or "")
  words = [repr(made), shlex.quote(f"--workdir={folder}")]
  with _progress_lines():
    # The tables that a terminal gets; a notebook shows its own.
    with contextlib.redirect_stdout(io.StringIO()):
      main.run_all(made.config, folder, command=" ".join(words))
  print(f"Report: {folder / 'report' / 'index.html'}")
  return folder


class _Printer(python_logging.Handler):
  """Prints progress and warnings; what else is logged is for terminals."""

  def __init__(self):
    super().__init__()
    # The cell's, whatever standard output is when there is something to say.
    self._out = sys.stdout

  def emit(self, record):
    is_progress = record.filename == "progress.py"
    if is_progress or record.levelno >= python_logging.WARNING:
      print(record.getMessage(), file=self._out, flush=True)


@contextlib.contextmanager
def _progress_lines() -> Iterator[None]:
  """Progress and warnings as plain lines; the rest is for log files."""
  logger, handler = logging.get_absl_logger(), _Printer()
  before = logging.get_verbosity(), logger.propagate, list(logger.handlers)
  logging.set_verbosity(logging.INFO)
  logger.propagate, logger.handlers = False, [handler]
  try:
    yield
  finally:
    logging.set_verbosity(before[0])
    logger.propagate, logger.handlers = before[1:]


@inline.in_one_line
def image_fields(
  data: str, folder: str | pathlib.Path = "data"
) -> dict[str, Any]:
  """The fields of a config that take images from where one says. Ours.

  Args:
    data: 'synthetic', 'cifar10', or the path of an .npz of one's own.
    folder: where CIFAR-10 is, or is downloaded to: 170 MB, once.

  Raises:
    UserError: CIFAR-10 is not there and cannot be fetched.
  """
  if data == CIFAR10:
    # tensorflow-datasets takes seconds to import.
    from lro_jax.vision import prepare

    print(prepare.prepare(str(folder)))
    return {"data.source": data, "data.dir": str(folder)}
  # All there are, mean and deviation of their own pixels.
  counts = {"data.num_train": 0, "data.num_test": 0}
  return counts | {"data.source": data, "data.mean": (), "data.std": ()}
