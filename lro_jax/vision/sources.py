"""Where images come from: tensorflow-datasets, an .npz of one's own, or a draw.

Whatever the source, images are uint8 [n, h, w, ch] and labels int32 [n] in one
stable order. Nothing is ever downloaded here: `lro_jax.vision.prepare` does it.
"""

import functools
import json
import pathlib
import re
import struct
from typing import NamedTuple

import numpy as np
from absl import logging

from lro_jax.core import metrics
from lro_jax.core.schema import UserError

CIFAR10, SYNTHETIC = "cifar10", "synthetic"
KEYS = ("x_train", "y_train", "x_test", "y_test")
CACHE = "lro_jax_arrays.npz"
SLICE = 5000
SYNTHETIC_SIZES = (512, 256)


class Images(NamedTuple):
  """A dataset in memory.

  Attributes:
    x_train: uint8 [n, h, w, ch].
    y_train: int32 [n], 0 to num_classes - 1.
    x_test: uint8 [m, h, w, ch].
    y_test: int32 [m].
    label: what the dataset says it is.
    num_classes: number of classes.
  """

  x_train: np.ndarray
  y_train: np.ndarray
  x_test: np.ndarray
  y_test: np.ndarray
  label: str
  num_classes: int


@functools.lru_cache(maxsize=2)
def read(source: str, data_dir: str) -> Images:
  """The images of a source, read once per process. Ours.

  Args:
    source: 'cifar10', 'synthetic', or the path of an .npz.
    data_dir: tensorflow-datasets' folder; '' for its own default.

  Raises:
    UserError: they are not there, or not as they must be.
  """
  if source == SYNTHETIC:
    return synthetic()
  if source == CIFAR10:
    return _read_cifar10(data_dir)
  return read_npz(source)


def synthetic(sizes: tuple[int, int] = SYNTHETIC_SIZES) -> Images:
  """Ten classes of coloured waves in noise, 32 x 32: learnable, no data. Ours.

  Args:
    sizes: number of training and of test images.
  """
  draw = np.random.default_rng(0)
  place = np.linspace(0, 2 * np.pi, 32)
  waves = draw.integers(1, 4, (10, 2))
  colour = draw.uniform(-1, 1, (10, 3))

  def some(n):
    y = draw.permutation(np.arange(n, dtype=np.int32) % 10)
    across = waves[y, 0, None, None] * place
    down = waves[y, 1, None, None] * place[:, None]
    pattern = np.sin(across + down)[..., None] * colour[y][:, None, None]
    noise = draw.normal(0, 40, (n, 32, 32, 3))
    return np.clip(128 + 60 * pattern + noise, 0, 255).astype(np.uint8), y

  train, test = some(sizes[0]), some(sizes[1])
  return Images(*train, *test, "synthetic images", 10)


def read_npz(path: str) -> Images:
  """A user's own images. Ours.

  Args:
    path: an .npz with x_train, x_test: uint8 [n, h, w, ch], ch 1 or 3, and
      y_train, y_test: integers [n], 0 to C - 1.

  Raises:
    UserError: missing, damaged, pickled, or not as above.
  """
  if not pathlib.Path(path).is_file():
    raise UserError(
      f"Got data.source {path}, but there is no such file: name an .npz with"
      f" {', '.join(KEYS)}."
    )
  try:
    arrays = metrics.read_npz(pathlib.Path(path))
  except ValueError as error:
    raise UserError(
      f"Cannot read data.source {path} ({error}): it must be an"
      f" .npz without pickled objects that holds {', '.join(KEYS)}."
    ) from error
  missing = [name for name in KEYS if name not in arrays]
  if missing:
    raise UserError(
      f"data.source {path} lacks {', '.join(missing)}: it must hold"
      f" {', '.join(KEYS)}."
    )
  wrong = _first_wrong(arrays)
  if wrong:
    raise UserError(f"data.source {path} has {wrong}.")
  x_train, y_train, x_test, y_test = (arrays[name] for name in KEYS)
  return Images(
    x_train,
    y_train.astype(np.int32),
    x_test,
    y_test.astype(np.int32),
    f"file {pathlib.Path(path).name}",
    int(y_train.max()) + 1,
  )


def _first_wrong(arrays: dict[str, np.ndarray]) -> str | None:
  """What is wrong with a user's arrays, and what is allowed, or None."""
  for part in ("train", "test"):
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or x.dtype != np.uint8:
      return (
        f"x_{part} {x.dtype}{x.shape}: images must be uint8 [n, h, w, 3] (or 1"
        " channel)"
      )
    if y.ndim != 1 or y.dtype.kind not in "iu" or len(y) != len(x):
      return (
        f"y_{part} {y.dtype}{y.shape} for {len(x)} images: labels must be"
        " integers, one for each image"
      )
    if not len(x):
      return f"no image in x_{part}: give at least one"
    if y.min() < 0 or y.max() >= 2**16:
      return (
        f"labels from {y.min()} to {y.max()} in y_{part}: they must be 0 to C -"
        " 1 for C classes"
      )
  train, test = arrays["x_train"], arrays["x_test"]
  if train.shape[1:] != test.shape[1:]:
    return (
      f"training images of {train.shape[1:]} and test images of"
      f" {test.shape[1:]}: they must be of one size"
    )
  if min(train.shape[1:3]) < 4:
    return f"images of {train.shape[1:]}: the net needs 4 x 4 pixels or more"
  present = np.unique(arrays["y_train"])
  if len(present) != present[-1] + 1:
    absent = sorted(set(range(int(present[-1]))) - set(present.tolist()))
    return (
      f"labels up to {present[-1]} in y_train but none with {absent[0]}: they"
      " must be 0 to C - 1, each class with an example"
    )
  if arrays["y_test"].max() > present[-1]:
    return (
      f"label {arrays['y_test'].max()} in y_test, which y_train (0 to"
      f" {present[-1]}) does not know: every class needs a training example"
    )
  return None


