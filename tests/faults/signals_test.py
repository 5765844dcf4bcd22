"""SIGTERM and SIGINT: the state is saved, and the exit status says so."""

import signal

import pytest
from absl.testing import absltest

from lro_jax.core import interrupt, metrics
from tests.faults import processes, small_runs

# No save but the one that the signal asks for.
ONCE = ("--config.checkpoint.minutes=1000", "--config.eval.every=never")


class SignalTest(processes.Started, absltest.TestCase):
  def test_it_saves_and_ends_and_the_same_command_continues(self):
    self.check("network", signal.SIGTERM)

  @pytest.mark.slow
  def test_of_images_by_ctrl_c(self):
    self.check("images", signal.SIGINT)

  def check(self, name, number):
    """A signal, and the same command again."""
    small = small_runs.ALL[name]
    whole, cut = self.scratch / "whole", self.scratch / "cut"
    arguments = (*small.arguments, *ONCE)
    if name == "network":
      arguments += ("--config.shrink.train.max=4000 steps",)
    else:
      arguments += ("--config.shrink.train.max=10 epochs",)
    process = self.zygote.start(*arguments, f"--workdir={cut}")
    rows = cut / small.folder / metrics.METRICS
    processes.wait_until(
      lambda: rows.exists() and rows.stat().st_size > 0, process
    )
    process.send(number)
    # The scheduler's signal may come twice.
    process.send(number)
    self.assertEqual(process.wait(), interrupt.EXIT_STATUS, process.output)
    self.assertIn("has saved its state", process.output)
    self.assertNotIn("Traceback", process.output)
    (at,) = processes.saved(cut / small.folder)
    record = metrics.read_json(cut / small.folder / metrics.RUN)
    self.assertEqual(record["status"], "running")
    again = self.zygote.run(*arguments, f"--workdir={cut}")
    self.assertEqual(again.wait(), 0, again.output)
    uninterrupted = self.zygote.run(*arguments, f"--workdir={whole}")
    self.assertEqual(uninterrupted.wait(), 0, uninterrupted.output)
    self.assertEqual(
      processes.facts(cut / small.folder),
      processes.facts(whole / small.folder),
      f"saved at step {at}",
    )
    record = metrics.read_json(cut / small.folder / metrics.RUN)
    self.assertEqual(record["resumed"], 1)


class WatchTest(absltest.TestCase):
  def test_a_signal_is_noted_and_the_handlers_come_back(self):
    before = signal.getsignal(signal.SIGTERM)
    with interrupt.Watch() as watch:
      self.assertFalse(watch.asked)
      signal.raise_signal(signal.SIGTERM)
      self.assertTrue(watch.asked)
      signal.raise_signal(signal.SIGTERM)  # the same news
    self.assertEqual(signal.getsignal(signal.SIGTERM), before)

  def test_one_that_follows_later_acts_as_ever(self):
    # Whatever this process does otherwise: a library may have a handler there.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    self.addCleanup(signal.signal, signal.SIGINT, ours or signal.SIG_DFL)
    with self.assertRaises(KeyboardInterrupt), interrupt.Watch() as watch:
      signal.raise_signal(signal.SIGINT)
      watch._since -= 2 * interrupt.SAME_NEWS_SECONDS
      signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
  absltest.main()
