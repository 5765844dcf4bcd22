"""A tiny CIFAR-10: an archive in the official layout, and what is in it."""

import functools
import hashlib
import io
import pathlib
import tarfile

import numpy as np
from tensorflow_datasets.core.download import checksums

from lro_jax.vision import prepare

PER_FILE = 4
FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]


@functools.cache
def arrays() -> dict[str, np.ndarray]:
  """Pixels and labels of the archive, in its order."""
  draw = np.random.default_rng(0)
  n, m = 5 * PER_FILE, PER_FILE
  return {
    "x_train": draw.integers(0, 256, (n, 32, 32, 3), np.uint8),
    "y_train": draw.integers(0, 10, n, np.int32),
    "x_test": draw.integers(0, 256, (m, 32, 32, 3), np.uint8),
    "y_test": draw.integers(0, 10, m, np.int32),
  }


def files() -> dict[str, bytes]:
  """What is in the archive's files, by name."""
  a = arrays()
  x = np.concatenate([a["x_train"], a["x_test"]])
  y = np.concatenate([a["y_train"], a["y_test"]])
  records = [
    bytes([label]) + image.transpose(2, 0, 1).tobytes()
    for image, label in zip(x, y, strict=True)
  ]
  content = {
    name: b"".join(records[i * PER_FILE : (i + 1) * PER_FILE])
    for i, name in enumerate(FILES)
  }
  names = [f"class{i}" for i in range(10)]
  return content | {"batches.meta.txt": "\n".join(names).encode() + b"\n\n"}


def write(path: pathlib.Path, content: dict[str, bytes | None]) -> None:
  """Packs files as the official archive does; those that are None are not."""
  with tarfile.open(path, "w:gz") as tar:
    for name, data in content.items():
      if data is None:
        continue
      info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
      info.size = len(data)
      tar.addfile(info, io.BytesIO(data))


def builder_class(path: pathlib.Path, size: int | None = None) -> type:
  """The builder for which this archive is the official one."""
  data = path.read_bytes()
  info = checksums.UrlInfo(
    size=len(data) if size is None else size,
    checksum=hashlib.sha256(data).hexdigest(),
    filename="cifar-10-binary.tar.gz",
  )

  class Cifar10(prepare.Cifar10, skip_registration=True):
    name = "cifar10"
    url_infos = {url: info for url in prepare.Cifar10.url_infos}

  return Cifar10


def prepared(folder: pathlib.Path) -> str:
  """Prepares the tiny CIFAR-10 in a folder; what the program says of it."""
  path = folder / "tiny.tar.gz"
  write(path, files())
  return prepare.prepare(
    str(folder / "tfds"), str(path), builder_class=builder_class(path)
  )
