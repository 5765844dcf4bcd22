"""The image experiments by their commands: runs by seed, files, presets."""

import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest

from configs import patches as patches_config
from lro_jax import main, presets
from lro_jax.core import metrics
from lro_jax.core.schema import ConfigDict
from lro_jax.vision import patches
from tests import testing
from tests.vision import small

ARMS = ("large", "small", "small_noise")
SEEDS = (0, 3)


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


class Interrupted(Exception):
  """Stands for a kill right after a checkpoint."""


class ExperimentTest(absltest.TestCase):
  """Two commands on one workdir; the tests read what they left."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.workdir = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    config = small.experiment({"seeds": SEEDS, "train.max": "10 steps"})
    with testing.no_figures():
      testing.run_all(config, cls.workdir, only="*/seed_0")
      cls.first = cls.stamps()
      cls.printed = testing.run_all(config, cls.workdir)

  @classmethod
  def stamps(cls):
    return {
      path: path.stat().st_mtime_ns
      for path in cls.workdir.rglob(metrics.METRICS)
    }

  def folder(self, arm, seed):
    return self.workdir / arm / "base" / f"seed_{seed}"

  def test_every_seed_has_a_folder_and_a_finished_one_is_left_alone(self):
    for arm in ARMS:
      for seed in SEEDS:
        record = metrics.read_json(self.folder(arm, seed) / metrics.RUN)
        self.assertEqual(record["status"], "done")
        self.assertEqual(list(record["seeds"]), [str(seed)])
    self.assertLen(self.first, len(ARMS))
    now = self.stamps()
    for path, stamp in self.first.items():
      self.assertEqual(now[path], stamp)

  def test_arms_of_a_seed_are_paired(self):
    for seed in SEEDS:
      rows = [
        metrics.read_metrics(self.folder(arm, seed) / metrics.METRICS)[0]
        for arm in ARMS
      ]
      rates = ("learning_rate", "act_noise_std")
      same = [{k: v for k, v in row.items() if k not in rates} for row in rows]
      # Same weights, test draws and patches: same scores before any step.
      self.assertEqual(same[0], same[1])
      self.assertEqual(same[0], same[2])
      facts = [
        metrics.read_json(self.folder(arm, seed) / metrics.RUN)["facts"]
        for arm in ARMS
      ]
      for name in ("data", "patches"):
        self.assertLen({f[name] for f in facts}, 1)

  def test_seeds_differ_in_weights_patches_and_data(self):
    zero, three = (
      metrics.read_json(self.folder("large", s) / metrics.RUN) for s in SEEDS
    )
    for name in ("data", "patches"):
      self.assertNotEqual(zero["facts"][name], three["facts"][name])

  def test_the_annealing_is_a_row_of_its_own_name(self):
    for arm in ("large", "small_noise"):
      rows = metrics.read_metrics(self.folder(arm, 0) / metrics.METRICS)
      (row,) = (r for r in rows if r["event"] == "anneal")
      self.assertEqual(row["step"], 9)
      self.assertIn("accuracy/clean", row)
    small_rows = metrics.read_metrics(self.folder("small", 0) / metrics.METRICS)
    self.assertEqual({r["event"] for r in small_rows}, {None})

  def test_the_patches_file_is_what_the_digest_says(self):
    folder = self.folder("large", 0)
    facts = metrics.read_json(folder / metrics.RUN)["facts"]
    bank, member, index = patches.load(
      str(folder / patches.FILE), size=7, channels=3, num_classes=10
    )
    sha = patches.digest(bank, member, index)
    self.assertEqual(facts["patches"], f"sha256 {sha}")
    with np.load(folder / patches.FILE) as file:
      self.assertEqual(len(file["membership"]), 60)
      pixels = file["figure_4"]
    # Clean pixels come back from the normalised ones.
    self.assertLess(np.abs(pixels[:, 0] - pixels[:, 0].round()).max(), 1e-3)
    outside = np.ones((32, 32), bool)
    outside[12:19, 12:19] = False
    np.testing.assert_allclose(
      pixels[:, 1][:, outside], pixels[:, 0][:, outside], atol=1e-3
    )

  def test_a_saved_bank_can_be_run_again_and_foreign_examples_refused(self):
    path = str(self.folder("large", 0) / patches.FILE)
    fields = {"patches.bank": path}
    again = small.make_task(small.run_config(fields=fields))
    drawn = small.task()
    self.assertEqual(again.facts["patches"], drawn.facts["patches"])
    config = small.run_config(fields=fields)
    config.seeds = (1,)
    testing.refusal(
      self, lambda: small.make_task(config), "patches.bank", "training examples"
    )

  def test_the_page_and_the_table_are_there(self):
    self.assertIn("small_noise", self.printed)
    page = (self.workdir / "report" / "index.html").read_text()
    self.assertIn("synthetic", page)


class ResumeTest(absltest.TestCase):
  def test_an_interrupted_run_ends_as_the_uninterrupted_one(self):
    config = small.run_config("small_noise", {"checkpoint.minutes": 0.0})
    config.train.max = "10 steps"
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    whole, rows = self.run_in(config, folder / "whole")

    def stop(index):
      if index == 2:
        raise Interrupted

    with self.assertRaises(Interrupted):
      self.run_in(config, folder / "cut", after_save=stop)
    resumed, again = self.run_in(config, folder / "cut")
    self.assertEqual(resumed["resumed"], 1)
    self.assertEqual(resumed["state_digest"], whole["state_digest"])
    self.assertEqual(again, rows)

  def run_in(self, config: ConfigDict, folder, **kwargs):
    return testing.run(config, folder, task=small.make_task(config), **kwargs)


class DiffTest(absltest.TestCase):
  def test_authors_and_paper_differ_in_the_ledgers_fields(self):
    text = presets.diff(("authors", "paper"), main.expand)
    fields = {
      line.split(":")[0].strip()
      for line in text.splitlines()
      if line.startswith("  ")
    }
    self.assertEqual(
      fields,
      {
        "patches.rule",  # ledger item 1
        "patches.split",  # 2
        "act_noise.anneal_at",  # 17
        "act_noise.decay_every",  # 19
      },
    )
    self.assertIn("configs/patches.py", text)
    self.assertIn("configs/cifar10.py", text)
    (line,) = (
      line for line in text.splitlines() if "act_noise.anneal_at" in line
    )
    for word in ("'29 epochs'", "'30 epochs'", "small_noise"):
      self.assertIn(word, line)
    self.assertNotIn("large", line)

  def test_one_config_alone(self):
    text = presets.diff(("authors", "paper"), main.expand, "configs/patches.py")
    self.assertNotIn("cifar10.py", text)
    self.assertIn("patches.rule", text)

  def test_what_cannot_be_compared_is_one_sentence(self):
    for names in ("authors", "a,b,c", "authors,"):
      testing.refusal(self, lambda n=names: presets.pair(n), "authors,paper")
    testing.refusal(
      self,
      lambda: presets.diff(("authors", "nobody"), main.expand),
      "'nobody'",
    )
    testing.refusal(
      self,
      lambda: presets.diff(("a", "b"), main.expand, "configs/patch.py"),
      "configs/patches.py",
    )

  def test_an_unknown_preset_is_refused(self):
    with self.assertRaisesRegex(ValueError, "authors, paper, cpu, smoke"):
      patches_config.get_config("autors")


class DivergedTest(absltest.TestCase):
  def test_a_rate_too_large_is_a_result_that_keeps_its_metrics(self):
    config = small.run_config(fields={"optim.learning_rate": 1e30})
    config.optim.weight_decay = 0.0
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    with self.assertLogs("absl", "ERROR") as logged:
      record, rows = testing.run(config, folder, task=small.make_task(config))
    self.assertIn("1e+30", logged.output[0])
    self.assertEqual(record["seeds"]["0"]["status"], "diverged")
    self.assertEqual(rows[-1]["event"], "diverge")
    self.assertEqual(rows[0]["step"], 0)
    self.assertTrue(np.isfinite(rows[0]["accuracy/clean"]))


if __name__ == "__main__":
  absltest.main()
