"""Two processes on one machine as two hosts, four virtual devices each."""

import json
import signal
import socket
import time

import pytest
from absl.testing import absltest

from lro_jax.core import interrupt, metrics
from tests import testing
from tests.faults import processes, small_runs

# In s: a host that does not answer is given up then.
TIMEOUT = 10


def free_port() -> int:
  with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1]


class HostsTestCase(testing.Figures, processes.Started, absltest.TestCase):
  def start(self, arguments, workdir, ids=(0, 1), own=((), ())):
    """Two hosts of one command, or those of some ids; `own` differs."""
    port = free_port()
    return [
      self.zygote.start(
        *arguments,
        *own[i],
        f"--workdir={workdir}",
        f"--coordinator=127.0.0.1:{port}",
        "--num_processes=2",
        f"--process_id={i}",
        f"--host_timeout={TIMEOUT}",
        devices=4,
      )
      for i in ids
    ]

  def both(self, arguments, workdir, status=0):
    """Runs both to their end; what they printed."""
    pair = self.start(arguments, workdir)
    for process in pair:
      self.assertEqual(process.wait(), status, process.output)
    return [process.output for process in pair]


def rows_of(run):
  return metrics.read_metrics(run / metrics.METRICS)


class TwoHostsTest(HostsTestCase):
  @pytest.mark.slow
  def test_two_hosts_equal_one_with_eight_devices(self):
    self.check_equal("images")

  @pytest.mark.slow
  def test_and_in_the_theory(self):
    self.check_equal("network")

  def check_equal(self, name):
    """That two hosts do what one does with as many devices."""
    small = small_runs.ALL[name]
    one, two = self.scratch / "one", self.scratch / "two"
    alone = self.zygote.run(*small.arguments, f"--workdir={one}", devices=8)
    self.assertEqual(alone.wait(), 0, alone.output)
    self.both(small.arguments, two)
    record = metrics.read_json(two / small.folder / metrics.RUN)
    self.assertEqual((record["num_hosts"], record["num_devices"]), (2, 8))
    ours, theirs = (rows_of(w / small.folder) for w in (one, two))
    self.assertEqual(len(ours), len(theirs))
    largest = 0.0
    for a, b in zip(ours, theirs, strict=True):
      self.assertEqual(a.keys(), b.keys())
      for key in a:
        if isinstance(a[key], float):
          largest = max(largest, abs(a[key] - b[key]) / max(1, abs(a[key])))
        else:
          self.assertEqual(a[key], b[key], key)
    # Sums over devices in another order: float32, some tens of steps.
    self.assertLess(largest, 1e-4)
    self.figure(f"{name}: two hosts differ from one by {largest:.1e} at most")

  def test_one_dies_and_the_other_says_so(self):
    self.check_death(1)

  @pytest.mark.slow
  def test_and_both_continue(self):
    self.check_continues(1)

  @pytest.mark.slow
  def test_the_first_dies_too(self):
    self.check_continues(0)

  def check_continues(self, which):
    """One host is killed, and both go on together."""
    small = small_runs.NETWORK
    whole = self.scratch / "whole"
    self.both(small.arguments, whole)
    cut = self.check_death(which)
    self.both(small.arguments, cut)
    self.assertEqual(*(processes.facts(w / small.folder) for w in (whole, cut)))
    record = metrics.read_json(cut / small.folder / metrics.RUN)
    self.assertEqual(record["resumed"], 1)

  def check_death(self, which):
    """One host is killed, and the other says so; the workdir."""
    small = small_runs.NETWORK
    cut = self.scratch / "cut"
    pair = self.start(small.arguments, cut)
    processes.wait_until(
      lambda: len(processes.saved(cut / small.folder)) > 1, pair[0]
    )
    pair[which].kill_all()
    other = pair[1 - which]
    began = time.monotonic()
    self.assertEqual(other.wait(), 1, other.output)
    waited = time.monotonic() - began
    self.assertIn("Error: another host has ended", other.output)
    self.assertNotIn("Traceback", other.output)
    # The coordinator looks once in a timeout, and JAX has its own patience.
    self.assertLess(waited, 6 * TIMEOUT)
    self.figure(
      f"host {which} died: the other ended {waited:.0f} s later, and says why"
    )
    return cut

  @pytest.mark.slow
  def test_a_signal_to_one_ends_both_at_the_same_step(self):
    small = small_runs.NETWORK
    cut = self.scratch / "cut"
    pair = self.start(
      (
        *small.arguments,
        "--config.checkpoint.minutes=1000",
        "--config.eval.every=never",
        "--config.shrink.train.max=4000 steps",
      ),
      cut,
    )
    rows = cut / small.folder / metrics.METRICS
    processes.wait_until(
      lambda: rows.exists() and rows.stat().st_size > 0, pair[0]
    )
    pair[1].send(signal.SIGTERM)
    for process in pair:
      self.assertEqual(process.wait(), interrupt.EXIT_STATUS, process.output)
      self.assertIn("has saved its state", process.output)
    self.assertLen(processes.saved(cut / small.folder), 1)


class MistakesTest(HostsTestCase):
  def refused(self, process, *words):
    self.assertEqual(process.wait(), 1, process.output)
    self.assertNotIn("Traceback", process.output)
    errors = [
      line for line in process.output.splitlines() if line.startswith("Error: ")
    ]
    self.assertLen(errors, 1, process.output)
    for word in words:
      self.assertIn(word, errors[0])

  def test_the_limit_engine_has_one_device(self):
    workdir = self.scratch / "limit"
    for process in self.start(small_runs.LIMIT.arguments, workdir):
      self.refused(process, "on 2 hosts", "start hosts by themselves")

  def test_hosts_that_were_started_differently(self):
    workdir = self.scratch / "differ"
    own = [(f"--config.data.r={0.2 + i}",) for i in (0, 1)]
    pair = self.start(small_runs.NETWORK.arguments, workdir, own=own)
    for process in pair:
      self.refused(process, "Host 1 was started with another config")

  @pytest.mark.slow
  def test_a_host_that_never_comes(self):
    (process,) = self.start(
      small_runs.NETWORK.arguments, self.scratch / "alone", ids=(1,)
    )
    self.assertEqual(process.wait(), 1, process.output)
    self.assertIn("Error: ", process.output)


@pytest.mark.slow
class AgainTest(HostsTestCase):
  def test_two_runs_over_two_hosts_are_one(self):
    """Over hosts, too, a run can be repeated to the bit."""
    small = small_runs.IMAGES
    facts = []
    for name in "ab":
      workdir = self.scratch / name
      self.both(small.arguments, workdir)
      facts.append(json.dumps(str(processes.facts(workdir / small.folder))))
    self.assertEqual(*facts)


if __name__ == "__main__":
  absltest.main()
