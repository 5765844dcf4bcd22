"""A notebook's setting is the command line's; its mistakes are sentences."""

import contextlib
import io
import pathlib
import shlex
import sys
import tempfile
from unittest import mock

from absl import flags, logging
from absl.testing import absltest, parameterized
from ml_collections import config_flags

from lro_jax import inline, main, notebook
from lro_jax.core import interrupt, metrics, progress
from lro_jax.core.schema import UserError
from lro_jax.report import page
from tests import testing
from tests.report import fake, lemmas_page_test


def by_command_line(arguments):
  """The config that flags make of these arguments."""
  values = flags.FlagValues()
  # config_flags looks for overrides in the process's own arguments.
  with mock.patch.object(sys, "argv", ["main", *arguments]):
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(sys.argv)
  return values.config


def write_with_all_figures(workdir):
  """A cell with instruments, a branch, and a fit over such cells."""
  cell = "r=0.2"
  y = {"arm": "large", "phase": "end", "metric": "lemma/4.2"}
  lemmas_page_test.write(
    workdir, cells={cell: 0.2}, exponents=[fake.exponent(y=y, claimed=1.0)]
  )
  path = workdir / "large" / cell
  # Every seed as the first: annealed at step 10, where the branch begins.
  rows = [
    row | {"seed": seed}
    for seed in fake.SEEDS
    for row in metrics.read_metrics(path / metrics.METRICS)
    if row["seed"] == 0
  ]
  fake.write_rows(path, rows)
  config = metrics.read_json(path / metrics.CONFIG)
  metrics.write_json(
    path / metrics.CONFIG, config | {"branch_from": "runs/of@10"}
  )


class SettingTest(parameterized.TestCase):
  @parameterized.parameters(
    ("configs/theory.py", {"seeds": (0, 1), "data.r": 0.05}),
    ("configs/theory.py:limit", {"smoke": True, "train.max": "4 steps"}),
    ("configs/patches.py:cpu", {"seeds": (0,), "data.mean": ()}),
    (
      "configs/patches.py",
      {"arms.large.optim.anneal_at": ("3 epochs",), "data.dir": "a b"},
    ),
  )
  def test_command_has_the_same_config(self, config, fields):
    made = notebook.setting(config, fields)
    command = shlex.split(repr(made))
    self.assertEqual(command[:3], ["python", "-m", "lro_jax.main"])
    self.assertEqual(
      by_command_line(command[3:]).to_dict(), made.config.to_dict()
    )

  @parameterized.parameters(
    ("configs/theori.py", {}, "configs/theory.py"),
    ("configs/theory.py:limt", {}, "limit"),
    ("configs/theory.py", {"data.dimm": 3}, "did you mean 'data.dim'"),
    ("configs/theory.py", {"data.dim": "many"}, "'many'"),
    ("configs/theory.py", {"exponents": {}}, "section"),
  )
  def test_mistakes_are_one_sentence(self, config, fields, word):
    testing.refusal(self, lambda: notebook.setting(config, fields), word)


class RunTest(parameterized.TestCase):
  """What `run` asks of main, and what it lets be heard."""

  def run_it(self, told, **how):
    """Runs with `told` in the place of training; printed, and main's call."""
    made = notebook.setting("configs/theory.py:limit", {"seeds": (3,)})
    printed = io.StringIO()
    with (
      mock.patch.object(main, "run_all", side_effect=told) as run_all,
      contextlib.redirect_stdout(printed),
    ):
      self.where = notebook.run(made, "a b/runs", **how)
    return made, run_all.call_args, printed.getvalue()

  def test_main_is_told_the_command_not_the_kernel(self):
    made, call, _ = self.run_it(lambda *args, **kwargs: None)
    self.assertEqual(call.args, (made.config, pathlib.Path("a b/runs")))
    words = shlex.split(call.kwargs["command"])
    self.assertEqual(words[-1], "--workdir=a b/runs")
    self.assertEqual(words[3:-1], list(made.arguments))

  def test_a_label_is_a_folder_of_its_own_in_the_workdir(self):
    for label, folder in (
      (None, "a b/runs"),
      ("", "a b/runs"),
      ("r 0.2", "a b/runs/r 0.2"),
    ):
      _, call, printed = self.run_it(lambda *args, **kwargs: None, label=label)
      self.assertEqual(call.args[1], pathlib.Path(folder))
      self.assertEqual(self.where, pathlib.Path(folder))
      words = shlex.split(call.kwargs["command"])
      self.assertEqual(words[-1], f"--workdir={folder}")
      self.assertIn(f"Report: {folder}/report", printed)

  @parameterized.parameters("..", ".", "a/b", "/a", "..\\a")
  def test_a_label_that_leads_elsewhere_is_refused(self, label):
    testing.refusal(
      self,
      lambda: self.run_it(lambda *args, **kwargs: None, label=label),
      repr(label),
      "one folder",
    )

  def test_progress_and_warnings_are_printed_and_nothing_else(self):
    def told(*args, **kwargs):
      shows = progress.Progress(1)
      shows.start("large/base", 0, 10)
      shows.show(step=5, loss=0.5, phase="p")
      logging.info("a paragraph of orbax")
      logging.warning("a seed diverged")
      print("tables for a terminal")

    _, _, printed = self.run_it(told)
    first, second, last = printed.strip().splitlines()
    self.assertIn("step 5/10", first)
    self.assertEqual(second, "a seed diverged")
    self.assertStartsWith(last, "Report: ")

  def test_logging_is_left_as_it_was_even_by_a_mistake(self):
    def state():
      logger = logging.get_absl_logger()
      return logging.get_verbosity(), logger.propagate, list(logger.handlers)

    before = state()
    with self.assertRaisesRegex(inline.CellError, "^Too many.$"):
      self.run_it(UserError("Too many."))
    self.assertEqual(state(), before)


