"""A line of accuracy against log n is inverted; controls are read."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import collect, controls, effective, order, tables
from tests.report import fake, fake_vision

SIZES = [10_000, 50_000]


class EffectiveTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)

  def test_the_paper_reads_69_89_percent_as_15_484_images(self):
    found = {arm: images for arm, _, images in effective.papers_reading()}
    small = 1e4 * 5 ** ((69.89 - 65) / (83 - 65))
    large = 1e4 * 5 ** ((87.61 - 76) / (90 - 76))
    self.assertAlmostEqual(found["small"], small, delta=1e-6)
    self.assertAlmostEqual(found["large"], large, delta=1e-6)
    self.assertEqual(round(found["small"]), 15_484)
    # H.2: much closer to what 10,000 images give than to what 50,000 do.
    self.assertLess(small / 1e4, 5e4 / small)
    self.assertGreater(large / 1e4, 5e4 / large)

  @parameterized.parameters(10_000, 12_345, 30_000, 50_000)
  def test_a_line_in_log_n_is_inverted(self, n):
    def line(x):
      return 0.1 * np.log(x) - 0.3

    found, bound = effective.invert(SIZES, line(np.array(SIZES)), line(n))
    self.assertAlmostEqual(found / n, 1, delta=1e-9)
    self.assertEqual(bound, "")

  @parameterized.parameters((0.6, 10_000, "<"), (0.9, 50_000, ">"))
  def test_beyond_the_sizes_nothing_is_extrapolated(self, accuracy, n, bound):
    found, said = effective.invert(SIZES, np.array([0.65, 0.83]), accuracy)
    self.assertAlmostEqual(found, n, delta=1e-6)
    self.assertEqual(said, bound)

  def control(self, small=((0.65,) * 3, (0.83,) * 3)):
    by_seed = {
      n: dict(enumerate(of_n)) for n, of_n in zip(SIZES, small, strict=True)
    }
    return controls.Control("a control", {"small": by_seed}, {})

  def read(self, control, accuracies, arm="small"):
    run = fake.run_log(arm)
    return effective.read_off(control, run, dict(enumerate(accuracies)))

  def test_it_has_an_interval_over_seeds(self):
    found = self.read(self.control(), (0.69, 0.70, 0.71))
    n = 1e4 * 5 ** (0.05 / 0.18)
    self.assertAlmostEqual(found.images.mean / n, 1, delta=1e-9)
    self.assertBetween(n, found.images.low, found.images.high)
    self.assertRegex(
      effective.show(found), r"^15,6\d\d \[\d\d,\d+, \d\d,\d+\]$"
    )

  def test_a_control_of_the_same_seeds_is_drawn_with_them(self):
    # What moves both alike does not widen the interval.
    shift = np.array([-0.05, 0.0, 0.05])
    paired = self.control((0.65 + shift, 0.83 + shift))
    found = self.read(paired, 0.70 + shift)
    self.assertLess(found.images.high / found.images.low, 1.001)
    fixed = self.control(((0.65,), (0.83,)))
    loose = self.read(fixed, 0.70 + shift)
    self.assertGreater(loose.images.high / loose.images.low, 1.2)

  def test_what_cannot_be_read_is_said(self):
    below = self.read(self.control(), (0.5, 0.5, 0.5))
    self.assertEqual(effective.show(below), "< 10,000 (3 seeds)")
    falling = self.read(self.control(((0.8,), (0.7,))), (0.75,))
    self.assertIn("does not rise with n", falling.why_not)
    other = self.read(self.control(), (0.7,), arm="small_noise")
    self.assertIn("no arm small_noise", other.why_not)
    for found in (falling, other):
      self.assertEqual(effective.show(found), "-")

  def write_control(self):
    """A control's workdir, with a report; 10,000 give 0.3 and 50,000 0.6."""
    workdir = self.folder / "control"
    cells = [f"num_train={n}" for n in SIZES]
    fake.write_experiment(workdir, track="vision", arms=("small",), cells=cells)
    for n, accuracy in zip(SIZES, (0.3, 0.6), strict=True):
      for seed in fake_vision.SEEDS:
        rows = [fake.row(9, seed) | {"accuracy/clean": accuracy}]
        folder = workdir / f"small/num_train={n}/seed_{seed}"
        fake_vision.write_seed(folder, "small", seed, rows=rows, patches=False)
    return workdir

  def test_workdir_results_and_summary_are_the_same_control(self):
    workdir = self.write_control()
    expected = {
      "small": {
        n: dict.fromkeys((0, 10), a)
        for n, a in zip(SIZES, (0.3, 0.6), strict=True)
      }
    }
    rows = collect.tidy(collect.load(workdir))
    metrics.write_json(self.folder / "results.json", rows)
    cells = [
      {
        "cell": f"num_train={n}",
        "by_seed": {"end/accuracy/clean": {"small": {"0": a, "10": a}}},
      }
      for n, a in zip(SIZES, (0.3, 0.6), strict=True)
    ]
    summary = {"cells": cells, "config": {"model.depth": 16}}
    metrics.write_json(self.folder / "summary.json", summary)
    for path in ("control", "results.json", "summary.json"):
      found = controls.load(self.folder / path)
      self.assertEqual(found.arms, expected, path)

  def test_what_is_no_control_is_one_sentence(self):
    (self.folder / "text.json").write_text("no json")
    metrics.write_json(self.folder / "none.json", [])
    for name in ("text.json", "none.json", "missing.json"):
      with self.assertRaisesRegex(UserError, f"--control=.*{name}"):
        controls.load(self.folder / name)

  def test_the_section_reads_ours_off_a_control(self):
    experiment = fake_vision.write_workdir(self.folder / "runs")
    folder = self.folder / "runs/report"
    html, brief = order.section(
      experiment, folder, shown=["base"], control=self.write_control()
    )
    saved = json.loads((folder / "order.json").read_text())
    found = {w["arm"]: w for w in saved["worth_clean_images"]}
    # 0.7 less the seeds' shifts lies above what 50,000 give.
    self.assertEqual(found["small"]["bound"], ">")
    self.assertIn("no arm large", found["large"]["why_not"])
    self.assertIn("> 50,000", tables.as_text(brief[0]))
    self.assertIn("By the paper&#x27;s numbers alone", html)
    self.assertIn("control", html)


if __name__ == "__main__":
  absltest.main()
