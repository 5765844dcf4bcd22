"""The vision track's figures show what is logged, and clip what they must."""

import pathlib
import tempfile
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.schema import UserError
from lro_jax.report import figures, figures_patches, figures_vision
from tests.report import fake_vision
from tests.report.figures_test import named, upright


class FigureTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def runs(self, **kwargs):
    return fake_vision.write_workdir(self.workdir, **kwargs).runs

  def drawn(self, draw, runs):
    """Axes and caption of a figure before it becomes an image."""
    with mock.patch.object(
      figures,
      "finish",
      side_effect=lambda fig, stem, caption, *_: (fig, caption),
    ):
      fig, caption = draw(runs)
    self.addCleanup(plt.close, fig)
    return fig.axes, caption


class CurvesTest(FigureTestCase):
  @parameterized.parameters(
    (figures_vision.figure_1, ("train_accuracy/all", "accuracy/clean"), False),
    (figures_vision.figure_3, ("accuracy/clean", "accuracy/patch_only"), True),
    (
      figures_vision.cue_conflict,
      ("conflict/patch", "accuracy/other_patch"),
      True,
    ),
  )
  def test_lines_are_the_logs_against_the_epoch(self, draw, names, patches):
    runs = self.runs(patches=patches)
    axes, caption = self.drawn(draw, runs)
    for ax, name in zip(axes, names, strict=True):
      for run, color in zip(runs, (figures.BLUE, figures.RED), strict=True):
        lines = [
          line
          for line in ax.lines
          if line.get_color() == color and line.get_marker() == "None"
        ]
        self.assertLen(lines, 3)
        *thin, bold = lines
        for line, seed in zip(thin, run.seeds, strict=True):
          steps, values = run.curve(name, seed)
          np.testing.assert_allclose(line.get_xdata(), steps / 10)
          np.testing.assert_array_equal(line.get_ydata(), values)
          self.assertLess(line.get_linewidth(), bold.get_linewidth())
        np.testing.assert_allclose(
          bold.get_ydata(), np.mean([line.get_ydata() for line in thin], 0)
        )
        np.testing.assert_array_equal(bold.get_xdata(), thin[0].get_xdata())
        self.assertEqual(bold.get_label(), run.arm)
      self.assertEqual(upright(ax, figures.GREY), [fake_vision.ANNEAL_AT])
      self.assertEqual(ax.get_xscale(), "linear")
    self.assertIn("4 (large)", caption)
    self.assertIn("2 seeds", caption)
    self.assertIn(fake_vision.DATASET, caption)

  def test_the_authors_scoring_has_rings_and_chance_is_dotted(self):
    runs = self.runs()
    (_, ax), caption = self.drawn(figures_vision.figure_3, runs)
    for run in runs:
      np.testing.assert_array_equal(
        named(ax, f"{run.arm}, authors").get_ydata(),
        run.mean_curve("accuracy/patch_only_authors")[1],
      )
      self.assertEqual(named(ax, f"{run.arm}, authors").get_marker(), "o")
    self.assertEqual(list(named(ax, "chance").get_ydata()), [0.1, 0.1])
    self.assertIn("1/10", caption)

  def test_each_arm_has_its_losses_by_kind(self):
    runs = self.runs()
    axes, _ = self.drawn(figures_vision.losses, runs)
    self.assertEqual([ax.get_title() for ax in axes], ["large", "small"])
    self.assertEqual(upright(axes[0], figures.GREY), [40])
    self.assertEmpty(upright(axes[1], figures.GREY))
    for ax, run in zip(axes, runs, strict=True):
      for kind in ("clean", "mixed", "patch only"):
        metric = f"train_loss/{kind.replace(' ', '_')}"
        np.testing.assert_array_equal(
          named(ax, kind).get_ydata(), run.curve(metric, 0)[1]
        )

  def test_colours_of_arms_do_not_depend_on_which_are_there(self):
    runs = self.runs(arms=("small", "mine"))
    (ax, _), _ = self.drawn(figures_vision.figure_3, runs)
    self.assertEqual(named(ax, "small").get_color(), figures.RED)
    other = named(ax, "mine").get_color()
    self.assertNotIn(other, [look.color for look in figures.ARMS.values()])

  @parameterized.parameters(
    (False, "figure_1", "losses"),
    (True, "figure_3", "cue_conflict", "losses", "figure_4", "patch_bank"),
  )
  def test_what_is_not_there_is_not_drawn(self, patches, *stems):
    def stem_of(fig, stem, *_):
      plt.close(fig)
      return stem

    with mock.patch.object(figures, "finish", side_effect=stem_of):
      drawn = figures_vision.draw(self.runs(patches=patches))
    self.assertEqual(drawn, [f"{stem}_base" for stem in stems])


class ImagesTest(FigureTestCase):
  def test_figure_4_clips_and_says_what_share(self):
    axes, caption = self.drawn(figures_patches.figure_4, self.runs())
    pixels = fake_vision.bank()["figure_4"]
    share = np.mean((pixels < 0) | (pixels > 255))
    self.assertGreater(share, 1e-3)
    self.assertIn(f"{share:.2%} lay outside", caption)
    shown = np.array([ax.images[0].get_array() for ax in axes])
    inside = np.clip(pixels, 0, 255).reshape(shown.shape)
    np.testing.assert_allclose(shown, inside, atol=0.5)
    titles = [ax.get_title().replace("\n", " ") for ax in axes[:4]]
    self.assertEqual(titles, list(fake_vision.KINDS))
    labels = [ax.get_ylabel() for ax in axes[::4]]
    self.assertEqual(labels, ["class 6", "class 9", "class 4"])

  def test_the_bank_shows_z_the_sums_and_zeta_on_its_own_scale(self):
    axes, caption = self.drawn(figures_patches.bank, self.runs())
    made = fake_vision.bank()
    sums = np.concatenate([made["z"][None], made["z"] + made["zeta"]])
    pixels = sums * made["std"] + made["mean"]
    for ax, wanted in zip(axes[:11], pixels, strict=True):
      shown = ax.images[0].get_array()
      np.testing.assert_allclose(shown, np.clip(wanted, 0, 255), atol=0.51)
    outside = np.mean((pixels < 0) | (pixels > 255))
    self.assertIn(f"{outside:.2%} lay outside", caption)
    reach = np.abs(made["zeta"]).max()
    self.assertIn(f"from -{reach:.3g} (dark) to {reach:.3g} (bright)", caption)
    alone = np.array([ax.images[0].get_array() for ax in axes[12:]])
    np.testing.assert_allclose((2 * alone - 1) * reach, made["zeta"], atol=1e-6)

  def test_a_damaged_file_is_one_sentence(self):
    runs = self.runs()
    path = runs[0].folder / "patches.npz"
    path.write_bytes(path.read_bytes()[:100])
    with self.assertRaisesRegex(UserError, "patches.npz is not readable"):
      figures_patches.bank(runs)


if __name__ == "__main__":
  absltest.main()
