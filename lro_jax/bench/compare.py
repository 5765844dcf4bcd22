"""Nothing slower than before: every config, on another checkout and on this.

The checkouts take turns, each in a child process, so that both meet the same
machine; a ratio is of the medians over turns.
"""

import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from lro_jax.core.schema import UserError

CONFIGS = (
  "configs/theory.py",
  "configs/theory.py:conv",
  "configs/patches.py:cpu",
  "configs/cifar10.py:cpu",
)
TURNS = 3
CACHE = "JAX_COMPILATION_CACHE_DIR"
# The README's.
MAIN = ("-m", "lro_jax.main", "--config=configs/theory.py")
WHOLE_TURNS = 1
STEP = pathlib.Path(__file__).with_name("step.py")
HERE = STEP.parent.parent.parent


def _last_words(child: subprocess.CompletedProcess) -> str:
  return (child.stderr.strip().splitlines()[-1:] or ["no word"])[0][:200]


def in_child(
  name: str, checkout: pathlib.Path = HERE, devices: int = 1
) -> dict[str, Any]:
  """What `step.py` finds of a config in a checkout. Ours.

  Args:
    name: of the config, with its preset.
    checkout: folder that has `lro_jax` and `configs`.
    devices: virtual ones of a CPU, where more than one.

  Raises:
    UserError: the child failed; its last words.
  """
  child = subprocess.run(
    # -P: the bench's own files must not stand for modules of those names.
    [sys.executable, "-P", str(STEP), name, str(devices)],
    env=os.environ | {"PYTHONPATH": str(checkout)},
    cwd=checkout,
    capture_output=True,
    text=True,
  )
  if child.returncode:
    raise UserError(
      f"A step of {name} could not be timed in {checkout}"
      f" ({_last_words(child)}): name a checkout of this project."
    )
  return json.loads(child.stdout.splitlines()[-1])


def checkout(before: str) -> pathlib.Path:
  """The other checkout's folder. Ours.

  Raises:
    UserError: it is none.
  """
  there = pathlib.Path(before).resolve()
  if not (there / "lro_jax" / "main.py").exists():
    raise UserError(
      f"Got --before={before}, which has no lro_jax/main.py: name the folder of"
      " another checkout, as git worktree makes it."
    )
  return there


def whole(before: str, turns: int = WHOLE_TURNS) -> dict[str, Any]:
  """The README's main command, then and now: everything a user waits for. Ours.

  Args:
    before: folder of the other checkout.
    turns: how often each is run, the other checkout first.

  Returns:
    Wall and processor seconds of every turn, and the ratios of their medians.

  Raises:
    UserError: no checkout there, or the command failed.
  """
  places = {"before": checkout(before), "after": HERE}
  found = {when: {"wall": [], "processor": []} for when in places}
  for _ in range(turns):
    for when, place in places.items():
      # What one has compiled is not to serve the other.
      mine = {k: v for k, v in os.environ.items() if k != CACHE}
      used, began = os.times(), time.monotonic()
      with tempfile.TemporaryDirectory() as workdir:
        done = subprocess.run(
          [sys.executable, *MAIN, f"--workdir={workdir}"],
          env=mine | {"PYTHONPATH": str(place)},
          cwd=place,
          capture_output=True,
          text=True,
        )
      if done.returncode:
        raise UserError(
          f"{shlex.join(MAIN)} failed in {place} ({_last_words(done)}): run it"
          " there."
        )
      now = os.times()
      found[when]["wall"].append(time.monotonic() - began)
      found[when]["processor"].append(
        now.children_user
        + now.children_system
        - used.children_user
        - used.children_system
      )
  ratios = {
    what: statistics.median(found["before"][what])
    / statistics.median(found["after"][what])
    for what in ("wall", "processor")
  }
  for when, seconds in found.items():
    print(f"{shlex.join(MAIN)}, {when}: {seconds}", flush=True)
  print(f"ratios: {ratios}", flush=True)
  return {"main": shlex.join(MAIN), "turns": turns, "ratio": ratios} | found


def run(
  before: str, configs: tuple[str, ...] = CONFIGS, turns: int = TURNS
) -> dict[str, Any]:
  """Ratios of before to after, above 1 where it is faster now. Ours.

  Args:
    before: folder of the other checkout.
    configs: names of configs, with presets.
    turns: how often each is measured.

  Raises:
    UserError: no checkout there.
  """
  there = checkout(before)
  rows = []
  for name in configs:
    found = {"before": [], "after": []}
    for _ in range(turns):
      found["before"].append(in_child(name, there))
      found["after"].append(in_child(name))
    for key in found["after"][0]:
      row = {"config": name, "of": key}
      for what in ("step", "evaluation", "first_call"):
        medians = {
          when: statistics.median(x[key][what] for x in several)
          for when, several in found.items()
        }
        row[what] = medians | {"ratio": medians["before"] / medians["after"]}
      rows.append(row)
      print(
        f"{name}, {key}: "
        + ", ".join(
          f"{what} {1e3 * row[what]['before']:.3f} to"
          f" {1e3 * row[what]['after']:.3f} ms, ratio {row[what]['ratio']:.2f}"
          for what in ("step", "evaluation", "first_call")
        ),
        flush=True,
      )
  return {"turns": turns, "compared": rows}
