"""Two processes on one workdir: no run is done twice, none is lost."""

import pathlib
import tempfile

from absl.testing import absltest

from lro_jax.core import folders, interrupt, metrics
from tests.faults import processes, small_runs


class TwoProcessesTest(processes.Started, absltest.TestCase):
  def test_the_same_command_twice_at_the_same_time(self):
    small = small_runs.IMAGES
    whole, shared = self.scratch / "whole", self.scratch / "shared"
    first = self.zygote.start(*small.arguments, f"--workdir={shared}")
    lock = shared / small.folder / folders.LOCK
    processes.wait_until(
      lambda: lock.exists() and lock.read_text() != "", first
    )
    second = self.zygote.run(*small.arguments, f"--workdir={shared}")
    # Not all is done, and a scheduler is to come again.
    self.assertEqual(second.wait(), interrupt.EXIT_STATUS, second.output)
    self.assertIn("under way in other processes", second.output)
    self.assertIn(f"is being done by process {first.pid} on", second.output)
    self.assertEqual(first.wait(), 0, first.output)
    alone = self.zygote.run(*small.arguments, f"--workdir={whole}")
    self.assertEqual(alone.wait(), 0, alone.output)
    self.assertEqual(
      *(processes.facts(w / small.folder) for w in (whole, shared))
    )
    record = metrics.read_json(shared / small.folder / metrics.RUN)
    self.assertEqual(record["resumed"], 0)

  def test_a_lock_ends_with_its_process(self):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    where = pathlib.Path(folder)
    with folders.hold(where) as mine:
      self.assertTrue(mine)
      with folders.hold(where) as theirs:
        self.assertFalse(theirs)
    with folders.hold(where) as again:
      self.assertTrue(again)


if __name__ == "__main__":
  absltest.main()
