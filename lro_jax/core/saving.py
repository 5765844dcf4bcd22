"""A run's state between processes: when it is saved, what stands beside it, and
whether a state found may be continued.

A checkpoint's note says where the run was, what config, data and versions it
had, and which arrays it holds. What cannot be continued is refused with what
differs; what is damaged is put aside, and the one before it taken.
"""

import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from lro_jax.core import checkpoint, folders, hosts, metrics
from lro_jax.core.config import differences
from lro_jax.core.rows import NOTHING, Written
from lro_jax.core.schema import ConfigDict, UserError, to_steps
from lro_jax.core.task import Task, Tree

# Of the note: raised where an older one cannot be read any more.
FORMAT = 3

# Versions whose change may move the last bits of what follows.
WITNESSES = ("lro_jax", "commit", "jax", "jaxlib", "backend", "device_kind")


class Position(NamedTuple):
  """Where a run stands, besides its state.

  Attributes:
    index: index of the evaluation that is next.
    at: steps asked of the device so far.
    metrics_offset: length of metrics.jsonl, in bytes.
    written: what its rows have told.
    wall_seconds: time the run has taken, all processes together.
    resumed: how often it was continued.
  """

  index: int = 0
  at: int = 0
  metrics_offset: int = 0
  written: Written = NOTHING
  wall_seconds: float = 0.0
  resumed: int = 0


def arrays_of(tree: Tree) -> list[str]:
  """Every array of a state in words, '.params.w: float32(2, 3)'. Ours."""
  return [
    f"{jax.tree_util.keystr(path)}: {np.asarray(x).dtype}{np.shape(x)}"
    for path, x in jax.tree_util.tree_leaves_with_path(tree)
  ]


def facts_of(task: Task) -> dict[str, Any]:
  """What a state goes with that a config only names: the data. Ours."""
  return {name: task.facts.get(name) for name in ("data", "patches")}


def refuse_other_format(note: dict[str, Any], where: str) -> None:
  """Refuses a note that this version does not read. Ours.

  Args:
    note: a checkpoint's.
    where: whose it is, to begin the sentence with.

  Raises:
    UserError: it has another format.
  """
  if note.get("format") != FORMAT:
    raise UserError(
      f"{where} has format {note.get('format', 1)}, this lro_jax reads"
      f" {FORMAT}: finish the run with the version that began it, or choose"
      " another --workdir."
    )


