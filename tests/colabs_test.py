"""The notebooks: stored bare, sound in every cell, and they run.

  python -m pytest -m slow tests/colabs_test.py

executes all three at smoke size, each in an empty folder and a kernel of its
own. With COLABS_OUT=DIR what they showed is kept there.
"""

import ast
import base64
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
from unittest import mock

import pytest
from absl.testing import absltest, parameterized

from tests import testing

COLABS = pathlib.Path(__file__).parent.parent / "colabs"
NAMES = ("theory", "patches", "report")
# What a cell of each must have drawn, at the least.
NUM_FIGURES = {"theory": 7, "patches": 4, "report": 7}
EXECUTES = ("nbclient", "ipykernel", "nbformat")


def read(name):
  return json.loads((COLABS / f"{name}.ipynb").read_text())


def cells(notebook, kind):
  found = [c for c in notebook["cells"] if c["cell_type"] == kind]
  return {cell["id"]: "".join(cell["source"]) for cell in found}


def with_field(notebook, field, value):
  """The notebook with a form field set, as a reader sets it."""
  line = re.compile(rf"^{field} = .*?(?=  # @param)", re.M)
  changed = 0
  for cell in notebook["cells"]:
    source, times = line.subn(f"{field} = {value!r}", "".join(cell["source"]))
    cell["source"] = source
    changed += times
  if changed != 1:
    raise AssertionError(f"{changed} form fields {field}, not one")
  return notebook


class StoredTest(parameterized.TestCase):
  def test_all_are_tested(self):
    self.assertCountEqual(NAMES, [p.stem for p in COLABS.glob("*.ipynb")])

  @parameterized.parameters(*NAMES)
  def test_without_outputs_or_traces_of_a_machine(self, name):
    text = (COLABS / f"{name}.ipynb").read_text()
    notebook = json.loads(text)
    self.assertEqual((notebook["nbformat"], notebook["nbformat_minor"]), (4, 5))
    for cell in notebook["cells"]:
      self.assertEmpty(cell["metadata"])
      if cell["cell_type"] == "code":
        self.assertEmpty(cell["outputs"])
        self.assertIsNone(cell["execution_count"])
    metadata = notebook["metadata"]
    allowed = {"accelerator", "colab", "kernelspec", "language_info"}
    self.assertLessEqual(set(metadata), allowed)
    # No version of Python, no name of somebody's environment.
    self.assertEqual(metadata["language_info"], {"name": "python"})
    self.assertEqual(metadata["kernelspec"]["name"], "python3")
    self.assertEqual(metadata["colab"], {"provenance": []})
    self.assertNotRegex(text, r"/home/|/root/|/Users/|/tmp/")

  @parameterized.parameters(*NAMES)
  def test_cells_are_python_short_and_told_of(self, name):
    notebook = read(name)
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    self.assertEqual((kinds[0], kinds[-1]), ("markdown", "markdown"))
    self.assertIn("What to try next", cells(notebook, "markdown")["next"])
    for cell, source in cells(notebook, "code").items():
      ast.parse(source)
      lines = source.splitlines()
      self.assertLessEqual(max(map(len, lines)), 80, cell)
      if cell != "install":
        self.assertLessEqual(len(lines), 25, cell)

  @parameterized.parameters(*NAMES)
  def test_prose_names_no_file_or_preset_that_is_not_there(self, name):
    prose = "\n".join(
      [
        *cells(read(name), "markdown").values(),
        *cells(read(name), "code").values(),
      ]
    )
    for file in re.findall(r"\]\((\w+\.ipynb)\)", prose):
      self.assertTrue((COLABS / file).exists(), file)
    found = re.findall(r"configs/(\w+)\.py(?::(\w+))?", prose)
    self.assertNotEmpty(found)
    for file, preset in found:
      module = importlib.import_module(f"configs.{file}")
      module.get_config(preset)


