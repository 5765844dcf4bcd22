"""What is prepared is what the archive holds, and every failure is one line."""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
import requests
import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

from lro_jax.core.schema import UserError
from lro_jax.vision import cifar10, prepare
from tests import testing
from tests.vision import archive

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


class PrepareTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.data_dir = self.folder / "tfds"
    self.tar = self.folder / "tiny.tar.gz"

  def prepare(self, content=None, tar=True, **kwargs):
    """Prepares from an archive whose checksum is the registered one."""
    archive.write(self.tar, archive.files() | (content or {}))
    made = archive.builder_class(self.tar, **kwargs)
    return prepare.prepare(
      str(self.data_dir), str(self.tar) if tar else None, builder_class=made
    )

  def test_what_is_written_reads_back_equal_to_the_archive(self):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
      said = self.prepare()
    self.assertEmpty(printed.getvalue())
    self.assertIn("20 training and 4 test images", said)
    images = cifar10.read(str(self.data_dir))
    for name, value in archive.arrays().items():
      np.testing.assert_array_equal(getattr(images, name), value)
      self.assertEqual(getattr(images, name).dtype, value.dtype)
    self.assertStartsWith(
      images.label, "The CIFAR-10 dataset consists of 60000"
    )
    self.assertNotIn("tensorflow", sys.modules)

  def test_the_registered_builder_takes_it_for_its_own(self):
    self.prepare()
    builder = tfds.builder("cifar10", data_dir=self.data_dir)
    self.assertTrue(builder.is_prepared())
    self.assertEqual(builder.info.features["label"].names[3], "class3")
    source = tfds.data_source(
      "cifar10", data_dir=self.data_dir, split="test", download=False
    )
    ids = sorted(record["id"] for record in source)
    self.assertEqual(ids, [b"test_%05d" % i for i in range(4)])
    self.assertEqual(
      {p.name for p in self.folder.iterdir()}, {"tfds", "tiny.tar.gz"}
    )

  def test_a_second_time_does_nothing_and_says_so(self):
    self.prepare()
    with testing.forbidden(prepare, "_write", "_check_archive"):
      self.assertIn("already prepared", self.prepare())

  def test_records_of_tensorflow_users_count_as_prepared(self):
    self.prepare()
    info = self.data_dir / "cifar10" / "3.0.2" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    self.assertIn("already prepared", self.prepare())

  def test_url_and_checksum_are_those_of_tensorflow_datasets(self):
    builder = prepare.Cifar10(data_dir=self.data_dir)
    url, info = builder.archive
    self.assertEqual(url, URL)
    self.assertEqual(
      info.checksum,
      "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    )
    self.assertEqual(info.filename, "cifar-10-binary.tar.gz")

  def test_without_an_archive_it_is_downloaded(self):
    with (
      mock.patch.object(prepare.requests, "get") as get,
      mock.patch.object(prepare, "_write", side_effect=UserError("x")) as write,
      contextlib.redirect_stderr(io.StringIO()) as printed,
      self.assertRaises(UserError),
    ):
      self.prepare(tar=False)
    get.assert_called_once()
    self.assertIsNone(write.call_args.args[1])
    self.assertEqual(printed.getvalue(), f"Downloading {URL}.\n")

  def refused(self, call, *words):
    text = testing.refusal(self, call, *words)
    self.assertFalse((self.data_dir / "cifar10" / "3.0.2").exists())
    return text

  def test_a_missing_archive_is_refused(self):
    self.refused(
      lambda: prepare.prepare(str(self.data_dir), "missing.tar.gz"),
      "--tar=missing.tar.gz",
      "no such file",
      URL,
    )
    self.assertFalse(self.data_dir.exists())

  def test_an_archive_of_another_checksum_is_refused(self):
    archive.write(self.tar, archive.files())
    self.refused(
      lambda: prepare.prepare(str(self.data_dir), str(self.tar)),
      f"{self.tar} is not the archive",
      "c4a38c50a1bc5f3a",
      URL,
      "--tar=cifar-10-binary.tar.gz",
    )

  @parameterized.parameters(
    ({"data_batch_3.bin": b"\1" * 5000}, "reshape"),
    ({"data_batch_5.bin": b"\x0a" * 3073}, "data_batch_5.bin has a label"),
    ({"test_batch.bin": None}, "test_batch.bin"),
  )
  def test_an_archive_of_other_content_is_refused(self, content, word):
    self.refused(lambda: self.prepare(content), str(self.tar), "--tar", word)

  def test_what_is_no_archive_is_refused(self):
    self.tar.write_bytes(b"<html>not found</html>")
    made = archive.builder_class(self.tar)
    self.refused(
      lambda: prepare.prepare(
        str(self.data_dir), str(self.tar), builder_class=made
      ),
      str(self.tar),
      "not the archive",
    )

  @parameterized.parameters(requests.ConnectionError, requests.Timeout)
  def test_without_a_network_the_way_out_is_named_before_any_retry(self, error):
    with (
      mock.patch.object(prepare.requests, "get", side_effect=error),
      testing.forbidden(prepare, "_write"),
    ):
      self.refused(
        lambda: prepare.prepare(str(self.data_dir)),
        error.__name__,
        URL,
        "--tar=cifar-10-binary.tar.gz",
      )

  def test_a_server_that_refuses_is_one_sentence(self):
    answer = requests.Response()
    answer.status_code, answer.raw = 404, io.BytesIO()
    with (
      mock.patch.object(prepare.requests, "get", return_value=answer),
      testing.forbidden(prepare, "_write"),
    ):
      self.refused(
        lambda: prepare.prepare(str(self.data_dir)), "HTTPError", "--tar="
      )

  def test_a_network_that_fails_on_the_way_is_one_sentence(self):
    lost = requests.ConnectionError("reset")
    with mock.patch.object(prepare, "_write", side_effect=lost):
      self.refused(self.prepare, "Cannot download", "--tar=")

  @parameterized.parameters(
    lambda path: path.unlink(), lambda path: path.write_text("{")
  )
  def test_a_damaged_dataset_is_to_be_deleted_first(self, damage):
    self.prepare()
    folder = self.data_dir / "cifar10"
    damage(folder / "3.0.2" / "dataset_info.json")
    testing.refusal(
      self, self.prepare, str(folder), "damaged", "delete that folder"
    )

  def test_a_folder_that_cannot_be_is_refused(self):
    self.data_dir.write_text("a file")
    text = testing.refusal(self, self.prepare, str(self.data_dir), "--data_dir")
    self.assertIn("File exists", text)

  def test_a_disk_without_room_is_refused_before_writing(self):
    with testing.forbidden(prepare, "_write"):
      self.refused(
        lambda: self.prepare(size=10**18), "1000000000000 MB", "free"
      )

  @parameterized.parameters(
    OSError(28, "No space left on device"),
    RuntimeError("write() failed: No space left on device"),
  )
  def test_a_disk_that_fills_on_the_way_is_one_sentence(self, full):
    with mock.patch.object(
      prepare.Cifar10, "_generate_examples", side_effect=full
    ):
      self.refused(self.prepare, "No space left on device", "--data_dir")


class CommandTest(absltest.TestCase):
  def command(self, *arguments):
    return subprocess.run(
      [sys.executable, "-m", "lro_jax.vision.prepare", *arguments],
      cwd=pathlib.Path(__file__).parents[2],
      capture_output=True,
      text=True,
      check=False,
    )

  def test_the_command_ends_in_one_line_and_a_status(self):
    with tempfile.TemporaryDirectory() as name:
      folder = pathlib.Path(name)
      archive.prepared(folder)
      done = self.command(f"--data_dir={folder / 'tfds'}")
      missing = self.command(f"--data_dir={folder / 'new'}", "--tar=no.tar.gz")
    self.assertEqual((done.returncode, done.stderr), (0, ""))
    self.assertRegex(done.stdout, r"^CIFAR-10 is already prepared in .*\n$")
    self.assertEqual((missing.returncode, missing.stdout), (1, ""))
    self.assertRegex(missing.stderr, r"^Error: Got --tar=no.tar.gz, .*\n$")

  def test_without_a_folder_the_command_says_what_to_write(self):
    ended = self.command()
    self.assertEqual(ended.returncode, 1)
    self.assertRegex(ended.stderr, r"^Error: Flag --data_dir is missing.*\n$")


if __name__ == "__main__":
  absltest.main()
