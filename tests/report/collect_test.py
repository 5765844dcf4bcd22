"""Run folders become tidy rows."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import collect
from tests.report import fake
from tests.report.fake import row

# Seed 3 comes first, anneals at 5 and stops at 9; seed 1 never anneals and its
# last loss is not finite.
ROWS = (
  row(0, 3, loss=0.9),
  row(0, 1, loss=0.8),
  row(5, 3, "anneal", loss=0.5, rate=0.1),
  row(8, 3, loss=0.45),
  row(8, 1, loss=0.7),
  row(9, 3, "stop", loss=0.4, rate=0.1),
  row(10, 1, loss=None),
)


class FolderTestCase(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )


class TidyTest(FolderTestCase):
  def tidy(self, rows=ROWS, **kwargs):
    fake.write_experiment(self.workdir, arms=["a"])
    fake.write_run(self.workdir / "a" / "base", rows)
    fake.write_rows(self.workdir / "a" / "base", rows, **kwargs)
    return collect.tidy(collect.load(self.workdir))

  def found(self, tidy, **wanted):
    """Values of the tidy rows that have these fields."""
    return [r["value"] for r in tidy if wanted.items() <= r.items()]

  def test_every_number_is_one_row_in_the_order_of_the_run(self):
    got = self.tidy()

    def rows(seed, phase, **values):
      return [
        {
          "arm": "a",
          "cell": "base",
          "seed": seed,
          "phase": phase,
          "metric": metric,
          "value": value,
        }
        for metric, value in values.items()
      ]

    self.assertEqual(
      got,
      rows(3, "anneal", step=5, loss=0.5, rate=0.1)
      + rows(3, "end", step=9, loss=0.4, rate=0.1)
      + rows(1, "end", step=10, loss=None),
    )

  def test_annealing_as_the_last_act_is_both_phases(self):
    tidy = self.tidy([row(0, 0, loss=0.9), row(4, 0, "anneal", loss=0.5)])
    for phase in ("anneal", "end"):
      self.assertEqual(self.found(tidy, phase=phase, metric="loss"), [0.5])

  def test_a_value_that_is_not_finite_is_null_and_left_out_of_means(self):
    tidy = self.tidy()
    where = dict(arm="a", cell="base", phase="end", metric="loss")
    self.assertEqual(self.found(tidy, seed=1, **where), [None])
    self.assertEqual(collect.values(tidy, **where), {3: 0.4})

  def test_the_end_of_a_diverged_seed_is_null_its_annealing_is_not(self):
    tidy = self.tidy(
      [
        row(3, 0, "anneal", error=0.5),
        row(4, 0, "diverge", error=0.0),
        row(4, 1, error=0.25),
      ]
    )
    error = dict(metric="error")
    self.assertEqual(self.found(tidy, phase="anneal", **error), [0.5])
    self.assertEqual(self.found(tidy, phase="end", **error), [None, 0.25])

  def test_the_lowest_till_annealing_is_of_that_seed_and_that_time(self):
    def at(step, seed, loss, event=None):
      return fake.row(step, seed, event) | {collect.Q_ONLY: loss}

    rows = [at(0, 1, 0.7), at(3, 1, 0.5), at(4, 2, 0.1)]
    rows += [at(5, 1, 0.6, "anneal"), at(9, 1, 0.2, "stop")]
    got = self.tidy(rows)
    self.assertEqual(self.found(got, metric=collect.LOWEST), [0.5])
    self.assertEqual(
      self.found(got, metric=collect.LOWEST, seed=1, phase="anneal"), [0.5]
    )

  def test_a_torn_last_line_is_left_out(self):
    torn = json.dumps(row(11, 1, loss=0.1))[:-4]
    self.assertEqual(self.tidy(tail=torn), self.tidy())

  def test_values_fit_arm_cell_phase_and_metric_all(self):
    fake.write_experiment(self.workdir, arms=["a", "b"], cells=["x", "y"])
    value = 0.0
    for arm in ("a", "b"):
      for cell in ("x", "y"):
        value += 1
        fake.write_run(
          self.workdir / arm / cell,
          [
            row(1, 0, "anneal", loss=value, error=-value),
            row(2, 0, loss=10 * value, error=-10 * value),
          ],
        )
    tidy = collect.tidy(collect.load(self.workdir))
    for wanted, value in (
      (("a", "x", "anneal", "loss"), 1.0),
      (("a", "y", "end", "loss"), 20.0),
      (("b", "x", "anneal", "error"), -3.0),
      (("b", "y", "end", "error"), -40.0),
      (("b", "y", "end", "step"), 2),
    ):
      arm, cell, phase, metric = wanted
      self.assertEqual(
        collect.values(tidy, arm=arm, cell=cell, phase=phase, metric=metric),
        {0: value},
      )
    self.assertEmpty(
      collect.values(tidy, arm="c", cell="x", phase="end", metric="loss")
    )


class LoadTest(FolderTestCase):
  def test_runs_come_cell_by_cell_in_the_order_of_the_config(self):
    fake.write_experiment(
      self.workdir, arms=["small", "large"], cells=["z", "a"]
    )
    for arm in ("large", "small"):
      for cell in ("a", "z"):
        fake.write_run(self.workdir / arm / cell, ROWS)
    runs = collect.load(self.workdir).runs
    self.assertEqual(
      [(run.cell, run.arm) for run in runs],
      [("z", "small"), ("z", "large"), ("a", "small"), ("a", "large")],
    )
    self.assertEqual(runs[0].seeds, [3, 1])

  def test_a_run_not_begun_is_left_out(self):
    fake.write_experiment(self.workdir, arms=["a", "b", "c"])
    fake.write_run(self.workdir / "a" / "base", ROWS)
    metrics.write_json(self.workdir / "b" / "base" / metrics.CONFIG, {})
    self.assertEqual([r.arm for r in collect.load(self.workdir).runs], ["a"])

  def test_curve_holds_events_and_skips_nulls(self):
    fake.write_experiment(self.workdir, arms=["a"])
    fake.write_run(self.workdir / "a" / "base", ROWS)
    run = collect.load(self.workdir).runs[0]
    steps, values = run.curve("loss", 3)
    np.testing.assert_array_equal(steps, [0, 5, 8, 9])
    np.testing.assert_array_equal(values, [0.9, 0.5, 0.45, 0.4])
    np.testing.assert_array_equal(run.curve("loss", 1)[0], [0, 8])
    self.assertLen(run.curve("no such metric", 3)[0], 0)
    self.assertEqual(run.event_step("anneal", 3), 5)
    self.assertIsNone(run.event_step("anneal", 1))

  def test_a_folder_without_experiment_is_refused_by_name(self):
    for folder in (self.workdir, self.workdir / "missing"):
      with self.assertRaises(UserError) as caught:
        collect.load(folder)
      self.assertIn(str(folder), str(caught.exception))
      self.assertIn("experiment.json", str(caught.exception))

  def test_a_workdir_without_metrics_is_refused_by_name(self):
    fake.write_experiment(self.workdir, arms=["a"])
    fake.write_run(self.workdir / "a" / "base", [])
    with self.assertRaises(UserError) as caught:
      collect.load(self.workdir)
    self.assertIn(str(self.workdir), str(caught.exception))
    self.assertIn("no run", str(caught.exception))


if __name__ == "__main__":
  absltest.main()
