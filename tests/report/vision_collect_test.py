"""Runs of one seed each become one run, with a best state beside the last."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest

from lro_jax.core import metrics
from lro_jax.report import collect, summary, tables, vision_view
from tests.report import fake, fake_vision

MIXED, CLEAN = "accuracy/mixed", "accuracy/clean"


class VisionTestCase(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def seed_folder(self, arm, seed):
    return self.workdir / arm / "base" / f"seed_{seed}"

  def best(self, rows, seed, arm="large"):
    """What the tidy rows say of a seed's best state, by metric."""
    return {
      row["metric"]: row["value"]
      for row in rows
      if (row["arm"], row["seed"], row["phase"]) == (arm, seed, "best")
    }


class MergeTest(VisionTestCase):
  def test_seeds_of_an_arm_are_one_run_that_holds_what_was_written(self):
    # 10 comes after 2 as a number, before it as a word.
    self.enterContext(absltest.mock.patch.object(fake_vision, "SEEDS", (2, 10)))
    runs = fake_vision.write_workdir(self.workdir).runs
    self.assertEqual([run.arm for run in runs], list(fake_vision.ARMS))
    for run in runs:
      self.assertEqual(
        run.rows,
        [r for s in (2, 10) for r in fake_vision.seed_rows(run.arm, s)],
      )
      self.assertEqual(run.seeds, [2, 10])
      self.assertEqual(list(run.record["seeds"]), ["2", "10"])
      self.assertEqual(run.record["wall_seconds"], 12.0 + 20.0)
      self.assertEqual(run.config, fake_vision.config(run.arm, 2))
      self.assertEqual(run.folder, self.seed_folder(run.arm, 2))
      self.assertEqual(run.num_folders, 2)
      self.assertTrue(run.is_done)

  def test_one_seed_under_way_or_waiting_leaves_the_arm_unfinished(self):
    fake_vision.write_workdir(self.workdir)
    fake_vision.write_seed(
      self.seed_folder("large", 0), "large", 0, status="running"
    )
    waiting = self.seed_folder("small", 20)
    metrics.write_json(waiting / metrics.CONFIG, {})
    large, small = collect.load(self.workdir).runs
    for run in (large, small):
      self.assertFalse(run.is_done)
      self.assertEqual(run.seeds, list(fake_vision.SEEDS))
      self.assertIn("not finished", tables.notes(run)[0])

  def test_the_last_step_is_the_normal_end(self):
    for run in fake_vision.write_workdir(self.workdir).runs:
      self.assertEmpty(tables.notes(run))

  def test_a_seed_that_diverged_is_noted(self):
    fake_vision.write_workdir(self.workdir)
    path = self.seed_folder("large", 0) / metrics.RUN
    record = metrics.read_json(path)
    record["seeds"]["0"]["status"] = "diverged"
    metrics.write_json(path, record)
    (note,) = tables.notes(collect.load(self.workdir).runs[0])
    self.assertStartsWith(note, "large: 1 of 2 seeds diverged")

  def test_the_mean_curve_is_over_steps_that_all_seeds_have(self):
    fake_vision.write_workdir(self.workdir)
    rows = fake_vision.seed_rows("large", 10)[:-3]
    fake.write_rows(self.seed_folder("large", 10), rows)
    run = collect.load(self.workdir).runs[0]
    steps, means = run.mean_curve(CLEAN)
    np.testing.assert_array_equal(steps, [row["step"] for row in rows])
    first = run.curve(CLEAN, 0)[1][: len(rows)]
    np.testing.assert_allclose(means, (first + run.curve(CLEAN, 10)[1]) / 2)


