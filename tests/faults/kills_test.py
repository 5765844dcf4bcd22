"""SIGKILL at any time: what is continued equals what was never interrupted.

In CI one run is killed; `-m slow` kills 55, about half of them in the middle of
a save.
"""

import random
import signal

import pytest
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from tests import testing
from tests.faults import processes, small_runs

KINDS = (("network", 1), ("network", 4), ("limit", 1), ("images", 1))
KINDS += (("images", 4),)
# How many runs of each kind, and how often each is killed.
FULL = 11


class Kill(testing.Figures, processes.Started, absltest.TestCase):
  """Runs of a kind against one that was never interrupted."""

  def reference(self, small, devices):
    """Facts of the uninterrupted run."""
    folder = self.scratch / "whole"
    process = self.zygote.run(
      *small.arguments, f"--workdir={folder}", devices=devices
    )
    self.assertEqual(process.wait(), 0, process.output)
    return processes.facts(folder / small.folder)

  def killed(self, small, devices, draw, name):
    """Kills once, at a drawn time; the process's workdir, and when it was."""
    workdir = self.scratch / name
    run = workdir / small.folder
    process = self.zygote.start(
      *small.arguments, f"--workdir={workdir}", devices=devices
    )
    moment = draw.choice(("save", "between", "any"))
    if moment == "save":
      after = draw.randrange(4)
      processes.wait_until(
        lambda: (
          len(processes.saved(run)) >= min(after, 2) and processes.saving(run)
        ),
        process,
      )
    elif moment == "between":
      processes.wait_until(lambda: processes.saved(run), process)
      processes.wait_until(lambda: False, process, draw.uniform(0, 1.5))
    else:
      processes.wait_until(lambda: False, process, draw.uniform(0, 6))
    process.send(signal.SIGKILL)
    status = process.wait()
    self.assertIn(status, (0, -signal.SIGKILL), process.output)
    when = "save" if processes.saving(run) else "else"
    return workdir, status != 0 and when

  def check(self, name, devices, count, seed):
    """Kills `count` runs of a kind and continues each; what was met."""
    small, draw = small_runs.ALL[name], random.Random(seed)
    wanted = self.reference(small, devices)
    met = []
    for i in range(count):
      workdir, when = self.killed(small, devices, draw, f"cut{i}")
      again = self.zygote.run(
        *small.arguments, f"--workdir={workdir}", devices=devices
      )
      self.assertEqual(again.wait(), 0, again.output)
      self.assertNotIn("damaged", again.output)
      self.assertEqual(processes.facts(workdir / small.folder), wanted)
      record = metrics.read_json(workdir / small.folder / metrics.RUN)
      met.append((when, record["resumed"]))
    return met


def told(name, devices, met):
  """One line for the reader of the suite."""
  dead = [m for m in met if m[0]]
  return (
    f"{name}, {devices} device(s): {len(dead)} killed"
    f" ({sum(m[0] == 'save' for m in dead)} during a save,"
    f" {sum(m[1] > 0 for m in dead)} continued from a checkpoint):"
    f" {len(met)} of {len(met)} equal to the bit"
  )


class KillTest(Kill):
  def test_continued_equals_uninterrupted(self):
    self.figure(told("network", 4, self.check("network", 4, 1, 3)))


@pytest.mark.slow
class ManyKillsTest(Kill, parameterized.TestCase):
  @parameterized.parameters(*KINDS)
  def test_continued_equals_uninterrupted(self, name, devices):
    met = self.check(name, devices, FULL, devices)
    self.assertGreater(sum(m[0] == "save" for m in met), 0)
    self.figure(told(name, devices, met))


if __name__ == "__main__":
  absltest.main()
