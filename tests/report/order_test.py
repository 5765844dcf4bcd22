"""The section on the order of learning: its table, file and figure."""

import json
import math
import pathlib
import tempfile
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from absl.testing import absltest

from lro_jax.report import (
  figures,
  figures_order,
  learning,
  order,
  order_tables,
  tables,
)
from tests.report import fake, fake_vision
from tests.report.learning_test import (
  Q,
  experiment,
  large_and_small,
  losses,
  runs_of,
)
from tests.report.tables_test import line_of


class TableTest(absltest.TestCase):
  def tables(self, runs, **kwargs):
    entries = learning.of_cell(runs, "theory")
    means = learning.means(entries, experiment(runs))
    return order_tables.table(
      runs, entries, means, [], track="theory", **kwargs
    )

  def test_it_says_who_was_first_and_by_how_much(self):
    for brief in (False, True):
      table = self.tables(large_and_small(), brief=brief)
      text = tables.as_text(table)
      self.assertRegex(text, r"Q first.* 0, 0, 0 of 4 +4, 4, 4 of 4")
      self.assertRegex(text, r"index at 50%.*\+1.00 \[\+1.00, \+1.00\]")
      self.assertIn("small is never annealed", text)
      self.assertEqual("mean before" in text, not brief)

  def test_few_seeds_have_no_interval_and_it_is_said(self):
    runs = runs_of(("large", {0: losses(0, p=40, q=100)}))
    text = tables.as_text(self.tables(runs))
    self.assertIn("No intervals: a bootstrap needs 3 seeds.", text)
    self.assertNotIn("[", text.split("Share:")[0])

  def test_what_is_left_out_is_said(self):
    by_seed = {s: losses(s, p=40, q=100) for s in range(4)}
    by_seed[1][-1]["event"] = "diverge"
    text = tables.as_text(self.tables(runs_of(("large", by_seed))))
    self.assertIn("large: left out, diverged: seed 1.", text)


class SectionTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)

  def test_the_file_holds_seeds_means_orders_and_curves(self):
    experiment = fake_vision.write_workdir(self.folder)
    order.section(experiment, self.folder, shown=["base"])
    saved = json.loads((self.folder / "order.json").read_text())
    patch = "accuracy/patch_only"
    here = {"seed": 0, "quantity": "first_step", "fraction": 0.5}
    found = {
      e["arm"]: e
      for e in saved["entries"]
      if e["metric"] == patch and here.items() <= e.items()
    }
    self.assertBetween(found["small"]["value"], 0, 2)
    self.assertBetween(found["large"]["value"], 40, 50)
    first = {
      (f["arm"], f["by"]): f for f in saved["first"] if f["fraction"] == 0.5
    }
    self.assertEqual(first["small", "test accuracy"]["easy_first"], 2)
    # At half both came between steps 40 and 50.
    self.assertEqual(first["large", "test accuracy"]["undecided"], 2)
    lent = {(a["arm"], a["step"], a["of_arm"]) for a in saved["annealings"]}
    self.assertEqual(lent, {("large", 40, "large"), ("small", 40, "large")})
    conflict = next(c for c in saved["conflict"] if c["arm"] == "small")
    self.assertEqual(conflict["steps"][:2], [0, 2])
    self.assertAlmostEqual(conflict["values"][-1], 0.801)
    self.assertEqual(len(saved["pairs"]), 2)

  def test_the_conflict_is_shown_at_annealing_and_end(self):
    experiment = fake_vision.write_workdir(self.folder)
    _, (table,) = order.section(experiment, self.folder, shown=["base"])
    end = line_of(table, "taken for another patch's class, end")
    self.assertIn("80.60%", end[0])
    line = line_of(table, "at annealing")
    self.assertIn("10.60%", line[0])
    self.assertIn("80.60%", line[1])

  def test_without_the_metrics_nothing_is_written(self):
    runs = [fake.run_log()]
    found = order.section(experiment(runs), self.folder, shown=["base"])
    self.assertEqual(found, ("", []))
    self.assertEmpty(list(self.folder.iterdir()))

  def test_other_nets_are_not_read_off_the_papers_numbers(self):
    for widen, num in ((10, 2), (1, 0)):
      folder = self.folder / str(widen)
      experiment = fake_vision.write_workdir(folder, model__widen_factor=widen)
      order.section(experiment, folder, shown=["base"])
      saved = json.loads((folder / "order.json").read_text())
      self.assertLen(saved["worth_clean_images"], num)


class FigureTest(absltest.TestCase):
  def axes(self, runs):
    entries = learning.of_cell(runs, "theory")
    with mock.patch.object(figures, "finish", side_effect=lambda fig, *_: fig):
      (fig,) = figures_order.draw([runs], entries, "theory")
    self.addCleanup(plt.close, fig)
    return fig.axes

  def points(self, ax, look, marker):
    """(step, share) of the points of a colour and shape."""
    return sorted(
      (float(line.get_xdata()[0]), round(float(line.get_ydata()[0]), 1))
      for line in ax.lines
      if line.get_marker() == marker
      and line.get_markeredgecolor() == look.color
    )

  def test_every_seed_is_a_point_where_it_was_planted(self):
    large, small = self.axes(large_and_small())
    for ax, look, marker in (
      (large, figures_order.HARD, figures_order.HARD_MARK),
      (small, figures_order.EASY, figures_order.EASY_MARK),
    ):
      expected = [(s, f) for s, f in ((20, 0.5), (32, 0.8), (36, 0.9))] * 4
      found = self.points(ax, look, marker)
      np.testing.assert_allclose(found, sorted(expected), atol=1e-6)

  def test_a_borrowed_step_of_annealing_is_dotted(self):
    for ax, style in zip(self.axes(large_and_small()), "-:", strict=True):
      (line,) = [x for x in ax.lines if x.get_color() == figures.GREY]
      self.assertEqual(
        (line.get_xdata()[0], line.get_linestyle()), (100, style)
      )

  def test_what_is_never_learned_is_marked_at_the_last_step(self):
    by_seed = {s: losses(s, p=40, q=100) for s in range(3)}
    for row in by_seed[2]:
      row[Q] = math.log(2)
    (ax,) = self.axes(runs_of(("large", by_seed)))
    never = self.points(ax, figures_order.EASY, figures_order.NEVER)
    self.assertEqual([step for step, _ in never], [400] * 3)

  def test_one_pattern_alone_is_not_drawn(self):
    runs = runs_of(("large", {0: losses(0, p=40, q=100)}))
    for row in runs[0].rows:
      del row[Q]
    entries = learning.of_cell(runs, "theory")
    self.assertNotEmpty(entries)
    self.assertEmpty(figures_order.draw([runs], entries, "theory"))


if __name__ == "__main__":
  absltest.main()
