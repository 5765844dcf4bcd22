"""What is prepared reads back as the archive's pixels and labels."""

import hashlib
import io
import json
import pathlib
import struct
import sys
import tarfile
import tempfile
import warnings
from unittest import mock

import numpy as np
from absl.testing import absltest

from lro_jax.vision import prepare, sources
from tests import testing

PER_FILE = 4
CLASSES = [f"class{i}" for i in range(10)]


def batches():
  """Six files of four records: labels [6, 4], images [6, 4, 32, 32, 3]."""
  draw = np.random.default_rng(0)
  return (
    draw.integers(0, 10, (6, PER_FILE), np.uint8),
    draw.integers(0, 256, (6, PER_FILE, 32, 32, 3), np.uint8),
  )


def write_archive(path):
  """An archive in the layout of the official one."""
  labels, images = batches()
  names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
  content = {"batches.meta.txt": "\n".join(CLASSES).encode() + b"\n\n"}
  for name, y, x in zip(names, labels, images, strict=True):
    content[name] = b"".join(
      bytes([label]) + image.transpose(2, 0, 1).tobytes()
      for label, image in zip(y, x, strict=True)
    )
  with tarfile.open(path, "w:gz") as tar:
    for name, data in content.items():
      info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
      info.size = len(data)
      tar.addfile(info, io.BytesIO(data))


def made_for(archive):
  """The builder's class, with the checksum of this archive."""
  from tensorflow_datasets.core.download import checksums

  class Cifar10(prepare.builder_class(), skip_registration=True):
    name = "cifar10"

    url_infos = {
      "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": (
        checksums.UrlInfo(
          checksum=hashlib.sha256(archive.read_bytes()).hexdigest(),
          size=archive.stat().st_size,
          filename="cifar-10-binary.tar.gz",
        )
      )
    }

  return Cifar10


class PrepareTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.folder = pathlib.Path(folder)
    cls.archive = cls.folder / "own.tar.gz"
    write_archive(cls.archive)
    cls.data_dir = str(cls.folder / "data")
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")
      cls.said = prepare.prepare(
        cls.data_dir, str(cls.archive), lambda: made_for(cls.archive)
      )

  def setUp(self):
    super().setUp()
    sources.read.cache_clear()

  @property
  def dataset(self):
    return pathlib.Path(self.data_dir) / "cifar10" / "3.0.2"

  def assert_reads_the_archive(self):
    images = sources.read("cifar10", self.data_dir)
    labels, pixels = batches()
    np.testing.assert_array_equal(
      images.x_train, pixels[:5].reshape(-1, 32, 32, 3)
    )
    np.testing.assert_array_equal(images.y_train, labels[:5].ravel())
    np.testing.assert_array_equal(images.x_test, pixels[5])
    np.testing.assert_array_equal(images.y_test, labels[5])
    self.assertIn("CIFAR-10", images.label)

  def test_what_was_prepared_reads_back_without_tensorflow(self):
    self.assertIn("'train': 20", self.said)
    self.assert_reads_the_archive()
    self.assertNotIn("tensorflow", sys.modules)

  def test_a_second_reading_takes_the_cache_until_the_files_change(self):
    self.assert_reads_the_archive()
    cache = self.dataset / sources.CACHE
    sources.read.cache_clear()
    with testing.forbidden(sources, "_read_split"):
      self.assert_reads_the_archive()
    (record,) = self.dataset.glob("*test*record*")
    record.touch()
    sources.read.cache_clear()
    with (
      testing.forbidden(sources, "_read_split"),
      self.assertRaisesRegex(Exception, "cannot be read"),
    ):
      sources.read("cifar10", self.data_dir)
    stamp = cache.stat().st_mtime_ns
    self.assert_reads_the_archive()
    self.assertGreater(cache.stat().st_mtime_ns, stamp)

  def test_a_damaged_cache_is_written_again(self):
    self.assert_reads_the_archive()
    cache = self.dataset / sources.CACHE
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) // 2])
    sources.read.cache_clear()
    self.assert_reads_the_archive()
    self.assertEqual(len(cache.read_bytes()), len(whole))

  def test_a_folder_that_takes_no_cache_is_read_all_the_same(self):
    (self.dataset / sources.CACHE).unlink(missing_ok=True)
    full = OSError(28, "No space left on device")
    with mock.patch.object(sources.metrics, "write_bytes", side_effect=full):
      self.assert_reads_the_archive()

  def test_tfrecords_are_read_as_array_records_are(self):
    from array_record.python import array_record_module

    other = self.folder / "tf" / "cifar10" / "3.0.2"
    other.mkdir(parents=True)
    for path in self.dataset.iterdir():
      if "array_record" not in path.name and path.name != sources.CACHE:
        (other / path.name).write_bytes(path.read_bytes())
    info = json.loads((other / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (other / "dataset_info.json").write_text(json.dumps(info))
    for path in self.dataset.glob("*array_record*"):
      reader = array_record_module.ArrayRecordReader(str(path))
      payloads = reader.read_all()
      name = path.name.replace("array_record", "tfrecord")
      with open(other / name, "wb") as file:
        for payload in payloads:
          file.write(struct.pack("<Q", len(payload)) + b"cccc")
          file.write(payload + b"cccc")
      reader.close()
    theirs = sources.read("cifar10", str(self.folder / "tf"))
    ours = sources.read("cifar10", self.data_dir)
    for a, b in zip(ours, theirs, strict=True):
      np.testing.assert_array_equal(a, b)

  def test_preparing_again_says_that_it_is_there(self):
    with testing.forbidden(prepare.tarfile, "open"):
      said = prepare.prepare(self.data_dir, None)
    self.assertIn("already", said)

  def test_a_damaged_dataset_is_one_sentence(self):
    other = self.folder / "bad" / "cifar10" / "3.0.2"
    other.mkdir(parents=True)
    for path in self.dataset.iterdir():
      if path.name != sources.CACHE:
        data = path.read_bytes()
        if "train" in path.name:
          data = data[: len(data) // 2]
        (other / path.name).write_bytes(data)
    testing.refusal(
      self,
      lambda: sources.read("cifar10", str(self.folder / "bad")),
      "cannot be read",
      "lro_jax.vision.prepare",
    )


class RefusalTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.data_dir = str(self.folder / "data")

  def test_a_dataset_that_is_not_prepared_names_the_command(self):
    testing.refusal(
      self,
      lambda: sources.read("cifar10", self.data_dir),
      self.data_dir,
      "python -m lro_jax.vision.prepare --data_dir=",
      ".npz",
    )

  def test_a_missing_archive_is_refused(self):
    testing.refusal(
      self,
      lambda: prepare.prepare(self.data_dir, "missing.tar.gz"),
      "--tar=missing.tar.gz",
      "cifar-10-binary.tar.gz",
    )

  def test_another_archive_is_refused_by_its_checksum(self):
    archive = self.folder / "own.tar.gz"
    write_archive(archive)
    testing.refusal(
      self,
      lambda: prepare.prepare(self.data_dir, str(archive)),
      "checksum",
      "--tar",
    )

  def test_no_network_is_one_sentence_that_names_the_way_out(self):
    class Offline(prepare.builder_class(), skip_registration=True):
      name = "cifar10"

      def download_and_prepare(self, **kwargs):
        raise ConnectionError("no route to host")

    testing.refusal(
      self,
      lambda: prepare.prepare(self.data_dir, None, lambda: Offline),
      "no route to host",
      "--tar",
    )


if __name__ == "__main__":
  absltest.main()
