"""Which images train, validate and test, and how pixels become inputs."""

import functools
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import prng
from lro_jax.core.prng import Stream
from lro_jax.core.registry import Registry
from lro_jax.core.schema import UserError
from lro_jax.core.task import Array
from lro_jax.vision import cifar10
from lro_jax.vision import images as images_lib
from lro_jax.vision.cifar10 import CIFAR10
from lro_jax.vision.images import Images

SYNTHETIC = "synthetic"
# (data.dir) -> the images; the path of an .npz needs no entry.
SOURCES: Registry[Callable[[str], Images]] = Registry(
  "data.source",
  {
    CIFAR10: lambda folder: cifar10.read(folder),
    SYNTHETIC: lambda _: images_lib.synthetic(),
  },
  besides="a path that ends in .npz",
)
# Draws of the DATA and EVAL streams, far from the small numbers of others.
MEMBER_TAG, BANK_TAG, SPLIT_TAG = 2**30, 2**30 + 1, 2**30 + 2


class Split(NamedTuple):
  """Places in the dataset, int [n] each.

  Attributes:
    train_index: of the training examples.
    validation_index: of those held out of training.
    test_index: of the test images, among the test images.
  """

  train_index: np.ndarray
  validation_index: np.ndarray
  test_index: np.ndarray


def reader(source: str) -> Callable[[str], Images]:
  """What reads a source, given `data.dir`. Reads nothing itself. Ours.

  Args:
    source: out of `SOURCES`, or the path of an .npz.

  Raises:
    UserError: neither.
  """
  if source not in SOURCES and source.endswith(".npz"):
    return lambda _: images_lib.read_npz(source)
  return SOURCES.find(source)


@functools.lru_cache(maxsize=2)
def read(source: str, data_dir: str) -> Images:
  """The images of a source, read once per process. Ours.

  Args:
    source: out of `SOURCES`, or the path of an .npz.
    data_dir: tensorflow-datasets' folder; '' for its own default.

  Raises:
    UserError: they are not there, or not as they must be.
  """
  return reader(source)(data_dir)


def statistics(
  x: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and standard deviation of each channel's pixels. Paper, H.

  Args:
    x: uint8 [n, h, w, ch].
  """
  # By counting: exact, and no copy of the images in floats.
  mean, std = [], []
  level = np.arange(256)
  for channel in np.moveaxis(x, -1, 0):
    share = np.bincount(channel.ravel(), minlength=256) / channel.size
    mean.append(float(share @ level))
    std.append(float(np.sqrt(share @ (level - mean[-1]) ** 2)))
  return tuple(mean), tuple(std)


def normalize(
  x: Array, mean: tuple[float, ...], std: tuple[float, ...]
) -> Array:
  """(x - mean) / std, float32 [..., ch]. Paper, H; authors' code: data_util.py.

  Args:
    x: pixels, uint8 [..., ch].
    mean: of the pixels, one number or one for each channel, in [0, 255].
    std: likewise.
  """
  return (x.astype(jnp.float32) - jnp.float32(mean)) / jnp.float32(std)


def _order(seed: int, stream: Stream, total: int) -> np.ndarray:
  key = prng.stream_key(prng.root_key(seed), stream)
  key = jax.random.fold_in(key, SPLIT_TAG)
  return np.asarray(jax.random.permutation(key, total))


def split(
  images: Images,
  *,
  seed: int,
  num_train: int,
  num_validation: int,
  num_test: int,
) -> Split:
  """Draws subsets; those of one seed are nested. H.2's controls.

  Args:
    images: the dataset.
    seed: the run's seed.
    num_train: how many train; 0 for all that are not held out.
    num_validation: how many training images are held out; the same ones for
      any `num_train`.
    num_test: how many test images are used; 0 for all.

  Raises:
    UserError: more are asked for than there are.
  """
  total, total_test = len(images.y_train), len(images.y_test)
  if num_validation >= total:
    raise UserError(
      f"Got data.num_validation {num_validation} of {total} training images:"
      " hold out fewer."
    )
  for field, asked, there in (
    ("data.num_train", num_train, total - num_validation),
    ("data.num_test", num_test, total_test),
  ):
    if asked > there:
      raise UserError(
        f"Got {field} {asked}, but there are {there}: ask for at most that, or"
        " 0 for all."
      )
  order = _order(seed, Stream.DATA, total)
  held, rest = order[:num_validation], order[num_validation:]
  test = _order(seed, Stream.EVAL, total_test)
  # Drawn even where all are taken: the first few of them are scored apart.
  return Split(rest[: num_train or None], held, test[: num_test or None])


def digest(images: Images, split: Split) -> str:
  """sha256 of the images a run uses, their labels and their order. Ours."""
  sha = hashlib.sha256()
  for x, y, index in (
    (images.x_train, images.y_train, split.train_index),
    (images.x_train, images.y_train, split.validation_index),
    (images.x_test, images.y_test, split.test_index),
  ):
    sha.update(f"{x.shape[1:]}{len(index)}".encode())
    sha.update(np.ascontiguousarray(x[index]).tobytes())
    sha.update(np.ascontiguousarray(y[index], "<i4").tobytes())
    sha.update(np.ascontiguousarray(index, "<i8").tobytes())
  return sha.hexdigest()
