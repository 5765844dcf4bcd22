"""The page stands alone, says what the rows say, and can be made again."""

import base64
import contextlib
import copy
import functools
import html.parser
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax import main
from lro_jax.core import metrics
from lro_jax.core.config import UserError
from lro_jax.report import collect, figures, page, tables
from tests import testing

ROOT = pathlib.Path(__file__).parent.parent.parent
SEEDS = (0, 1, 2, 3)
# Errors on P-only points of seed 0; every further seed errs 0.01 more often.
P_ONLY = {"large": 0.05, "small": 0.20}
VOID = ("meta", "img", "br", "hr", "input", "link", "col")


@functools.cache
def run_of(engine, arm, fields=()):
  """(config, facts) of a run as main would make it, untrained."""
  config = theory_config.get_config(engine)
  config.smoke = True
  testing.set_fields(config, dict(fields))
  run = next(r for r in main.expand(config) if r.arm == arm)
  facts = testing.make_task(run.config).facts
  return metrics.plain(run.config.to_dict()), metrics.plain(facts)


def metric_rows(seed, p_only):
  """metrics.jsonl of one seed: steps 0, 10 (annealed) and 20 (stopped)."""

  def row(step, event, **values):
    common = {
      "train_loss/all": 0.7 - 0.02 * step,
      "train_loss/m2": 0.6 - 0.02 * step,
      "train_loss/p_only": 0.5 - 0.02 * step,
      "test_error/both": 0.3,
      "test_error/all": 0.25,
      "second_difference": -0.1 * step,
      "signal_norm2/w": 1.0 + step,
      "signal_norm2/v": 2.0 + step,
      "noise_norm2/w": 1.0,
      "noise_norm2/v": 1.0,
      "noise_std/relative": 1.0,
      "learning_rate": 0.1,
    }
    return {"step": step, "seed": seed, "event": event} | common | values

  anneal = {"train_loss/m1": 0.2079441, "train_loss/q_only": 0.6238325}
  q_error = {0: 0.5, 10: 0.5, 20: 0.0125}
  shown = {s: {"test_error/q_only": e} for s, e in q_error.items()}
  return [
    row(0, None, **shown[0], **{"test_error/p_only": 0.5}),
    row(10, "anneal", **shown[10], **anneal, **{"test_error/p_only": 0.4}),
    row(20, "stop", **shown[20], **{"test_error/p_only": p_only}),
  ]


def write_run(
  folder, engine, arm, *, p_only, seeds=SEEDS, fields=(), status="done"
):
  config, facts = run_of(engine, arm, fields)
  record = {
    "status": status,
    "facts": facts,
    "versions": {"jax": "1.2.3", "commit": "abc"},
    "wall_seconds": 10.0,
  }
  if status == "done":
    end = {"status": "stopped", "step": 20, "events": {"anneal": 10}}
    record["seeds"] = {str(seed): end for seed in seeds}
  metrics.write_json(folder / metrics.RUN, record)
  metrics.write_json(folder / metrics.CONFIG, config)
  rows = [
    row for seed in seeds for row in metric_rows(seed, p_only + 0.01 * seed)
  ]
  (folder / metrics.METRICS).write_text(
    "".join(json.dumps(row) + "\n" for row in rows)
  )


def write_experiment(workdir, *, arms=("large", "small"), cells=("base",), **kw):
  metrics.write_json(
    workdir / "experiment.json",
    {
      "name": "theory",
      "track": "theory",
      "arms": list(arms),
      "cells": list(cells),
      "smoke": False,
      "command": "python -m lro_jax.main",
    }
    | kw,
  )


def write_workdir(workdir, *, p_only=P_ONLY, engine="limit", **kwargs):
  """An experiment of one cell and the arms of `p_only`."""
  write_experiment(workdir, arms=p_only)
  for arm, value in p_only.items():
    write_run(workdir / arm / "base", engine, arm, p_only=value, **kwargs)


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


class WorkdirTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.workdir = pathlib.Path(
      self.enterContext(tempfile.TemporaryDirectory())
    )

  def source(self, workdir=None):
    path = (workdir or self.workdir) / "report" / "index.html"
    return path.read_text()

  def without_figures(self):
    return mock.patch.object(figures, "draw", return_value=[])


