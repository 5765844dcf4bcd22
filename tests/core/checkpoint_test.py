"""Checkpoints: exact, or noticed to be damaged."""

import pathlib
import shutil
import tempfile

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from lro_jax.core import checkpoint
from lro_jax.core.checkpoint import Checkpoints


def tree(seed):
  """A tree like the carry of a run, with something of everything."""
  draw = np.random.default_rng(seed)
  return {
    "params": (draw.normal(size=(2, 3, 4)).astype(np.float32),),
    "double": draw.normal(size=5),
    "key": draw.integers(0, 2**32, size=(2, 2), dtype=np.uint32),
    "step": np.array(draw.integers(0, 2**31), np.int32),
    "latch": np.array([-1, seed], np.int32),
    "over": np.array([True, False]),
    "bad": np.array([np.nan, np.inf, -0.0], np.float32),
    "probe": (),
    "none": None,
  }


def note(seed):
  return {
    "about": f"of {seed}",
    "next": seed + 1,
    "metrics_offset": 100 * seed,
    "wall_seconds": 1 / (3 + seed),
    "resumed": 0,
  }


LIKE = jax.tree.map(np.zeros_like, tree(0))


def run_folder():
  return pathlib.Path(tempfile.mkdtemp()) / "run"


def save(folder, seeds, keep=10):
  with Checkpoints(folder, keep) as checkpoints:
    for seed in seeds:
      checkpoints.save(seed, tree(seed), note(seed))


def restore(folder, like=LIKE):
  with Checkpoints(folder, keep=10) as checkpoints:
    return checkpoints.restore(like)


def files(folder, index):
  """Every file of a checkpoint, as paths below the run's folder."""
  where = folder / checkpoint.FOLDER / str(index)
  return sorted(p.relative_to(folder) for p in where.rglob("*") if p.is_file())


class CheckpointTestCase(parameterized.TestCase):
  def assert_is(self, restored, seed):
    """That a whole checkpoint came back: every bit, type, shape; the note."""
    self.assertIsNotNone(restored)
    wanted = tree(seed)
    self.assertEqual(
      jax.tree.structure(restored.tree), jax.tree.structure(wanted)
    )
    for got, want in zip(
      jax.tree.leaves(restored.tree), jax.tree.leaves(wanted), strict=True
    ):
      self.assertIsInstance(got, np.ndarray)
      self.assertEqual((got.dtype, got.shape), (want.dtype, want.shape))
      self.assertEqual(got.tobytes(), want.tobytes())
    self.assertEqual(restored.note, restored.note | note(seed))


class RoundTripTest(CheckpointTestCase):
  def test_what_is_restored_is_what_was_saved_bit_for_bit(self):
    folder = run_folder()
    save(folder, [1])
    self.assert_is(restore(folder), 1)

  def test_the_newest_is_restored(self):
    folder = run_folder()
    # As text, 11 sorts before 2.
    save(folder, [2, 11])
    self.assert_is(restore(folder), 11)

  def test_an_empty_folder_has_none(self):
    self.assertIsNone(restore(run_folder()))

  @parameterized.parameters(1, 2, 3)
  def test_only_the_last_so_many_are_kept(self, keep):
    folder = run_folder()
    save(folder, range(5), keep)
    kept = {p.name for p in (folder / checkpoint.FOLDER).iterdir()}
    self.assertEqual(kept, {str(i) for i in range(5)[-keep:]})

  def test_a_save_cut_short_is_no_checkpoint(self):
    folder = run_folder()
    save(folder, [1])
    where = folder / checkpoint.FOLDER
    shutil.copytree(where / "1", where / "2.orbax-checkpoint-tmp-0")
    self.assert_is(restore(folder), 1)

  def test_arrays_of_another_run_are_not_restored(self):
    for name, other in (
      ("double", np.zeros(6)),
      ("double", np.zeros(5, np.float32)),
      ("step", np.zeros(1, np.int32)),
    ):
      folder = run_folder()
      save(folder, [1])
      with self.assertLogs("absl", "WARNING"):
        self.assertIsNone(restore(folder, LIKE | {name: other}), name)


