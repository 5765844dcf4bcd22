"""What tensorflow-datasets holds is read in order, once, without TensorFlow."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized
from array_record.python import array_record_module

from lro_jax.vision import cifar10
from tests import testing
from tests.vision import archive

JPEG = "CIFAR-10, from a JPEG copy (v. 1.5) of its 60,000 images"


def grow(path):
  """Appends a byte and leaves the time as it was."""
  time = path.stat().st_mtime_ns
  path.write_bytes(path.read_bytes() + b"\0")
  os.utime(path, ns=(time, time))


class Case(parameterized.TestCase):
  """Has a copy of a small prepared dataset of its own to damage."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.source = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    archive.prepared(cls.source)

  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.data_dir = folder / "tfds"
    self.dataset = self.data_dir / "cifar10" / "3.0.2"
    shutil.copytree(self.source / "tfds", self.data_dir)
    self.cache = self.dataset / cifar10.CACHE

  def shard(self, split="train") -> pathlib.Path:
    (path,) = self.dataset.glob(f"cifar10-{split}.*-of-*")
    return path

  def edit_info(self, edit):
    path = self.dataset / "dataset_info.json"
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))

  def to_tfrecord(self):
    """Writes the same payloads as TensorFlow's users have them."""
    for path in list(self.dataset.glob("*array_record*")):
      reader = array_record_module.ArrayRecordReader(str(path))
      payloads = reader.read_all()
      reader.close()
      path.with_name(path.name.replace("array_record", "tfrecord")).write_bytes(
        b"".join(
          struct.pack("<Q", len(p)) + b"crc1" + p + b"crc2" for p in payloads
        )
      )
      path.unlink()
    self.edit_info(lambda record: record.update(fileFormat="tfrecord"))

  def assert_reads_the_archive(self):
    images = cifar10.read(str(self.data_dir))
    self.assertEqual(images.num_classes, 10)
    for name, value in archive.arrays().items():
      np.testing.assert_array_equal(getattr(images, name), value)
      self.assertEqual(getattr(images, name).dtype, value.dtype)

  def refused(self, *words):
    return testing.refusal(
      self, lambda: cifar10.read(str(self.data_dir)), *words
    )


class FormatTest(Case):
  def test_slices_change_nothing(self):
    with mock.patch.object(cifar10, "SLICE", 3):
      self.assert_reads_the_archive()

  def test_tfrecords_hold_the_same_images(self):
    self.to_tfrecord()
    self.assert_reads_the_archive()
    self.cache.unlink()
    with testing.forbidden(cifar10, "_array_records"):
      self.assert_reads_the_archive()

  def test_several_shards_are_read_as_one(self):
    self.to_tfrecord()
    whole = self.shard("train").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    cut = length + 16
    self.shard("train").unlink()
    for i, part in enumerate((whole[:cut], whole[cut:])):
      name = f"cifar10-train.tfrecord-0000{i}-of-00002"
      (self.dataset / name).write_bytes(part)

    def in_two(record):
      (train,) = (s for s in record["splits"] if s["name"] == "train")
      train["shardLengths"] = ["1", "19"]

    self.edit_info(in_two)
    self.assert_reads_the_archive()

  def test_a_dataset_says_itself_what_it_is(self):
    text = f"{JPEG}. More of it."
    self.edit_info(lambda record: record.update(description=text))
    self.assertEqual(cifar10.read(str(self.data_dir)).label, JPEG)
    self.assertEqual(cifar10.read(str(self.data_dir)).label, JPEG)

  def test_the_default_folder_is_read_without_a_word_or_tensorflow(self):
    done = subprocess.run(
      [
        sys.executable,
        "-c",
        "import sys; from lro_jax.vision import cifar10;"
        "early = 'tensorflow_datasets' in sys.modules;"
        "x = cifar10.read('').x_test;"
        "print(x.shape, early, 'tensorflow' in sys.modules)",
      ],
      env=os.environ | {"TFDS_DATA_DIR": str(self.data_dir)},
      cwd=pathlib.Path(__file__).parents[2],
      capture_output=True,
      text=True,
      check=True,
    )
    self.assertEqual(done.stdout, "(4, 32, 32, 3) False False\n")
    self.assertEqual(done.stderr, "")


