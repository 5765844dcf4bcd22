"""Run folders: where a run lives, whose it is, whether it has ended."""

import os
import pathlib
import platform
import subprocess
from importlib import metadata

import jax

import lro_jax
from lro_jax.core import metrics
from lro_jax.core.config import Run, differences
from lro_jax.core.schema import ConfigDict, UserError

DONE, RUNNING = "done", "running"


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


def is_done(folder: pathlib.Path) -> bool:
  """Whether the run in this folder has ended. Ours."""
  path = folder / metrics.RUN
  return os.path.exists(path) and metrics.read_json(path)["status"] == DONE


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
    raise UserError(
      f"Cannot write {folder} ({error.strerror}): choose a --workdir you may"
      " write to, with room on its disk."
    ) from error
  if theirs != ours:
    fields = "; ".join(differences(ours, theirs))
    raise UserError(
      f"{folder} was made by another config ({fields}): choose another"
      " --workdir, or set these fields back."
    )
