"""A notebook's setting is the command line's; its mistakes are sentences."""

import pathlib
import shlex
import sys
import tempfile
from unittest import mock

import jax
from absl import flags, logging
from absl.testing import absltest, parameterized
from ml_collections import config_flags

from lro_jax import inline, notebook
from lro_jax.core import interrupt, metrics
from lro_jax.core.schema import UserError
from tests import testing


def setUpModule():
  # Compiling is nearly all that so small a run costs.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


def by_command_line(arguments):
  """The config that flags make of these arguments."""
  values = flags.FlagValues()
  # config_flags looks for overrides in the process's own arguments.
  with mock.patch.object(sys, "argv", ["main", *arguments]):
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(sys.argv)
  return values.config


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


class RunTest(absltest.TestCase):
  """One run of a notebook, read back."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.workdir = cls.enterClassContext(tempfile.TemporaryDirectory())
    made = notebook.setting(
      "configs/theory.py:limit",
      testing.FEW_INSTRUMENTS | {"smoke": True, "seeds": (0, 5)},
    )
    del made.config.arms["small_noise"]
    made.config.shrink.train.max = "3 steps"
    cls.made = made
    before = cls.logging_state()
    with testing.no_figures():
      notebook.run(made, cls.workdir)
    cls.states = before, cls.logging_state()
    cls.results = inline.load(cls.workdir)

  @staticmethod
  def logging_state():
    logger = logging.get_absl_logger()
    return logging.get_verbosity(), logger.propagate, list(logger.handlers)

  def test_experiment_names_the_command_not_the_kernel(self):
    path = pathlib.Path(self.workdir) / "experiment.json"
    command = metrics.read_json(path)["command"]
    self.assertStartsWith(command, repr(self.made))
    self.assertEndsWith(command, f"--workdir={self.workdir}")

  def test_logging_is_left_as_it_was(self):
    before, after = self.states
    self.assertEqual(before, after)

  def test_figures_go_by_the_page_s_names_without_the_cell(self):
    known = self.results.drawn["base"]
    self.assertContainsSubset(("losses", "norms", "figure_2"), known)
    shown = inline.figure(self.results, "losses")
    self.assertIn("data:image/png;base64", shown._repr_html_())
    self.assertEqual(repr(shown), known["losses"].caption)

  def test_tables_and_sentences_are_the_page_s(self):
    table = inline.table(self.results)
    self.assertIn("ended at step", repr(table))
    self.assertIn("<td>", table._repr_html_())
    self.assertIn("No seed of the large arm", repr(inline.answer(self.results)))

  def test_a_smoke_run_speaks_of_no_claim(self):
    self.assertStartsWith(
      repr(inline.claim_verdicts(self.results)), "These runs speak of no claim"
    )

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
