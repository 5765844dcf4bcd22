"""Exponents, instruments and infeasible cells reach page, text and files."""

import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest

from lro_jax.core import metrics
from lro_jax.report import collect, exponents, figures, instruments, page
from lro_jax.report import summary as summary_lib
from tests import testing
from tests.report import fake
from tests.report.page_test import Page

CELLS = {"r=0.1": 0.1, "r=0.2": 0.2, "r=0.4": 0.4}
REASON = "m = 10^12 units do not fit <any> memory"
LISTED = (
  fake.instrument("4.2"),
  fake.instrument("5.2", algorithm="small", phase="end"),
)


def write(workdir, *, listed=LISTED, cells=CELLS, **record):
  """Both arms; the large one's second difference at its end is r squared."""
  fake.write_experiment(workdir, cells=list(cells), **record)
  for cell, r in cells.items():
    for arm in fake.P_ONLY:
      rows = [
        row | {"lemma/4.2": r**2, "bound/4.2": 2.0, "lemma/5.2": 6 * r}
        for seed in fake.SEEDS
        for row in fake.seed_rows(seed, 0.1)
      ]
      for row in rows:
        row["bound/5.2"] = 2.0
      fields = (("data.r", r),)
      facts = fake.with_instruments(arm, listed, fields)
      if not listed:
        del facts["instruments"]
      folder = workdir / arm / cell
      fake.write_run(folder, rows, like=arm, fields=fields, facts=facts)


class LemmasPageTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)
    self.report = self.workdir / "report"
    y = {"arm": "large", "phase": "end", "metric": "lemma/4.2"}
    self.entry = fake.exponent(y=y, title="Second difference", claimed=1.0)

  def write(self, **kwargs):
    """The page of what is in the workdir, and the closing text."""
    with testing.no_figures():
      text = page.write(self.workdir, **kwargs)
    return Page((self.report / "index.html").read_text()).text, text

  def test_exponents_come_first_on_page_and_terminal(self):
    write(self.workdir, exponents=[self.entry])
    for shown in self.write():
      start = shown.index(exponents.TITLE)
      for later in ("P-only err, large", "(4 paired seeds)"):
        self.assertLess(start, shown.index(later))
      self.assertIn("2.000 [2.000, 2.000]", shown)
      self.assertIn("differs", shown)

  def test_the_files_hold_what_the_summary_holds(self):
    write(self.workdir, exponents=[self.entry])
    self.write()
    saved = json.loads((self.report / "exponents.json").read_text())
    experiment = collect.load(self.workdir)
    made = summary_lib.summary(experiment, collect.tidy(experiment))
    self.assertEqual(saved, metrics.plain(made["exponents"]))
    (found,) = saved
    self.assertAlmostEqual(found["exponent"][0], 2.0, delta=1e-12)
    self.assertEqual(found["verdict"], "differs")
    self.assertEqual(
      [(p["cell"], p["x"]) for p in found["points"]], list(CELLS.items())
    )
    for point in found["points"]:
      for name in ("mean", "low", "high"):
        self.assertAlmostEqual(point[name], point["x"] ** 2, delta=1e-12)
    for cell in made["cells"]:
      r = CELLS[cell["cell"]]
      value, bound, ratio = cell["instruments"]["small"]["5.2"][:3]
      self.assertAlmostEqual(value, 6 * r)
      self.assertEqual(bound, 2.0)
      self.assertAlmostEqual(ratio, 3 * r)

  def test_every_cell_has_its_lemmas(self):
    write(self.workdir)
    shown, text = self.write()
    self.assertEqual(shown.count("Lemma by lemma"), len(CELLS))
    self.assertEqual(text.count("Lemma by lemma"), len(CELLS))
    self.assertEqual(shown.count("a of 5.2 <= b"), len(CELLS))
    # 0.4 squared over 2; in parentheses where the arm is the other.
    self.assertIn("(0.08 [0.08, 0.08])", text)

  def test_many_cells_keep_their_exponents_and_ratios(self):
    write(self.workdir, exponents=[self.entry])
    self.enterContext(mock.patch.object(page, "MANY", 2))
    shown, text = self.write()
    self.assertNotIn("Lemma by lemma", shown)
    self.assertIn(exponents.TITLE, shown)
    self.assertIn(exponents.TITLE, text)
    table = instruments.over_cells(collect.load(self.workdir))
    self.assertIn(table.title, shown)
    for column in ("large, r=0.4", "small, r=0.1"):
      self.assertIn(column, shown)

  def test_figures_are_files_and_on_the_page(self):
    write(self.workdir, exponents=[self.entry], cells={"r=0.1": 0.1})
    stems = []

    def draw(runs, make):
      # The track's own figures are drawn elsewhere.
      kept = [figures.Figure("own", "own", b"", b"", "")]
      made = kept if "figures_theory" in make.__module__ else make(runs)
      stems.extend(figure.stem for figure in made)
      return made

    with mock.patch.object(figures, "draw", side_effect=draw):
      page.write(self.workdir)
    self.assertCountEqual(
      stems, ["exponents", "own", "instruments_r_0.1", "order"]
    )
    files = {p.name for p in (self.report / "figures").glob("*.png")}
    self.assertEqual(
      files,
      {"exponents.png", "instruments_r_0.1.png", "own.png", "order.png"},
    )
    shown = (self.report / "index.html").read_text()
    self.assertEqual(shown.count("<img"), 4)

  def test_without_instruments_or_exponents_nothing_is_said(self):
    write(self.workdir, listed=())
    for shown in self.write():
      for words in ("Lemma by lemma", exponents.TITLE, "ratio", "infeasible"):
        self.assertNotIn(words, shown)
    self.assertFalse((self.report / "exponents.json").exists())

  def test_curves_alone_have_their_section(self):
    entry = self.entry | {"kind": "curve", "cells": "r=*"}
    write(self.workdir, exponents=[entry], infeasible={"r=9": REASON})
    shown, text = self.write()
    self.assertIn(exponents.TITLE, shown)
    self.assertIn("Left out of Second difference: r=9", shown)
    self.assertNotIn(exponents.TITLE, text)

  def test_an_infeasible_cell_is_listed_with_its_reason(self):
    for cells in (CELLS, {"r=0.1": 0.1}):
      write(self.workdir, cells=cells, infeasible={"r=9": REASON})
      for shown in self.write():
        self.assertIn(f"r=9: infeasible: {REASON}", shown)
      experiment = collect.load(self.workdir)
      made = summary_lib.summary(experiment, collect.tidy(experiment))
      self.assertEqual(made["infeasible"], {"r=9": REASON})
      self.assertLen(made["cells"], len(cells))

  def test_an_infeasible_cell_has_a_line_of_dashes_once(self):
    cells = [*CELLS, "r=9"]
    write(self.workdir, infeasible={"r=9": REASON})
    for named in (list(CELLS), cells):
      record = json.loads((self.workdir / "experiment.json").read_text())
      record["cells"] = named
      metrics.write_json(self.workdir / "experiment.json", record)
      _, text = self.write()
      (line,) = [x for x in text.splitlines() if x.split()[:1] == ["r=9"]]
      self.assertEqual(set(line.split()[1:]), {"-"})


if __name__ == "__main__":
  absltest.main()
