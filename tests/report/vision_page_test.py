"""The page of a vision workdir: sentences, the paper's numbers, its data."""

import html
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from lro_jax.core.schema import UserError
from lro_jax.report import collect, page, paper, tables, tracks, vision_view
from tests import testing
from tests.report import fake, fake_vision
from tests.report.page_test import Page
from tests.report.tables_test import line_of

CLEAN = "accuracy/clean"


class PageTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)

  def folder(self, arm, seed):
    return self.workdir / arm / "base" / f"seed_{seed}"

  def page(self):
    page.write(self.workdir)
    return Page((self.workdir / "report" / "index.html").read_text())


class WholePageTest(PageTestCase):
  def test_page_asks_for_nothing_outside_itself_and_has_every_figure(self):
    fake_vision.write_workdir(self.workdir)
    seen = self.page()
    for tag in ("script", "iframe", "object", "embed", "friends"):
      self.assertNotIn(tag, seen.tags)
    for name, value in seen.attributes:
      if name in ("src", "href", "srcset", "data", "poster", "action"):
        self.assertRegex(value, r"^(data:|#)", name)
    source = (self.workdir / "report" / "index.html").read_text()
    for words in ("http://", "https://", "url(", "@import", 'src="//'):
      self.assertNotIn(words, source)
    stems = {p.stem for p in (self.workdir / "report/figures").glob("*.png")}
    self.assertEqual(
      stems,
      {
        f"{name}_base"
        for name in (
          "figure_3",
          "cue_conflict",
          "losses",
          "figure_4",
          "patch_bank",
        )
      }
      | {"order"},
    )
    self.assertEqual(seen.tags.count("img"), len(stems))
    # The data's name stands escaped, in the head and in the captions.
    self.assertIn(fake_vision.DATASET, seen.text)
    self.assertIn(html.escape(fake_vision.DATASET), source)
    self.assertIn("4 runs, 60 s of training", seen.text)
    for words in ("sha256 0123", "sha256 4567", "17,116,634 parameters"):
      self.assertIn(words, seen.text)


class SentencesTest(PageTestCase):
  def setUp(self):
    super().setUp()
    self.enterContext(testing.no_figures())

  def test_numbers_are_those_of_the_rows(self):
    fake_vision.write_workdir(self.workdir)
    text = self.page().text
    # Large first passes 50% at the row after epoch 4, small at step 2.
    self.assertIn("at epoch 5.0 (large, annealed at epoch 4.0)", text)
    self.assertIn("at epoch 0.20 (small).", text)
    # 0.12 and 0.9 - 0.7 less 0.001 and 0.011, on average 0.006
    self.assertIn("when annealed: 11.40% (large).", text)
    self.assertIn("at the end: 89.40% (large), 69.40% (small)", text)
    self.assertIn("large minus small is 20.00 points (95% interval 20.00", text)

  def test_seeds_that_never_learn_the_patch_are_counted(self):
    fake_vision.write_workdir(self.workdir)
    for arm, seeds in (("large", (10,)), ("small", fake_vision.SEEDS)):
      for seed in seeds:
        rows = fake_vision.seed_rows(arm, seed)
        for row in rows:
          row["accuracy/patch_only"] = 0.5
        fake.write_rows(self.folder(arm, seed), rows)
    text = self.page().text
    self.assertIn("at epoch 5.0 in 1 of 2 (large", text)
    self.assertIn("in no seed (small)", text)

  def test_a_run_under_way_is_shown_as_such_and_concludes_nothing(self):
    fake_vision.write_workdir(self.workdir)
    for arm in fake_vision.ARMS:
      fake_vision.write_seed(self.folder(arm, 0), arm, 0, status="running")
    text = self.page().text
    self.assertIn("large: not finished", text)
    for words in ("At the end", "at the end:", "first exceeds", "when anneal"):
      self.assertNotIn(words, text)

  def test_without_patches_only_the_end_is_spoken_of(self):
    fake_vision.write_workdir(self.workdir, patches=False)
    text = self.page().text
    self.assertIn("Clean test accuracy at the end: 89.40% (large)", text)
    self.assertNotIn("Patch", text)

  def test_every_phase_has_its_lines(self):
    experiment = fake_vision.write_workdir(self.workdir)
    rows = collect.tidy(experiment)
    (table,) = tables.build(experiment, rows, vision_view.ROWS)
    self.assertEqual(line_of(table, "annealed at epoch")[1:], ["-", "-"])
    self.assertStartsWith(line_of(table, "best at epoch")[0], "6.0 [")
    self.assertStartsWith(line_of(table, "ended at epoch")[0], "8.0 [")
    self.assertStartsWith(
      line_of(table, "taken for that patch's class")[0], "80"
    )

  def test_a_track_without_a_view_is_refused(self):
    fake_vision.write_workdir(self.workdir)
    fake.write_experiment(self.workdir, track="sound")
    with self.assertRaisesRegex(UserError, "'sound'.*theory and vision"):
      page.write(self.workdir)
    self.assertEqual(set(tracks.VIEWS), {"theory", "vision"})


