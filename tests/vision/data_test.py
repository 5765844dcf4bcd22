"""Which images are used for what, and how pixels become inputs."""

import pathlib
import tempfile
from unittest import mock

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.vision import cifar10, data, images
from tests import testing


def content():
  """Two images to train on and one to test."""
  x = np.zeros((3, 8, 8, 3), np.uint8)
  return {
    "x_train": x[:2],
    "y_train": np.arange(2),
    "x_test": x[2:],
    "y_test": np.arange(1),
  }


class ReadTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    data.read.cache_clear()
    self.addCleanup(data.read.cache_clear)

  def test_a_source_is_read_once_per_process(self):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / "mine.npz"
      path.write_bytes(metrics.npz(content()))
      first = data.read(str(path), "")
      path.unlink()
      self.assertIs(data.read(str(path), ""), first)

  def test_a_file_that_was_not_there_is_looked_for_again(self):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / "mine.npz"
      testing.refusal(self, lambda: data.read(str(path), ""), "no such file")
      path.write_bytes(metrics.npz(content()))
      self.assertLen(data.read(str(path), "").x_train, 2)

  def test_cifar10_is_read_from_the_folder_that_is_named(self):
    with mock.patch.object(cifar10, "read", return_value="images") as read:
      self.assertEqual(data.read("cifar10", "somewhere"), "images")
    read.assert_called_once_with("somewhere")

  def test_synthetic_images_need_no_folder(self):
    with testing.forbidden(cifar10, "read"):
      found = data.read("synthetic", "")
    self.assertEqual(found.label, "synthetic images")
    self.assertEqual(found.x_train.shape, (512, 32, 32, 3))
    self.assertEqual(found.x_test.shape, (256, 32, 32, 3))
    self.assertEqual(
      (found.x_train.dtype, found.y_train.dtype), (np.uint8, np.int32)
    )


class SplitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.images = images.synthetic()

  def split(self, **kwargs):
    fields = dict(seed=0, num_train=0, num_validation=0, num_test=0)
    return data.split(self.images, **fields | kwargs)

  def test_all_of_it_is_there_and_its_first_few_are_drawn(self):
    split = self.split()
    np.testing.assert_array_equal(np.sort(split.train_index), np.arange(512))
    np.testing.assert_array_equal(np.sort(split.test_index), np.arange(256))
    self.assertEmpty(split.validation_index)
    # A dataset sorted by class must not be scored on its first class.
    few = self.split(num_train=30, num_test=30)
    np.testing.assert_array_equal(split.train_index[:30], few.train_index)
    np.testing.assert_array_equal(split.test_index[:30], few.test_index)

  def test_subsets_of_one_seed_are_nested_and_distinct(self):
    small, large = self.split(num_train=50), self.split(num_train=300)
    np.testing.assert_array_equal(small.train_index, large.train_index[:50])
    self.assertLen(set(large.train_index), 300)
    other = self.split(seed=1, num_train=50)
    self.assertNotEqual(small.train_index.tolist(), other.train_index.tolist())

  def test_what_is_held_out_never_trains(self):
    first = self.split(num_validation=40, num_train=100)
    rest = self.split(num_validation=40)
    np.testing.assert_array_equal(first.validation_index, rest.validation_index)
    self.assertEmpty(set(rest.validation_index) & set(rest.train_index))
    self.assertLen(set(rest.validation_index) | set(rest.train_index), 512)

  def test_test_subsets_are_nested_and_not_those_of_training(self):
    small, large = self.split(num_test=20), self.split(num_test=200)
    np.testing.assert_array_equal(small.test_index, large.test_index[:20])
    self.assertLen(set(large.test_index), 200)
    alike = data.split(
      self.images._replace(
        x_train=self.images.x_test, y_train=self.images.y_test
      ),
      seed=0,
      num_train=20,
      num_validation=0,
      num_test=20,
    )
    self.assertNotEqual(alike.train_index.tolist(), alike.test_index.tolist())

  def test_the_draw_of_a_seed_never_changes(self):
    split = self.split(seed=3, num_train=5, num_validation=3, num_test=4)
    self.assertEqual(split.train_index.tolist(), [69, 0, 390, 177, 40])
    self.assertEqual(split.validation_index.tolist(), [36, 296, 415])
    self.assertEqual(split.test_index.tolist(), [194, 220, 174, 128])

  @parameterized.parameters(
    ({"num_train": 513}, "data.num_train 513"),
    ({"num_train": 500, "num_validation": 13}, "there are 499"),
    ({"num_validation": 512}, "data.num_validation 512"),
    ({"num_test": 257}, "data.num_test 257"),
  )
  def test_more_than_there_are_is_refused(self, fields, word):
    testing.refusal(self, lambda: self.split(**fields), word)

  def test_the_digest_sees_pixel_label_and_order(self):
    split = self.split(num_train=20, num_test=10)
    pixel = self.images.x_train.copy()
    pixel[split.train_index[0], 0, 0, 0] ^= 1
    label = self.images.y_test.copy()
    label[split.test_index[3]] += 1
    unused = self.images.x_train.copy()
    unused[np.setdiff1d(np.arange(512), split.train_index)] = 0
    digests = {
      data.digest(self.images, split),
      data.digest(self.images._replace(x_train=pixel), split),
      data.digest(self.images._replace(y_test=label), split),
      data.digest(
        self.images, split._replace(train_index=split.train_index[::-1])
      ),
    }
    self.assertLen(digests, 4)
    self.assertIn(
      data.digest(self.images._replace(x_train=unused), split), digests
    )

  def test_the_digest_sees_the_order_of_images_that_are_alike(self):
    alike = self.images._replace(
      x_train=self.images.x_train * 0, y_train=self.images.y_train * 0
    )
    split = self.split(num_train=20)
    back = split._replace(train_index=split.train_index[::-1])
    self.assertNotEqual(data.digest(alike, split), data.digest(alike, back))


class NormalizeTest(absltest.TestCase):
  def test_mean_and_deviation_are_taken_out_per_channel(self):
    x = np.array([[[[125, 123, 114]], [[188, 185, 180]]]], np.uint8)
    got = data.normalize(x, (125.0, 123.0, 114.0), (63.0, 62.0, 66.0))
    np.testing.assert_array_equal(got[0, :, 0], [[0, 0, 0], [1, 1, 1]])
    self.assertEqual(got.dtype, jnp.float32)

  def test_one_mean_serves_every_channel(self):
    x = np.arange(48, dtype=np.uint8).reshape(2, 2, 4, 3)
    np.testing.assert_array_equal(
      data.normalize(x, (5.0,), (2.0,)),
      data.normalize(x, (5.0,) * 3, (2.0,) * 3),
    )


class StatisticsTest(absltest.TestCase):
  def test_mean_and_deviation_are_numpys(self):
    x = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), np.uint8)
    mean, std = data.statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 1, 2)), rtol=1e-12)


if __name__ == "__main__":
  absltest.main()
