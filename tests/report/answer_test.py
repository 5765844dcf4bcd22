"""The three sentences agree with results.json, and say what they rest on."""

import html
import json
import pathlib
import re
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import answer, collect, page, theory_view, vision_view
from tests import testing
from tests.report import fake, fake_vision

THEORY, VISION = theory_view.VIEW.compared, vision_view.VIEW.compared
P_ONLY = "train_loss/p_only"


def rows_learned(seed, p_error=0.1, *, p_first=True):
  """`fake.seed_rows`, and the losses by which the order is judged."""
  rows = fake.seed_rows(seed, p_error)
  for row, share in zip(rows, (1.0, 0.2, 0.1), strict=True):
    early, late = (share, 1.0 - 0.8 * (row["step"] > 15))
    losses = (early, late) if p_first else (late, early)
    row[P_ONLY], row["train_loss/q_only"] = (
      fake.LOG2 * (loss if row["step"] else 1.0) for loss in losses
    )
  return rows


class AnswerTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def sentences(self, compared=THEORY, claims=None):
    experiment = collect.load(self.workdir)
    rows = collect.tidy(experiment)
    return answer.sentences(experiment, rows, compared, claims)

  def test_they_are_three_and_each_is_one_sentence(self):
    fake.write_workdir(self.workdir)
    found = self.sentences()
    self.assertLen(found, 3)
    for sentence in found:
      self.assertEndsWith(sentence, ".")
      self.assertNotRegex(sentence, r"\.\.|\. [A-Z]|\bnan\b")
      self.assertTrue(sentence[0].isupper())

  def test_numbers_are_those_of_results_json(self):
    errors = {"large": 0.05, "small": 0.20}
    shifts = (0.0, 0.02, -0.01, 0.03)
    fake.write_workdir(self.workdir)
    rows = [
      r
      for seed, shift in zip(fake.SEEDS, shifts, strict=True)
      for r in fake.seed_rows(seed, errors["small"] + shift)
    ]
    fake.write_rows(self.workdir / "small" / "base", rows)
    with testing.no_figures():
      page.write(self.workdir)
    saved = json.loads((self.workdir / "report" / "results.json").read_text())
    by_seed = {
      arm: {
        row["seed"]: row["value"]
        for row in saved
        if (row["arm"], row["phase"]) == (arm, "end")
        and row["metric"] == "test_error/p_only"
      }
      for arm in errors
    }
    _, second, _ = self.sentences()
    shown = {
      arm: float(number)
      for number, arm in re.findall(r"([\d.]+)% \((\w+)\)", second)
    }
    for arm, values in by_seed.items():
      wanted = 100 * np.mean(list(values.values()))
      self.assertAlmostEqual(shown[arm], wanted, delta=0.0051)
    gaps = [by_seed["small"][s] - by_seed["large"][s] for s in by_seed["small"]]
    (gap,) = re.findall(r"small minus large is ([\d.-]+) points", second)
    self.assertAlmostEqual(float(gap), 100 * np.mean(gaps), delta=0.0051)
    self.assertIn(f"{len(gaps)} paired seeds", second)
    # The page has the same three, in that order.
    text = (self.workdir / "report" / "index.html").read_text()
    at = [text.index(f"<li>{html.escape(s)}</li>") for s in self.sentences()]
    self.assertEqual(at, sorted(at))

  @parameterized.parameters(
    (0.05, 0.20, THEORY.more), (0.20, 0.05, THEORY.less)
  )
  def test_a_verdict_follows_the_sign(self, large, small, words):
    p_only = {"large": large, "small": small}
    fake.write_workdir(self.workdir, p_only=p_only)
    _, second, _ = self.sentences()
    for verdict in (THEORY.more, THEORY.less):
      self.assertEqual(verdict in second, verdict == words)

  def test_an_interval_that_holds_zero_tells_nothing_apart(self):
    fake.write_workdir(self.workdir)
    rows = [
      r for s in fake.SEEDS for r in fake.seed_rows(s, 0.07 + 0.05 * (-1) ** s)
    ]
    fake.write_rows(self.workdir / "small" / "base", rows)
    _, second, _ = self.sentences()
    self.assertIn("the interval holds zero", second)
    for verdict in (THEORY.more, THEORY.less):
      self.assertNotIn(verdict, second)

  def test_one_pair_of_seeds_may_be_chance(self):
    fake.write_workdir(self.workdir, seeds=(3,))
    _, second, third = self.sentences()
    self.assertIn("one pair of seeds, which may be chance", second)
    self.assertIn("1 seed per arm", third)
    self.assertIn("seeds are few", third)

  def test_enough_seeds_are_not_called_few(self):
    fake.write_workdir(self.workdir, seeds=range(answer.FEW))
    self.assertNotIn("few", self.sentences()[2])

  @parameterized.parameters("large", "small")
  def test_an_arm_that_is_missing_is_named(self, there):
    fake.write_workdir(self.workdir, p_only={there: 0.1})
    _, second, third = self.sentences()
    self.assertIn("cannot be compared", second)
    (other,) = {"large", "small"} - {there}
    self.assertIn(f"no run of the arm {other}", third)

  def test_arms_of_ones_own_are_compared_the_first_with_the_last(self):
    fake.write_workdir(self.workdir, p_only={"large": 0.1, "small": 0.2})
    experiment = collect.load(self.workdir)
    names = {"large": "early", "small": "late"}
    experiment = experiment._replace(
      record=experiment.record | {"arms": list(names.values())},
      runs=[run._replace(arm=names[run.arm]) for run in experiment.runs],
    )
    found = answer.sentences(experiment, collect.tidy(experiment), THEORY)
    self.assertIn("early minus late is -10.00 points", found[1])
    self.assertIn("early has the smaller one", found[1])
    self.assertNotIn("no run of the arm", found[2])

  def test_runs_under_way_and_diverged_seeds_are_counted(self):
    fake.write_workdir(self.workdir)
    ends = {str(s): fake.seed_end(anneal=5, stop=9) for s in fake.SEEDS}
    ends["2"] = fake.seed_end("diverged")
    folder = self.workdir / "large" / "base"
    rows = [r for s in fake.SEEDS for r in fake.seed_rows(s, 0.1)]
    fake.write_run(folder, rows, seeds=ends)
    self.assertIn("1 seeds diverged", self.sentences()[2])
    fake.write_run(folder, rows, status="running")
    _, second, third = self.sentences()
    self.assertIn("cannot be compared", second)
    self.assertIn("1 of 2 runs not finished", third)

  def test_smoke_runs_rest_on_nothing(self):
    fake.write_workdir(self.workdir)
    fake.write_experiment(self.workdir, smoke=True)
    third = self.sentences(claims="5 claims.")[2]
    self.assertIn("its numbers mean nothing", third)
    self.assertNotIn("5 claims", third)

  def test_claims_are_told_of_where_there_are_any(self):
    fake.write_workdir(self.workdir)
    self.assertIn("none of the paper's claims", self.sentences()[2])
    self.assertIn(
      "paper, 5 claims: 4 x.", self.sentences(claims="5 claims: 4 x.")[2]
    )

  @parameterized.parameters((True, False), (False, True), (True, True))
  def test_which_came_first_is_counted_over_nets(self, large, small):
    fake.write_workdir(self.workdir)
    for arm, p_first in (("large", large), ("small", small)):
      rows = [r for s in fake.SEEDS for r in rows_learned(s, p_first=p_first)]
      fake.write_rows(self.workdir / arm / "base", rows)
    first, *_ = self.sentences()
    num = len(fake.SEEDS)
    for arm, p_first in (("large", large), ("small", small)):
      self.assertIn(f"{arm} {num * p_first} of {num}", first)
    self.assertNotIn("undecided", first)
    with testing.no_figures():
      page.write(self.workdir)
    saved = json.loads((self.workdir / "report" / "order.json").read_text())
    counted = {
      f["arm"]: f["hard_first"]
      for f in saved["first"]
      if (f["by"], f["fraction"]) == ("training loss", answer.SHARE)
    }
    self.assertEqual(counted, {"large": num * large, "small": num * small})

  def test_without_both_patterns_the_order_cannot_be_told(self):
    fake.write_workdir(self.workdir)
    for arm in fake.P_ONLY:
      rows = [fake.row(9, s, P_ONLY=0.1) for s in fake.SEEDS]
      fake.write_rows(self.workdir / arm / "base", rows)
    self.assertIn("cannot be told", self.sentences()[0])

  def test_few_cells_are_listed_and_many_counted(self):
    cells = [f"r={i}" for i in range(answer.LISTED + 1)]
    for i, cell in enumerate(cells):
      swap = {"large": 0.05, "small": 0.20 if i else 0.02}
      fake.write_workdir(self.workdir, cell=cell)
      for arm, error in swap.items():
        rows = [
          r for s in fake.SEEDS for r in rows_learned(s, error + 0.01 * s)
        ]
        fake.write_rows(self.workdir / arm / cell, rows)
    fake.write_experiment(self.workdir, cells=cells[1:])
    first, second, _ = self.sentences()
    for cell in cells[1:]:
      self.assertIn(f"{cell}: large 4 of 4, small 4 of 4", first)
      self.assertIn(f"{cell}: 6.50% (large), 21.50% (small)", second)
    fake.write_experiment(self.workdir, cells=cells)
    first, second, third = self.sentences()
    self.assertIn(f"-3.00 to 15.00 points over {len(cells)} cells", second)
    self.assertIn(f"1: {THEORY.less}", second)
    self.assertIn(f"{answer.LISTED}: {THEORY.more}", second)
    num = len(cells) * len(fake.SEEDS)
    self.assertIn(f"large {num} of {num}, small {num} of {num}", first)
    self.assertIn(f"in {len(cells)} cells", third)

  def test_images_are_compared_on_clean_ones(self):
    fake_vision.write_workdir(self.workdir)
    first, second, _ = self.sentences(VISION)
    self.assertStartsWith(first, "The image, which is hard to generalise")
    # 0.9 - 0.001 and 0.9 - 0.011, as `fake_vision.seed_rows` has them.
    self.assertIn("89.40% (large), 69.40% (small)", second)
    self.assertIn("large minus small is 20.00 points", second)
    self.assertIn(VISION.more, second)


if __name__ == "__main__":
  absltest.main()
