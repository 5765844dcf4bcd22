"""The page can be read by ear and by keyboard, and shows every run."""

import html.parser
import json
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.report import collect, elements, figures, page, run_details
from tests import testing
from tests.report import fake, fake_vision
from tests.report.page_test import VOID, Page


class Tree(html.parser.HTMLParser):
  """Every element as (tag, attributes, names of those around it, text)."""

  def __init__(self, source):
    super().__init__()
    self.all, self._open = [], []
    self.feed(source)

  def handle_starttag(self, tag, attrs):
    around = [name for name, *_ in self._open]
    node = (tag, dict(attrs), around, [])
    self.all.append(node)
    if tag not in VOID:
      self._open.append(node)

  def handle_endtag(self, tag):
    self._open.pop()

  def handle_data(self, data):
    for node in self._open:
      node[3].append(data)

  def named(self, *tags):
    return [node for node in self.all if node[0] in tags]


def write(workdir, **kwargs):
  """The page without figures, as text and tree."""
  with testing.no_figures():
    page.write(workdir, **kwargs)
  source = (workdir / "report" / "index.html").read_text()
  return Page(source).text, Tree(source)


class PageTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)


class AccessTest(PageTestCase):
  def tree(self, track):
    if track == "theory":
      fake.write_workdir(self.workdir)
    else:
      fake_vision.write_workdir(self.workdir)
    return write(self.workdir)[1]

  @parameterized.parameters("theory", "vision")
  def test_headings_are_one_first_and_none_is_skipped(self, track):
    levels = [
      int(node[0][1]) for node in self.tree(track).named("h1", "h2", "h3")
    ]
    self.assertEqual((levels[0], levels.count(1)), (1, 1))
    for above, below in zip(levels, levels[1:], strict=False):
      self.assertLessEqual(below, above + 1)

  @parameterized.parameters("theory", "vision")
  def test_the_answer_comes_first_and_contents_lead_to_every_part(self, track):
    tree = self.tree(track)
    ids = [
      attributes["id"] for _, attributes, *_ in tree.all if "id" in attributes
    ]
    self.assertLen(set(ids), len(ids))
    links = [attributes["href"] for _, attributes, *_ in tree.named("a")]
    for link in links:
      self.assertIn(link.removeprefix("#"), ids)
    sections = [attributes["id"] for _, attributes, *_ in tree.named("section")]
    self.assertEqual([f"#{name}" for name in sections], links[-len(sections) :])
    self.assertEqual(tree.named("section")[0][1]["class"], "answer")
    for _, attributes, *_ in tree.named("section"):
      self.assertIn(attributes["aria-labelledby"], ids)

  @parameterized.parameters("theory", "vision")
  def test_tables_have_captions_and_headers_and_scroll_by_keyboard(self, track):
    tree = self.tree(track)
    tables = tree.named("table")
    captions = tree.named("caption")
    self.assertLen(captions, len(tables))
    for caption in captions:
      self.assertTrue("".join(caption[3]).strip())
    for _, attributes, around, _ in tree.named("th"):
      self.assertIn(attributes["scope"], ("row", "col"), around)
    boxes = [a for _, a, *_ in tree.all if a.get("class") == "scroll"]
    self.assertNotEmpty(boxes)
    for attributes in boxes:
      self.assertEqual(attributes["tabindex"], "0")
      self.assertTrue(attributes["aria-label"])

  def test_a_figure_has_words_data_and_a_size(self):
    svg = b'<svg width="144pt" height="72pt"><defs></defs></svg>'
    figure = figures.Figure(
      "a_b", 'What "it" shows. More.', b"", svg, "x,y\n1,#\n"
    )
    tree = Tree(elements.figure(figure))
    ((_, image, around, _),) = tree.named("img")
    self.assertEqual(image["alt"], 'What "it" shows')
    self.assertEqual((image["width"], image["height"]), ("192", "96"))
    self.assertIn("figure", around)
    ((_, link, _, words),) = tree.named("a")
    self.assertEqual(link["download"], "a_b.csv")
    self.assertEqual(link["href"], "data:text/csv;charset=utf-8,x,y%0A1,%23%0A")
    # Links that read alike are told apart by ear.
    self.assertIn("a_b", "".join(words))

  def test_a_table_without_lines_is_no_mistake(self):
    table = page.tables.Table("", "title", ["", "a"], [], [])
    self.assertIn("title", elements.table(table))

  def test_columns_of_words_start_at_the_left(self):
    lines = [["  a", "not run", "1.5 [1, 2]", "x12"], ["  b", "-", "-", "-"]]
    table = page.tables.Table("", "t", ["", "verdict", "ours", "by"], lines, [])
    tree = Tree(elements.table(table))
    worded = [
      "".join(words)
      for _, attributes, _, words in tree.named("th", "td")
      if attributes.get("class") == "words"
    ]
    self.assertEqual(worded, ["verdict", "not run", "-"])