def _read_cifar10(data_dir: str) -> Images:
  """tensorflow-datasets' cifar10, by way of a cache beside it."""
  # Only who reads it needs tensorflow-datasets.
  import tensorflow_datasets as tfds

  before = logging.get_verbosity()
  # It warns of a folder without a dataset, and of OpenCV's absence.
  logging.set_verbosity(logging.ERROR)
  try:
    builder = tfds.builder(CIFAR10, data_dir=data_dir or None)
    folder = pathlib.Path(builder.data_dir)
    if not builder.is_prepared():
      raise UserError(
        f"CIFAR-10 is not prepared in {folder.parent.parent}: run python -m"
        f" lro_jax.vision.prepare --data_dir={folder.parent.parent}, name"
        " another folder by data.dir or TFDS_DATA_DIR, or take images of your"
        " own by data.source=FILE.npz."
      )
    stamp = _stamp(folder)
    label = _says_of_itself(folder)
    cached = _from_cache(folder, stamp, label)
    if cached is not None:
      return cached
    try:
      parts = [_read_split(tfds, builder, s) for s in ("train", "test")]
    except Exception as error:  # the readers raise many kinds
      raise UserError(
        f"CIFAR-10 in {folder} cannot be read ({str(error)[:200]!r}): delete"
        " that folder and prepare it again with python -m"
        f" lro_jax.vision.prepare --data_dir={folder.parent.parent}."
      ) from error
  finally:
    logging.set_verbosity(before)
  images = Images(*parts[0], *parts[1], label, 10)
  _to_cache(folder, stamp, images)
  return images


def _says_of_itself(folder: pathlib.Path) -> str:
  """The first sentence of the description the dataset was written with."""
  # The registered builder overlays its own on what the folder says.
  record = json.loads((folder / "dataset_info.json").read_text())
  text = " ".join(record.get("description", CIFAR10).split())
  return re.split(r"(?<=[a-z)])\.(?:\s|$)", text)[0]


def _read_split(tfds, builder, split: str) -> tuple[np.ndarray, np.ndarray]:
  """Images and labels of a split in the order of their ids."""
  if builder.info.file_format == tfds.core.FileFormat.TFRECORD:
    records = _tfrecords(builder, split)
  else:
    source = builder.as_data_source(split=split)
    records = (
      record
      for start in range(0, len(source), SLICE)
      for record in source.__getitems__(
        range(start, min(start + SLICE, len(source)))
      )
    )
  found = sorted(
    (int(re.sub(rb"\D", b"", _bytes(r["id"]))), r["image"], int(r["label"]))
    for r in _one_by_one(records)
  )
  count = builder.info.splits[split].num_examples
  if len(found) != count:
    raise ValueError(f"{len(found)} of {count} {split} records")
  _, images, labels = zip(*found, strict=True)
  return np.stack(images), np.array(labels, np.int32)


def _bytes(text) -> bytes:
  return text if isinstance(text, bytes) else str(text).encode()


def _one_by_one(records):
  """Records with distinct ids, so that sorting never compares images."""
  seen = set()
  for record in records:
    if record["id"] in seen:
      raise ValueError(f"two records with the id {record['id']!r}")
    seen.add(record["id"])
    yield record


def _tfrecords(builder, split: str):
  """Records of a folder that TensorFlow's users have, read without it."""
  features = builder.info.features
  for path in builder.info.splits[split].filepaths:
    with open(path, "rb") as file:
      # [length, 8 bytes][its checksum, 4][payload][its checksum, 4]
      while head := file.read(12):
        (length,) = struct.unpack("<Q", head[:8])
        payload = file.read(length + 4)[:-4]
        yield features.deserialize_example_np(payload)


def _stamp(folder: pathlib.Path) -> str:
  """What changes when the dataset's files do."""
  files = sorted(p for p in folder.iterdir() if not p.name.startswith(CACHE))
  return json.dumps(
    [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
  )


def _from_cache(folder: pathlib.Path, stamp: str, label: str) -> Images | None:
  path = folder / CACHE
  try:
    file = metrics.read_npz(path)
    if str(file["stamp"]) != stamp:
      return None
    return Images(*(file[name] for name in KEYS), label, 10)
  except (ValueError, KeyError) as error:
    if path.exists():
      logging.error("%s is damaged (%s): it is written again.", path, error)
    return None


def _to_cache(folder: pathlib.Path, stamp: str, images: Images) -> None:
  try:
    metrics.write_bytes(
      folder / CACHE,
      metrics.npz(
        dict(zip(KEYS, images[:4], strict=True)) | {"stamp": np.array(stamp)},
        compressed=False,
      ),
    )
  except OSError as error:
    logging.warning(
      "No cache of the images in %s (%s): they are read anew by every process.",
      folder,
      error.strerror,
    )
