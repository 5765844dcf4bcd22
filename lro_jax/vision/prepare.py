r"""Prepares CIFAR-10 for tensorflow-datasets, without TensorFlow.

  python -m lro_jax.vision.prepare --data_dir=DIR
  python -m lro_jax.vision.prepare --data_dir=DIR --tar=cifar-10-binary.tar.gz

The first downloads the official archive from where tensorflow-datasets has it,
the second takes a copy that is there already; either is held against the
checksum that tensorflow-datasets has for it. What is written, DIR/cifar10, is
what tensorflow-datasets itself writes as array_record: the same records under
the same keys.
"""

import contextlib
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator

import numpy as np
from absl import flags

from lro_jax.core import cli
from lro_jax.core.schema import UserError

RECORD = 1 + 3072  # a label, and the three planes of 32 x 32 pixels


def builder_class():
  """tensorflow-datasets' Cifar10 with the steps replaced that need TensorFlow.

  Ours: those that unpack the archive, read its files and encode its images. Url
  and checksum are its own.
  """
  from PIL import Image
  from tensorflow_datasets.image_classification import cifar

  class Cifar10(cifar.Cifar10, skip_registration=True):
    """CIFAR-10."""

    name = "cifar10"
    # Looked up beside a class' own file, where a subclass has none: without
    # this line no checksum would be compared.
    url_infos = cifar.Cifar10.url_infos

    def _split_generators(self, dl_manager):
      archive = dl_manager.download(self._cifar_info.url)
      files = _members(pathlib.Path(archive))
      info = self._cifar_info

      def content(name):
        return files[info.prefix + name]

      names = content(info.label_files[0]).decode().split()
      self.info.features["label"].names = names
      return {
        "train": self._generate_examples(
          "train_", [content(name) for name in info.train_files]
        ),
        "test": self._generate_examples(
          "test_", [content(name) for name in info.test_files]
        ),
      }

    def _generate_examples(self, split_prefix, filepaths):
      index = 0
      for content in filepaths:
        records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
        for record in records:
          planes = record[1:].reshape(3, 32, 32)
          yield (
            index,
            {
              "id": f"{split_prefix}{index:05d}",
              "image": Image.fromarray(planes.transpose(1, 2, 0)),
              "label": int(record[0]),
            },
          )
          index += 1

  return Cifar10


def _members(archive: pathlib.Path) -> dict[str, bytes]:
  """Content of every file of a .tar.gz by name."""
  with tarfile.open(archive) as tar:
    return {
      member.name: tar.extractfile(member).read()
      for member in tar
      if member.isfile()
    }


@contextlib.contextmanager
def _folder_with(tar: str | None, url: str) -> Iterator[str | None]:
  """A folder that holds the archive under the name in its url, or None."""
  if tar is None:
    yield None
    return
  source = pathlib.Path(tar)
  if not source.is_file():
    raise UserError(
      f"Got --tar={tar}, but there is no such file: name the official"
      f" {url.rsplit('/', 1)[-1]}, or leave it out to download it."
    )
  with tempfile.TemporaryDirectory() as name:
    os.symlink(source.resolve(), pathlib.Path(name) / url.rsplit("/", 1)[-1])
    yield name


def prepare(data_dir: str, tar: str | None = None, make=builder_class) -> str:
  """Prepares CIFAR-10 in a folder; says what is there then. Ours.

  Args:
    data_dir: tensorflow-datasets' folder; made if missing.
    tar: the archive, None to download it.
    make: gives the builder's class; for tests.

  Raises:
    UserError: no archive, one of another checksum or content, no network, or a
      folder that cannot be written.
  """
  from tensorflow_datasets.core.download import download_manager

  try:
    builder = make()(data_dir=data_dir, file_format="array_record")
  except OSError as error:
    raise UserError(
      f"Cannot use --data_dir={data_dir} ({error.strerror}): name a folder you"
      " may write to."
    ) from error
  if builder.is_prepared():
    return f"CIFAR-10 is prepared in {builder.data_dir} already."
  url = builder._cifar_info.url
  try:
    with _folder_with(tar, url) as folder:
      builder.download_and_prepare(
        download_config=download_manager.DownloadConfig(manual_dir=folder)
      )
  except download_manager.NonMatchingChecksumError as error:
    raise UserError(
      f"{tar or url} is not the official archive (its checksum differs from the"
      f" one tensorflow-datasets has): get {url} again and name it by --tar."
    ) from error
  except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
    raise UserError(
      f"{tar or url} cannot be unpacked ({str(error)[:200]!r}): get {url} again"
      " and name it by --tar."
    ) from error
  except OSError as error:
    # requests' errors of a network that is not there are OSErrors, too.
    raise UserError(
      f"Cannot prepare CIFAR-10 in {data_dir} ({str(error)[:200]!r}): where"
      f" there is no network, fetch {url} elsewhere and name it by --tar; the"
      " folder must be writable, with 400 MB of room."
    ) from error
  counts = {name: s.num_examples for name, s in builder.info.splits.items()}
  return f"CIFAR-10 is prepared in {builder.data_dir}: {counts}."


def main() -> None:
  """Entry point. Ours."""
  data_dir = flags.DEFINE_string(
    "data_dir", None, "tensorflow-datasets' folder; made if missing."
  )
  tar = flags.DEFINE_string(
    "tar", None, "The official cifar-10-binary.tar.gz, if it is here already."
  )
  cli.run(
    lambda: print(prepare(data_dir.value, tar.value)),
    required=("data_dir",),
    example="python -m lro_jax.vision.prepare --data_dir=DIR",
  )


if __name__ == "__main__":
  main()
