"""Programs and whole runs: what is counted, and what adds up to what."""

import time
from unittest import mock

import jax
import numpy as np
import pytest
from absl.testing import absltest

from lro_jax.bench import hlo, programs, seeds, whole
from lro_jax.bench import theory as bench_theory
from lro_jax.core import steps, timing
from lro_jax.vision import wide_resnet
from tests import testing
from tests.vision import small


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


def quickly(call, **unused):
  """In the place of `timing.seconds`: called once."""
  return timing.once(call)


class ProgramsTest(absltest.TestCase):
  def test_counts_and_parts_of_a_net(self):
    config = small.run_config("small_noise")
    with (
      mock.patch.object(programs.timing, "seconds", quickly),
      mock.patch.object(programs.device, "seconds", quickly),
      mock.patch.object(programs.device, "ON_CPU", (64, 1)),
      mock.patch.object(programs.device, "COPY_ON_CPU", (2**16, 1)),
    ):
      got = programs.measure(config, profile=True)
    self.assertEqual(set(got["programs"]), {"init", "call", "evaluate"})
    net = wide_resnet.WideResNet(10, 1, 10)
    forward = 16 * wide_resnet.forward_flops(net, (32, 32, 3))
    # Three passes by formula, less the gradient by the images themselves.
    counted = got["programs"]["call"]["xla_flops"]
    self.assertBetween(counted / forward, 2.0, 3.5)
    self.assertAlmostEqual(sum(got["by_part"].values()), got["step_seconds"])
    self.assertContainsSubset(
      {hlo.FORWARD, hlo.BACKWARD, hlo.OPTIMISER, hlo.NOISE, hlo.PATCHES},
      got["by_part"],
    )

  def test_a_run_is_its_parts_and_the_gaps(self):
    run = bench_theory.run_config(
      testing.experiment("network", testing.TINY), "network"
    )
    # As if a slice took 1 s, 2 s and 3 s by parts in one pause, then more.
    asked = []

    now = [0.0]

    def alone(unused_run, *nums):
      asked.append(nums)
      now[0] += 1000
      return whole.Alone(*(len(asked) * x for x in (1, 2, 3)))

    clock = mock.Mock(monotonic=lambda: time.monotonic() + now[0])
    with (
      mock.patch.object(whole, "alone", alone),
      mock.patch.object(whole, "time", clock),
    ):
      got = whole.compare(run, 30)
    # A pause is no part of the run.
    self.assertBetween(got["seconds"], 0, 1000)
    self.assertAlmostEqual(sum(got["parts"].values()), got["seconds"])
    known = got["seconds"] - got["parts"]["host gaps"]
    self.assertAlmostEqual(got["sum_over_whole"], known / got["seconds"])
    self.assertGreater(got["parts"]["checkpoint"], 0)
    self.assertGreater(got["parts"]["logging"], 0)
    _, (num_steps, num_evals), *more = asked
    self.assertEqual(set(more), {(num_steps, num_evals)})
    self.assertEqual(num_steps, 30 // whole.SLICES)
    self.assertLen(got["alone"], len(asked) - 1)
    # The first call compiled, before all pauses.
    mean = np.mean([x["steps"] for x in got["alone"]])
    self.assertAlmostEqual(mean, np.mean(range(2, len(asked) + 1)))
    # The first step is before the clock.
    self.assertAlmostEqual(got["parts"]["steps"], mean * 29 / num_steps)
    each = got["parts"]["evaluation"] / got["parts"]["reading"]
    self.assertAlmostEqual(each, 2 / 3)


@pytest.mark.slow
class SeedsTest(absltest.TestCase):
  def test_seeds_in_one_program_move_as_each_by_itself(self):
    tasks = [
      small.make_task(small.run_config(fields={"seeds": (k,)})) for k in (0, 1)
    ]
    together = steps.compile_task(seeds.merged(tasks), 1)
    carry, _ = together.advance(together.init(), 1, True)
    ours = together.fetch(carry.state.params)
    for k, task in [(1, tasks[1])]:
      alone = steps.compile_task(task, 1)
      carry, _ = alone.advance(alone.init(), 1, True)
      jax.tree.map(
        # As a batch axis the sums are taken in another order.
        lambda a, b, k=k: np.testing.assert_allclose(
          a[k], b[0], rtol=1e-3, atol=1e-5
        ),
        ours,
        alone.fetch(carry.state.params),
      )


if __name__ == "__main__":
  absltest.main()
