"""What a run writes down: metrics.jsonl, run.json, config.json.

metrics.jsonl has one flat JSON object per evaluation and seed, so that
`pandas.read_json(path, lines=True)` reads it:

  {"step": 400, "seed": 0, "event": null, "train_loss/m1": 0.41, ...}

`event` names the latch that closed at this step ('anneal', 'stop', 'diverge')
or the milestone known beforehand that this evaluation stands at, and is null
otherwise. Times stand in run.json only: an interrupted and continued run writes
the same metrics.jsonl byte for byte, where the device repeats its sums.
"""

import io
import json
import math
import os
import pathlib
import uuid
from typing import Any

import numpy as np

from lro_jax.core.schema import UserError

METRICS, RUN, CONFIG = "metrics.jsonl", "run.json", "config.json"


def plain(value: Any) -> Any:
  """`value` as JSON can hold it; NaN and infinities become null. Ours."""
  if isinstance(value, dict):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [plain(v) for v in value]
  if isinstance(value, np.generic | np.ndarray):
    return plain(value.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def write_json(path: pathlib.Path, value: Any) -> None:
  """Replaces a JSON file whole; see `write_bytes`. Ours."""
  text = json.dumps(plain(value), indent=1, sort_keys=True)
  write_bytes(path, f"{text}\n".encode())


def write_bytes(path: pathlib.Path, content: bytes) -> None:
  """Replaces a file whole: a reader sees the old or the new. Ours."""
  path.parent.mkdir(parents=True, exist_ok=True)
  # A name of its own: two processes may write the same file.
  partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
  try:
    with open(partial, "wb") as f:
      f.write(content)
      f.flush()
      os.fsync(f.fileno())
    os.replace(partial, path)
  except BaseException:
    partial.unlink(missing_ok=True)
    raise


def npz(content: dict[str, np.ndarray]) -> bytes:
  """The bytes of an .npz without pickles. Ours.

  Args:
    content: name -> array, [...].

  Raises:
    TypeError: an array holds Python objects.
  """
  buffer = io.BytesIO()
  if any(np.asarray(array).dtype.hasobject for array in content.values()):
    raise TypeError("an array of Python objects would be pickled")
  np.savez_compressed(buffer, **content)
  return buffer.getvalue()


def read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
  """All arrays of an .npz; pickled objects are never loaded. Ours.

  Returns:
    name -> array, [...].

  Raises:
    ValueError: it cannot be read, in one sentence why.
  """
  try:
    # From memory: NumPy leaves the file of a damaged archive open.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
      content = {name: file[name] for name in file.files}
  except Exception as error:  # zipfile and NumPy raise many kinds
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise ValueError(lines[0][:200]) from error
  # What does not begin as an array does comes back as the file's bytes.
  others = [name for name, x in content.items() if isinstance(x, bytes)]
  if others:
    raise ValueError(f"{others[0][:100]!r} in it is no array")
  return content


def read_json(path: pathlib.Path) -> Any:
  """Reads a JSON file. Ours.

  Raises:
    UserError: it is no JSON.
  """
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise UserError(
      f"{path} is not readable as JSON ({error}): delete this run's folder to"
      " run it again."
    ) from error


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
  """Rows of a metrics.jsonl; a torn last line is left out. Ours.

  Raises:
    UserError: a line before the last is no JSON.
  """
  if not path.exists():
    return []
  lines = path.read_bytes().split(b"\n")
  # What follows the last newline is empty, or a line cut short by a kill.
  try:
    return [json.loads(line) for line in lines[:-1]]
  except ValueError as error:
    raise UserError(
      f"{path} has a line that is not readable as JSON ({error}): delete this"
      " run's folder to run it again."
    ) from error


class MetricsWriter:
  """Appends rows to a metrics.jsonl."""

  def __init__(self, path: pathlib.Path, offset: int = 0):
    """Opens for appending, forgetting what was written past `offset` bytes.

    Args:
      path: the file; made if missing.
      offset: length at the checkpoint that the run continues from.

    Raises:
      UserError: the file is shorter than `offset`: rows were lost.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unbuffered: what a full disk refuses is not tried again at the close.
    self._file = open(path, "ab", buffering=0)
    length = self._file.seek(0, os.SEEK_END)
    if length < offset:
      # Truncating would lengthen it, with zeros for rows.
      self._file.close()
      raise UserError(
        f"{path} has {length} bytes, but had {offset} when its run was saved:"
        " delete this run's folder to run it again."
      )
    self._file.truncate(offset)
    self._file.seek(0, os.SEEK_END)

  def __enter__(self):
    return self

  def __exit__(self, *unused):
    self.close()

  @property
  def offset(self) -> int:
    """Bytes written so far, all on disk."""
    os.fsync(self._file.fileno())
    return self._file.tell()

  def write(
    self, *, step: int, seed: int, event: str | None, values: dict[str, float]
  ) -> None:
    """Writes one row.

    Raises:
      OSError: it could not be written whole; a torn line is no row.
    """
    row = {"step": int(step), "seed": int(seed), "event": event} | plain(values)
    left = json.dumps(row).encode() + b"\n"
    while left:
      left = left[self._file.write(left) :]

  def close(self) -> None:
    """Closes the file."""
    self._file.close()