class BestTest(VisionTestCase):
  def test_best_is_the_row_of_the_highest_mixed_accuracy(self):
    rows = collect.tidy(fake_vision.write_workdir(self.workdir))
    for seed in fake_vision.SEEDS:
      written = fake_vision.seed_rows("large", seed)
      top = max(written, key=lambda row: row[MIXED])
      self.assertNotEqual(top, written[-1])
      best = self.best(rows, seed)
      self.assertEqual(best["epoch"], 6)
      self.assertEqual(
        best, {k: v for k, v in top.items() if k not in ("seed", "event")}
      )

  def test_without_mixed_images_clean_accuracy_decides(self):
    rows = fake_vision.seed_rows("large", 0, patches=False)
    rows[4][CLEAN], rows[5][CLEAN] = 0.99, None
    fake_vision.write_workdir(self.workdir, patches=False)
    fake.write_rows(self.seed_folder("large", 0), rows)
    best = self.best(collect.tidy(collect.load(self.workdir)), 0)
    self.assertEqual((best["step"], best[CLEAN]), (rows[4]["step"], 0.99))

  def test_of_equals_the_first_is_best(self):
    rows = fake_vision.seed_rows("large", 0)
    for row in rows:
      row[MIXED] = 0.5
    fake_vision.write_workdir(self.workdir)
    fake.write_rows(self.seed_folder("large", 0), rows)
    tidy = collect.tidy(collect.load(self.workdir))
    self.assertEqual(self.best(tidy, 0)["step"], 0)

  def test_a_diverged_end_is_null_and_the_best_stays(self):
    fake_vision.write_workdir(self.workdir)
    rows = fake_vision.seed_rows("large", 0)
    rows[-1] = fake.row(80, 0, "diverge")
    fake.write_rows(self.seed_folder("large", 0), rows)
    tidy = collect.tidy(collect.load(self.workdir))
    end = collect.values(
      tidy, arm="large", cell="base", phase="end", metric=CLEAN
    )
    self.assertEqual(list(end), [10])
    self.assertEqual(self.best(tidy, 0)["epoch"], 6)


class SummaryTest(VisionTestCase):
  def saved(self, **kwargs):
    experiment = fake_vision.write_workdir(self.workdir, **kwargs)
    path = self.workdir / "summary.json"
    made = summary.summary(experiment, collect.tidy(experiment))
    metrics.write_json(path, made)
    return json.loads(path.read_text()), experiment

  def test_curves_are_those_of_the_logs_to_four_digits(self):
    saved, experiment = self.saved()
    (cell,) = saved["cells"]
    for run in experiment.runs:
      curves = cell["curves"][run.arm]
      self.assertEqual(
        set(curves),
        {
          CLEAN,
          "train_accuracy/all",
          "accuracy/patch_only",
          "accuracy/patch_only_authors",
          "conflict/patch",
        },
      )
      for metric, curve in curves.items():
        steps, means = run.mean_curve(metric)
        np.testing.assert_allclose(
          curve["epoch"], steps / fake_vision.PER_EPOCH, atol=5e-5
        )
        np.testing.assert_allclose(curve["mean"], means, atol=5.1e-5)
        for seed in fake_vision.SEEDS:
          values = run.curve(metric, seed)[1]
          got = curve["seeds"][str(seed)]
          np.testing.assert_allclose(got, values, atol=5.1e-5)
          self.assertEqual(got, [round(value, 4) for value in got])
    self.assertEqual(cell["milestones"], {"large": [4.0], "small": []})
    self.assertEqual(saved["dataset"], fake_vision.DATASET)

  def test_where_a_seed_has_no_value_there_is_no_mean(self):
    experiment = fake_vision.write_workdir(self.workdir)
    rows = fake_vision.seed_rows("large", 10)[:-2]
    fake.write_rows(self.seed_folder("large", 10), rows)
    experiment = collect.load(self.workdir)
    made = summary.curve(experiment.runs[0], CLEAN, fake_vision.PER_EPOCH)
    self.assertEqual(made["seeds"]["10"][-2:], [None, None])
    self.assertEqual(made["mean"][-2:], [None, None])
    self.assertNotIn(None, made["seeds"]["0"] + made["mean"][:-2])

  def test_fields_in_which_arms_differ_stand_under_their_arm(self):
    saved, experiment = self.saved()
    (cell,) = saved["cells"]
    self.assertEqual(cell["seeds"], list(fake_vision.SEEDS))
    self.assertEqual(
      cell["arms"],
      {
        "large": {"optim.learning_rate": 0.1, "optim.anneal_at": ["4 epochs"]},
        "small": {"optim.learning_rate": 0.004, "optim.anneal_at": []},
      },
    )
    self.assertEqual(cell["config"], {})
    self.assertEqual(saved["config"]["model.depth"], 16)
    for name in ("seeds", "optim.learning_rate"):
      self.assertNotIn(name, saved["config"])

  def test_markdown_holds_the_tables_numbers(self):
    saved, experiment = self.saved()
    (table,) = tables.build(
      experiment, collect.tidy(experiment), vision_view.ROWS
    )
    texts = {tuple(line[1:]) for line in table.lines}
    quoted = summary.as_markdown(saved, "base").splitlines()[2:]
    self.assertLen(
      quoted, sum(row.metric in vision_view.QUOTED for row in vision_view.ROWS)
    )
    for line in quoted:
      self.assertIn(tuple(line.strip("| ").split(" | ")[1:]), texts)


if __name__ == "__main__":
  absltest.main()
