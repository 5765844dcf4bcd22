"""Any text for a flag is a run's value, or one sentence."""

import pathlib
import random
import sys
import tempfile
from unittest import mock

from absl import flags
from absl.testing import absltest, parameterized
from ml_collections import config_flags

from lro_jax import main, presets
from lro_jax.core import cli
from lro_jax.core.schema import ConfigDict, UserError, flatten
from tests import testing
from tests.faults import configs_test

TEXTS = (
  "",
  " ",
  "0",
  "-1",
  "3.5",
  "1e400",
  "nan",
  "-inf",
  "9" * 400,
  "9" * 5000,
  "true",
  "None",
  "abc",
  "a\nb",
  "nul\0",
  "ключ",
  "\udcff",
  "0,1,2",
  "0,,2",
  "()",
  "(1,",
  "[[1], 2]",
  "{",
  "{'a': 1}",
  "'",
  '"abc',
  "\\",
  "a: b",
  "5 steps",
  "open(PATH, 'w')",
  "(open(PATH, 'w'),)",
)
CONFIGS = (("configs/theory.py", "limit"), ("configs/patches.py", "cpu"))
COUNT = 400


def misspelt(name):
  """The names of fields that there are not, near one that there is."""
  yield from (name[:-1], f"{name}x", name.upper(), f"{name}.", f".{name}")
  yield from (f"{name}.x", name.replace(".", ""), name.replace(".", ".."))
  yield from (f"{name}[0]", f"{name} ", f"{name}\n")


def mistakes(name, made):
  """Overrides of one field, most of them wrong."""
  for text in TEXTS:
    yield f"--config.{name}={text.replace('PATH', repr(str(made)))}"
  for other in misspelt(name):
    yield f"--config.{other}=1"
  yield from (f"--config.{name}", f"--noconfig.{name}", f"-config.{name}=1")


def parse(argv):
  """The config of a command line, by flags of its own."""
  values = flags.FlagValues()
  define = config_flags.DEFINE_config_file
  with (
    mock.patch.object(cli.flags, "FLAGS", values),
    mock.patch.object(
      config_flags,
      "DEFINE_config_file",
      lambda *args, **kwargs: define(*args, flag_values=values, **kwargs),
    ),
    # Where ml_collections looks for overrides.
    mock.patch.object(sys, "argv", argv),
  ):
    config = cli.config_flag()
    cli.parse_flags(argv, required=("config",), example="this")
    return ConfigDict(config.value)


class FlagsTest(testing.Figures, parameterized.TestCase):
  @parameterized.parameters(*CONFIGS)
  def test_any_override_is_a_value_or_one_sentence(self, file, preset):
    module = presets.experiments()[file]
    folder = self.enterContext(tempfile.TemporaryDirectory())
    made = pathlib.Path(folder) / "made"
    fields = flatten(module.get_config(preset))
    every = [flag for name in fields for flag in mistakes(name, made)]
    accepted = refused = 0
    wrong = []
    for flag in random.Random(file).sample(every, COUNT):
      try:
        main.plan(parse(["main", f"--config={module.__file__}:{preset}", flag]))
        accepted += 1
      except UserError as error:
        refused += 1
        text = str(error)
        if not text.isprintable() or not 10 < len(text) < configs_test.LONGEST:
          wrong.append(f"{flag[:80]!r}: {text[:300]!r}")
      except (Exception, SystemExit) as error:  # what is looked for
        wrong.append(
          f"{flag[:80]!r}: {type(error).__name__}: {str(error)[:300]}"
        )
    self.figure(
      f"{file}: {COUNT} --config.FIELD=TEXT tried, {accepted} accepted,"
      f" {refused} refused in one sentence, {len(wrong)} otherwise"
    )
    self.assertEmpty(wrong[:20])
    self.assertFalse(made.exists())
    self.assertGreater(accepted, 5)
    self.assertGreater(refused, accepted)


if __name__ == "__main__":
  absltest.main()
