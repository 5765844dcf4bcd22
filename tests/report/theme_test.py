"""Both schemes can be read, by every kind of colour vision, and in grey."""

import itertools

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import figures, figures_theory, figures_vision, theme

# WCAG 2.2: 1.4.3 for words, 1.4.11 for what is drawn.
WORDS, DRAWN = 4.5, 3.0
SCHEMES = ("light", "dark")
# Linear RGB as a dichromat sees it (Machado, Oliveira and Fernandes 2009).
VISION = {
  "all cones": np.eye(3),
  "protanopia": np.array(
    [
      [0.152286, 1.052583, -0.204868],
      [0.114503, 0.786281, 0.099216],
      [-0.003882, -0.048116, 1.051998],
    ]
  ),
  "deuteranopia": np.array(
    [
      [0.367322, 0.860646, -0.227968],
      [0.280085, 0.672501, 0.047413],
      [-0.011820, 0.042940, 0.968881],
    ]
  ),
  "tritanopia": np.array(
    [
      [1.255528, -0.076749, -0.178779],
      [-0.078411, 0.930809, 0.147602],
      [0.004733, 0.691367, 0.303900],
    ]
  ),
}
# Linear RGB to XYZ over the white of D65.
TO_XYZ = np.array(
  [
    [0.4339530, 0.3762198, 0.1898272],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0177566, 0.1094680, 0.8727754],
  ]
)
# CIE76: 2.3 is just noticeable; lines are thin.
APART = 15.0


def linear(color):
  """#rrggbb as linear RGB, [3]."""
  values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
  return np.where(
    values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4
  )


def contrast(one, other):
  """WCAG's contrast ratio."""
  weights = np.array([0.2126, 0.7152, 0.0722])
  low, high = sorted(float(linear(c) @ weights) for c in (one, other))
  return (high + 0.05) / (low + 0.05)


def lab(rgb):
  """Linear RGB as CIE Lab, [3]."""
  t = TO_XYZ @ np.clip(rgb, 0, 1)
  x, y, z = np.where(t > 216 / 24389, np.cbrt(t), t * 841 / 108 + 4 / 29)
  return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


class ThemeTest(parameterized.TestCase):
  def test_contrast_is_that_of_the_standard(self):
    self.assertAlmostEqual(contrast("#000000", "#ffffff"), 21.0)
    self.assertAlmostEqual(contrast("#767676", "#ffffff"), 4.54, places=2)

  @parameterized.product(scheme=SCHEMES, ground=("paper", "band"))
  def test_words_stand_out_from_what_they_stand_on(self, scheme, ground):
    on = getattr(theme.PAGE[ground], scheme)
    for name in ("ink", "soft", "link"):
      found = contrast(getattr(theme.PAGE[name], scheme), on)
      self.assertGreaterEqual(found, WORDS, name)

  @parameterized.parameters(*SCHEMES)
  def test_curves_and_marks_stand_out_from_the_page(self, scheme):
    paper = getattr(theme.PAPER, scheme)
    for name, color in (theme.CURVES | {"grey": theme.GREY}).items():
      found = contrast(getattr(color, scheme), paper)
      self.assertGreaterEqual(found, DRAWN, name)

  @parameterized.product(scheme=SCHEMES, vision=tuple(VISION))
  def test_no_two_curves_look_alike(self, scheme, vision):
    seen = {
      name: lab(VISION[vision] @ linear(getattr(color, scheme)))
      for name, color in theme.CURVES.items()
    }
    for one, other in itertools.combinations(seen, 2):
      distance = float(np.linalg.norm(seen[one] - seen[other]))
      self.assertGreater(distance, APART, f"{one}, {other}")

  def test_in_grey_curves_of_a_figure_differ_by_their_dashes(self):
    arms = figures.arm_looks(["large", "small", "small_noise", "mine"])
    tables = [
      [look for *_, look in table]
      for table in (
        figures_theory.LOSSES,
        figures_theory.ERRORS,
        figures_theory.NORMS,
        figures_vision.KINDS,
        figures_vision.WHOLE,
      )
    ]
    for looks in [arms, *tables]:
      self.assertLen({look.ls for look in looks}, len(looks))

  def test_more_arms_than_dashes_differ_in_colour_or_dashes(self):
    arms = [*figures.ARMS, *map(str, range(len(figures.OTHER_ARMS)))]
    self.assertLen(set(figures.arm_looks(arms)), len(arms))

  def test_light_colours_are_told_apart_and_replaced(self):
    lights = [color.light for color in theme.DRAWN.values()]
    self.assertLen(set(lights), len(lights))
    drawn = f"<svg><defs></defs>{' '.join(lights)}</svg>".encode()
    made = theme.themed(drawn).decode()
    style, body = made.split("</style>")
    for name, color in theme.DRAWN.items():
      self.assertIn(f"var(--{name})", body)
      self.assertNotIn(color.light, body)
      light, dark = style.split("prefers-color-scheme: dark")
      self.assertIn(f"--{name}: {color.light}", light)
      self.assertIn(f"--{name}: {color.dark}", dark)

  def test_everything_that_is_drawn_is_of_the_theme(self):
    for look in [*figures.ARMS.values(), *figures.OTHER_ARMS]:
      self.assertIn(look.color, [c.light for c in theme.DRAWN.values()])


if __name__ == "__main__":
  absltest.main()
