"""One command does an experiment, and the same command again completes it."""

import math
import pathlib
import tempfile

import jax
import jax.numpy as jnp
from absl.testing import absltest
from jax.experimental.compilation_cache import compilation_cache

from lro_jax import runs
from lro_jax.core import metrics
from lro_jax.report import collect
from tests import testing

WRITTEN = (metrics.METRICS, metrics.RUN)


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


def snapshot(workdir):
  """Bytes and time of last change of all that runs have written."""
  return {
    str(path.relative_to(workdir)): (path.read_bytes(), path.stat().st_mtime_ns)
    for path in workdir.rglob("*")
    if path.name in WRITTEN
  }


class CompilingOnceTest(absltest.TestCase):
  """What is the same program is compiled once, and leaves nothing."""

  def setUp(self):
    super().setUp()
    # The tests have a folder of their own for what they compile.
    before = jax.config.jax_compilation_cache_dir
    self.addCleanup(jax.config.update, runs.CACHE, before)
    self.addCleanup(compilation_cache.reset_cache)
    jax.config.update(runs.CACHE, None)
    compilation_cache.reset_cache()
    least = "jax_persistent_cache_min_compile_time_secs"
    self.addCleanup(jax.config.update, least, jax.config.values[least])
    jax.config.update(least, 0.0)

  def test_inside_there_is_a_folder_that_is_gone_outside(self):
    with runs._compiling_once():
      folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
      twice = [
        jax.jit(lambda x: x @ x + 3).lower(1.0 * jnp.eye(3)) for _ in "ab"
      ]
      for lowered in twice:
        lowered.compile()
      self.assertTrue(folder.is_dir())
      self.assertLen(list(folder.glob("jit__lambda-*-cache")), 1)
    self.assertFalse(folder.exists())
    self.assertIsNone(jax.config.jax_compilation_cache_dir)

  def test_a_folder_that_was_named_is_kept(self):
    named = self.enterContext(tempfile.TemporaryDirectory())
    jax.config.update(runs.CACHE, named)
    with runs._compiling_once():
      self.assertEqual(jax.config.jax_compilation_cache_dir, named)
    self.assertEqual(jax.config.jax_compilation_cache_dir, named)


class RunTest(absltest.TestCase):
  """One arm by `--only`, then all, then all again."""

  ARMS = ("large", "small", "small_noise")
  COMMAND = "what a notebook says it is"

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    cls.workdir = pathlib.Path(folder)
    cls.enterClassContext(testing.no_figures())
    config = testing.experiment("limit", testing.TINY)
    cls.printed, cls.written, cls.reports = [], [], []
    for only in ("small/*", "*", "*"):
      cls.printed.append(
        testing.run_all(config, cls.workdir, only=only, command=cls.COMMAND)
      )
      cls.written.append(snapshot(cls.workdir))
      report = sorted((cls.workdir / "report").glob("*.*"))
      cls.reports.append({p.name: p.read_bytes() for p in report})
    cls.records = {
      arm: metrics.read_json(cls.workdir / arm / "base" / metrics.RUN)
      for arm in cls.ARMS
    }

  def test_only_runs_what_fits_and_leaves_the_report_to_the_last(self):
    self.assertEqual(
      set(self.written[0]),
      {f"small/base/{n}" for n in WRITTEN},
    )
    self.assertEmpty(self.reports[0])
    self.assertEqual(self.printed[0], "")

  def test_the_record_names_the_command_it_was_told(self):
    record = metrics.read_json(self.workdir / "experiment.json")
    self.assertEqual(record["command"], self.COMMAND)

  def test_the_command_finishes_a_partial_experiment(self):
    self.assertEqual(
      set(self.written[1]),
      {f"{arm}/base/{n}" for arm in self.ARMS for n in WRITTEN},
    )
    self.assertEqual({r["status"] for r in self.records.values()}, {"done"})
    self.assertIn("index.html", self.reports[1])
    self.assertIn("Report: ", self.printed[1])

  def test_finished_runs_are_not_touched(self):
    self.assertLessEqual(self.written[0].items(), self.written[1].items())
    self.assertEqual(self.written[2], self.written[1])
    self.assertEqual(self.reports[2], self.reports[1])

  def test_every_arm_and_seed_has_finite_results(self):
    rows = metrics.read_json(self.workdir / "report" / "results.json")
    for arm in self.ARMS:
      for metric in ("step", "train_loss/m1", "test_error/p_only"):
        found = collect.values(
          rows, arm=arm, cell="base", phase="end", metric=metric
        )
        self.assertEqual(set(found), {0, 5})
        self.assertTrue(all(map(math.isfinite, found.values())))

  def test_arms_are_paired(self):
    large, small = (self.records[arm]["facts"] for arm in ("large", "small"))
    self.assertIn("sha256", large["data"])
    self.assertEqual(large["data"], small["data"])
    self.assertNotEqual(large["setting"], small["setting"])

  def test_a_loss_never_reached_is_a_status_and_a_note(self):
    end = {"status": "max_steps", "step": 3, "events": {}}
    for record in self.records.values():
      self.assertEqual(record["seeds"], {"0": end, "5": end})
    for note in (
      "large: 2 of 2 seeds reached max_steps before the annealing and stopping"
      " loss",
      "small: 2 of 2 seeds reached max_steps before the stopping loss",
    ):
      self.assertIn(note, self.printed[1])
      self.assertIn(note.encode(), self.reports[1]["index.html"])


class DivergedTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def test_a_diverged_seed_is_a_result_and_the_other_goes_on(self):
    # After one update of this size the outputs of seed 0 pass float32's
    # largest number, 3.4e38; those of seed 5 stay below until 2e38.
    rate = 1.5e38
    fields = {
      "shrink.data": dict(dim=24, num_train=32, num_test=64),
      "shrink.model": dict(num_hidden=64, num_hidden_v=64),
      "shrink.train.max": "12 steps",
      "data.r": 0.03,
      "data.q_norm": 20.0,
      "model.init_std": 0.01,
      "optim.stationary": "none",
      "optim.weight_decay": 0.1 / rate,
      "optim.large_learning_rate": rate,
      "optim.small_learning_rate": 0.0025,
      "optim.anneal_excess": 0.12,
      "optim.stop_loss": 0.0,
    }
    config = testing.experiment("network", testing.TINY | fields)
    with self.assertLogs("absl", "ERROR") as logged, testing.no_figures():
      printed = testing.run_all(config, self.workdir)
    (message,) = logged.output
    for word in ("seed 0", "step 1 ", "1.5e+38"):
      self.assertIn(word, message)
    folder = self.workdir / "large" / "base"
    seeds = metrics.read_json(folder / metrics.RUN)["seeds"]
    diverged = {"status": "diverged", "step": 1, "events": {"diverge": 1}}
    learning_rate = seeds["0"].pop("learning_rate")
    self.assertAlmostEqual(learning_rate / rate, 1, places=6)
    self.assertEqual(seeds["0"], diverged)
    # The other seed of the same arm annealed and went on to the end.
    self.assertEqual(seeds["5"]["status"], "max_steps")
    self.assertEqual(list(seeds["5"]["events"]), ["anneal"])
    page = (self.workdir / "report" / "index.html").read_text()
    for text in (printed, page):
      self.assertIn("large: 1 of 2 seeds diverged", text)
      self.assertIn("seed 0 at step 1, rate 1.5e+38", text)
    # The errors of a net whose loss is not finite count nowhere.
    results = metrics.read_json(self.workdir / "report" / "results.json")
    for arm, alive in (("large", {5}), ("small", {0, 5})):
      for metric in ("train_loss/all", "test_error/p_only"):
        found = collect.values(
          results, arm=arm, cell="base", phase="end", metric=metric
        )
        self.assertEqual(set(found), alive)


if __name__ == "__main__":
  absltest.main()
