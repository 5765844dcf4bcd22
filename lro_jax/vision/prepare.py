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
import io
import pathlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator

import numpy as np
import requests
import tensorflow_datasets as tfds
from absl import flags
from PIL import Image
from tensorflow_datasets.core.download import checksums, download_manager
from tensorflow_datasets.image_classification import cifar

from lro_jax.core import cli
from lro_jax.core.schema import UserError
from lro_jax.vision import cifar10

SHAPE = (3, 32, 32)  # of an image in the archive, after its label, one byte
RECORD = 1 + 3 * 32 * 32
SECONDS = 10  # to wait for the server's first word


class Cifar10(cifar.Cifar10, skip_registration=True):
  """tensorflow-datasets' builder, less the steps that need TensorFlow.

  Those are to unpack the archive, to read its files and to encode its images.
  Url, checksum, features and keys are inherited.
  """

  name = cifar10.CIFAR10
  # tensorflow-datasets looks for them beside the file of the class.
  url_infos = cifar.Cifar10.url_infos

  @property
  def archive(self) -> tuple[str, checksums.UrlInfo]:
    """Where the archive is; its size, checksum and file name. Ours."""
    url = self._cifar_info.url
    return url, self.url_infos[url]

  def _split_generators(self, dl_manager):
    info = self._cifar_info
    names, *records = _unpack(
      pathlib.Path(dl_manager.download(info.url)),
      info.prefix,
      (*info.label_files, *info.train_files, *info.test_files),
    )
    self.info.features["label"].names = names.decode().split()
    count = len(info.train_files)
    return {
      "train": self._generate_examples("train_", records[:count]),
      "test": self._generate_examples("test_", records[count:]),
    }

  def _generate_examples(
    self, split_prefix: str, filepaths: list[bytes]
  ) -> Iterator[tuple[int, dict]]:
    """Keys and examples, from what is in the files rather than their paths."""
    for index, record in enumerate(_records(b"".join(filepaths))):
      pixels = record[1:].reshape(SHAPE).transpose(1, 2, 0)
      yield (
        index,
        {
          "id": f"{split_prefix}{index:05d}",
          # Of arrays, the encoder is TensorFlow's.
          "image": Image.fromarray(pixels),
          "label": int(record[0]),
        },
      )


def _records(content: bytes) -> np.ndarray:
  """Records of the archive's files, uint8 [n, RECORD]."""
  return np.frombuffer(content, np.uint8).reshape(-1, RECORD)


def _unpack(
  archive: pathlib.Path, prefix: str, names: tuple[str, ...]
) -> list[bytes]:
  """What is in the named files: class names in the first, then records."""
  try:
    with tarfile.open(archive) as tar:
      content = [tar.extractfile(prefix + name).read() for name in names]
    for name, some in zip(names[1:], content[1:], strict=True):
      if _records(some)[:, 0].max() >= cifar10.NUM_CLASSES:
        raise ValueError(f"{name} has a label above {cifar10.NUM_CLASSES - 1}")
  except Exception as error:  # tarfile, zlib and NumPy raise many kinds
    raise UserError(
      f"{archive.resolve()} is not the archive of CIFAR-10"
      f" ({cifar10.first_line(error)}): fetch it again and pass it by --tar."
    ) from error
  return content


