"""The page stands alone, says what the rows say, and can be made again."""

import base64
import html.parser
import json
import pathlib
import tempfile
import urllib.parse

from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.report import collect, page, tables, theme, theory_view
from tests import testing
from tests.report import fake

VOID = ("meta", "img", "br", "hr", "input", "link", "col")


class Page(html.parser.HTMLParser):
  """What a browser would see: tags, attributes, text, whether it is nested."""

  def __init__(self, source):
    super().__init__()
    self.tags, self.attributes, self.text = [], [], ""
    self._open = []
    self.feed(source)
    self.close()
    if self._open:
      raise AssertionError(f"never closed: {self._open}")

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs
    if tag not in VOID:
      self._open.append(tag)

  def handle_endtag(self, tag):
    if not self._open or self._open.pop() != tag:
      raise AssertionError(f"</{tag}> closes nothing")

  def handle_data(self, data):
    if self._open[-1:] != ["style"]:
      self.text += data


def files(folder):
  """Bytes of every file, by name."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in folder.rglob("*")
    if path.is_file()
  }


class WholePageTest(absltest.TestCase):
  """Two cells, figures and all, by the command and again in this process."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.workdir, cls.report = cls.folder / "runs", cls.folder / "runs/report"
    for engine in ("limit", "network"):
      fake.write_workdir(cls.workdir, cell=f"engine={engine}", engine=engine)
    cells = ("engine=limit", "engine=network")
    fake.write_experiment(cls.workdir, cells=cells)
    cls.logs = files(cls.workdir)
    cls.command, cls.mistake = testing.run_commands(
      ("lro_jax.report", f"--workdir={cls.workdir}"),
      ("lro_jax.report", f"--workdir={cls.folder / 'none'}"),
    )
    cls.html = (cls.report / "index.html").read_text()
    cls.page = Page(cls.html)
    experiment = collect.load(cls.workdir)
    cls.rows = collect.tidy(experiment)
    cls.tables = tables.build(experiment, cls.rows, theory_view.ROWS)

  def test_made_again_from_the_logs_it_is_the_same_byte_for_byte(self):
    before = files(self.report)
    self.assertEqual(page.write(self.workdir), self.command.output[:-1])
    self.assertEqual(files(self.report), before)
    # Page, results, order.json; five figures of two cells, and the order's,
    # as PNG, SVG and CSV.
    self.assertLen(before, 3 + 3 * 11)
    logs = files(self.workdir).items() - {
      (f"report/{name}", content) for name, content in before.items()
    }
    self.assertEqual(dict(logs), self.logs)

  def test_a_wrong_workdir_is_one_sentence(self):
    self.assertEqual(self.mistake.status, 1)
    (line,) = self.mistake.errors.splitlines()
    self.assertStartsWith(line, f"Error: {self.folder / 'none'} holds no ")

  def test_page_asks_for_nothing_outside_itself(self):
    for tag in ("script", "iframe", "object", "embed"):
      self.assertNotIn(tag, self.page.tags)
    for name, value in self.page.attributes:
      if name in ("src", "href", "srcset", "data", "poster", "action"):
        self.assertRegex(value, r"^(data:|#)", name)
    for words in ("http://", "https://", "url(", "@import", 'src="//'):
      self.assertNotIn(words, self.html)

  def test_images_inside_the_page_are_the_files_beside_it(self):
    images = [value for name, value in self.page.attributes if name == "src"]
    written = [p.read_bytes() for p in (self.report / "figures").glob("*.svg")]
    # losses, errors, second difference, norms, Figure 2; of two cells; order
    self.assertLen(images, 11)
    head = "data:image/svg+xml;base64,"
    inside = [base64.b64decode(x.removeprefix(head)) for x in images]
    self.assertCountEqual(inside, [theme.themed(svg) for svg in written])

  def test_data_inside_the_page_are_the_files_beside_it(self):
    named = dict.fromkeys(
      p.name for p in (self.report / "figures").glob("*.csv")
    )
    head = "data:text/csv;charset=utf-8,"
    for name, value in self.page.attributes:
      if name == "download":
        stem = value
      elif name == "href" and value.startswith(head):
        named[stem] = urllib.parse.unquote(value.removeprefix(head))
    for name, inside in named.items():
      self.assertEqual(inside, (self.report / "figures" / name).read_text())

  def test_page_and_terminal_hold_every_table(self):
    self.assertLen(self.tables, 2)
    # And the order of learning, of two cells; what was run; of each of four
    # runs its facts and its seeds.
    self.assertEqual(self.page.tags.count("table"), 2 + 2 + 1 + 4 * 2)
    for table in self.tables:
      self.assertIn(tables.as_text(table), self.command.output)
      for part in (table.title, *table.header, *sum(table.lines, [])):
        self.assertIn(part.strip(), self.page.text)
    self.assertIn(str(self.report / "index.html"), self.command.output)

  def test_page_names_command_versions_and_every_condition(self):
    self.assertIn("python -m lro_jax.main", self.page.text)
    self.assertIn("jax 1.2.3", self.page.text)
    for engine in ("limit", "network"):
      _, facts = fake.config_and_facts(engine, "large")
      for condition in facts["regime"]:
        self.assertIn(condition["statement"], self.page.text)

  def test_width_is_remarked_on_for_the_net_alone(self):
    limit, network = self.page.text.split(self.tables[1].title)[1:3]
    config, _ = fake.config_and_facts("network", "large")
    self.assertIn(f"m = {config['model']['num_hidden']:,}", network)
    self.assertNotIn("an actual net", limit)

  def test_results_are_tidy_rows_of_the_named_fields(self):
    rows = json.loads((self.report / "results.json").read_text())
    self.assertEqual(rows, self.rows)
    fields = {"arm", "cell", "seed", "phase", "metric", "value"}
    self.assertEqual({frozenset(row) for row in rows}, {frozenset(fields)})
    self.assertEqual({row["phase"] for row in rows}, {"anneal", "end"})
    self.assertLen({(row["arm"], row["cell"]) for row in rows}, 4)


class SentencesTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder)
    self.enterContext(testing.no_figures())

  def write(self):
    """Text of the page of what is in the workdir."""
    page.write(self.workdir)
    return Page((self.workdir / "report" / "index.html").read_text()).text

  def sentences(self, p_only=None, **kwargs):
    fake.write_workdir(self.workdir, p_only=p_only, **kwargs)
    return self.write()

  @parameterized.parameters(
    (0.05, 0.20, "makes more errors", "15.00 points"),
    (0.20, 0.05, "makes fewer errors", "-15.00 points"),
  )
  def test_sentence_on_p_follows_the_sign_of_the_gap(
    self, large, small, verdict, size
  ):
    # Seeds of both arms move together: the paired interval has no width.
    text = self.sentences({"large": large, "small": small})
    self.assertIn(f"The small rate {verdict} on P-only points", text)
    self.assertIn(f"small minus large is {size}", text)
    for other in ("makes more", "makes fewer", "does not differ"):
      self.assertEqual(other in text, other in verdict)

  def test_sentence_on_p_is_not_clear_where_the_interval_holds_zero(self):
    fake.write_workdir(self.workdir)
    signs = {seed: (-1) ** seed for seed in fake.SEEDS}
    rows = [r for s in signs for r in fake.seed_rows(s, 0.08 + 0.05 * signs[s])]
    fake.write_rows(self.workdir / "small" / "base", rows)
    text = self.write()
    self.assertIn("does not differ clearly", text)
    self.assertIn("4 paired seeds", text)

  def test_no_verdict_from_one_seed_and_never_a_nan(self):
    text = self.sentences(seeds=(3,))
    self.assertNotIn("The small rate", text)
    self.assertNotRegex(text, r"\bnan\b")
    self.assertIn("(1 seed)", text)

  def test_losses_at_annealing_and_errors_on_q_are_those_of_the_rows(self):
    text = self.sentences()
    # 0.3 and 0.9 of log 2, 0.0125: `fake.seed_rows`
    self.assertIn("to 30% of log 2", text)
    self.assertIn("at 90%", text)
    self.assertIn("1.25% (large) and 1.25% (small)", text)

  def test_without_annealing_the_page_says_so(self):
    fake.write_workdir(self.workdir)
    rows = [r for r in fake.seed_rows(0, 0.1) if r["event"] != "anneal"]
    fake.write_rows(self.workdir / "large" / "base", rows)
    text = self.write()
    self.assertIn("No seed of the large arm reached the annealing", text)
    self.assertNotIn("of log 2", text)

  @parameterized.parameters(({"large": 0.1},), ({"small": 0.1},))
  def test_one_arm_alone_concludes_nothing(self, p_only):
    text = self.sentences(p_only)
    for words in ("The small rate", "(small)", "When the large rate"):
      self.assertNotIn(words, text)

  def test_a_run_under_way_is_shown_as_such_and_concludes_nothing(self):
    fake.write_workdir(self.workdir)
    for arm, status in (("large", "running"), ("small", "done")):
      rows = fake.seed_rows(0, 0.1)
      fake.write_run(self.workdir / arm / "base", rows, status=status)
    text = self.write()
    self.assertIn("large: not finished", text)
    self.assertNotIn("small: not finished", text)
    self.assertIn("ended at step", text)
    for words in ("At the end", "The small rate", "No seed"):
      self.assertNotIn(words, text)

  def test_sentences_of_a_cell_are_of_that_cell(self):
    fake.write_workdir(self.workdir, cell="x")
    swapped = {"large": 0.20, "small": 0.05}
    fake.write_workdir(self.workdir, cell="y", p_only=swapped)
    fake.write_experiment(self.workdir, cells=("x", "y"))
    _, first, second = self.write().split("y (4 paired")
    self.assertIn("makes more", first)
    self.assertNotIn("makes fewer", first)
    self.assertIn("makes fewer", second)

  @parameterized.parameters(True, False)
  def test_smoke_runs_and_they_alone_are_marked(self, smoke):
    fake.write_workdir(self.workdir)
    fake.write_experiment(self.workdir, smoke=smoke)
    self.assertEqual("A smoke run" in self.write(), smoke)

  def test_names_are_escaped(self):
    arm, cell = "<i>a&b", "x=<u>"
    name, command = "<script>1</script>&", "main --config.name='<b>'"
    fake.write_experiment(
      self.workdir, arms=[arm], cells=[cell], name=name, command=command
    )
    fake.write_run(self.workdir / arm / cell, fake.seed_rows(0, 0.1))
    text = self.write()
    seen = Page((self.workdir / "report" / "index.html").read_text())
    for tag in ("i", "u", "b", "script"):
      self.assertNotIn(tag, seen.tags)
    for words in (arm, cell, name, command):
      self.assertIn(words, text)

  def test_a_report_that_cannot_be_written_is_one_sentence(self):
    fake.write_workdir(self.workdir)
    (self.workdir / "report").write_text("in the way")
    testing.refusal(
      self,
      lambda: page.write(self.workdir),
      str(self.workdir / "report"),
      "python -m lro_jax.report",
    )

  def test_values_that_are_not_finite_are_null_and_said_nowhere(self):
    fake.write_workdir(self.workdir)
    path = self.workdir / "large" / "base"
    rows = metrics.read_metrics(path / metrics.METRICS)
    for r in rows:
      if r["seed"] == 0 and r["step"]:
        r |= {name: None for name in r if "/" in name}
    fake.write_rows(path, rows)
    self.assertNotRegex(self.write(), r"\b(nan|None|inf)\b")


if __name__ == "__main__":
  absltest.main()