class BesideThePaperTest(PageTestCase):
  def beside(self, **kwargs):
    experiment = fake_vision.write_workdir(self.workdir, **kwargs)
    return self.table(experiment)

  def table(self, experiment):
    rows = collect.tidy(experiment)
    return paper.beside(experiment, rows, experiment.runs)

  def test_the_papers_number_stands_beside_our_mean_and_best(self):
    table = self.beside()
    number, end, best, seeds = line_of(table, "large, clean accuracy")
    self.assertEqual((number, seeds), ("87.61%", "2"))
    # 0.9 at the end and 0.7 at epoch 6, less 0.001 and 0.011
    self.assertStartsWith(end, "89.40% [")
    self.assertStartsWith(best, "69.40% [")
    self.assertEqual(line_of(table, "small, mixed accuracy")[0], "92.83%")
    # Arms that are not ours are not listed.
    self.assertLen(table.lines, 4)
    self.assertIn("Table 2", table.title)

  @parameterized.parameters(
    ("cifar10", "base", ["90.41%", "84.93%"], "Table 1"),
    (
      "cifar10_control",
      "num_train=10000",
      ["about 76%", "about 65%"],
      "Appendix H.2",
    ),
    (
      "cifar10_control",
      "num_train=50000",
      ["about 90%", "about 83%"],
      "Appendix H.2",
    ),
  )
  def test_every_experiment_has_its_own_numbers(self, name, cell, paper, where):
    num_train = int(cell.partition("=")[2] or 0)
    table = self.beside(
      name=name, cell=cell, patches=False, data__num_train=num_train
    )
    for arm, number in zip(("large", "small"), paper, strict=True):
      self.assertEqual(line_of(table, f"{arm}, clean accuracy")[0], number)
    self.assertIn(where, table.title)
    # Net and data are the paper's; only Table 1's runs are longer.
    unlike = [note for note in table.notes if note.startswith("Not as in")]
    self.assertLen(unlike, name == "cifar10")
    for note in unlike:
      self.assertIn("paper: the length (8 for 200 epochs);", note)

  @parameterized.parameters(
    (dict(model__depth=10), "WideResNet10-10 for WideResNet16-10"),
    (dict(model__widen_factor=4), "WideResNet16-4 for"),
    (dict(data__num_train=5000), "training images (5,000 for 50,000)"),
    (dict(data__num_test=2000), "test images (2,000 for 10,000)"),
    (dict(data__source="synthetic"), "the images (synthetic)"),
    (dict(name="patches_cpu"), "signs"),
  )
  def test_what_is_not_the_papers_is_said(self, fields, words):
    self.enterContext(absltest.mock.patch.object(fake_vision, "EPOCHS", 60))
    plain = self.beside()
    self.assertLen(plain.notes, 2)
    (note,) = self.beside(**fields).notes[2:]
    self.assertIn(words, note)
    self.assertIn("only the signs of differences compare", note)

  def test_the_data_is_named(self):
    self.assertIn(fake_vision.DATASET, self.beside().notes[0])

  def test_an_arm_under_way_has_no_end(self):
    fake_vision.write_workdir(self.workdir)
    folder = self.folder("small", 0)
    fake_vision.write_seed(folder, "small", 0, status="running")
    table = self.table(collect.load(self.workdir))
    self.assertEqual(
      line_of(table, "small, clean accuracy"),
      ["69.89%", "not finished", "-", "-"],
    )
    self.assertStartsWith(line_of(table, "large, clean accuracy")[1], "89")

  @parameterized.parameters(
    dict(name="mine"), dict(cell="data.num_train=5"), dict(arms=("other",))
  )
  def test_other_experiments_have_nothing_beside_them(self, **kwargs):
    self.assertIsNone(self.beside(**kwargs))


if __name__ == "__main__":
  absltest.main()
