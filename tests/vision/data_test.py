"""Images of one's own, subsets and normalisation."""

import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.vision import data, sources
from tests import testing


def arrays(n=30, size=8, channels=3, classes=3):
  draw = np.random.default_rng(0)
  return {
    "x_train": draw.integers(0, 256, (n, size, size, channels), np.uint8),
    "y_train": np.arange(n) % classes,
    "x_test": draw.integers(0, 256, (9, size, size, channels), np.uint8),
    "y_test": np.arange(9) % classes,
  }


class NpzTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder) / "mine.npz"

  def write(self, **changes):
    content = {k: v for k, v in (arrays() | changes).items() if v is not None}
    self.path.write_bytes(metrics.npz(content))

  def refused(self, *words):
    testing.refusal(
      self, lambda: sources.read_npz(str(self.path)), str(self.path), *words
    )

  @parameterized.parameters(1, 3)
  def test_good_arrays_come_back(self, channels):
    content = arrays(channels=channels)
    self.path.write_bytes(metrics.npz(content))
    images = sources.read_npz(str(self.path))
    for name in sources.KEYS:
      np.testing.assert_array_equal(getattr(images, name), content[name])
    self.assertEqual(images.num_classes, 3)
    self.assertIn("mine.npz", images.label)

  @parameterized.parameters(
    ("x_train", arrays()["x_train"].astype(np.float32), ("uint8",)),
    ("x_train", arrays()["x_train"][..., 0], ("[n, h, w, 3]",)),
    ("x_test", arrays()["x_test"][..., :2], ("[n, h, w, 3]",)),
    ("y_train", arrays()["y_train"].astype(float), ("integers",)),
    ("y_train", arrays()["y_train"][:-1], ("one for each image",)),
    ("y_test", arrays()["y_test"][:, None], ("one for each image",)),
    ("y_test", arrays()["y_test"] - 1, ("0 to C",)),
    ("y_test", arrays()["y_test"] + 1, ("label 3", "does not know")),
    ("y_train", arrays()["y_train"] * 2, ("none with 1",)),
    ("x_test", arrays(size=7)["x_test"], ("one size",)),
    ("y_train", None, ("lacks y_train",)),
  )
  def test_bad_arrays_are_one_sentence(self, name, value, words):
    self.write(**{name: value})
    self.refused(*words)

  def test_empty_training_arrays_are_refused(self):
    self.write(
      x_train=np.zeros((0, 8, 8, 3), np.uint8), y_train=np.zeros(0, int)
    )
    self.refused("at least one")

  def test_missing_damaged_and_pickled_files_are_refused(self):
    self.refused("no such file")
    self.path.write_bytes(b"PK\x03\x04 no archive")
    self.refused("Cannot read")
    self.write()
    whole = self.path.read_bytes()
    self.path.write_bytes(whole[: len(whole) // 2])
    self.refused("Cannot read")
    np.savez(self.path, **arrays() | {"y_test": np.array([object()])})
    self.refused("Cannot read", "pickled")
    np.save(self.path.with_suffix(".npy"), np.zeros(3))
    self.path.write_bytes(self.path.with_suffix(".npy").read_bytes())
    self.refused("Cannot read")


class SplitTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.images = sources.synthetic()

  def split(self, **kwargs):
    fields = dict(seed=0, num_train=0, num_validation=0, num_test=0)
    return data.split(self.images, **fields | kwargs)

  def test_all_of_it_is_in_its_own_order(self):
    split = self.split()
    np.testing.assert_array_equal(split.train_index, np.arange(512))
    np.testing.assert_array_equal(split.test_index, np.arange(256))
    self.assertEmpty(split.validation_index)

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
    digests = {
      data.digest(self.images, split),
      data.digest(self.images._replace(x_train=pixel), split),
      data.digest(self.images._replace(y_test=label), split),
      data.digest(
        self.images, split._replace(train_index=split.train_index[::-1])
      ),
    }
    self.assertLen(digests, 4)


class NormalizeTest(absltest.TestCase):
  def test_mean_and_deviation_are_taken_out_per_channel(self):
    x = np.array([[[[125, 123, 114]], [[188, 185, 180]]]], np.uint8)
    got = data.normalize(x, (125.0, 123.0, 114.0), (63.0, 62.0, 66.0))
    np.testing.assert_array_equal(got[0, :, 0], [[0, 0, 0], [1, 1, 1]])

  def test_synthetic_images_are_learnable_and_always_the_same(self):
    first, again = sources.synthetic(), sources.synthetic()
    np.testing.assert_array_equal(first.x_train, again.x_train)
    # The nearest class mean of the training images knows most test images.
    means = np.stack(
      [first.x_train[first.y_train == c].mean(0) for c in range(10)]
    )
    distance = ((first.x_test[:, None] - means) ** 2).sum((2, 3, 4))
    self.assertGreater((distance.argmin(1) == first.y_test).mean(), 0.9)


if __name__ == "__main__":
  absltest.main()
