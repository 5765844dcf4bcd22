"""What several tests share: configs at smoke size, and runs of them."""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import NamedTuple
from unittest import mock

import pytest

from configs import theory as theory_config
from lro_jax import main, plans
from lro_jax.core import folders, loop, metrics, placement
from lro_jax.core.progress import Progress
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.report import figures

# Instruments cost compiling; tests of them name them.
FEW_INSTRUMENTS = {"lemmas.measure": "4.2"}

# As small as a run of two arms can be. No loss is ever reached in three steps.
TINY = {
  "seeds": (0, 5),
  "shrink.data": dict(dim=12, num_train=32, num_test=8),
  "shrink.model": dict(num_hidden=8, num_hidden_v=8),
  "shrink.train.max": "3 steps",
  "train.num_devices": 1,
} | FEW_INSTRUMENTS


@contextlib.contextmanager
def forbidden(module, *names: str):
  """Fails whatever calls these functions of a module."""
  with contextlib.ExitStack() as stack:
    for name in names:
      error = AssertionError(f"{name} was called")
      stack.enter_context(mock.patch.object(module, name, side_effect=error))
    yield


class Figures:
  """Gives a test class `self.figure`: see `figure` in tests/conftest.py."""

  @pytest.fixture(autouse=True)
  def _take_figure(self, figure):
    self.figure = figure


def no_figures():
  """Saves the seconds of drawing where figures do not matter."""
  return mock.patch.object(figures, "draw", return_value=[])


def set_fields(config: ConfigDict, fields: dict) -> ConfigDict:
  """`config` with fields set by dotted name."""
  for name, value in fields.items():
    *path, last = name.split(".")
    node = config
    for part in path:
      node = node[part]
    node[last] = value
  return config


def experiment(preset: str, fields: dict | None = None, *, smoke: bool = True):
  """A preset of configs/theory.py with fields set, right or wrong."""
  config = theory_config.get_config(preset)
  config.smoke = smoke
  with config.unlocked(), config.ignore_type():
    return set_fields(config, fields or {})


def run_all(config: ConfigDict, workdir: pathlib.Path, **kwargs) -> str:
  """What `main.run_all` prints."""
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed):
    main.run_all(config, workdir, **kwargs)
  return printed.getvalue()


def refusal(case, call, *words: str) -> str:
  """Text of the one UserError of a call: one line that holds the words."""
  with case.assertRaises(UserError) as caught:
    call()
  text = str(caught.exception)
  case.assertNotIn("\n", text)
  for word in words:
    case.assertIn(word, text)
  return text


def run_config(config: ConfigDict, fields: dict) -> ConfigDict:
  """The first run of an experiment, with fields set on top."""
  run = main.expand(config)[0]
  if run.config.track == "theory":
    fields = FEW_INSTRUMENTS | fields
  return set_fields(ConfigDict(run.config.to_dict()), fields)


def make_task(config: ConfigDict, devices: int = 1):
  """The Task of a run's config."""
  track = plans.track_of(config)
  track.validate(config)
  return track.make(config, axis_name=placement.axis_name(devices))


def run(
  config: ConfigDict,
  folder: pathlib.Path,
  *,
  devices: int = 1,
  task=None,
  **kwargs,
):
  """Runs one run's config in a folder; returns record and metric rows."""
  folders.claim(folder, config)
  loop.run(
    task or make_task(config, devices),
    config,
    folder,
    steps_per_epoch=plans.track_of(config).steps_per_epoch(config),
    devices=devices,
    progress=Progress(1),
    name="test",
    **kwargs,
  )
  return (
    metrics.read_json(folder / metrics.RUN),
    metrics.read_metrics(folder / metrics.METRICS),
  )


class Ended(NamedTuple):
  """How a command ended: exit status, standard output and error."""

  status: int
  output: str
  errors: str


# Every command is a fork of one process that has imported what is slow to
# import, but not the module itself: that starts as `python -m` starts it.
_FORKS = """
import gc, json, os, runpy, sys
import lro_jax.core.loop, lro_jax.report.page
import lro_jax.theory.task, lro_jax.vision.task
children = []
commands, prelude = json.load(sys.stdin)
exec(prelude)
# What is shared stays so: no fork's collector writes to it.
gc.freeze()
for module, arguments, output, errors in commands:
  children.append(os.fork())
  if not children[-1]:
    for stream, path in ((1, output), (2, errors)):
      os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), stream)
    sys.argv[1:] = arguments
    if module.endswith(".py"):
      runpy.run_path(module, run_name="__main__")
    else:
      runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit(0)
for child in children:
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def run_commands(*commands: tuple[str, ...], prelude: str = "") -> list[Ended]:
  """Ends of commands that are run at the same time.

  Args:
    *commands: module, or path of a file that ends in .py, and arguments.
    prelude: Python that is run before them, in the process that they fork.
  """
  with tempfile.TemporaryDirectory() as name:
    paths = [
      [str(pathlib.Path(name) / f"{i}.{kind}") for kind in ("out", "err")]
      for i in range(len(commands))
    ]
    statuses = subprocess.run(
      [sys.executable, "-c", _FORKS],
      input=json.dumps(
        [
          [(c[0], c[1:], *p) for c, p in zip(commands, paths, strict=True)],
          prelude,
        ]
      ),
      cwd=pathlib.Path(__file__).parent.parent,
      env=os.environ
      | {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "16",
        # Compiling is nearly all that so small runs cost.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
      },
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
      timeout=240,
      check=True,
    ).stdout.split()
    return [
      Ended(int(status), *(pathlib.Path(p).read_text() for p in pair))
      for status, pair in zip(statuses, paths, strict=True)
    ]
