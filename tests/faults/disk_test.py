"""Full disks and read-only folders: what was kept, and one sentence.

The disks are real and tiny: a tmpfs in a mount namespace of the test's own.
Where the system does not allow that these tests are skipped.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from absl.testing import absltest

from lro_jax.core import metrics
from tests.faults import processes, small_runs

SMALL = small_runs.NETWORK
OWN_DISK = ["unshare", "--user", "--map-root-user", "--mount"]


def _allowed() -> bool:
  try:
    mount = "mount -t tmpfs none /mnt"
    return not subprocess.run(
      [*OWN_DISK, "sh", "-c", mount], capture_output=True
    ).returncode
  except OSError:
    return False


pytestmark = pytest.mark.skipif(not _allowed(), reason="needs mount namespaces")


class DiskTestCase(absltest.TestCase):
  def setUp(self):
    super().setUp()
    scratch = self.enterContext(tempfile.TemporaryDirectory())
    self.scratch = pathlib.Path(scratch)
    self.workdir = self.scratch / "workdir"
    self.workdir.mkdir()

  def run_on(self, disk: str, *arguments: str) -> subprocess.CompletedProcess:
    """Runs with the workdir on its own disk; what is there then is kept."""
    kept, mounted = self.scratch / "kept", self.workdir
    command = [sys.executable, "-m", "lro_jax.main", *SMALL.arguments]
    command += [*arguments, f"--workdir={mounted}"]
    done = subprocess.run(
      [
        *OWN_DISK,
        "sh",
        "-c",
        # The second copy is to a disk with room.
        f'{disk}; "$@"; status=$?; cp -r {mounted}/. {kept}; exit $status',
        "sh",
        *command,
      ],
      cwd=processes.ROOT,
      env=os.environ
      | {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "16",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(self.scratch / "cache"),
      },
      capture_output=True,
      text=True,
    )
    shutil.rmtree(self.workdir)
    if kept.exists():
      kept.rename(self.workdir)
    return done

  def anywhere(self, *arguments):
    """The same command where there is room; facts of the run."""
    done = self.run_on("true", *arguments)
    self.assertEqual(done.returncode, 0, done.stderr)
    return processes.facts(self.workdir / SMALL.folder)

  def one_error(self, done, *words):
    self.assertEqual(done.returncode, 1, done.stderr)
    self.assertFalse("Traceback" in done.stderr, done.stderr[-2000:])
    last = done.stderr.strip().splitlines()[-1]
    self.assertStartsWith(last, "Error: ")
    for word in words:
      self.assertIn(word, last)


class FullDiskTest(DiskTestCase):
  def test_full_before_it_begins(self):
    # Room for a folder's config, and not for its lock.
    for size in ("4k", "8k"):
      done = self.run_on(f"mount -t tmpfs -o size={size} none {self.workdir}")
      self.one_error(done, "No space left on device")
      self.workdir.mkdir(exist_ok=True)

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
    warned = "could not be saved" in done.stderr
    self.assertTrue(warned, done.stderr[-2000:])
    self.assertFalse("Traceback" in done.stderr, done.stderr[-2000:])
    if done.returncode:
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
