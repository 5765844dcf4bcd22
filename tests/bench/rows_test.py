"""The bench: what it times, and that its shares add up."""

from unittest import mock

import jax
from absl.testing import absltest, parameterized

from lro_jax.bench import device as bench_device
from lro_jax.bench import theory as bench_theory
from lro_jax.bench import vision as bench_vision
from lro_jax.core import timing
from lro_jax.core.schema import UserError
from lro_jax.vision import wide_resnet
from tests import testing
from tests.vision import small


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


class SecondsTest(parameterized.TestCase):
  @parameterized.parameters(0.001, 0.2, 3.0)
  def test_is_the_median_and_leaves_out_the_first_call(self, cost):
    now, calls = 0.0, 0

    def call():
      nonlocal now, calls
      calls += 1
      # Compilation, and one repeat disturbed by something else.
      now += 1000.0 if calls == 1 else 50 * cost if calls == 3 else cost

    with mock.patch.object(timing.time, "perf_counter", lambda: now):
      got = timing.seconds(call, at_least=0.5)
    self.assertAlmostEqual(got, cost, delta=1e-9)
    # One to warm up, one to see how many make a repeat, then the repeats.
    per_repeat = max(1, round(0.5 / cost))
    self.assertEqual(calls, 2 + timing.REPEATS * per_repeat)


class RowsTest(absltest.TestCase):
  def test_shares_add_up_and_ratios_are_of_the_same_run(self):
    config = testing.experiment("network", testing.TINY)
    run = bench_theory.run_config(config, "network")
    with (
      mock.patch.object(
        bench_theory, "seconds", side_effect=[8.0, 9.0, 3.0, 1.0, 40.0, 20.0]
      ),
      mock.patch.object(bench_device, "seconds", return_value=1.0),
    ):
      row = bench_theory.network_row(run, steps_per_call=1)
    self.assertEqual(row["steps_per_second"], 1 / 8)
    self.assertEqual(row["share_forward_backward"], 3 / 8)
    self.assertEqual(row["share_noise"], 1 / 8)
    shares = [v for k, v in row.items() if k.startswith("share_")]
    self.assertAlmostEqual(sum(shares), 1.0)
    self.assertEqual(row["ratio_to_numpy"], 5.0)
    self.assertEqual(row["ratio_to_numpy_same_basis"], 2.5)

  def test_an_engine_that_no_run_has_is_refused(self):
    config = testing.experiment("limit", testing.TINY)
    with self.assertRaisesRegex(UserError, "engine 'network'.* preset"):
      bench_theory.run_config(config, "network")

  def test_flops_are_those_of_the_sizes_asked_for(self):
    config = testing.experiment("network", testing.TINY)
    run = bench_theory.run_config(
      config, "network", dim=10, num_train=40, num_hidden=12
    )
    # Calls are made, once each, and not timed.
    with mock.patch.object(
      bench_theory, "seconds", side_effect=lambda call: (call(), 1.0)[1]
    ):
      row = bench_theory.network_row(run, steps_per_call=1)
    # W: 40 inputs, 10 coordinates, 6 rows; V: 3 inputs, 2 coordinates, 6 rows.
    flops = 4 * (40 * 10 * 6 + 3 * 2 * 6)
    self.assertAlmostEqual(row["forward_backward_gflops"] * 1e9, flops)
    self.assertEqual([row["rows_w"], row["rows_v"]], [6, 6])


class ImagesTest(absltest.TestCase):
  def test_speed_and_shares_follow_from_the_time_of_a_step(self):
    config = small.experiment()
    costs = {"seconds": 0.5, "compile_seconds": 3.0}
    with (
      mock.patch.object(bench_vision, "seconds_per_step", return_value=costs),
      mock.patch.object(
        bench_device, "matrix_product_flops_per_second", return_value=1e10
      ),
    ):
      out = bench_vision.run(config)
    self.assertEqual(out["images_per_second"], 16 / 0.5)
    net = wide_resnet.WideResNet(10, 1, 10)
    flops = wide_resnet.forward_flops(net, (32, 32, 3))
    self.assertEqual(out["forward_flops_per_image"], flops)
    self.assertAlmostEqual(
      out["share_of_matrix_product"], 3 * flops * 32 / 1e10
    )

  def test_a_step_is_timed_on_images_that_need_no_dataset(self):
    config = small.experiment({"data.source": "cifar10"})
    run = bench_vision.run_config(config)
    self.assertEqual(run.data.source, "synthetic")
    self.assertEqual(run.train.batch_size, 16)
    # Calls are made, once each.
    with mock.patch.object(
      bench_vision.timing, "seconds", side_effect=lambda call, **kw: call() or 1
    ):
      cost = bench_vision.seconds_per_step(run)
    self.assertEqual(cost["seconds"], 1)

  def test_without_pytorch_there_is_no_peer(self):
    net = wide_resnet.WideResNet(10, 1, 10)
    with mock.patch.object(
      bench_vision.importlib.util, "find_spec", return_value=None
    ):
      self.assertEqual(bench_vision.beside_torch(net, 4, 1.0), [])

  def test_a_peer_that_fails_is_named_and_the_others_are_compared(self):
    net = wide_resnet.WideResNet(10, 1, 10)
    lines = '{"seconds": 0.5, "compile_seconds": 1.0}'
    children = [
      mock.Mock(returncode=1, stderr="a\nno compiler"),
      mock.Mock(returncode=0, stdout=f"word\n{lines}\n"),
    ]
    util, metadata = (
      bench_vision.importlib.util,
      bench_vision.importlib.metadata,
    )
    with (
      mock.patch.object(util, "find_spec"),
      mock.patch.object(metadata, "version", return_value="2"),
      mock.patch.object(bench_vision.subprocess, "run", side_effect=children),
    ):
      first, second = bench_vision.beside_torch(net, 4, 32.0)
    self.assertEqual(first["failed"], "no compiler")
    self.assertNotIn("ratio", first)
    self.assertEqual(second["images_per_second"], 8.0)
    self.assertEqual(second["ratio"], 4.0)


if __name__ == "__main__":
  absltest.main()
