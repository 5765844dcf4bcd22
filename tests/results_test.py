"""What the pages and configs say is what the committed result files hold."""

import json
import math
import pathlib
import re
import shlex

import numpy as np
from absl.testing import absltest, parameterized

from configs import patches as patches_config
from configs import theory as theory_config
from lro_jax import main
from lro_jax.bench import tables as bench_tables
from lro_jax.core import metrics
from lro_jax.core.schema import flatten
from lro_jax.report import (
  claims,
  claims_file,
  claims_table,
  collect,
  crossings,
  learning,
  markdown,
  summary,
)

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "lro_jax" / "results"
BENCH = ROOT / "lro_jax" / "bench_results"
P_ONLY, Q_ONLY = "test_error/p_only", "test_error/q_only"
PATCHES = "patches_cpu.json"
# Fields younger than some results, at the value that moves no number.
YOUNGER = {
  "branch_from": "",
  "checkpoint.every": "never",
  "model.net": "wide_resnet",
  "optim.anneal_latest": 0,
}
RATIO_COLUMNS = {
  f"{engine}, {arm}": (f"engine={engine}", arm)
  for engine in ("limit", "network")
  for arm in ("large", "small")
}
RATIO_COLUMNS_OF_D = {
  f"{engine}, d={d}": (f"size={engine}_{d}", "")
  for engine, sizes in (
    ("limit", (150, 300, 600)),
    ("network", (100, 200, 400)),
  )
  for d in sizes
}
GRIDS = ("steps", "plateau", "kappa")
LOG2 = math.log(2)


def without_younger(fields):
  """The fields but for those of `YOUNGER`."""
  kept = YOUNGER.items()
  return {k: v for k, v in fields.items() if (k, v) not in kept}


def load(name):
  return json.loads((RESULTS / name).read_text())


def of(cell, phase, metric, column):
  """Mean, low, high, number of seeds."""
  return cell["metrics"][f"{phase}/{metric}"][column]


def gap(cell):
  return of(cell, "end", P_ONLY, "small - large")


