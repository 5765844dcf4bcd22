"""The recorded command can be given to a shell, and names no machine."""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from lro_jax import main, record
from tests import testing


def command_of(*argv):
  """The command that a process of these arguments records."""
  config = testing.experiment("limit", {})
  runs, infeasible = main.plan(config)
  with mock.patch.object(sys, "argv", list(argv)):
    return record.of_experiment(config, runs, infeasible)["command"]


class CommandTest(parameterized.TestCase):
  def test_a_shell_reads_the_arguments_that_there_were(self):
    # Each would be another one, or two, in a shell that reads it unquoted.
    given = ["--only=large/*", "--workdir=my runs/$HOME", "--config.name=a'b"]
    command = command_of("lro_jax/main.py", *given)
    words = ["python", "-m", "lro_jax.main", *given]
    self.assertEqual(shlex.split(command), words)
    said = subprocess.run(
      ["sh", "-c", f'set -- {command}; printf "%s\\n" "$@"'],
      capture_output=True,
      text=True,
      check=True,
    )
    self.assertEqual(said.stdout.splitlines(), words)

  @parameterized.parameters(
    ("stripes.py", "stripes.py"),
    ("mine/stripes.py", "mine/stripes.py"),
    ("./mine/../my files/stripes.py", "my files/stripes.py"),
    ("{here}/mine/stripes.py", "mine/stripes.py"),
    ("../stripes.py", "stripes.py"),
    ("/somebody/s/machine/stripes.py", "stripes.py"),
    ("{here}-too/stripes.py", "stripes.py"),
  )
  def test_ones_own_file_is_named_from_the_current_folder(self, given, kept):
    with tempfile.TemporaryDirectory() as folder:
      here = pathlib.Path(folder).resolve()
      before = os.getcwd()
      os.chdir(here)
      try:
        command = command_of(given.format(here=here), "--config=x.py")
      finally:
        os.chdir(before)
    self.assertEqual(shlex.split(command), ["python", kept, "--config=x.py"])


if __name__ == "__main__":
  absltest.main()
