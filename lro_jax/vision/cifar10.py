"""CIFAR-10 as tensorflow-datasets keeps it, read without TensorFlow.

Nothing is ever downloaded here: `lro_jax.vision.prepare` does that. Decoding
60,000 images takes seconds, so the arrays are kept in one file beside the
dataset.
"""

import contextlib
import json
import pathlib
import re
import shlex
import struct
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from lro_jax.core.schema import UserError
from lro_jax.vision.images import KEYS, Images

CIFAR10, NUM_CLASSES = "cifar10", 10
CACHE = "lro_jax_arrays.npz"
# Records decoded at once: fast, and no second copy of the dataset in memory.
SLICE = 5000


def read(data_dir: str) -> Images:
  """All images in the order of their ids, by way of a cache. Ours.

  Args:
    data_dir: tensorflow-datasets' folder; '' for its own default.

  Raises:
    UserError: the dataset is not prepared there, or cannot be read.
  """
  builder = _builder(data_dir)
  folder = pathlib.Path(builder.data_dir)
  try:
    stamp, label = _stamp(folder), _says_of_itself(folder)
    arrays = _from_cache(folder, stamp)
    if arrays is None:
      with quiet():
        arrays = _read_split(builder, "train") | _read_split(builder, "test")
      _to_cache(folder, stamp, arrays)
  except MemoryError:
    raise
  except (PermissionError, ImportError) as error:
    raise UserError(
      f"CIFAR-10 in {folder} cannot be read ({first_line(error)}): see that it"
      " may be read, and that tensorflow-datasets is installed whole."
    ) from error
  except Exception as error:  # the readers raise many kinds
    raise _unreadable(folder, error) from error
  return Images(**arrays, label=label, num_classes=NUM_CLASSES)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps tensorflow-datasets' warnings of what is no fault to itself. Ours."""
  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def first_line(error: Exception) -> str:
  """What an error says, as part of a sentence. Ours."""
  return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def command(data_dir: pathlib.Path) -> str:
  """The command that prepares CIFAR-10 in a folder. Ours."""
  folder = shlex.quote(str(data_dir))
  return f"python -m lro_jax.vision.prepare --data_dir={folder}"


def _builder(data_dir: str) -> Any:
  """tensorflow-datasets' builder of a prepared dataset."""
  try:
    # A host without it can train on images of its own.
    import tensorflow_datasets as tfds
  except ImportError as error:
    raise UserError(
      f"Got data.source {CIFAR10}, but {first_line(error)}: install"
      " tensorflow-datasets, or take images of your own by"
      " --config.data.source=FILE.npz."
    ) from error
  try:
    with quiet():
      builder = tfds.builder(CIFAR10, data_dir=data_dir or None)
      prepared = builder.is_prepared()
  except MemoryError:
    raise
  except Exception as error:  # what a damaged folder raises is not documented
    place = data_dir or tfds.core.constants.DATA_DIR
    raise _unreadable(pathlib.Path(place) / CIFAR10, error) from error
  if not prepared:
    place = pathlib.Path(builder.data_dir).parent.parent
    raise UserError(
      f"CIFAR-10 is not prepared in {place}: run {command(place)}, name another"
      " folder by --config.data.dir or TFDS_DATA_DIR, or take images of your"
      " own by --config.data.source=FILE.npz."
    )
  return builder


def _unreadable(folder: pathlib.Path, error: Exception) -> UserError:
  place = next(p for p in (folder, *folder.parents) if p.name == CIFAR10).parent
  return UserError(
    f"CIFAR-10 in {folder} cannot be read ({first_line(error)}): delete that"
    f" folder and run {command(place)}."
  )


def _says_of_itself(folder: pathlib.Path) -> str:
  """The first sentence of the description the dataset was written with."""
  # The registered builder overlays its own on what the folder says.
  record = json.loads((folder / "dataset_info.json").read_bytes())
  text = " ".join(record.get("description", "CIFAR-10").split())
  return re.split(r"\.(?: (?=[A-Z])|$)", text)[0]


def _read_split(builder, split: str) -> dict[str, np.ndarray]:
  if builder.info.file_format.value == "tfrecord":
    records = _tfrecords(builder, split)
  else:
    records = _array_records(builder, split)
  found = {
    int(re.sub(r"\D", "", _text(record["id"]))): (
      record["image"],
      int(record["label"]),
    )
    for record in records
  }
  count = builder.info.splits[split].num_examples
  if len(found) != count:
    raise ValueError(f"{len(found)} distinct {split} records of {count}")
  order = sorted(found)
  return {
    f"x_{split}": np.stack([found[i][0] for i in order]),
    f"y_{split}": np.array([found[i][1] for i in order], np.int32),
  }


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _array_records(builder, split: str) -> Iterator[dict[str, Any]]:
  source = builder.as_data_source(split=split)
  for start in range(0, len(source), SLICE):
    yield from source.__getitems__(
      range(start, min(start + SLICE, len(source)))
    )


def _tfrecords(builder, split: str) -> Iterator[dict[str, Any]]:
  """Records as tensorflow-datasets writes them where TensorFlow is there."""
  for path in builder.info.splits[split].filepaths:
    with open(path, "rb") as file:
      # Length, 8 bytes; its checksum, 4; what is in it; its checksum, 4.
      while head := file.read(12):
        (length,) = struct.unpack("<Q", head[:8])
        payload = file.read(length)
        if len(payload) + len(file.read(4)) != length + 4:
          raise ValueError(f"{pathlib.Path(path).name} ends within a record")
        yield builder.info.features.deserialize_example_np(payload)


def _stamp(folder: pathlib.Path) -> str:
  """What changes when the dataset's files do."""
  files = sorted(p for p in folder.iterdir() if not p.name.startswith(CACHE))
  return json.dumps(
    [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
  )


def _from_cache(
  folder: pathlib.Path, stamp: str
) -> dict[str, np.ndarray] | None:
  path = folder / CACHE
  if not path.exists():
    return None
  try:
    # Opened here: NumPy leaves the file of a damaged archive open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
      if str(arrays["stamp"]) != stamp:
        return None
      return {name: arrays[name] for name in KEYS}
  except Exception as error:  # zipfile and NumPy raise many kinds
    logging.warning("%s is ignored: %s.", path, first_line(error))
    return None


def _to_cache(
  folder: pathlib.Path, stamp: str, arrays: dict[str, np.ndarray]
) -> None:
  # Several runs may start at once: each writes a file of its own.
  partial = folder / f"{CACHE}.{uuid.uuid4().hex}.partial"
  try:
    try:
      with open(partial, "wb") as file:
        np.savez(file, stamp=np.array(stamp), **arrays)
      partial.replace(folder / CACHE)
    finally:
      partial.unlink(missing_ok=True)
  except OSError as error:
    logging.warning(
      "Every run decodes the images anew, for want of a cache in %s: %s.",
      folder,
      error.strerror,
    )
