"""A pickle in the place of any file of a checkpoint is never loaded."""

import pathlib
import shutil
import tempfile

import pytest
from absl.testing import absltest

from lro_jax.core import checkpoint
from tests import testing
from tests.core import checkpoint_test
from tests.faults import archives


# See `tests.core.checkpoint_test.DamageTest`.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class CheckpointPickleTest(testing.Figures, absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.top = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.made = self.top / "made by a pickle"
    trap = archives.Trap(self.made)
    # An .npz is looked for by NumPy in what begins as a zip does.
    self.pickles = {
      "a pickle": archives.pickled(trap),
      "an .npy of objects": archives.object_array(trap),
      "an .npz of objects": archives.packed(
        {"0000.npy": archives.object_array(trap)}
      ),
    }

  def restored(self, whole, change):
    """What comes back of a copy of the run's folder, changed."""
    folder = self.top / "copy"
    shutil.copytree(whole, folder)
    change(folder)
    restored = checkpoint_test.restore(folder)
    shutil.rmtree(folder)
    return restored

  def test_no_file_of_a_checkpoint_is_unpickled(self):
    whole = self.top / "run"
    checkpoint_test.save(whole, [1])
    tried = refused = 0
    for file in checkpoint_test.files(whole, 1):
      for what, data in self.pickles.items():
        tried += 1
        restored = self.restored(
          whole, lambda folder, f=file, d=data: (folder / f).write_bytes(d)
        )
        refused += restored is None
        self.assertFalse(self.made.exists(), f"{what} as {file}")
    self.figure(
      f"checkpoints: {tried} files replaced by pickles, {refused} refused,"
      f" {tried - refused} not needed, none loaded"
    )
    # The arrays, the note, and what says where they are.
    self.assertGreaterEqual(refused, 9)

  def test_no_file_beside_a_checkpoint_is_unpickled(self):
    whole = self.top / "run"
    checkpoint_test.save(whole, [1])
    names = ("state.pkl", "state.npy", "0000.npz", "checkpoint", "note.pickle")

    def add(folder):
      where = folder / checkpoint.FOLDER
      for place in (where, where / "1", where / "1" / "state"):
        for name in names:
          for data in self.pickles.values():
            (place / name).write_bytes(data)

    self.restored(whole, add)
    self.assertFalse(self.made.exists())

  def test_a_folder_of_pickles_alone_is_no_checkpoint(self):
    for data in self.pickles.values():
      folder = self.top / "pickles"
      where = folder / checkpoint.FOLDER / "7"
      where.mkdir(parents=True)
      for name in ("checkpoint", "state.pkl", "state.npy", "_METADATA"):
        (where / name).write_bytes(data)
      self.assertIsNone(checkpoint_test.restore(folder))
      self.assertFalse(self.made.exists())
      shutil.rmtree(folder)


if __name__ == "__main__":
  absltest.main()
