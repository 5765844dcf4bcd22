"""The command line: every mistake is one sentence and exit status 1."""

import pathlib
import tempfile

from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from tests import testing

LIMIT = "--config=configs/theory.py:limit"
W = "--workdir=WORKDIR"
MISTAKES = (
  (
    (W, "--config=configs/theory.py:defualt"),
    "'defualt'",
    "name one of",
    "paper",
  ),
  (
    (W, "--config=configs/patches.py:autors"),
    "'autors'",
    "authors, paper, cpu, smoke",
  ),
  (("--diff=authors",), "--diff=authors", "two presets"),
  ((W, "--config=configs/theori.py"), "configs/theori.py"),
  ((W, "--config=configs/theori.py", "--config.smoke"), "configs/theori.py"),
  ((W, LIMIT, "--config.data.dimm=3"), "--config.data.dimm", '"dim"'),
  ((W, LIMIT, "--config.datta.dim=3"), "--config.datta.dim", '"data"'),
  ((W, LIMIT, "--config.data.dim=abc"), "--config.data.dim=abc", "an integer"),
  ((W, LIMIT, "--config.data=3"), "--config.data=3", "field by field"),
  ((W, LIMIT, "--config.seeds=0,a"), "seeds", "0,a", "integers"),
  ((W, LIMIT, "--config.data.kappa=-0.5"), "data.kappa", "-0.5", "(0, 1]"),
  ((W, LIMIT, "--worker=3"), "'worker'"),
  ((W, LIMIT, "again"), "'again'", "no flag"),
  ((W,), "--config is missing"),
  ((W, "--branch_from=nowhere@3"), "no run in 'nowhere'", "config.json"),
  ((W, "--branch_from=nowhere"), "'nowhere'", "RUN@STEP"),
  ((W, LIMIT, "--branch_from=nowhere@3000"), "no run in nowhere"),
  ((W, "--config=configs/branch.py"), "RUN@STEP"),
  (("--branch_from=a@3",), "--workdir is missing"),
  ((LIMIT,), "--workdir is missing"),
)
TINY = (
  LIMIT,
  "--config.smoke",
  "--config.shrink.train.max=2 steps",
  "--config.shrink.max_seeds=0",
  "--config.lemmas.measure=none",
  "--only=small/*",
)
SEEDS = {"5": [5], "0,1,2": [0, 1, 2]}


class CommandLineTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    never = str(cls.folder / "never")
    commands = [[x.replace("WORKDIR", never) for x in m[0]] for m in MISTAKES]
    commands += [
      [*TINY, f"--config.seeds={seeds}", f"--workdir={cls.folder / seeds}"]
      for seeds in SEEDS
    ]
    ended = testing.run_commands(*(("lro_jax.main", *c) for c in commands))
    cls.mistakes = dict(enumerate(ended[: len(MISTAKES)]))
    cls.runs = dict(zip(SEEDS, ended[len(MISTAKES) :], strict=True))

  @parameterized.parameters(*range(len(MISTAKES)))
  def test_a_mistake_is_one_sentence(self, index):
    ended = self.mistakes[index]
    self.assertEqual(ended.status, 1)
    (line,) = ended.errors.splitlines()
    self.assertRegex(line, r"^Error: \S.{10,290}[^\s:,]$")
    # No exception's repr, no Python.
    for remnant in ("Traceback", "\\n", "\\'", "int()", "Error('", "None"):
      self.assertNotIn(remnant, line)
    for word in MISTAKES[index][1:]:
      self.assertIn(word, line)
    self.assertFalse((self.folder / "never").exists())

  @parameterized.parameters(*SEEDS)
  def test_seeds_on_the_command_line_are_run(self, seeds):
    self.assertEqual(self.runs[seeds].status, 0, self.runs[seeds].errors)
    folder = self.folder / seeds / "small" / "base"
    config = metrics.read_json(folder / metrics.CONFIG)
    self.assertEqual(config["seeds"], SEEDS[seeds])
    record = metrics.read_json(folder / metrics.RUN)
    self.assertEqual(sorted(map(int, record["seeds"])), SEEDS[seeds])


if __name__ == "__main__":
  absltest.main()