class PagesTest(parameterized.TestCase):
  """The README, and README.md of the results."""

  @parameterized.parameters("engine=limit", "engine=network")
  def test_the_tables_are_those_of_the_default_run(self, cell):
    page = (RESULTS / "README.md").read_text()
    table = summary.as_markdown(load("theory_default.json"), cell)
    self.assertGreater(len(table.splitlines()), 8)
    self.assertIn(table, page)

  @parameterized.parameters(
    ("theory_limit.json", "base"),
    ("theory_conv.json", "structure=conv"),
  )
  def test_the_tables_of_the_extensions_are_those_of_their_runs(
    self, name, cell
  ):
    page = (RESULTS / "README.md").read_text()
    table = summary.as_markdown(load(name), cell)
    self.assertGreater(len(table.splitlines()), 8)
    self.assertIn(table, page)

  def test_the_tables_of_instruments_and_exponents_are_those_of_their_runs(
    self,
  ):
    page = (RESULTS / "README.md").read_text()
    for table in (
      markdown.ratios(load("theory_default.json"), RATIO_COLUMNS),
      markdown.ratios(
        load("theory_scaling_instruments.json"), RATIO_COLUMNS_OF_D
      ),
      markdown.exponents(*(load(f"theory_scaling_{n}.json") for n in GRIDS)),
    ):
      self.assertGreater(len(table.splitlines()), 8)
      self.assertIn(table, page)

  def test_the_table_of_images_is_that_of_the_committed_run(self):
    page = (RESULTS / "README.md").read_text()
    table = summary.as_markdown(load(PATCHES), "base")
    self.assertGreater(len(table.splitlines()), 8)
    self.assertIn(table, page)

  def test_the_claims_are_those_of_the_committed_files(self):
    readme = (ROOT / "README.md").read_text()
    kept = readme.split("<!-- claims: begin -->\n")[1]
    kept = kept.split("\n<!-- claims: end -->")[0]
    verdicts = claims.evaluate(claims_file.load(), claims.committed())
    self.assertEqual(
      kept,
      claims_table.as_markdown(verdicts),
      "Put the text of python -m lro_jax.report --claims=markdown between the"
      " markers.",
    )

  def test_times_are_those_of_the_runs(self):
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"\| ([\d,]+) s \| \[(\w+\.json)\]", readme)
    self.assertGreater(len(rows), 10)
    for seconds, name in rows:
      self.assertEqual(seconds, f"{load(name)['wall_seconds']:,.0f}", name)

  def test_commands_are_those_of_the_runs(self):
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"`(python -m lro_jax.main .*?) --workdir=DIR`.*", readme)
    known = [shlex.split(row) for row in rows]
    for path in RESULTS.glob("*.json"):
      command = load(path.name).get("command")
      if command:
        *words, _ = shlex.split(command)
        self.assertIn(words, known, path.name)

  def test_what_the_readme_says_of_the_runs_is_what_they_hold(self):
    readme = " ".join((ROOT / "README.md").read_text().split())
    cells = {c["cell"]: c for c in load("theory_default.json")["cells"]}
    mean, low, high, num = (100 * x for x in gap(cells["engine=limit"]))
    self.assertIn(f"{mean:.2f} points [{low:.2f}, {high:.2f}]", readme)
    self.assertIn(f"({num / 100:.0f} seeds)", readme)
    (cell,) = load(PATCHES)["cells"]
    ours = of(cell, "end", "accuracy/clean", "small - large")
    mean, low, high = (-100 * x for x in ours[:3])
    self.assertIn(f"{mean:.2f} points [{high:.2f}, {low:.2f}]", readme)

  def test_every_result_file_is_named(self):
    page = (RESULTS / "README.md").read_text()
    for path in RESULTS.iterdir():
      self.assertIn(path.name, page)

  def test_speeds_are_those_of_the_bench(self):
    page = (BENCH / "README.md").read_text()
    _, _, kept = page.partition("<!-- tables: begin -->\n")
    self.assertEqual(
      kept.split("\n<!-- tables: end -->")[0],
      bench_tables.as_markdown(),
      "Put the text of python -m lro_jax.bench --tables between the markers.",
    )
    for path in BENCH.glob("*.json"):
      self.assertIn(path.name, page)

  def test_distances_are_those_of_the_convergence_table(self):
    page = (RESULTS / "README.md").read_text()
    table = load("convergence.json")
    for row in table["rows"]:
      self.assertIn(f"| {row['signal']:.5f} | {row['whole']:.5f} |", page)
    for kind in ("signal", "whole"):
      self.assertIn(f"{kind} {table[f'slope_{kind}']:.2f}", page)

  @parameterized.parameters("theory_default.json", "theory_sweep.json", PATCHES)
  def test_results_come_from_a_commit(self, name):
    commit = load(name)["versions"]["commit"]
    self.assertRegex(commit, "^[0-9a-f]{12}$")


class ExtensionsTest(absltest.TestCase):
  def test_noise_gives_the_small_rate_the_large_rates_order(self):
    # Theorem F.1: until the noise goes P is learned and Q is not; at the end
    # Q is, and the errors on P-only are the large rate's.
    (cell,) = load("theory_limit.json")["cells"]
    noisy = "small_noise"
    self.assertLess(of(cell, "anneal", "train_loss/p_only", noisy)[2], LOG2 / 2)
    self.assertGreater(
      of(cell, "anneal", "train_loss/q_only", noisy)[1], 0.9 * LOG2
    )
    self.assertLess(of(cell, "end", Q_ONLY, noisy)[2], 0.01)
    _, low, high, num = of(cell, "end", P_ONLY, "small_noise - large")
    self.assertGreaterEqual(num, 8)
    self.assertLess(max(abs(low), abs(high)), gap(cell)[1] / 10)

  def test_the_convolutional_net_shows_the_contrast_of_the_split_one(self):
    for cell in load("theory_conv.json")["cells"]:
      self.assertLess(of(cell, "anneal", "train_loss/m1", "large")[2], LOG2 / 2)
      self.assertGreater(
        of(cell, "anneal", "train_loss/q_only", "large")[1], 0.85 * LOG2
      )
      self.assertGreater(gap(cell)[1], 0)