class InstallTest(absltest.TestCase):
  """The one cell that must do without the package."""

  def run_cell(
    self, repository="", *, installed=False, programs=(), nodes=(), status=0
  ):
    notebook = with_field(read("theory"), "repository", repository)
    source = cells(notebook, "code")["install"]
    with (
      mock.patch.object(
        importlib.util, "find_spec", return_value=installed or None
      ),
      mock.patch(
        "shutil.which", lambda name: name if name in programs else None
      ),
      mock.patch("glob.glob", lambda pattern: list(nodes)),
      mock.patch.object(subprocess, "run") as run,
    ):
      run.return_value.returncode = status
      exec(compile(source, "install", "exec"), {})
    return [call.args[0][1:] for call in run.call_args_list]

  def test_is_the_same_in_all(self):
    sources = {cells(read(name), "code")["install"] for name in NAMES}
    self.assertLen(sources, 1)

  def test_installs_nothing_where_the_package_is(self):
    self.assertEmpty(self.run_cell(installed=True))
    self.assertEmpty(self.run_cell("https://host/lro_jax", installed=True))

  def test_says_what_to_do_without_a_repository(self):
    with self.assertRaisesRegex(SystemExit, "field 'repository'"):
      self.run_cell()

  def test_says_what_to_do_where_pip_fails(self):
    with self.assertRaisesRegex(SystemExit, "field 'repository'"):
      self.run_cell("https://host/nothing", status=1)

  def test_takes_the_extra_of_the_device(self):
    url = "https://host/lro_jax"
    for programs, nodes, name in (
      ((), (), "lro-jax"),
      (("nvidia-smi",), (), "lro-jax[cuda]"),
      ((), ("/dev/accel0",), "lro-jax[tpu]"),
    ):
      command = self.run_cell(url, programs=programs, nodes=nodes)
      expected = ["-m", "pip", "install", "-q", f"{name} @ git+{url}"]
      self.assertEqual(command, [expected])


@pytest.mark.slow
class ExecutedTest(testing.Figures, parameterized.TestCase):
  """Every cell of every notebook, at smoke size."""

  def execute(self, name):
    missing = [m for m in EXECUTES if importlib.util.find_spec(m) is None]
    if missing:
      self.skipTest(
        f"{', '.join(missing)} not installed: pip install -e '.[colab]' to have"
        " the notebooks executed."
      )
    import nbclient
    import nbformat

    notebook = with_field(read(name), "scale", "smoke")
    folder = self.enter_context(tempfile.TemporaryDirectory())
    root = str(COLABS.parent)
    there = os.environ.get("PYTHONPATH")
    environment = {
      # The package under test, by whatever folder the kernel starts in.
      "PYTHONPATH": os.pathsep.join([root, there] if there else [root]),
      # Compiling is nearly all that so small runs cost.
      "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    started = time.monotonic()
    with mock.patch.dict(os.environ, environment):
      done = nbclient.NotebookClient(
        nbformat.reads(json.dumps(notebook), as_version=4),
        timeout=900,
        kernel_name="python3",
        resources={"metadata": {"path": folder}},
      ).execute()
    self.figure(f"{name}.ipynb, smoke: {time.monotonic() - started:.0f} s")
    return done

  @parameterized.parameters(*NAMES)
  def test_runs_and_draws(self, name):
    done = self.execute(name)
    pictures = []
    for cell in done.cells:
      for output in cell.get("outputs", ()):
        self.assertNotEqual(output.output_type, "error")
        shown = output.get("data", {})
        html = shown.get("text/html", "")
        pictures += re.findall(r"data:image/png;base64,([^\"]+)", html)
        pictures += [shown["image/png"]] if "image/png" in shown else []
    self.assertGreaterEqual(len(pictures), NUM_FIGURES[name])
    for picture in pictures:
      self.assertStartsWith(base64.b64decode(picture), b"\x89PNG")
    folder = os.environ.get("COLABS_OUT")
    if folder:
      path = pathlib.Path(folder, f"{name}.ipynb")
      path.write_text(json.dumps(done))


if __name__ == "__main__":
  absltest.main()
