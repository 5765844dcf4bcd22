"""The progress line: what it says, and how often."""

import io
import math
import re
from unittest import mock

import tqdm
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from lro_jax.core import progress
from lro_jax.core.progress import Progress


class ProgressTestCase(parameterized.TestCase):
  """Time stands still until a test moves it."""

  def setUp(self):
    super().setUp()
    self.now = 1000.0
    self.enterContext(
      mock.patch.object(progress.time, "monotonic", lambda: self.now)
    )

  def started(self, num_runs=1, step=0, max_steps=1000):
    out = Progress(num_runs)
    out.start("large/base", step, max_steps)
    return out


def seconds(text):
  """What `clock` wrote, in seconds."""
  hours, minutes, rest = re.fullmatch(r"(\d+):(\d\d):(\d\d)", text).groups()
  return 3600 * int(hours) + 60 * int(minutes) + int(rest)


class ClockTest(absltest.TestCase):
  @given(st.floats(0, 86_399))
  def test_reads_back_as_whole_seconds(self, value):
    self.assertEqual(seconds(progress.clock(value)), round(value))

  def test_never_goes_below_zero(self):
    self.assertEqual(progress.clock(-5.0), progress.clock(0.0))


class LineTest(ProgressTestCase):
  def test_holds_run_phase_step_loss_rate_and_eta(self):
    bar = self.started(num_runs=3, max_steps=12_000)
    self.now += 20
    line = bar.line(step=2_000, loss=0.125, phase="1/2 annealed")
    rate = 2_000 / 20
    left = progress.clock((12_000 - 2_000) / rate)
    for part in (
      "[1/3 large/base]",
      "1/2 annealed",
      "step 2,000/12,000",
      "loss 0.1250",
      f"{rate:.0f} steps/s",
      f"ETA run <= {left}",
    ):
      self.assertIn(part, line)
    self.assertNotIn("\n", line)

  def test_a_continued_run_is_timed_from_where_it_continued(self):
    bar = self.started(step=900, max_steps=1000)
    self.now += 10
    line = bar.line(step=950, loss=1.0, phase="training")
    self.assertIn(f"{50 / 10:.0f} steps/s", line)
    self.assertIn(f"run <= {progress.clock(50 / (50 / 10))}", line)

  def test_before_the_first_step_there_is_no_eta(self):
    bar = self.started()
    for passed in (0, 30):
      self.now += passed
      line = bar.line(step=0, loss=0.7, phase="training")
      self.assertIn("ETA compiling", line)
      self.assertNotRegex(line, "nan|inf")

  def test_a_loss_that_is_not_finite_is_shown(self):
    bar = self.started()
    self.now += 1
    self.assertIn("nan", bar.line(step=1, loss=math.nan, phase="training"))

  def test_the_eta_of_all_runs_counts_those_to_come_at_the_mean_so_far(self):
    bar = self.started(num_runs=4)
    durations = (30, 90)
    self.now += durations[0]
    bar.finish("done")
    bar.start("small/base", 0, 1000)
    self.now += durations[1]
    bar.finish("done")
    bar.start("third/base", 0, 1000)
    self.now += 10
    line = bar.line(step=500, loss=0.5, phase="training")
    left = 10  # half is done after 10 seconds
    mean = sum(durations) / 2
    self.assertIn("[3/4 third/base]", line)
    self.assertIn(f"all <= {progress.clock(left + mean)}", line)

  def test_the_last_run_ends_with_the_experiment(self):
    bar = self.started(num_runs=2)
    self.now += 500
    bar.finish("done")
    bar.start("small/base", 0, 1000)
    self.now += 10
    line = bar.line(step=100, loss=0.5, phase="training")
    run, everything = re.search(r"run <= (\S+), all <= (\S+)", line).groups()
    self.assertEqual(run, everything)


class ShowTest(ProgressTestCase):
  def shown(self, bar, moves):
    """Log lines of calls between which time moves by so many seconds."""
    with mock.patch.object(progress.logging, "info") as info:
      for move in moves:
        self.now += move
        bar.show(step=1, loss=0.5, phase="training")
    return [call.args[0] % call.args[1:] for call in info.call_args_list]

  @given(st.lists(st.floats(0, 2 * progress.LOG_SECONDS), max_size=40))
  def test_without_a_terminal_lines_keep_their_distance(self, moves):
    self.now = 1000.0
    bar = self.started()
    expected, last = 0, -math.inf
    now = self.now
    for move in moves:
      now += move
      if now - last >= progress.LOG_SECONDS:
        expected, last = expected + 1, now
    self.assertLen(self.shown(bar, moves), expected)

  def test_without_a_terminal_the_first_line_comes_at_once(self):
    (line,) = self.shown(self.started(), [0])
    self.assertIn("[1/1 large/base] training", line)

  def test_on_a_terminal_one_line_is_rewritten_and_nothing_logged(self):
    terminal = io.StringIO()
    bar = self.started()
    bar._bar = tqdm.tqdm(
      total=0,
      bar_format="{desc}",
      leave=False,
      file=terminal,
      disable=False,
      mininterval=0,
    )
    self.assertEmpty(self.shown(bar, [1] * 30))
    bar.show(step=777, loss=0.25, phase="2/2 annealed")
    bar.close()
    self.assertNotIn("\n", terminal.getvalue())
    self.assertIn("2/2 annealed | step 777/1,000", terminal.getvalue())

  def test_the_end_of_a_run_is_always_said(self):
    bar = self.started(num_runs=2)
    self.shown(bar, [0])
    self.now += 75
    with mock.patch.object(progress.logging, "info") as info:
      bar.finish("done: 2 stopped")
    (call,) = info.call_args_list
    line = call.args[0] % call.args[1:]
    self.assertEqual(
      line, f"[1/2 large/base] done: 2 stopped ({progress.clock(75)})"
    )


if __name__ == "__main__":
  absltest.main()