class OrderOfImagesTest(absltest.TestCase):
  """What the committed curves of patches_cpu say of the order."""

  def easy_first(self, arm, fraction, *, own):
    """In which seeds the patch was first, by test accuracy."""
    (cell,) = load(PATCHES)["cells"]
    names = ("accuracy/clean", "accuracy/patch_only")

    def above(arm, name, seed):
      return np.array(cell["curves"][arm][name]["seeds"][seed]) - 0.1

    out = []
    for seed in map(str, cell["seeds"]):
      found = []
      for name in names:
        ends = [above(a, name, seed)[-1] for a in cell["curves"]]
        steps = np.array(cell["curves"][arm][name]["epoch"])
        curve = above(arm, name, seed)
        end = None if own else max(ends)
        found.append(crossings.crossing(steps, curve, fraction, end))
      out.append(crossings.first(*found))
    return out

  def test_of_its_own_end_the_small_rate_never_has_the_patch_first(self):
    for fraction in learning.FRACTIONS:
      self.assertEqual(self.easy_first("small", fraction, own=True), [-1] * 3)

  def test_of_the_best_arms_end_it_has_and_under_noise_it_has_not(self):
    self.assertEqual(self.easy_first("small", 0.9, own=False), [1] * 3)
    self.assertEqual(self.easy_first("small", 0.8, own=False), [1, -1, 1])
    for fraction in learning.FRACTIONS:
      noisy = self.easy_first("small_noise", fraction, own=False)
      self.assertNotIn(1, noisy)
    large = [
      self.easy_first("large", fraction, own=False).count(1)
      for fraction in learning.FRACTIONS
    ]
    self.assertEqual(large, [0, 1, 1])
    self.assertEqual(self.easy_first("small", 0.5, own=False).count(1), 0)


class DefaultTest(parameterized.TestCase):
  def test_the_default_is_the_sweeps_choice(self):
    cells = load("theory_sweep.json")["cells"]
    good = [
      cell
      for cell in cells
      if not cell["notes"]
      and of(cell, "anneal", "train_loss/q_only", "large")[0] >= 0.9 * LOG2
    ]
    self.assertNotEmpty(good)
    chosen = max(good, key=lambda cell: gap(cell)[0])
    config = theory_config.get_config("limit")
    for name, value in chosen["config"].items():
      group, field = name.split(".")
      self.assertEqual(config[group][field], value, name)
    self.assertNoCommonElements(
      config.seeds, theory_config.get_config("sweep").seeds
    )

  def test_the_committed_default_shows_the_phenomenon(self):
    (cell,) = (
      c
      for c in load("theory_default.json")["cells"]
      if c["cell"] == "engine=limit"
    )
    self.assertGreaterEqual(gap(cell)[3], 8)
    seeds = cell["by_seed"]
    for value in seeds[f"anneal/{collect.LOWEST}"]["large"].values():
      self.assertGreater(value, 0.75 * LOG2)
    for value in seeds["anneal/train_loss/m1"]["large"].values():
      self.assertLess(value, LOG2 / 2)
    self.assertGreater(gap(cell)[1], 0)
    m1 = of(cell, "anneal", "train_loss/m1", "large")
    q_only = of(cell, "anneal", "train_loss/q_only", "large")
    self.assertLess(m1[2], LOG2 / 2)
    self.assertGreater(q_only[1], 0.75 * LOG2)
    for arm in ("large", "small"):
      self.assertLess(of(cell, "end", Q_ONLY, arm)[2], 0.01)

  @parameterized.parameters(
    ("theory_default.json", "default"), ("theory_sweep.json", "sweep")
  )
  def test_results_are_of_the_configs_as_they_stand(self, name, preset):
    saved = load(name)
    runs = main.expand(theory_config.get_config(preset))
    self.assertEqual(
      [c["cell"] for c in saved["cells"]],
      list(dict.fromkeys(run.cell for run in runs)),
    )
    for cell in saved["cells"]:
      for run in (run for run in runs if run.cell == cell["cell"]):
        fields = flatten(metrics.plain(run.config.to_dict()))
        del fields["optim.algorithm"]
        if preset == "sweep":
          # Run before these fields were there, with a shorter last step.
          for name in (
            "model.structure",
            "model.num_strides",
            "optim.act_noise",
            "optim.act_noise_steps",
            "lemmas.measure",
          ):
            del fields[name]
          fields["train.max"] = "15000000 steps"
          fields["train.steps_per_call"] = 2000
        self.assertEqual(
          without_younger(saved["config"] | cell["config"]),
          without_younger(fields),
        )


