"""Full disks and read-only folders: what was kept, and one sentence.

The disks are real and tiny: a tmpfs in a mount namespace of the test's own.
Where the system does not allow that these tests are skipped.
"""

import pathlib
import shutil
import subprocess
import tempfile
from typing import NamedTuple

import pytest
from absl.testing import absltest

from lro_jax.core import metrics
from tests.faults import processes, small_runs

SMALL = small_runs.NETWORK
OWN_DISK = ["unshare", "--user", "--map-root-user", "--mount"]
ANYWHERE = "true"


def _allowed() -> bool:
  try:
    mount = "mount -t tmpfs none /mnt"
    return not subprocess.run(
      [*OWN_DISK, "sh", "-c", mount], capture_output=True
    ).returncode
  except OSError:
    return False


pytestmark = pytest.mark.skipif(not _allowed(), reason="needs mount namespaces")


class Done(NamedTuple):
  """How a run ended, and what it printed."""

  status: int
  output: str


class DiskTestCase(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # What it starts has the namespace in which the disks are.
    cls.zygote = cls.enterClassContext(processes.Zygote(*OWN_DISK))

  def setUp(self):
    super().setUp()
    scratch = self.enterContext(tempfile.TemporaryDirectory())
    self.scratch = pathlib.Path(scratch)
    self.workdir = self.scratch / "workdir"
    self.workdir.mkdir()

  def run_on(self, disk: str, *arguments: str) -> Done:
    """Runs with the workdir on its own disk; what is there then is kept."""
    kept, mounted = self.scratch / "kept", self.workdir
    self.shell(disk)
    process = self.zygote.run(
      *SMALL.arguments, *arguments, f"--workdir={mounted}"
    )
    # The copy is to a disk with room.
    self.shell(f"cp -r {mounted}/. {kept}")
    if disk != ANYWHERE:
      self.shell(f"umount {mounted}")
    shutil.rmtree(self.workdir)
    kept.rename(self.workdir)
    return Done(process.wait(), process.output)

  def shell(self, command):
    process = self.zygote.shell(command)
    self.assertEqual(process.wait(), 0, process.output)

  def anywhere(self, *arguments):
    """The same command where there is room; facts of the run."""
    done = self.run_on(ANYWHERE, *arguments)
    self.assertEqual(done.status, 0, done.output)
    return processes.facts(self.workdir / SMALL.folder)

  def one_error(self, done, *words):
    self.assertEqual(done.status, 1, done.output)
    self.assertFalse("Traceback" in done.output, done.output[-2000:])
    last = done.output.strip().splitlines()[-1]
    self.assertStartsWith(last, "Error: ")
    for word in words:
      self.assertIn(word, last)


class FullDiskTest(DiskTestCase):
  def test_full_before_it_begins(self):
    # Room for a folder's config, and not for its lock.
    for size in ("4k", "8k"):
      done = self.run_on(f"mount -t tmpfs -o size={size} none {self.workdir}")
      self.one_error(done, "No space left on device")

  def test_full_while_logging(self):
    never = ("--config.checkpoint.minutes=1000", "--config.eval.every=1 steps")
    size = "size=24k"
    done = self.run_on(f"mount -t tmpfs -o {size} none {self.workdir}", *never)
    self.one_error(done, "No space left on device", "same command again")
    rows = metrics.read_metrics(self.workdir / SMALL.folder / metrics.METRICS)
    self.assertNotEmpty(rows)
    resumed = self.anywhere(*never)
    shutil.rmtree(self.workdir)
    self.workdir.mkdir()
    self.assertEqual(resumed, self.anywhere(*never))

  @pytest.mark.slow
  def test_full_while_saving(self):
    # Room for the rows and one checkpoint of some 60 KiB, not for a second.
    done = self.run_on(f"mount -t tmpfs -o size=250k none {self.workdir}")
    warned = "could not be saved" in done.output
    self.assertTrue(warned, done.output[-2000:])
    self.assertFalse("Traceback" in done.output, done.output[-2000:])
    if done.status:
      self.one_error(done, "No space left on device")
    resumed = self.anywhere()
    shutil.rmtree(self.workdir)
    self.workdir.mkdir()
    self.assertEqual(resumed, self.anywhere())


class ReadOnlyTest(DiskTestCase):
  def test_a_workdir_that_cannot_be_written(self):
    done = self.run_on(f"mount -t tmpfs -o ro none {self.workdir}")
    self.one_error(done, "Read-only file system", "choose a --workdir")

  @pytest.mark.slow
  def test_one_that_has_become_read_only_keeps_what_is_there(self):
    wanted = self.anywhere()
    self.workdir.rename(self.scratch / "before")
    self.workdir.mkdir()
    done = self.run_on(
      f"mount --bind {self.scratch / 'before'} {self.workdir};"
      f" mount -o remount,ro,bind {self.workdir}"
    )
    self.one_error(done, "Read-only file system", "choose a --workdir")
    self.assertEqual(
      processes.facts(self.scratch / "before" / SMALL.folder), wanted
    )


if __name__ == "__main__":
  absltest.main()