class RunsTest(PageTestCase):
  def runs(self, **kwargs):
    """{summary: text} of every run that is folded away."""
    _, tree = write(self.workdir, **kwargs)
    texts = ["".join(words) for *_, words in tree.named("details")]
    return [text for text in texts if "Folder" in text]

  def test_every_run_has_its_seeds_ends_and_numbers(self):
    fake.write_workdir(self.workdir)
    ends = {str(s): fake.seed_end(anneal=5, stop=9) for s in fake.SEEDS}
    ends["2"] = {"status": "diverged", "step": 17, "learning_rate": 0.5}
    ends["2"]["events"] = {}
    rows = [r for s in fake.SEEDS for r in fake.seed_rows(s, 0.1 + 0.01 * s)]
    fake.write_run(
      self.workdir / "large" / "base",
      rows,
      seeds=ends,
      wall_seconds=400.0,
      num_devices=4,
      resumed=2,
      versions={"jax": "1.2.3", "device_kind": "TPU v9", "commit": "abc"},
    )
    large, small = self.runs()
    for words in (
      "4 x TPU v9",
      "7 min",
      "2 times",
      "diverged",
      "seed 2 at step 17, rate 0.5",
      "11.00%",
      "large/base",
      '"large"',
    ):
      self.assertIn(words, large)
    self.assertIn('"small"', small)
    self.assertNotIn("diverged", small)

  def test_only_fields_that_differ_are_a_runs_own(self):
    fake.write_workdir(self.workdir)
    text, _ = write(self.workdir)
    shared, each = text.split(run_details.EACH)[1:][-1], text
    config = json.loads(
      (self.workdir / "large" / "base" / metrics.CONFIG).read_text()
    )
    self.assertIn(f"data.dim = {config['data']['dim']}", each)
    self.assertNotIn("data.dim =", shared)
    self.assertIn("optim.", shared)

  def test_what_was_run_is_told(self):
    fake_vision.write_workdir(self.workdir)
    text, _ = write(self.workdir)
    for words in (
      "4 runs, 60 s of training, all finished",
      "0, 10",
      "large, small",
      "python -m lro_jax.main",
      "commit abc, jax 1.2.3",
      fake_vision.DATASET,
    ):
      self.assertIn(words, text)
    folder = self.workdir / "small" / "base" / "seed_10"
    fake_vision.write_seed(folder, "small", 10, status="running")
    self.assertIn("2 finished", write(self.workdir)[0])

  def test_runs_of_cells_that_are_not_shown_are_still_listed(self):
    for cell in ("x", "y"):
      fake.write_workdir(self.workdir, cell=cell)
    fake.write_experiment(self.workdir, cells=("x", "y"))
    self.assertLen(self.runs(cells="y"), 4)

  @parameterized.parameters(
    (59.6, "60 s"), (400, "7 min"), (3600, "60 min"), (9000, "2.5 h")
  )
  def test_durations_are_short(self, seconds, text):
    self.assertEqual(run_details.duration(seconds), text)

  def test_hardware_that_was_not_recorded_is_called_so(self):
    fake.write_workdir(self.workdir)
    run = collect.load(self.workdir).runs[0]
    self.assertIn("not recorded", run_details.hardware(run))


if __name__ == "__main__":
  absltest.main()