class InlineTest(absltest.TestCase):
  """A workdir as main leaves it, read back."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = cls.enterClassContext(tempfile.TemporaryDirectory())
    fake.write_workdir(pathlib.Path(folder))
    cls.results = inline.load(folder)

  def test_figures_go_by_the_page_s_names_without_the_cell(self):
    known = self.results.drawn["base"]
    self.assertContainsSubset(("losses", "norms", "figure_2"), known)
    shown = inline.figure(self.results, "losses")
    self.assertIn("data:image/png;base64", shown._repr_html_())
    self.assertEqual(repr(shown), known["losses"].caption)
    self.assertIn("losses, errors", repr(self.results))

  def test_all_of_the_page_s_figures_are_there_to_the_byte(self):
    with tempfile.TemporaryDirectory() as folder:
      workdir = pathlib.Path(folder)
      write_with_all_figures(workdir)
      page.write(workdir)
      of_page = {
        path.stem: path.read_bytes()
        for path in (workdir / "report" / "figures").glob("*.png")
      }
      results = inline.load(workdir)
    ours = {
      figure.stem: figure.png
      for of_cell in results.drawn.values()
      for figure in of_cell.values()
    }
    self.assertEqual(ours, of_page)
    self.assertContainsSubset(
      ("branches", "instruments"), results.drawn["r=0.2"]
    )
    self.assertContainsSubset(("order", "exponents"), results.drawn[""])

  def test_the_order_has_its_figure_and_table(self):
    figure = inline.figure(self.results, "order", cell="base")
    self.assertIn("data:image/png;base64", figure._repr_html_())
    self.assertIn(
      "The order of learning: base", repr(inline.order(self.results))
    )

  def test_tables_and_sentences_are_the_page_s(self):
    table = inline.table(self.results)
    self.assertIn("ended at step", repr(table))
    self.assertIn("<td>", table._repr_html_())
    self.assertIn("P-only points", repr(inline.answer(self.results)))

  def test_claims_are_the_package_s_where_the_runs_speak_of_none(self):
    spoken, alone = inline.claim_verdicts(self.results), inline.claim_verdicts()
    self.assertStartsWith(repr(spoken), "These runs speak of no claim")
    self.assertEndsWith(repr(spoken), repr(alone))

  def test_claims_are_the_runs_own_where_they_speak_of_some(self):
    record = self.results.experiment.record
    command = "python -m lro_jax.main --config=configs/theory.py:limit"
    ours = self.results.experiment._replace(
      record=record | {"command": command}
    )
    spoken = inline.claim_verdicts(self.results._replace(experiment=ours))
    self.assertStartsWith(repr(spoken), "The paper's claims")

  def test_what_is_not_there_is_named_beside_what_is(self):
    def refused(call, *words):
      testing.refusal(self, call, *words)

    refused(lambda: inline.figure(self.results, "loses"), "losses", "norms")
    refused(lambda: inline.table(self.results, cell="bas"), "'base'")
    refused(lambda: inline.load("/nowhere"), "experiment.json")


class OneLineTest(absltest.TestCase):
  def test_ipython_is_given_a_line_in_the_place_of_a_traceback(self):
    @inline.in_one_line
    def fail(error):
      raise error

    for error, line in (
      (UserError("Too many."), "Error: Too many."),
      (interrupt.InterruptedRun("Told to end"), "Error: Told to end: run"),
    ):
      with self.assertRaises(inline.CellError) as caught:
        fail(error)
      lines = caught.exception._render_traceback_()
      self.assertLen(lines, 1)
      self.assertStartsWith(lines[0], line)

  def test_other_errors_keep_theirs(self):
    @inline.in_one_line
    def fail():
      raise ZeroDivisionError

    with self.assertRaises(ZeroDivisionError):
      fail()


class ImagesTest(absltest.TestCase):
  def test_own_images_bring_their_own_statistics(self):
    fields = notebook.image_fields("mine.npz")
    made = notebook.setting("configs/patches.py:cpu", fields)
    self.assertEqual(made.config.data.source, "mine.npz")
    self.assertEqual(made.config.data.mean, ())
    self.assertEqual(made.config.data.num_train, 0)


if __name__ == "__main__":
  absltest.main()