class CacheTest(Case):
  def test_a_second_reading_decodes_nothing(self):
    self.assert_reads_the_archive()
    with testing.forbidden(cifar10, "_read_split"):
      self.assert_reads_the_archive()
    self.assertEmpty(list(self.dataset.glob("*.partial")))

  @parameterized.parameters(
    lambda path: os.utime(path, ns=(1, 1)),
    lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    lambda path: grow(path),
    lambda path: path.rename(path.with_name("other")),
  )
  def test_a_cache_of_other_files_is_not_taken(self, change):
    self.assert_reads_the_archive()
    change(self.shard("test"))
    with testing.forbidden(cifar10, "_read_split"):
      self.refused("_read_split was called")

  def test_changed_files_are_read_and_cached_anew(self):
    self.assert_reads_the_archive()
    with open(self.cache, "rb") as file:
      before = dict(np.load(file))
    before["x_train"] = before["x_train"] * 0
    np.savez(self.cache, **before)
    os.utime(self.shard("test"), ns=(1, 1))
    self.assert_reads_the_archive()
    with testing.forbidden(cifar10, "_read_split"):
      self.assert_reads_the_archive()

  @parameterized.parameters(
    lambda data: b"",
    lambda data: b"no archive",
    lambda data: data[: len(data) // 2],
    lambda data: data.replace(b"x_train", b"x_trein"),
    # One pixel.
    lambda data: data[:3000] + bytes([data[3000] ^ 1]) + data[3001:],
  )
  def test_a_damaged_cache_is_written_again(self, damage):
    self.assert_reads_the_archive()
    whole = self.cache.read_bytes()
    damaged = damage(whole)
    self.assertNotEqual(damaged, whole)
    self.cache.write_bytes(damaged)
    with self.assertLogs("absl", "WARNING") as logs:
      self.assert_reads_the_archive()
    self.assertLen(logs.output, 1)
    self.assertIn(f"{self.cache} is ignored", logs.output[0])
    with testing.forbidden(cifar10, "_read_split"):
      self.assert_reads_the_archive()

  def test_a_pickled_cache_is_never_loaded(self):
    np.savez(self.cache, stamp=np.array([object()]))
    with self.assertLogs("absl", "WARNING"):
      self.assert_reads_the_archive()

  def test_a_folder_that_takes_no_cache_is_read_all_the_same(self):
    full = OSError(28, "No space left on device")
    with (
      mock.patch.object(cifar10.np, "savez", side_effect=full),
      self.assertLogs("absl", "WARNING") as logs,
    ):
      self.assert_reads_the_archive()
    self.assertIn("No space left on device", logs.output[0])
    self.assertEmpty(list(self.dataset.glob(f"{cifar10.CACHE}*")))


class RefusalTest(Case):
  def test_a_folder_without_it_names_the_command_and_downloads_nothing(self):
    shutil.rmtree(self.data_dir / "cifar10")
    with testing.forbidden(tfds.core.DatasetBuilder, "download_and_prepare"):
      self.refused(
        f"not prepared in {self.data_dir}:",
        f"python -m lro_jax.vision.prepare --data_dir={self.data_dir},",
        "--config.data.source=FILE.npz",
      )

  def test_a_folder_that_is_not_there_is_not_made(self):
    shutil.rmtree(self.data_dir)
    self.refused("not prepared")
    self.assertFalse(self.data_dir.exists())

  def test_the_command_can_be_pasted(self):
    command = cifar10.command(pathlib.Path("/my data"))
    self.assertEndsWith(command, "--data_dir='/my data'")

  @parameterized.parameters("array_record", "tfrecord")
  def test_half_a_file_of_records_is_refused(self, kind):
    if kind == "tfrecord":
      self.to_tfrecord()
    data = self.shard().read_bytes()
    self.shard().write_bytes(data[: len(data) // 2])
    self.refused(
      f"CIFAR-10 in {self.dataset} cannot be read",
      "delete that folder",
      f"prepare --data_dir={self.data_dir}",
    )
    self.assertFalse(self.cache.exists())

  def test_a_file_that_ends_within_its_last_checksum_is_refused(self):
    self.to_tfrecord()
    self.shard().write_bytes(self.shard().read_bytes()[:-2])
    self.refused("ends within a record")

  def test_a_missing_record_is_refused(self):
    self.to_tfrecord()
    data = self.shard().read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    self.shard().write_bytes(data[length + 16 :])
    self.refused("19 distinct train records of 20")

  def test_a_record_that_is_there_twice_is_refused(self):
    self.to_tfrecord()
    data = self.shard().read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    (second,) = struct.unpack("<Q", data[length + 16 : length + 24])
    first = data[: length + 16]
    self.shard().write_bytes(first + first + data[length + second + 32 :])
    self.refused("19 distinct train records of 20")

  def test_a_missing_file_of_records_is_refused(self):
    self.shard("test").unlink()
    self.refused("cannot be read", self.shard("train").name[:7])

  def test_a_description_that_is_no_json_is_refused(self):
    (self.dataset / "dataset_info.json").write_text("{")
    self.refused("cannot be read", f"prepare --data_dir={self.data_dir}")

  def test_a_host_without_tensorflow_datasets_is_told(self):
    with mock.patch.dict(sys.modules, {"tensorflow_datasets": None}):
      self.refused("tensorflow-datasets", "--config.data.source=FILE.npz")


if __name__ == "__main__":
  absltest.main()
