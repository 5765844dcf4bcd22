"""What an entry names is read seed by seed, or the cell is left out by name."""

import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.report import exponents
from tests.report import fake
from tests.report.exponents_test import all_findings, finding, power
from tests.report.tables_test import line_of


class QuantitiesTest(parameterized.TestCase):
  @parameterized.parameters(
    dict(x={"field": "data.r"}),
    dict(x={"setting": "r"}),
    dict(x={"arm": "small", "phase": "end", "metric": "half"}),
  )
  def test_x_is_a_field_a_setting_or_measured(self, x):
    def by_cell(arm, r, seed):
      # Seeds differ in x, and in y by the square of that.
      scale = 1 + seed if "metric" in x else 1
      return {"y": (scale * r) ** 2, "half": scale * r / 2}

    found = finding(by_cell, entry={"x": x}, arms=("large", "small"))
    np.testing.assert_allclose(found.exponent[:3], [2.0] * 3, atol=1e-12)
    points = [point.x for point in found.points]
    expected = [0.1, 0.2, 0.4]
    if "metric" in x:
      expected = [r / 2 * 24**0.25 for r in expected]
    np.testing.assert_allclose(points, expected, rtol=1e-12)

  @parameterized.parameters(
    # (a r^3 + s) - s: paired by seed, else seeds would not cancel.
    ("minus", {"arm": "small"}, 3.0),
    ("over", {"metric": "z"}, -1.0),
    ("over", {"arm": "small", "metric": "z"}, 0.0),
  )
  def test_differences_and_ratios_are_of_each_seed(self, how, other, p):
    def by_cell(arm, r, seed):
      own = 2 * r**3 if arm == "large" else 0.0
      scale = (seed + 1) * (r**4 if arm == "large" else 1.0)
      y = own + seed if how == "minus" else r**3 * (seed + 1)
      return {"y": y, "z": scale if arm == "large" else r**3 * (seed + 1)}

    y = fake.exponent()["y"] | {how: other}
    found = finding(by_cell, entry={"y": y}, arms=("large", "small"))
    np.testing.assert_allclose(found.exponent[:3], [p] * 3, atol=1e-9)


class LeftOutTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.0, "y not above zero in seed 1"),
    (-1.0, "y not above zero in seed 1"),
    (None, "y has no value in seed 1"),
  )
  def test_a_cell_without_a_logarithm_is_left_out_and_named(self, bad, why):
    def by_cell(arm, r, seed):
      if (r, seed) == (0.2, 1):
        return {"y": bad}
      # The middle cell would bend the line.
      return {"y": 1e6 if r == 0.2 else r**2}

    found = finding(by_cell)
    self.assertEqual(found.left_out, {"r=0.2": why})
    self.assertAlmostEqual(found.exponent.mean, 2.0, delta=1e-12)
    note = exponents.table([found]).notes[-1]
    self.assertEqual(note, f"Left out of y against r: r=0.2 ({why}).")

  def test_what_two_entries_lack_alike_is_said_once(self):
    grid = fake.grid(
      power(1.0),
      exponents=[fake.exponent(title="a"), fake.exponent(title="b")],
      infeasible={"r=9": "too large", "q": "too small"},
    )
    grid.record["exponents"][0]["cells"] = "r=*"
    grid.record["exponents"][1]["cells"] = "r=*"
    notes = exponents.notes(all_findings(grid))
    self.assertEqual(notes, ["Left out of a; b: r=9 (infeasible)."])

  def test_cells_not_begun_or_not_finished_are_left_out(self):
    entry = fake.exponent()
    entry["y"]["minus"] = {"arm": "small"}
    grid = fake.grid(
      lambda arm, r, seed: {"y": r if arm == "large" else 0.0},
      arms=("large", "small"),
      exponents=[entry],
    )
    runs = [r for r in grid.runs if (r.arm, r.cell) != ("small", "r=0.1")]
    for run in runs:
      if (run.arm, run.cell) == ("small", "r=0.2"):
        run.record["status"] = "running"
    (found,) = all_findings(grid._replace(runs=runs))
    self.assertEqual(
      found.left_out,
      {"r=0.1": "no run of small", "r=0.2": "small not finished"},
    )
    self.assertEqual(found.exponent.num, 0)
    table = exponents.table([found])
    self.assertEqual(line_of(table, "y against r")[4:6], ["-", "-"])
    self.assertIn("y against r: fewer than two x", " ".join(table.notes))

  def test_a_seed_that_another_cell_lacks_is_not_used(self):
    grid = fake.grid(power(2.0), exponents=[fake.exponent()])
    extra = fake.row(9, 77) | {"y": 1e9}
    grid.runs[0].rows.append(extra)
    (found,) = all_findings(grid)
    self.assertEqual(found.exponent.num, len(fake.SEEDS))
    self.assertAlmostEqual(found.exponent.mean, 2.0, delta=1e-12)
    self.assertEmpty(found.left_out)

  def test_steps_to_a_loss_never_reached_are_no_number_of_steps(self):
    y = {"arm": "large", "phase": "end", "metric": "step"}
    grid = fake.grid(power(2.0), exponents=[fake.exponent(y=y)])
    grid.runs[0].record["seeds"]["2"]["status"] = "max_steps"
    (found,) = all_findings(grid)
    self.assertEqual(found.left_out, {"r=0.1": "y has no value in seed 2"})
    self.assertLen(found.points, 2)
    # What was measured there is a number all the same.
    y["metric"] = "y"
    (found,) = all_findings(grid)
    self.assertEmpty(found.left_out)

  @parameterized.parameters("data.none", "optim.algorithm", "data")
  def test_an_x_that_is_no_number_fits_nothing(self, field):
    found = finding(power(1.0), entry={"x": {"field": field}})
    self.assertEqual(set(found.left_out.values()), {"x has no value"})

  def test_cells_of_one_x_have_no_power(self):
    found = finding(power(1.0), cells={"a": 0.2, "b": 0.2})
    self.assertEqual(found.exponent.num, 0)
    self.assertEqual(found.verdict, "-")


if __name__ == "__main__":
  absltest.main()