class PatchesTest(absltest.TestCase):
  """configs/patches.py:cpu, as committed."""

  def setUp(self):
    super().setUp()
    self.saved = load(PATCHES)
    (self.cell,) = self.saved["cells"]

  def test_it_is_of_the_config_as_it_stands(self):
    runs = main.expand(patches_config.get_config("cpu"))
    self.assertEqual(self.cell["seeds"], sorted({run.seed for run in runs}))
    for run in runs:
      fields = flatten(metrics.plain(run.config.to_dict()))
      for name in ("seeds", "data.dir"):
        del fields[name]
      saved = self.saved["config"] | self.cell["config"]
      saved |= self.cell["arms"][run.arm]
      saved.pop("data.dir", None)
      self.assertEqual(without_younger(saved), without_younger(fields))

  def test_it_says_which_images_it_is_of(self):
    self.assertIn("JPEG", self.saved["dataset"])
    for page in (ROOT / "README.md", RESULTS / "README.md"):
      text = " ".join(page.read_text().split())
      self.assertIn(self.saved["dataset"], text)

  def first_epochs(self, arm):
    """Epoch at which each seed's patch-only accuracy passes one half."""
    curve = self.cell["curves"][arm]["accuracy/patch_only"]
    return {
      seed: next(
        (
          epoch
          for epoch, value in zip(curve["epoch"], values, strict=True)
          if value > 0.5
        ),
        math.inf,
      )
      for seed, values in curve["seeds"].items()
    }

  def test_the_small_rate_takes_the_patch_first_in_every_seed(self):
    small = self.first_epochs("small")
    self.assertLen(small, 3)
    for arm in ("large", "small_noise"):
      for seed, epoch in self.first_epochs(arm).items():
        self.assertLess(small[seed], epoch, f"{arm} {seed}")

  def test_under_noise_the_patch_is_taken_after_the_annealing(self):
    (annealed,) = self.cell["milestones"]["small_noise"]
    for epoch in self.first_epochs("small_noise").values():
      self.assertGreater(epoch, annealed)

  def test_the_page_says_in_which_seeds_the_large_rate_found_it_before(self):
    page = " ".join((RESULTS / "README.md").read_text().split())
    for arm in ("large", "small_noise"):
      found = self.cell["by_seed"]["anneal/accuracy/patch_only"][arm]
      text = ", ".join(f"{100 * found[str(k)]:.0f}%" for k in range(3))
      self.assertIn(f"({text})", page)

  def test_the_large_rate_ends_higher_on_clean_images(self):
    gap = of(self.cell, "end", "accuracy/clean", "small - large")
    self.assertLess(gap[2], 0)


if __name__ == "__main__":
  absltest.main()