class Saver:
  """Saves and restores one run; a context manager.

  On several hosts the first one reads and writes, for all.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    config: ConfigDict,
    task: Task,
    *,
    devices: int,
    steps_per_epoch: int,
    schedule: Sequence[int] = (),
  ):
    """Opens the run's checkpoints.

    Args:
      folder: the run's folder.
      config: the run's config; read here: `checkpoint`.
      task: the run's Task.
      devices: how many devices it runs on.
      steps_per_epoch: for durations.
      schedule: steps at which the run is measured, of which a `Position` is an
        index.
    """
    self._folder, self._options = folder, config.checkpoint
    every = config.checkpoint.every
    self._every = (
      None
      if every == "never"
      else to_steps(every, steps_per_epoch=steps_per_epoch)
    )
    # The data as well: a config names a file, not what is in it.
    self._about = metrics.plain(
      {
        "format": FORMAT,
        "schedule": checkpoint.fingerprint(list(schedule)),
        "config": config.to_dict(),
        "facts": facts_of(task),
        "versions": folders.versions() | {"devices": str(devices)},
      }
    )
    self._checkpoints = None
    self._saved_time = time.monotonic()

  def __enter__(self):
    if hosts.is_first():
      self._checkpoints = checkpoint.Checkpoints(
        self._folder, self._options.keep
      )
    return self

  def __exit__(self, *unused):
    if self._checkpoints is not None:
      self._checkpoints.close()

  def next_at(self, at: int, otherwise: int) -> int:
    """Where the device's next call should end, to save there.

    Args:
      at: steps into the run.
      otherwise: where it would end, were nothing to be saved.
    """
    if self._every is None:
      return otherwise
    return min(otherwise, (at // self._every + 1) * self._every)

  def due(self, at: int) -> bool:
    """Whether it is time to save, `at` steps into the run."""
    minutes = (time.monotonic() - self._saved_time) / 60
    # At its multiples, whatever else was saved: a step to branch from is one
    # that can be named.
    enough = bool(self._every and at) and at % self._every == 0
    return enough or minutes >= self._options.minutes

  def save(self, carry: Tree, position: Position) -> bool:
    """Saves, or says why not: a run goes on without. Whether it was saved.

    Args:
      carry: NumPy tree.
      position: where the run stands.
    """
    self._saved_time = time.monotonic()
    if self._checkpoints is None:
      return True
    note = self._about | {
      "position": metrics.plain(
        position._asdict() | {"written": position.written._asdict()}
      ),
      "arrays": arrays_of(carry),
    }
    try:
      self._checkpoints.save(position.at, carry, note)
    except (OSError, ValueError) as error:
      lines = str(error).strip().splitlines() or [type(error).__name__]
      logging.warning(
        "The state of step %d could not be saved in %s (%s): the run goes on"
        " and tries again; what was saved before is kept.",
        position.at,
        self._folder,
        lines[-1][:200],
      )
      return False
    return True

  def restore(self, like: Tree) -> tuple[Tree, Position] | None:
    """The newest state that is whole, on all hosts; None where there is none.

    Args:
      like: NumPy tree of the structure, shapes and types of a state.

    Raises:
      UserError: what is there belongs to another config, to other data, or to
        a version that cannot be continued.
    """
    leaves, treedef = jax.tree.flatten(like)
    position = hosts.first_says(lambda: self._read(like, leaves))
    if position is None:
      return None
    position["written"] = Written.read(position["written"])
    tree = treedef.unflatten(hosts.from_first(leaves))
    return tree, Position(**position)

  def _read(self, like: Tree, leaves: list) -> dict[str, Any] | None:
    """Reads into `leaves`; returns the position, plain."""
    arrays = arrays_of(like)
    restored = self._checkpoints.restore(
      like, accept=lambda note: self._accept(note, arrays)
    )
    if restored is None:
      if self._checkpoints.damaged:
        # The rows will come again, to the bit; until then there are these.
        folders.put_aside(self._folder / metrics.METRICS)
      return None
    leaves[:] = jax.tree.leaves(restored.tree)
    position = restored.note["position"]
    self._warn_of_other_versions(restored.note["versions"])
    return position

  def _accept(self, note: dict[str, Any], arrays: list[str]) -> None:
    """Refuses a state that this run cannot continue."""
    where = f"The checkpoint in {self._folder}"
    refuse_other_format(note, where)
    for kind in ("config", "facts"):
      found = differences(self._about[kind], note[kind])
      if found:
        raise UserError(
          f"{where} belongs to another config, or to other data or patches"
          f" under the same name ({'; '.join(found)}): choose another"
          " --workdir, or put them back."
        )
    if note["schedule"] != self._about["schedule"]:
      raise UserError(
        f"{where} was written by lro_jax {note['versions']['lro_jax']}"
        f" ({note['versions']['commit']}), which measures at other steps:"
        " finish the run with that version, or choose another --workdir."
      )
    if note["arrays"] != arrays:
      there, here = set(note["arrays"]), set(arrays)
      first = next(iter(sorted(there ^ here)), "their order")
      versions = note["versions"]
      raise UserError(
        f"{where} was written by lro_jax {versions['lro_jax']}"
        f" ({versions['commit']}) with jax {versions['jax']} and optax"
        f" {versions['optax']}, whose state has other arrays than now (first:"
        f" {first}): finish the run with these versions, or choose another"
        " --workdir."
      )
    path = self._folder / metrics.METRICS
    length = path.stat().st_size if path.exists() else 0
    if length < note["position"]["metrics_offset"]:
      raise ValueError("metrics.jsonl has lost rows since it was saved")

  def _warn_of_other_versions(self, theirs: dict[str, str]) -> None:
    ours = self._about["versions"]
    names = (*WITNESSES, "devices")
    changed = [n for n in names if theirs.get(n) != ours[n]]
    if changed:
      logging.warning(
        "%s continues with %s: the last bits of what follows may differ from an"
        " uninterrupted run's.",
        self._folder,
        ", ".join(f"{n} {ours[n]} ({theirs.get(n)} before)" for n in changed),
      )
