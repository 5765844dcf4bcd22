"""What is drawn is what is logged: curves, annealing marks, bounds."""

from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import figures, figures_theory
from tests.report import fake


def run_of(arm="large", *, seeds=(3, 1), fields=(), anneals=True):
  """A run of `fake.seed_rows`, each seed annealed at 10 + seed."""
  rows = [
    row
    for seed in seeds
    for row in fake.seed_rows(seed, 0.1)
    if anneals or row["event"] != "anneal"
  ]
  _, facts = fake.config_and_facts("network", arm, tuple(fields))
  return fake.run_log(arm, rows=rows, facts=facts)


def upright(ax, color):
  """Places of the vertical lines of a colour."""
  return [
    line.get_xdata()[0]
    for line in ax.lines
    if line.get_color() == color and len(set(line.get_xdata())) == 1
  ]


def named(ax, start):
  """The only line whose label starts so."""
  (line,) = [x for x in ax.lines if x.get_label().startswith(start)]
  return line


class FiguresTest(parameterized.TestCase):
  def axes(self, draw, *args):
    """Axes of a figure before it becomes an image."""
    with mock.patch.object(figures, "finish", side_effect=lambda fig, *_: fig):
      fig = draw(*args)
    self.addCleanup(plt.close, fig)
    return fig.axes

  @parameterized.parameters(
    figures_theory.losses, figures_theory.errors, figures_theory.norms
  )
  def test_annealing_is_marked_at_the_logged_steps_of_its_arm(self, draw):
    large, small = self.axes(draw, [run_of(), run_of("small", anneals=False)])
    self.assertEqual(upright(large, figures.GREY), [13, 11])
    self.assertEmpty(upright(small, figures.GREY))
    self.assertEqual((large.get_title(), small.get_title()), ("large", "small"))

  def test_the_mark_is_named_once_whichever_seed_annealed(self):
    run = run_of(seeds=(3, 1, 2))
    run = run._replace(
      rows=[r for r in run.rows if (r["seed"], r["event"]) != (3, "anneal")]
    )
    (ax,) = self.axes(figures_theory.losses, [run])
    self.assertEqual(upright(ax, figures.GREY), [11, 12])
    labels = [x.get_label() for x in ax.lines]
    self.assertEqual(labels.count("annealed"), 1)

  def test_curves_are_the_logged_values_of_every_seed(self):
    run = run_of()
    (ax,) = self.axes(figures_theory.errors, [run])
    drawn = [x for x in ax.lines if x.get_color() == figures.BLUE]
    self.assertLen(drawn, 2)
    for line, seed in zip(drawn, run.seeds, strict=True):
      steps, values = run.curve("test_error/p_only", seed)
      # Step 0 has no place on a logarithmic axis.
      np.testing.assert_array_equal(line.get_xdata(), steps)
      np.testing.assert_array_equal(line.get_ydata(), values)

  def test_lemma_4_2_is_drawn_with_its_bound_and_horizon(self):
    fields = {
      "data.r": 0.5,
      "data.q_norm": 6.0,
      "data.p0": 0.25,
      "optim.weight_decay": 0.02,
      "optim.large_learning_rate": 2.0,
    }
    run = run_of(fields=fields.items())
    (ax,) = self.axes(figures_theory.second_difference, [run])
    # r^2 |z|^2 / lambda = 0.25 x 36 / 0.02
    bound = named(ax, "bound").get_ydata()[0]
    self.assertAlmostEqual(bound, 450.0)
    # (1 - p) |z|^2 r^3 / (24 pi lambda)
    plateau = named(ax, "plateau").get_ydata()[0]
    self.assertAlmostEqual(plateau, 0.75 * 36 * 0.125 / (24 * np.pi * 0.02))
    self.assertAlmostEqual(named(ax, r"$1/(\eta_1").get_xdata()[0], 25.0)
    self.assertEqual(upright(ax, figures.GREY), [13, 11])
    # |second difference| at the three logged steps
    np.testing.assert_allclose(named(ax, "large").get_ydata(), [0, 1.3, 2.3])

  # Each is allowed by the schema; the paper's bounds are then 0 or infinite.
  @parameterized.parameters("optim.weight_decay", "data.r")
  def test_without_decay_or_angle_there_is_no_bound_to_draw(self, field):
    fields = {"optim.stationary": "none", field: 0.0}
    run = run_of(fields=fields.items())
    (ax,) = self.axes(figures_theory.second_difference, [run])
    self.assertEmpty([x for x in ax.lines if x.get_label().startswith("bound")])
    self.assertLen(figures.draw([run], figures_theory.draw), 5)


if __name__ == "__main__":
  absltest.main()
