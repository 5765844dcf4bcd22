"""An .npz with anything wrong in it is one sentence, and never unpickled."""

import pathlib
import pickle
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.vision import images, patches
from tests import testing
from tests.faults import archives
from tests.vision import images_test

SIZE, CLASSES = 3, 3
LONGEST = 600


def image_arrays():
  return images_test.arrays(n=12, size=8)


def bank_arrays():
  draw = np.random.default_rng(0)
  return {
    "z": draw.normal(size=(SIZE, SIZE, 3)).astype(np.float32),
    "zeta": draw.normal(size=(CLASSES, SIZE, SIZE, 3)).astype(np.float32),
    "membership": np.array([True, False, True]),
    "index": np.array([5, 3, 0]),
  }


def read_images(path):
  return images.read_npz(str(path))


def read_bank(path):
  return patches.load(
    str(path),
    size=SIZE,
    channels=3,
    num_classes=CLASSES,
    needed=np.array([0, 5]),
  )


# What reads a file, the arrays of a good one, and what it refuses others with.
READERS = {
  "images": (read_images, image_arrays, UserError),
  "patches": (read_bank, bank_arrays, UserError),
  "metrics": (metrics.read_npz, bank_arrays, ValueError),
}


def is_sane(result) -> bool:
  """Whether what was read is what a run can be made of."""
  if isinstance(result, dict):
    return not any(array.dtype.hasobject for array in result.values())
  if isinstance(result, images.Images):
    return (
      result.x_train.dtype == result.x_test.dtype == np.uint8
      and result.y_train.dtype == result.y_test.dtype == np.int32
      and len(result.x_train) == len(result.y_train) > 0
      and 0 <= min(result.y_train.min(), result.y_test.min())
      and max(result.y_train.max(), result.y_test.max()) < result.num_classes
    )
  bank, member, index = result
  return (
    bank.z.dtype == bank.zeta.dtype == np.float32
    and bool(np.isfinite(bank.z).all() and np.isfinite(bank.zeta).all())
    and member.dtype == bool
    and len(member) == len(index)
  )


class NpzTest(testing.Figures, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.path = folder / "mine.npz"
    self.made = folder / "made by a pickle"
    self.trap = archives.Trap(self.made)

  def check(self, reader, files):
    """Asserts that each is read as arrays, or refused in one sentence."""
    read, _, refusal = READERS[reader]
    wrong = []
    counts = {"read": 0, "refused": 0}
    for what, data in files:
      self.path.write_bytes(data)
      try:
        result = read(self.path)
        counts["read"] += 1
        if not is_sane(result):
          wrong.append(f"{what}: read as {str(result)[:100]}")
      except refusal as error:
        counts["refused"] += 1
        text = str(error)
        named = refusal is ValueError or str(self.path) in text
        good = text.isprintable() and 0 < len(text) < LONGEST
        if not (named and good):
          wrong.append(f"{what}: {text!r}")
      except Exception as error:  # any other kind is what is looked for
        wrong.append(f"{what}: {type(error).__name__}: {error}")
      if self.made.exists():
        self.made.unlink()
        wrong.append(f"{what}: was unpickled")
    self.figure(
      f"{reader} .npz, {self._testMethodName.split('_')[1]}:"
      f" {sum(counts.values())} files tried, {counts['read']} read,"
      f" {counts['refused']} refused in one sentence, {len(wrong)} otherwise"
    )
    self.assertEmpty(wrong[:20])
    return counts

  def good(self, reader):
    return READERS[reader][1]()

  def test_the_trap_makes_a_file_where_it_is_unpickled(self):
    pickle.loads(archives.pickled(self.trap)).close()
    self.assertTrue(self.made.exists())
    self.made.unlink()
    self.path.write_bytes(archives.object_array(self.trap))
    np.load(self.path, allow_pickle=True)[0].close()
    self.assertTrue(self.made.exists())

  @parameterized.parameters(*READERS)
  def test_damaged_files_are_read_or_refused(self, reader):
    data = metrics.npz(self.good(reader))
    counts = self.check(
      reader,
      [*archives.cut_short(data, 60), *archives.flipped(data, 200, seed=1)],
    )
    self.assertGreater(counts["refused"], 150)

  @parameterized.parameters(*READERS)
  def test_rewritten_arrays_are_read_or_refused(self, reader):
    counts = self.check(
      reader, archives.rewritten(self.good(reader), 250, seed=2)
    )
    self.assertGreater(counts["refused"], 100)
    self.assertGreater(counts["read"], 10)

  @parameterized.parameters(*READERS)
  def test_strange_files_are_read_or_refused(self, reader):
    # No mock stands in for pickle: a reader would catch what it raised.
    self.check(reader, archives.strange(self.good(reader), self.trap))

  @parameterized.parameters(*READERS)
  def test_other_arrays_are_read_or_refused(self, reader):
    files = [
      (
        what,
        archives.packed({f"{k}.npy": archives.array(v) for k, v in x.items()}),
      )
      for what, x in archives.other_arrays(self.good(reader))
    ]
    self.check(reader, files)

  @parameterized.parameters("images", "patches")
  def test_a_path_of_no_file_is_refused(self, reader):
    read, _, _ = READERS[reader]
    for path in ("/", ".", "", "x" * 300 + ".npz", "x/" * 3000 + ".npz"):
      testing.refusal(self, lambda path=path: read(path))


if __name__ == "__main__":
  absltest.main()
