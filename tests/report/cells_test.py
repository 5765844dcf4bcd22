"""Experiments of many cells: overview, choice of what is drawn, summary."""

import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest

from lro_jax.core import metrics
from lro_jax.core.schema import UserError, flatten
from lro_jax.report import (
  collect,
  figures,
  gallery,
  page,
  summary,
  tables,
  theory_view,
)
from tests.report import fake

CELLS = {"r=0.1": 0.1, "r=0.2": 0.2, "r=0.3": 0.3}
ERRORS = {"large": 0.05, "small": 0.25}


class CellsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)
    fake.write_experiment(self.workdir, arms=ERRORS, cells=CELLS)
    for cell, r in CELLS.items():
      for arm, error in ERRORS.items():
        if (cell, arm) == ("r=0.3", "small"):
          continue  # not begun
        rows = [
          row for s in fake.SEEDS for row in fake.seed_rows(s, error + r / 10)
        ]
        fields = (("data.r", r),)
        folder = self.workdir / arm / cell
        fake.write_run(folder, rows, like=arm, fields=fields)
    self.experiment = collect.load(self.workdir)
    self.rows = collect.tidy(self.experiment)

  def test_overview_has_a_line_per_cell_and_a_dash_for_what_is_missing(self):
    table = tables.overview(self.experiment, self.rows, theory_view.OVERVIEW)
    self.assertEqual([line[0].strip() for line in table.lines], list(CELLS))
    by_cell = {
      line[0].strip(): dict(zip(table.header, line, strict=True))
      for line in table.lines
    }
    self.assertEqual(by_cell["r=0.1"]["P-only err, large"], "6.00%")
    self.assertEqual(by_cell["r=0.2"]["P-only err, small"], "27.00%")
    self.assertEqual(
      by_cell["r=0.2"]["P-only err, small - large"], "20.00% [20.00%, 20.00%]"
    )
    self.assertEqual(by_cell["r=0.3"]["P-only err, small"], "-")

  def drawn_by(self, **kwargs):
    with (
      mock.patch.object(figures, "draw", return_value=[]),
      mock.patch.object(gallery, "of_cell", wraps=gallery.of_cell) as draw,
    ):
      text = page.write(self.workdir, **kwargs)
    return [runs[0].cell for runs, _ in (c.args for c in draw.mock_calls)], text

  def test_few_cells_are_all_drawn_many_only_when_named(self):
    self.assertEqual(self.drawn_by()[0], list(CELLS))
    self.enterContext(mock.patch.object(page, "MANY", 2))
    cells, text = self.drawn_by()
    self.assertEqual(cells, [])
    for cell in CELLS:
      self.assertIn(cell, text)
    self.assertEqual(self.drawn_by(cells="*=0.2")[0], ["r=0.2"])

  def test_a_pattern_that_fits_no_cell_is_refused(self):
    with self.assertRaisesRegex(UserError, "--cells=q.* r=0.1, r=0.2, r=0.3"):
      page.write(self.workdir, cells="q=*")

  def test_summary_tells_shared_fields_from_a_cells_own(self):
    made = summary.summary(self.experiment, self.rows)
    for run in self.experiment.runs:
      (cell,) = (c for c in made["cells"] if c["cell"] == run.cell)
      self.assertEqual(cell["config"], {"data.r": CELLS[run.cell]})
      fields = made["config"] | cell["config"]
      expected = flatten(run.config)
      del expected["optim.algorithm"]
      self.assertEqual(fields, expected)
      self.assertEqual(
        cell["arms"][run.arm],
        {"optim.algorithm": run.config["optim"]["algorithm"]},
      )

  def test_summary_holds_the_tables_numbers_through_its_file(self):
    path = self.workdir / "summary.json"
    metrics.write_json(path, summary.summary(self.experiment, self.rows))
    saved = json.loads(path.read_text())
    for table in tables.build(self.experiment, self.rows, theory_view.ROWS):
      texts = {tuple(line[1:]) for line in table.lines}
      quoted = summary.as_markdown(saved, table.cell).splitlines()
      self.assertEqual(
        quoted[0].strip("| ").split(" | "), [c for c in table.header if c]
      )
      self.assertNotEmpty(quoted[2:])
      for line in quoted[2:]:
        self.assertIn(tuple(line.strip("| ").split(" | ")[1:]), texts)


class ZeroTest(absltest.TestCase):
  def test_what_rounds_to_zero_has_no_sign(self):
    for row in theory_view.ROWS:
      self.assertNotStartsWith(row.format(-1e-9), "-0.0")
      self.assertStartsWith(row.format(-1.0), "-1")
    self.assertEqual(theory_view.OVERVIEW.rows[0].format(0.0), "0.000")


if __name__ == "__main__":
  absltest.main()