# Tensorstore's threads report what they met to an event loop that orbax, having
# raised, closed already.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class DamageTest(CheckpointTestCase):
  """Two checkpoints, of which the newest is damaged."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.whole = run_folder()
    save(cls.whole, [1, 2])

  def damaged(self, changes):
    """A copy of the two in which files have other bytes (None: no file)."""
    folder = run_folder()
    self.addCleanup(shutil.rmtree, folder.parent)
    shutil.copytree(self.whole, folder)
    for file, data in changes.items():
      if data is None:
        (folder / file).unlink()
      else:
        (folder / file).write_bytes(data)
    return folder

  def check(self, changes):
    """Newest exactly, or the one before with a warning; whether the latter."""
    folder = self.damaged(changes)
    with self.assertLogs("absl", "WARNING") as log:
      checkpoint.logging.warning("assertLogs must see something.")
      restored = restore(folder)
    aside = sorted(folder.glob("damaged_checkpoint_2_*"))
    if not aside:
      self.assert_is(restored, 2)
      return False
    self.assert_is(restored, 1)
    self.assertLen(aside, 1)
    self.assertIn("Checkpoint 2 in", "".join(log.output))
    self.assertIn("cannot be used", "".join(log.output))
    return True

  def test_every_file_of_the_newest_may_be_lost_or_cut_short(self):
    noticed = set()
    for file in files(self.whole, 2):
      data = (self.whole / file).read_bytes()
      for kept in (None, b"", data[: len(data) // 2], data[:-1]):
        with self.subTest(file=str(file), kept=kept and len(kept)):
          if self.check({file: kept}):
            noticed.add(file.name)
    # Orbax keeps copies, so not every file is needed; these surely are.
    self.assertLessEqual({"manifest.ocdbt", "metadata"}, noticed)

  def test_every_file_of_the_newest_may_have_bytes_flipped(self):
    draw = np.random.default_rng(0)
    for file in files(self.whole, 2):
      data = (self.whole / file).read_bytes()
      places = {0, len(data) // 2, len(data) - 1}
      places |= set(draw.integers(0, len(data), 5).tolist())
      for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << int(draw.integers(8))
        with self.subTest(file=str(file), place=place):
          self.check({file: bytes(changed)})

  def test_the_note_is_guarded_as_the_arrays_are(self):
    # A flipped digit is still JSON: another offset, another next step.
    (file,) = (
      f for f in files(self.whole, 2) if f.parts[-2:] == ("note", "metadata")
    )
    data = (self.whole / file).read_bytes()
    for place in range(0, len(data), 3):
      changed = bytearray(data)
      changed[place] ^= 1
      with self.subTest(place=place, text=bytes(changed)):
        self.assertTrue(self.check({file: bytes(changed)}))

  @parameterized.parameters("note", "state", "")
  def test_a_whole_folder_of_the_newest_may_be_lost(self, name):
    folder = self.damaged({})
    lost = folder / checkpoint.FOLDER / "2" / name
    shutil.rmtree(lost)
    lost.mkdir(exist_ok=True)
    with self.assertLogs("absl", "WARNING"):
      self.assert_is(restore(folder), 1)

  def test_where_all_are_damaged_there_is_none(self):
    folder = self.damaged(
      {file: b"" for i in (1, 2) for file in files(self.whole, i)}
    )
    with self.assertLogs("absl", "WARNING") as log:
      self.assertIsNone(restore(folder))
    for index in (1, 2):
      self.assertIn(f"Checkpoint {index} in", "".join(log.output))

  def test_after_damage_the_same_index_can_be_saved_again(self):
    folder = self.damaged({file: b"" for file in files(self.whole, 2)})
    with Checkpoints(folder, keep=10) as checkpoints:
      with self.assertLogs("absl", "WARNING"):
        self.assert_is(checkpoints.restore(LIKE), 1)
      checkpoints.save(2, tree(2), note(2))
    self.assert_is(restore(folder), 2)
    # The damaged one is kept aside for whoever wants to know.
    self.assertLen(list(folder.glob("damaged_checkpoint_2_*")), 1)


class DigestTest(parameterized.TestCase):
  def test_any_bit_type_shape_or_order_changes_the_digest(self):
    x = np.arange(6, dtype=np.int32)
    others = [
      (x, x + 1),
      (x.astype(np.uint32), x),
      (x.reshape(2, 3), x),
      (x[:5], np.concatenate([x[5:], x])),
      (x,),
      (np.where(x == 0, np.int32(1 << 30), x), x),
    ]
    digests = {checkpoint.digest(t) for t in [(x, x), *others]}
    self.assertLen(digests, 1 + len(others))
    self.assertNotEqual(
      checkpoint.digest(np.array(0.0)), checkpoint.digest(np.array(-0.0))
    )

  def test_how_an_array_lies_in_memory_does_not(self):
    x = np.arange(6.0).reshape(2, 3)
    self.assertEqual(
      checkpoint.digest(x), checkpoint.digest(np.asfortranarray(x))
    )

  def test_the_fingerprint_is_of_fields_not_of_their_order(self):
    one = {"a": 1, "b": {"c": 2, "d": [0, 1]}}
    same = {"b": {"d": [0, 1], "c": 2}, "a": 1}
    self.assertEqual(checkpoint.fingerprint(one), checkpoint.fingerprint(same))
    for other in ({"a": 2}, {"b": {"c": 2, "d": [1, 0]}}, {"e": None}):
      self.assertNotEqual(
        checkpoint.fingerprint(one), checkpoint.fingerprint(one | other)
      )


if __name__ == "__main__":
  absltest.main()
