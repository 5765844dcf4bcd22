"""The bench: what it times, and that its shares add up."""

from unittest import mock

from absl.testing import absltest, parameterized

from lro_jax import bench_device, bench_theory
from lro_jax.core import timing
from lro_jax.core.schema import UserError
from tests import testing


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
        bench_theory, "seconds", side_effect=[8.0, 3.0, 1.0, 40.0, 20.0]
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


if __name__ == "__main__":
  absltest.main()
