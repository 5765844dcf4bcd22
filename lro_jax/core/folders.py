"""Run folders: where a run lives, whose it is, whether it has ended."""

import contextlib
import fcntl
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata

import jax
from absl import logging

import lro_jax
from lro_jax.core import metrics
from lro_jax.core.config import Run, differences
from lro_jax.core.schema import ConfigDict, UserError

DONE, RUNNING = "done", "running"
LOCK = "lock"


def versions() -> dict[str, str]:
  """Versions, devices and commit that a result depends on. Ours."""
  try:
    commit = subprocess.run(
      ["git", "describe", "--always", "--dirty", "--abbrev=12"],
      cwd=pathlib.Path(lro_jax.__file__).parent,
      capture_output=True,
      text=True,
      timeout=10,
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    commit = ""
  packages = ("jax", "jaxlib", "flax", "optax", "numpy")
  return {name: metadata.version(name) for name in packages} | {
    "lro_jax": lro_jax.__version__,
    "python": platform.python_version(),
    "commit": commit or "unknown",
    "backend": jax.default_backend(),
    "device_kind": jax.local_devices()[0].device_kind,
    "host_cores": str(os.cpu_count()),
  }


def run_folder(workdir: pathlib.Path, run: Run) -> pathlib.Path:
  """Where a run lives: its name, under the workdir. Ours."""
  return workdir / run.name


def put_aside(path: pathlib.Path, name: pathlib.Path | None = None) -> None:
  """Renames a file or folder that must not be used, nor lost. Ours.

  Args:
    path: what to rename; nothing happens where it is missing.
    name: what to call it, 'damaged_<its name>' beside it by default; numbered,
      for there may be some already.
  """
  if not path.exists():
    return
  name = name or path.parent / f"damaged_{path.name}"
  number = 1
  while (free := name.with_name(f"{name.name}_{number}")).exists():
    number += 1
  path.rename(free)


@contextlib.contextmanager
def hold(folder: pathlib.Path) -> Iterator[bool]:
  """Holds a run folder, so that no other process does its run. Ours.

  The lock is the operating system's: it ends with the process, however that
  ends. On a network file system it works between hosts as far as that file
  system has locks (NFS has, most object stores have not).

  Args:
    folder: the run's folder, which exists.

  Yields:
    Whether it is ours; False where another process holds it.

  Raises:
    UserError: the lock cannot be written.
  """
  path = folder / LOCK
  try:
    # Unbuffered: what a full disk refuses is not tried again at the close.
    file = open(path, "ab+", buffering=0)
  except OSError as error:
    raise _cannot_write(folder, error) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      yield False
      return
    except OSError as error:
      logging.warning(
        "%s cannot be locked (%s): see to it that no other process does this"
        " run.",
        folder,
        error.strerror,
      )
    # The lock is held; whose it is, is for the others to read.
    with contextlib.suppress(OSError):
      file.truncate(0)
      file.write(f"process {os.getpid()} on {platform.node()}".encode())
    yield True


def holder(folder: pathlib.Path) -> str:
  """Who holds a run folder, in words. Ours."""
  path = folder / LOCK
  return (path.read_text() if path.exists() else "") or "another process"


def _cannot_write(folder: pathlib.Path, error: OSError) -> UserError:
  return UserError(
    f"Cannot write {folder} ({error.strerror}): choose a --workdir you may"
    " write to, with room on its disk."
  )


def is_done(folder: pathlib.Path) -> bool:
  """Whether the run in this folder has ended. Ours.

  A run.json that cannot be read is put aside: the run goes on from its
  checkpoints.
  """
  path = folder / metrics.RUN
  if not os.path.exists(path):
    return False
  try:
    record = metrics.read_json(path)
  except UserError:
    record = None
  if not isinstance(record, dict):
    logging.warning("%s is damaged: it is put aside, and made anew.", path)
    put_aside(path)
    return False
  return record.get("status") == DONE


def claim(folder: pathlib.Path, config: ConfigDict) -> None:
  """Makes the run folder this config's, or finds that it already is. Ours.

  Raises:
    UserError: it belongs to another config (fields named), or cannot be
      written.
  """
  path = folder / metrics.CONFIG
  ours = metrics.plain(config.to_dict())
  try:
    theirs = metrics.read_json(path) if path.exists() else ours
    if theirs == ours:
      metrics.write_json(path, ours)
  except OSError as error:
    raise _cannot_write(folder, error) from error
  if theirs != ours:
    fields = "; ".join(differences(ours, theirs))
    raise UserError(
      f"{folder} was made by another config ({fields}): choose another"
      " --workdir, or set these fields back."
    )