def prepare(
  data_dir: str, tar: str | None = None, *, builder_class: type = Cifar10
) -> str:
  """Prepares CIFAR-10 in a folder; says what is there then. Ours.

  Args:
    data_dir: tensorflow-datasets' folder; made if missing.
    tar: the archive; None to download it.
    builder_class: a test's own, with the checksum of an archive of its own.

  Raises:
    UserError: no archive, one of another checksum or content, no network, or a
      folder that cannot be written.
  """
  place = pathlib.Path(data_dir).expanduser()
  # tensorflow-datasets prints sizes that it does not know.
  with cifar10.quiet(), contextlib.redirect_stdout(io.StringIO()):
    builder = _builder(builder_class, place)
    if builder.is_prepared():
      return f"CIFAR-10 is already prepared in {builder.data_dir}."
    _check_archive(builder.archive[0], tar)
    with _one_sentence(place, tar, *builder.archive):
      _check_room(place, builder.archive[1].size * (1 if tar else 2))
      _write(builder_class(data_dir=place, file_format="array_record"), tar)
    # Anew, from what is in the folder.
    sizes = _builder(builder_class, place).info.splits
  return (
    f"CIFAR-10 is prepared in {builder.data_dir}:"
    f" {sizes['train'].num_examples} training and"
    f" {sizes['test'].num_examples} test images."
  )


def _builder(builder_class: type, place: pathlib.Path) -> Cifar10:
  """The builder of a folder that has the dataset whole, or nothing of it."""
  try:
    builder = builder_class(data_dir=place)
    folder = pathlib.Path(builder.data_dir)
    if folder.exists() and not builder.is_prepared():
      raise ValueError("no dataset_info.json")
  except Exception as error:  # tensorflow-datasets' of a damaged folder
    raise UserError(
      f"{place / cifar10.CIFAR10} holds a damaged dataset"
      f" ({cifar10.first_line(error)}): delete that folder first."
    ) from error
  return builder


@contextlib.contextmanager
def _one_sentence(
  place: pathlib.Path, tar: str | None, url: str, info: checksums.UrlInfo
) -> Iterator[None]:
  """What goes wrong while preparing, as one can act on it."""
  try:
    yield
  except UserError:
    raise
  except download_manager.NonMatchingChecksumError as error:
    raise UserError(
      f"{tar or url} is not the archive that tensorflow-datasets knows: its"
      f" sha256 must be {info.checksum}; fetch {url} again and pass it by"
      f" --tar={info.filename}."
    ) from error
  except requests.RequestException as error:
    raise _offline(url, error) from error
  except Exception as error:  # of the writer, not all are OSErrors
    reason = getattr(error, "strerror", None) or cifar10.first_line(error)
    raise UserError(
      f"Cannot prepare CIFAR-10 in {place} ({reason}): give --data_dir a folder"
      " that can be written and has room."
    ) from error


def _check_archive(url: str, tar: str | None) -> None:
  """Refuses a missing file at once, and a missing network within seconds."""
  if tar is not None:
    if not pathlib.Path(tar).is_file():
      raise UserError(
        f"Got --tar={tar}, but there is no such file: fetch {url}, or leave out"
        " --tar to download it."
      )
    return
  # tensorflow-datasets would try for 200 seconds.
  try:
    with requests.get(url, stream=True, timeout=SECONDS) as answer:
      answer.raise_for_status()
  except requests.RequestException as error:
    raise _offline(url, error) from error
  print(f"Downloading {url}.", file=sys.stderr)


def _offline(url: str, error: Exception) -> UserError:
  name = url.rsplit("/", 1)[-1]
  return UserError(
    f"Cannot download {url} ({type(error).__name__}): fetch it where there is a"
    f" network and pass it by --tar={name}."
  )


def _check_room(place: pathlib.Path, size: int) -> None:
  place.mkdir(parents=True, exist_ok=True)
  free = shutil.disk_usage(place).free
  if free < size:
    raise UserError(
      f"Cannot prepare CIFAR-10 in {place}: it takes {size / 1e6:.0f} MB and"
      f" {free / 1e6:.0f} are free; make room, or give another --data_dir."
    )


def _write(builder: Cifar10, tar: str | None) -> None:
  if not sys.stderr.isatty():
    tfds.disable_progress_bar()
  _, info = builder.archive
  with tempfile.TemporaryDirectory() as folder:
    if tar is not None:
      # Found there by this name, a file is checked as a download is.
      link = pathlib.Path(folder) / info.filename
      link.symlink_to(pathlib.Path(tar).resolve())
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(manual_dir=folder)
    )


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
