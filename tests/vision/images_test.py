"""Images of one's own and drawn ones; what is wrong with them is one line."""

import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.vision import images
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
      self, lambda: images.read_npz(str(self.path)), str(self.path), *words
    )

  @parameterized.parameters(1, 3)
  def test_good_arrays_come_back(self, channels):
    content = arrays(channels=channels)
    self.path.write_bytes(metrics.npz(content))
    found = images.read_npz(str(self.path))
    for name in images.KEYS:
      np.testing.assert_array_equal(getattr(found, name), content[name])
    self.assertEqual(found.num_classes, 3)
    self.assertIn("mine.npz", found.label)

  @parameterized.parameters(
    ("x_train", arrays()["x_train"].astype(np.float32), ("uint8",)),
    ("x_train", arrays()["x_train"][..., 0], ("[n, h, w, 3]",)),
    ("x_test", arrays()["x_test"][..., :2], ("[n, h, w, 3]",)),
    ("y_train", arrays()["y_train"].astype(float), ("integers",)),
    ("y_train", arrays()["y_train"][:-1], ("one for each image",)),
    ("y_test", arrays()["y_test"][:, None], ("one for each image",)),
    ("y_test", arrays()["y_test"] - 1, ("-1 to 1", "0 to C")),
    ("y_train", arrays()["y_train"] - 1, ("-1 to 1", "0 to C")),
    ("y_train", arrays()["y_train"] * 10**6, ("labels from 0 to 2000000",)),
    ("y_train", arrays()["y_train"].astype(bool), ("integers",)),
    ("x_train", arrays(size=3)["x_train"], ("one size",)),
    ("y_test", arrays()["y_test"] + 1, ("label 3", "does not know")),
    ("y_train", arrays()["y_train"] * 2, ("none with 1",)),
    ("x_test", arrays(size=7)["x_test"], ("one size",)),
    ("y_train", None, ("lacks y_train", "y_test")),
  )
  def test_bad_arrays_are_one_sentence(self, name, value, words):
    self.write(**{name: value})
    self.refused(*words)

  def test_images_too_small_for_the_net_are_refused(self):
    self.write(**arrays(size=3))
    self.refused("4 x 4")

  @parameterized.parameters("train", "test")
  def test_empty_arrays_are_refused(self, part):
    empty = {f"x_{part}": np.zeros((0, 8, 8, 3), np.uint8)}
    self.write(**empty, **{f"y_{part}": np.zeros(0, int)})
    self.refused(f"x_{part}", "at least one")

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


class SyntheticTest(absltest.TestCase):
  def test_synthetic_images_are_learnable_and_always_the_same(self):
    first, again = images.synthetic(), images.synthetic()
    np.testing.assert_array_equal(first.x_train, again.x_train)
    # The nearest class mean of the training images knows most test images.
    means = np.stack(
      [first.x_train[first.y_train == c].mean(0) for c in range(10)]
    )
    distance = ((first.x_test[:, None] - means) ** 2).sum((2, 3, 4))
    self.assertGreater((distance.argmin(1) == first.y_test).mean(), 0.9)


if __name__ == "__main__":
  absltest.main()
