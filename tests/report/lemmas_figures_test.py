"""Instruments and exponents are drawn as they are logged and fitted."""

from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import figures, figures_exponents, figures_instruments
from tests.report import fake
from tests.report.exponents_test import finding, power
from tests.report.figures_test import named, upright
from tests.report.instruments_test import run_of


class FiguresTestCase(parameterized.TestCase):
  def axes(self, draw, *args):
    """Visible axes of a figure before it becomes an image, and its stem."""
    kept = []
    with mock.patch.object(
      figures, "finish", side_effect=lambda *made: kept.append(made)
    ):
      draw(*args)
    ((fig, stem, *_),) = kept
    self.addCleanup(plt.close, fig)
    return [ax for ax in fig.axes if ax.get_visible()], stem


def lines_of(ax, color, bound):
  return [
    line
    for line in ax.lines
    if line.get_color() == color
    and len(line.get_xdata()) > 1
    and (": bound" in (line.get_gid() or "")) == bound
    and len(set(line.get_xdata())) > 1
  ]


class DashboardTest(FiguresTestCase):
  def runs(self, listed, arms=("large", "small")):
    rows = [
      fake.reading(t, s, "anneal" if t == 4 + s else None, **read)
      | {"lemma/zero": 0.0, "bound/zero": 1.0}
      for s in (0, 1)
      for t, read in enumerate(
        [dict(value=2.0 + s + t, bound=10.0 * t) for t in range(9)]
      )
    ]
    return [run_of(rows, arm=arm, listed=listed) for arm in arms]

  def test_every_seed_is_drawn_and_the_bound_is_dotted(self):
    runs = self.runs([fake.instrument(algorithm="both")])
    (ax,), stem = self.axes(figures_instruments.dashboard, runs)
    self.assertEqual(stem, "instruments_base")
    for color in (figures.BLUE, figures.RED):
      values = lines_of(ax, color, bound=False)
      self.assertLen(values, 2)
      for seed, line in enumerate(values):
        np.testing.assert_array_equal(line.get_xdata(), range(9))
        np.testing.assert_array_equal(
          line.get_ydata(), 2.0 + seed + np.arange(9)
        )
      (bound,) = lines_of(ax, color, bound=True)
      np.testing.assert_array_equal(bound.get_ydata(), 10.0 * np.arange(9))
    self.assertEqual(set(upright(ax, figures.GREY)), {4, 5})
    self.assertEqual(ax.get_yscale(), "log")

  def test_arms_that_a_statement_is_not_of_are_faint(self):
    runs = self.runs([fake.instrument(algorithm="small")])
    (ax,), _ = self.axes(figures_instruments.dashboard, runs)
    for bound in (False, True):
      large, small = (
        lines_of(ax, color, bound)[0].get_alpha()
        for color in (figures.BLUE, figures.RED)
      )
      self.assertLess(large, small / 2)

  def test_there_is_a_panel_for_each_in_the_order_of_the_list(self):
    names = ["4.2", "zero", "absent", "x", "y"]
    runs = self.runs([fake.instrument(name) for name in names])
    axes, _ = self.axes(figures_instruments.dashboard, runs)
    titles = [ax.get_title(loc="left") for ax in axes]
    self.assertEqual([t.split(" | ")[0] for t in titles], names)
    self.assertIn("a of 4.2 <= b", titles[0])

  def test_a_value_at_one_step_is_a_mark(self):
    rows = [
      fake.reading(t, s, value=5.0 if t == 3 + s else None, bound=None)
      for s in (0, 1)
      for t in range(9)
    ]
    for row in rows:
      if row["lemma/4.2"]:
        row["bound/4.2"] = 7.0
    (ax,), _ = self.axes(figures_instruments.dashboard, [run_of(rows)])
    marks = {
      (line.get_marker(), line.get_xdata()[0], line.get_ydata()[0])
      for line in ax.lines
    }
    self.assertEqual(
      marks, {("o", 3, 5.0), ("o", 4, 5.0), ("_", 3, 7.0), ("_", 4, 7.0)}
    )

  def test_titles_hold_no_mathematics_and_end(self):
    spec = fake.instrument() | {"statement": r"$\frac$ is " + 40 * "very long "}
    (figure,) = figures.draw(self.runs([spec]), figures_instruments.dashboard)
    self.assertStartsWith(figure.png, b"\x89PNG")
    lines = figures_instruments._title(spec).splitlines()
    self.assertLen(lines, 1 + figures_instruments.LINES)
    self.assertEndsWith(lines[-1], "...")

  def test_runs_without_instruments_have_no_dashboard(self):
    self.assertEmpty(figures_instruments.dashboard(self.runs([])))


class ExponentsTest(FiguresTestCase):
  def test_lines_have_their_power_through_the_geometric_mean(self):
    entry = dict(claimed=3.0, ours=-1.0)
    noise = {0.1: 1.0, 0.2: 3.0, 0.4: 1.5}
    found = finding(
      lambda arm, r, s: {"y": noise[r] * r**2 * (1 + s)}, entry=entry
    )
    (ax,), stem = self.axes(figures_exponents.draw, [found])
    self.assertEqual(stem, "exponents")
    middle = np.log(0.2), np.mean([np.log(p.y.mean) for p in found.points])
    for start, power_of in (
      ("measured", found.exponent.mean),
      ("claimed", 3.0),
      ("ours", -1.0),
    ):
      line = named(ax, start)
      x, y = np.log(line.get_xdata()), np.log(line.get_ydata())
      slope = (y[-1] - y[0]) / (x[-1] - x[0])
      self.assertAlmostEqual(slope, power_of, delta=1e-9)
      self.assertAlmostEqual(
        y[0] + slope * (middle[0] - x[0]), middle[1], delta=1e-9
      )
    self.assertTrue(named(ax, "claimed").is_dashed())
    self.assertEqual((ax.get_xscale(), ax.get_yscale()), ("log", "log"))

  def test_points_have_their_interval_as_bars(self):
    found = finding(lambda arm, r, s: {"y": r * (1 + s)})
    (ax,), _ = self.axes(figures_exponents.draw, [found])
    (bars,) = ax.containers
    points, _, (verticals,) = bars
    np.testing.assert_allclose(
      points.get_ydata(), [p.y.mean for p in found.points]
    )
    ends = [segment[:, 1] for segment in verticals.get_segments()]
    np.testing.assert_allclose(ends, [p.y[1:3] for p in found.points])

  def test_curves_have_no_lines_of_powers(self):
    entry = dict(kind="curve", claimed=2.0, ours=1.0)
    curve = finding(power(1.0), entry=entry)
    bare = finding(power(1.0), entry=dict(claimed=None))
    empty = finding(power(1.0), entry=dict(cells="none"))
    axes, _ = self.axes(figures_exponents.draw, [curve, bare, empty])
    labels = [[line.get_label() for line in ax.lines] for ax in axes]
    self.assertEmpty([x for x in labels[0] if x.startswith(("m", "c", "o"))])
    self.assertLen([x for x in labels[1] if x.startswith(("m", "c", "o"))], 1)
    self.assertEmpty(labels[2])

  def test_nothing_found_is_not_drawn(self):
    self.assertEmpty(figures_exponents.draw([]))


if __name__ == "__main__":
  absltest.main()
