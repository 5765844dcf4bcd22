"""Images in memory: a user's own, or drawn ones that need no dataset.

Whatever they come from, images are uint8 [n, h, w, ch] and labels int32 [n] in
one stable order.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from lro_jax.core import metrics
from lro_jax.core.schema import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")
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
  # Where pathlib raises, as for too long a name, there is no file either.
  if not os.path.isfile(path):
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
  return make(
    *(arrays[name] for name in KEYS),
    label=f"file {pathlib.Path(path).name}",
    name=path,
  )


def make(
  x_train: np.ndarray,
  y_train: np.ndarray,
  x_test: np.ndarray,
  y_test: np.ndarray,
  *,
  label: str,
  name: str,
) -> Images:
  """Images out of a user's arrays, if they are what they must be. Ours.

  Args:
    x_train: uint8 [n, h, w, ch], ch 1 or 3.
    y_train: integers [n], 0 to C - 1, each of them at least once.
    x_test: uint8 [m, h, w, ch].
    y_test: integers [m], 0 to C - 1.
    label: what the dataset says it is.
    name: as `data.source` has it, for messages.

  Raises:
    UserError: they are not as above.
  """
  arrays = dict(zip(KEYS, (x_train, y_train, x_test, y_test), strict=True))
  wrong = _first_wrong(arrays)
  if wrong:
    raise UserError(f"data.source {name} has {wrong}.")
  y_train, y_test = y_train.astype(np.int32), y_test.astype(np.int32)
  num_classes = int(y_train.max()) + 1
  return Images(x_train, y_train, x_test, y_test, label, num_classes)


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
