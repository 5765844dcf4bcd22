"""A figure's CSV holds what is drawn: every curve, mark, level and pixel."""

import csv
import io
import json
import pathlib
import tempfile
from unittest import mock

import matplotlib.pyplot as plt
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import (
  drawn,
  figures,
  figures_exponents,
  figures_instruments,
  figures_order,
  figures_patches,
  figures_theory,
  figures_vision,
  learning,
)
from tests.report import fake, fake_vision
from tests.report.exponents_test import finding, power
from tests.report.figures_test import run_of

CONFLICT = "taken for the patch's class"
KEYS = ("arm", "seed", "step", "epoch")


def parsed(text):
  """Rows of a CSV, without what is empty."""
  rows = csv.DictReader(io.StringIO(text))
  return [{k: v for k, v in row.items() if v} for row in rows]


def theory_runs():
  listed = [fake.instrument("4.2"), fake.instrument("5.2", algorithm="small")]
  runs = []
  for arm in ("large", "small"):
    run = run_of(arm)
    rows = [
      row | {"lemma/4.2": 1.0 + row["step"], "bound/4.2": 2.0 + row["seed"]}
      for row in run.rows
    ]
    facts = run.record["facts"] | {"instruments": listed}
    runs.append(run._replace(rows=rows, record=run.record | {"facts": facts}))
  return runs


class CurvesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def named_lines(self, draw, runs):
    """(kind, column, keys, x, y) of every line, and the CSV beside it."""
    kept, finish = [], figures.finish

    def keep(fig, stem, caption, *rest):
      for ax in fig.axes:
        for line in ax.lines:
          # A line without a name would be drawn, but not in the CSV.
          self.assertIsNotNone(line.get_gid(), f"{stem}: {line.get_label()}")
          kept.append((*json.loads(line.get_gid()), *line.get_data(orig=True)))
      return finish(fig, stem, caption, *rest)

    with mock.patch.object(figures, "finish", side_effect=keep):
      made = draw(runs)
    (figure,) = made if isinstance(made, list) else [made]
    return kept, parsed(figure.csv)

  @parameterized.parameters(
    figures_theory.losses,
    figures_theory.errors,
    figures_theory.second_difference,
    figures_theory.norms,
    figures_instruments.dashboard,
    figures_vision.figure_1,
    figures_vision.figure_3,
    figures_vision.cue_conflict,
    figures_vision.losses,
  )
  def test_every_point_of_every_line_is_in_its_column(self, draw):
    runs = theory_runs()
    if draw.__module__.endswith("vision"):
      patches = draw is not figures_vision.figure_1
      runs = fake_vision.write_workdir(self.workdir, patches=patches).runs
    lines, rows = self.named_lines(draw, runs)
    self.assertNotEmpty(lines)
    found = {}
    for row in rows:
      own = {k: row[k] for k in KEYS if k in row}
      found |= {(*own.values(), k): v for k, v in row.items() if k not in KEYS}
    drawn_too = set()
    for kind, column, keys, xs, ys in lines:
      points = list(zip(xs, ys, strict=True))
      if kind == drawn.MARK:
        points = [(xs[0], 1)]
      for x, y in points:
        at = (
          keys.values() if kind == drawn.LEVEL else (*keys.values(), f"{x:g}")
        )
        key = (*at, column)
        self.assertAlmostEqual(float(found[key]), y, delta=1e-5 * abs(y))
        drawn_too.add(key)
    # And nothing stands there that is not drawn.
    self.assertEqual(set(found), drawn_too)


class OthersTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  @parameterized.parameters(3, 1)
  def test_pictures_are_their_pixels(self, channels):
    runs = fake_vision.write_workdir(self.workdir).runs
    made = {
      name: array[..., :channels]
      if name in ("z", "zeta", "mean", "std", "figure_4")
      else array
      for name, array in fake_vision.bank().items()
    }
    for run in runs:
      np.savez(run.folder / "patches.npz", **made)
    pixels = np.clip(np.rint(made["figure_4"]), 0, 255)
    rows = parsed(figures_patches.figure_4(runs).csv)
    table = [[float(row[str(x)]) for x in range(32)] for row in rows]
    shown = np.reshape(table, (*pixels.shape[:2], channels, 32, 32))
    np.testing.assert_array_equal(np.moveaxis(shown, 2, -1), pixels)
    alone = [
      [float(row[str(x)]) for x in range(7)]
      for row in parsed(figures_patches.bank(runs).csv)
      if row["image"].startswith("zeta")
    ]
    shown = np.moveaxis(np.reshape(alone, (10, channels, 7, 7)), 1, -1)
    np.testing.assert_allclose(shown, made["zeta"], rtol=1e-5, atol=1e-9)

  def test_the_order_has_every_step_of_its_entries(self):
    runs = fake_vision.write_workdir(self.workdir).runs
    entries = learning.of_cell(runs, "vision")
    kept, finish = [], figures.finish

    def keep(fig, *rest):
      kept.extend(line for ax in fig.axes for line in ax.lines)
      return finish(fig, *rest)

    with mock.patch.object(figures, "finish", side_effect=keep):
      (figure,) = figures_order.draw([runs], entries, "vision")
    points = [line for line in kept if line.get_marker() != "None"]
    self.assertCountEqual(
      [f"{line.get_xdata()[0]:.6g}" for line in points],
      [r["step"] for r in parsed(figure.csv) if r["what"] != CONFLICT],
    )
    steps = [row for row in parsed(figure.csv) if row["what"] != CONFLICT]
    wanted = [
      (e.arm, str(e.seed), f"{e.value:.6g}", f"{e.fraction:g}")
      for e in entries
      if e.quantity == "first_step"
      and e.value > 0
      and e.metric in ("accuracy/clean", "accuracy/patch_only")
    ]
    shown = [
      (row["arm"], row["seed"], row["step"], row["share"])
      for row in steps
      if row["what"] in ("image, test accuracy", "patch, test accuracy")
    ]
    self.assertCountEqual(shown, wanted)

  def test_exponents_have_their_points_and_powers(self):
    found = finding(power(2.0))
    (figure,) = figures_exponents.draw([found])
    rows = parsed(figure.csv)
    points = [row for row in rows if "x" in row]
    self.assertEqual(
      [(row["cell"], row["x"], row["y"]) for row in points],
      [(p.cell, f"{p.x:.6g}", f"{p.y.mean:.6g}") for p in found.points],
    )
    (powers,) = [row for row in rows if "x" not in row]
    self.assertAlmostEqual(float(powers["measured power"]), 2.0, places=5)

  def test_what_is_no_number_is_empty(self):
    rows = [{"a": 1.0, "b": float("nan")}, {"c": None, "a": "x,y"}]
    self.assertEqual(drawn.as_csv(rows), 'a,b,c\n1,,\n"x,y",,\n')

  def test_names_do_not_reach_the_files(self):
    fig, ax = plt.subplots()
    drawn.line(ax, [0, 1], [2, 3], "own words", {"arm": "a"})
    svg = figures.finish(fig, "stem", "").svg
    self.assertNotIn(b"own words", svg)


if __name__ == "__main__":
  absltest.main()
