"""Checkpoints: the whole carry of a run, saved by orbax, verified on read.

A checkpoint holds every array of the device loop - weights, optimiser state,
latches, stream keys, running sums - and a note, see `core.saving`, with digests
of the arrays and of the note itself. Orbax makes the save atomic; the digests
tell a damaged file from a good one.
"""

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from lro_jax.core import packing
from lro_jax.core.folders import put_aside
from lro_jax.core.schema import UserError
from lro_jax.core.task import Tree

FOLDER = "checkpoints"
# The one array that orbax sees: it takes its time for each.
PACKED = "arrays"
# Errors of a read that say nothing of the checkpoint: all is kept as it is.
PASSING = tuple(
  os.strerror(code)
  for code in (
    errno.EACCES,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EPERM,
    errno.ESTALE,
  )
)
# A save begins where this many times its size, and some bytes, are free.
ROOM, SPARE = 1.5, 1 << 16


class Restored(NamedTuple):
  """What a checkpoint gives back: NumPy tree and note."""

  tree: Tree
  note: dict[str, Any]


def digest(tree: Tree) -> str:
  """sha256 of a tree of arrays: values, shapes, types, order. Ours."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(tree):
    leaf = np.asarray(leaf)
    sha.update(f"{leaf.dtype}{leaf.shape}".encode())
    sha.update(np.ascontiguousarray(leaf).tobytes())
  return sha.hexdigest()


def fingerprint(value: Any) -> str:
  """sha256 of what JSON can hold, its fields sorted. Ours."""
  text = json.dumps(value, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _remove_unfinished(folder: pathlib.Path) -> None:
  """Removes what a save that was cut short has left."""
  for path in folder.glob("*orbax-checkpoint-tmp*"):
    shutil.rmtree(path, ignore_errors=True)


def steps_saved(run_folder: pathlib.Path) -> list[int]:
  """Steps of which a run folder holds a checkpoint, increasing. Ours."""
  folder = run_folder / FOLDER
  paths = folder.iterdir() if folder.is_dir() else ()
  return sorted(int(p.name) for p in paths if re.fullmatch("[0-9]+", p.name))


def _is_passing(error: Exception) -> bool:
  """Whether a read failed for what is not the checkpoint's doing."""
  # Where tensorstore reads, the system's words are all that is left of it.
  words = str(error)
  return isinstance(error, MemoryError) or any(w in words for w in PASSING)


class Checkpoints:
  """The checkpoints of one run; a context manager."""

  def __init__(self, run_folder: pathlib.Path, keep: int | None):
    """Opens the run's checkpoint folder.

    Args:
      run_folder: the run's folder.
      keep: how many of the last checkpoints to keep, >= 1; None only reads, and
        leaves all as it is: the run may be another process's.
    """
    folder = (run_folder / FOLDER).resolve()
    if keep is not None:
      folder.mkdir(parents=True, exist_ok=True)
      _remove_unfinished(folder)
    self.damaged = 0  # how many were put aside
    self._manager = ocp.CheckpointManager(
      folder,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        read_only=keep is None,
        enable_async_checkpointing=False,
        create=False,
        # One process writes; the others do not wait for each other here.
        multiprocessing_options=ocp.options.MultiprocessingOptions(
          primary_host=jax.process_index(),
          active_processes={jax.process_index()},
          barrier_sync_key_prefix="first",
        )
        if jax.process_count() > 1
        else ocp.options.MultiprocessingOptions(),
      ),
    )

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  def close(self) -> None:
    """Ends orbax's threads."""
    self._manager.close()

  def save(self, index: int, tree: Tree, note: dict[str, Any]) -> None:
    """Saves a NumPy tree and its note under an increasing index.

    Raises:
      OSError, ValueError: it could not be written; what was there is kept.
    """
    packed = packing.pack(jax.tree.leaves(tree))
    note = note | {"digest": digest(tree)}
    folder = pathlib.Path(self._manager.directory)
    _remove_unfinished(folder)
    # Asked beforehand: tensorstore answers a full disk with a stack trace per
    # file, from threads of its own.
    if shutil.disk_usage(folder).free < ROOM * packed.nbytes + SPARE:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
      saved = self._manager.save(
        index,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave({PACKED: packed}),
          note=ocp.args.JsonSave(note | {"note_digest": fingerprint(note)}),
        ),
      )
    except Exception:
      # On a full disk what was begun takes the room of the next attempt.
      _remove_unfinished(folder)
      raise
    if not saved:
      raise ValueError(f"there is one of step {index} or later already")

  def restore(
    self,
    like: Tree,
    *,
    accept: Callable[[dict[str, Any]], None] = lambda note: None,
  ) -> Restored | None:
    """The newest checkpoint that is whole, or None. Ours.

    Args:
      like: NumPy tree of the expected structure, shapes and types.
      accept: called with each note before its arrays are read.

    Returns:
      The checkpoint. A damaged one is named in the log and put aside, and the
      one before it tried.

    Raises:
      UserError: what `accept` raised, or why none can be read at present;
        nothing is put aside.
    """
    for index in sorted(self._manager.all_steps(), reverse=True):
      try:
        return self.read(index, like, accept=accept)
      except UserError:
        raise
      except Exception as error:  # orbax raises many kinds for a damaged file
        reason = str(error).strip().split("\n")[0][:200]
        if _is_passing(error):
          raise UserError(
            f"Checkpoint {index} in {self._manager.directory} cannot be read at"
            f" present ({reason or type(error).__name__}): nothing is lost;"
            " mend that, and give the same command again."
          ) from error
        logging.warning(
          "Checkpoint %d in %s cannot be used (%s): it is put aside as"
          " damaged_checkpoint_%d, and the one before it is tried.",
          index,
          self._manager.directory,
          reason,
          index,
        )
        self._put_aside(index)
    return None

  def _put_aside(self, index):
    folder = pathlib.Path(self._manager.directory)
    put_aside(
      folder / str(index), folder.parent / f"damaged_checkpoint_{index}"
    )
    self.damaged += 1
    self._manager.reload()

  def read(
    self,
    index: int,
    like: Tree,
    *,
    accept: Callable[[dict[str, Any]], None] = lambda note: None,
  ) -> Restored:
    """The checkpoint of one index. Ours.

    Args:
      index: of `steps_saved`.
      like: as for `restore`.
      accept: likewise.

    Raises:
      UserError: what `accept` raised.
      Exception: of many kinds, where it is missing or damaged.
    """
    leaves, treedef = jax.tree.flatten(like)
    # The note first: whether the arrays are wanted at all stands in it. And a
    # flipped digit in it is still JSON, and another offset.
    note = dict(
      self._manager.restore(
        index, args=ocp.args.Composite(note=ocp.args.JsonRestore())
      ).note
    )
    if note.pop("note_digest", None) != fingerprint(note):
      raise ValueError(
        "its note differs from the digest taken when it was saved"
      )
    accept(note)
    size = sum(np.asarray(x).nbytes for x in leaves)
    read = self._manager.restore(
      index,
      args=ocp.args.Composite(
        state=ocp.args.StandardRestore({PACKED: np.zeros(size, np.uint8)})
      ),
    )
    tree = treedef.unflatten(
      packing.unpack(np.asarray(read.state[PACKED]), leaves)
    )
    if digest(tree) != note["digest"]:
      raise ValueError(
        "its bytes differ from the digest taken when it was saved"
      )
    return Restored(tree, note)