class WholePageTest(WorkdirTestCase):
  """Two engines and two arms, drawn once for all tests here."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.whole = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cells = ("engine=limit", "engine=network")
    write_experiment(cls.whole, cells=cells)
    for cell in cells:
      for arm in ("large", "small"):
        engine = cell.split("=")[1]
        write_run(cls.whole / arm / cell, engine, arm, p_only=P_ONLY[arm])
    cls.returned = page.write(cls.whole)
    cls.html = (cls.whole / "report" / "index.html").read_text()
    cls.page = Page(cls.html)

  def test_page_asks_for_nothing_outside_itself(self):
    for tag in ("script", "link", "iframe", "object", "embed"):
      self.assertNotIn(tag, self.page.tags)
    for name, value in self.page.attributes:
      if name in ("src", "href", "srcset", "data", "poster", "action"):
        self.assertRegex(value, r"^(data:|#)", name)
    for words in ("http://", "https://", "url(", "@import", 'src="//'):
      self.assertNotIn(words, self.html)

  def test_images_are_png_inside_the_page(self):
    images = [value for name, value in self.page.attributes if name == "src"]
    # losses, errors, second difference, norms, Figure 2; of two cells
    self.assertLen(images, 10)
    self.assertLen(set(images[:5]), 5)
    self.assertLen(set(images[5:]), 5)
    for image in images:
      head, data = image.split(",")
      self.assertEqual(head, "data:image/png;base64")
      data = base64.b64decode(data, validate=True)
      self.assertStartsWith(data, b"\x89PNG\r\n\x1a\n")
      self.assertIn(b"IEND", data[-16:])

  def test_figures_lie_beside_the_page_too(self):
    folder = self.whole / "report" / "figures"
    self.assertLen(list(folder.glob("*.png")), 10)
    self.assertLen(list(folder.glob("*.svg")), 10)

  def test_page_holds_every_arm_and_cell(self):
    for words in ("engine=limit", "engine=network", "large", "small"):
      self.assertIn(words, self.page.text)
    self.assertEqual(self.page.tags.count("table"), 2)

  def test_page_holds_every_cell_of_every_table(self):
    experiment = collect.load(self.whole)
    built = tables.build(experiment, collect.tidy(experiment))
    self.assertLen(built, 2)
    for table in built:
      for part in (table.title, *table.header, *sum(table.lines, [])):
        self.assertIn(part.strip(), self.page.text)

  def test_terminal_holds_the_same_tables_and_the_page_s_place(self):
    experiment = collect.load(self.whole)
    for table in tables.build(experiment, collect.tidy(experiment)):
      self.assertIn(tables.as_text(table), self.returned)
    self.assertIn(str(self.whole / "report" / "index.html"), self.returned)

  def test_page_names_command_versions_and_every_condition(self):
    self.assertIn("python -m lro_jax.main", self.page.text)
    self.assertIn("jax 1.2.3", self.page.text)
    for engine in ("limit", "network"):
      for condition in run_of(engine, "large")[1]["regime"]:
        self.assertIn(condition["statement"], self.page.text)

  def test_width_is_remarked_on_for_the_net_alone(self):
    limit, network = self.html.split("engine=network", 1)
    width = run_of("network", "large")[0]["model"]["num_hidden"]
    self.assertIn(f"m = {width:,}", network)
    self.assertNotIn("an actual net", limit)

  def test_results_are_the_tidy_rows(self):
    path = self.whole / "report" / "results.json"
    self.assertEqual(
      json.loads(path.read_text()), collect.tidy(collect.load(self.whole))
    )
    arms_and_cells = {
      (row["arm"], row["cell"]) for row in json.loads(path.read_text())
    }
    self.assertLen(arms_and_cells, 4)

  def test_report_made_again_from_the_logs_has_the_same_results(self):
    folder = self.whole / "report"
    before = (folder / "results.json").read_bytes()
    with self.without_figures():
      page.write(self.whole)
    self.assertEqual((folder / "results.json").read_bytes(), before)

  def test_figures_made_again_from_the_logs_are_the_same_bytes(self):
    runs = collect.load(self.whole).runs[:2]
    for figure in figures.draw(runs):
      stem = self.whole / "report" / "figures" / figure.stem
      for kind in ("png", "svg"):
        path = stem.with_name(f"{figure.stem}.{kind}")
        self.assertEqual(getattr(figure, kind), path.read_bytes(), path)
      self.assertIn(base64.b64encode(figure.png).decode(), self.html)


class CommandTest(WorkdirTestCase):
  def report(self, workdir):
    return subprocess.run(
      [sys.executable, "-m", "lro_jax.report", f"--workdir={workdir}"],
      cwd=ROOT,
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
      capture_output=True,
      text=True,
      timeout=120,
    )

  def test_report_command_writes_what_main_wrote(self):
    write_workdir(self.workdir)
    with self.without_figures():
      expected = page.write(self.workdir)
    results = self.workdir / "report" / "results.json"
    before = results.read_bytes()
    results.unlink()
    done = self.report(self.workdir)
    self.assertEqual(done.returncode, 0, done.stderr)
    self.assertEqual(done.stdout.strip(), expected.strip())
    self.assertEqual(results.read_bytes(), before)

  def test_a_wrong_workdir_is_one_sentence(self):
    done = self.report(self.workdir)
    self.assertNotEqual(done.returncode, 0)
    self.assertNotIn("Traceback", done.stderr)
    (line,) = done.stderr.strip().splitlines()
    self.assertStartsWith(line, "Error: ")
    self.assertIn(str(self.workdir), line)


class SentencesTest(WorkdirTestCase):
  def sentences(self, p_only, **kwargs):
    """Text of a page whose arms err this often on P-only points."""
    with tempfile.TemporaryDirectory() as folder:
      workdir = pathlib.Path(folder)
      write_workdir(workdir, p_only=p_only, **kwargs)
      with self.without_figures():
        page.write(workdir)
      return Page(self.source(workdir)).text

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
    arms = ["large", "small"]
    rows = [
      dict(
        arm=arm,
        cell="base",
        seed=seed,
        phase="end",
        metric="test_error/p_only",
        value=0.3 + (0.1 if arm == "small" else 0.0) * (-1) ** seed,
      )
      for arm in arms
      for seed in SEEDS
    ]
    verdict = page.answer(rows, "base", arms)[-1]
    self.assertIn("does not differ clearly", verdict)
    self.assertIn("4 paired seeds", verdict)

  def test_no_verdict_from_one_seed_and_never_a_nan(self):
    text = self.sentences(P_ONLY, seeds=(3,))
    self.assertNotIn("The small rate", text)
    self.assertNotRegex(text, r"\bnan\b")
    self.assertIn("(1 seed)", text)

  def test_sentence_on_annealing_gives_both_losses_in_log_2(self):
    text = self.sentences(P_ONLY)
    # 0.2079441 and 0.6238325 in `metric_rows`
    self.assertIn("to 30% of log 2", text)
    self.assertIn("at 90%", text)

  def test_without_annealing_the_page_says_so(self):
    unannealed = [r for r in metric_rows(0, 0.1) if r["event"] != "anneal"]
    write_workdir(self.workdir)
    (self.workdir / "large" / "base" / metrics.METRICS).write_text(
      "".join(json.dumps(row) + "\n" for row in unannealed)
    )
    with self.without_figures():
      page.write(self.workdir)
    text = Page(self.source()).text
    self.assertIn("No seed of the large arm reached the annealing", text)
    self.assertNotIn("of log 2", text)

  def test_sentence_on_q_gives_both_arms_errors(self):
    self.assertIn("1.25% (large) and 1.25% (small)", self.sentences(P_ONLY))

  def test_without_both_arms_nothing_is_concluded(self):
    self.assertEqual(page.answer([], "base", ["large"]), [])
    text = self.sentences({"large": 0.1})
    for words in ("The small rate", "(small)", "When the large rate"):
      self.assertNotIn(words, text)

  def test_sentences_of_a_cell_are_of_that_cell(self):
    write_experiment(self.workdir, cells=("x", "y"))
    for cell, p_only in (("x", (0.05, 0.2)), ("y", (0.2, 0.05))):
      for arm, value in zip(("large", "small"), p_only, strict=True):
        write_run(self.workdir / arm / cell, "limit", arm, p_only=value)
    with self.without_figures():
      page.write(self.workdir)
    first, second = Page(self.source()).text.split("y (4 paired", 1)
    self.assertIn("makes more", first)
    self.assertNotIn("makes fewer", first)
    self.assertIn("makes fewer", second)


class EscapeTest(WorkdirTestCase):
  def test_names_are_escaped(self):
    arm, cell = "<i>a&b", "x=<u>"
    name, command = "<script>1</script>&", "main --config.name='<b>'"
    write_experiment(
      self.workdir, arms=[arm], cells=[cell], name=name, command=command
    )
    write_run(self.workdir / arm / cell, "limit", "large", p_only=0.1)
    page.write(self.workdir)
    seen = Page(self.source())
    for tag in ("i", "u", "b", "script"):
      self.assertNotIn(tag, seen.tags)
    for words in (arm, cell, name, command):
      self.assertIn(words, seen.text)


class StateOfRunsTest(WorkdirTestCase):
  def test_smoke_runs_are_marked(self):
    for smoke in (True, False):
      write_workdir(self.workdir)
      write_experiment(self.workdir, smoke=smoke)
      with self.without_figures():
        page.write(self.workdir)
      self.assertEqual("smoke" in Page(self.source()).text, smoke)

  def test_an_experiment_under_way_is_reported_as_such(self):
    write_experiment(self.workdir)
    write_run(
      self.workdir / "large" / "base",
      "limit",
      "large",
      p_only=0.1,
      status="running",
    )
    with self.without_figures():
      page.write(self.workdir)
    text = Page(self.source()).text
    self.assertIn("large: not finished", text)
    self.assertNotIn("small - large", text)

  # Each is allowed by the schema; the paper's bounds are then 0 or infinite.
  @parameterized.parameters(
    ("limit", {"optim.stationary": "none", "optim.weight_decay": 0.0}),
    ("network", {"optim.stationary": "none", "optim.weight_decay": 0.0}),
    ("network", {"data.r": 0.0}),
  )
  def test_no_decay_and_no_angle_still_get_their_page(self, engine, fields):
    write_workdir(
      self.workdir,
      p_only={"large": 0.1},
      engine=engine,
      fields=tuple(fields.items()),
    )
    page.write(self.workdir)
    self.assertEqual(Page(self.source()).tags.count("img"), 5)

  def test_values_that_are_not_finite_still_get_their_page(self):
    write_workdir(self.workdir, p_only={"large": 0.1}, seeds=(0, 1))
    path = self.workdir / "large" / "base" / metrics.METRICS
    rows = metrics.read_metrics(path)
    broken = copy.deepcopy(rows)
    for row in broken:
      if row["seed"] == 0 and row["step"]:
        row |= {name: None for name in row if "/" in name}
        row["second_difference"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in broken))
    page.write(self.workdir)
    self.assertEqual(Page(self.source()).tags.count("img"), 5)
    results = json.loads(
      (self.workdir / "report" / "results.json").read_text()
    )
    self.assertEqual(
      [
        row["value"]
        for row in results
        if (row["phase"], row["metric"]) == ("end", "test_error/q_only")
      ],
      [None, 0.0125],
    )

  def test_a_report_that_cannot_be_written_is_one_sentence(self):
    write_workdir(self.workdir)
    (self.workdir / "report").write_text("in the way")
    with contextlib.ExitStack() as stack:
      stack.enter_context(self.without_figures())
      caught = stack.enter_context(self.assertRaises(UserError))
      page.write(self.workdir)
    text = str(caught.exception)
    self.assertIn(str(self.workdir / "report"), text)
    self.assertNotIn("\n", text)
    self.assertIn("python -m lro_jax.report", text)


if __name__ == "__main__":
  absltest.main()
