"""The house stands as it is drawn: imports, README, files."""

import ast
import importlib
import pathlib
import re
import shlex

from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "lro_jax"
PAGES = (
  ROOT / "README.md",
  PACKAGE / "EXTENDING.md",
  PACKAGE / "RUNNING.md",
  PACKAGE / "results" / "README.md",
)
STOREYS = {
  "core": 0,
  "theory": 1,
  "vision": 1,
  "report": 2,
  "": 3,
  "bench": 4,
}
# Storeys of the same height never meet; the report stands on core alone.
ALLOWED = {
  "core": {"core"},
  "theory": {"core", "theory"},
  "vision": {"core", "vision"},
  "report": {"core", "report"},
  "": {"core", "theory", "vision", "report", ""},
  "bench": {"core", "theory", "vision", "report", "bench", ""},
}
# May compile programs of their own, to time them.
BENCH = ("theory.py", "device.py", "seeds.py", "scaling.py")


def modules():
  return sorted(PACKAGE.rglob("*.py"))


def imported(path):
  """Dotted names of everything a file imports from lro_jax."""
  out = []
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      out += [a.name for a in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
      out += [f"{node.module}.{a.name}" for a in node.names]
  return [name for name in out if name.startswith("lro_jax.")]


def storey(path):
  parts = path.relative_to(PACKAGE).parts
  return parts[0] if len(parts) > 1 else ""


def reading_order(folder):
  """Module names in the order that the folder's docstring gives."""
  doc = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
  sentence = re.search(r"import each other:\s*(.*?)\.\s*(\n\n|$)", doc, re.S)
  return [name.strip() for name in sentence.group(1).split(",")]


class ImportsTest(parameterized.TestCase):
  def test_a_storey_imports_only_lower_ones(self):
    for path in modules():
      for name in imported(path):
        part = name.split(".")[1]
        target = part if part in STOREYS else ""
        if name == "lro_jax.__version__":
          continue
        self.assertIn(
          target, ALLOWED[storey(path)], f"{path.name} imports {name}"
        )

  @parameterized.parameters("core", "theory", "vision", "report", "bench")
  def test_a_file_imports_only_files_above_it_in_the_reading_order(self, name):
    folder = PACKAGE / name
    order = reading_order(folder)
    files = {p.stem for p in folder.glob("*.py")} - {"__init__", "__main__"}
    self.assertEqual(sorted(order), sorted(files))
    for stem in order:
      for target in imported(folder / f"{stem}.py"):
        parts = target.split(".")
        if parts[1] == name and parts[2] in order:
          self.assertLess(
            order.index(parts[2]), order.index(stem), f"{stem}: {target}"
          )

  def test_configs_import_only_ml_collections_and_common(self):
    for path in (ROOT / "configs").glob("*.py"):
      if path.name == "branch.py":
        continue  # its experiment is made of a run's own config
      for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
          names = {a.name for a in node.names}
          self.assertLessEqual(
            names, {"ml_collections", "common", "theory", "vision"}
          )

  def test_only_steps_compiles(self):
    for path in modules():
      if path.name == "steps.py":
        continue
      if path.parts[-2] == "bench" and path.name in BENCH:
        continue
      # Drawing the data and reading the machine are not training steps.
      if path.parts[-2:] == ("theory", "problem.py"):
        continue
      self.assertNotRegex(path.read_text(), r"jax\.(jit|pmap)\b", path.name)


class FilesTest(absltest.TestCase):
  def test_no_drawer_named_utils(self):
    self.assertEmpty([p for p in modules() if "util" in p.stem])

  def test_links_of_the_pages_lead_somewhere(self):
    for page in PAGES:
      text = page.read_text()
      for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, section = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        self.assertTrue(target.exists(), f"{page.name}: {link}")
        if section:
          titles = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
          anchors = [re.sub(r"[^\w -]", "", t.lower()) for t in titles]
          self.assertIn(section, [a.replace(" ", "-") for a in anchors], link)

  def test_the_pages_commands_name_files_and_flags_that_exist(self):
    commands = []
    for page in PAGES:
      text = page.read_text()
      commands += re.findall(r"^python -m (lro_jax\S*)(.*)$", text, re.M)
      commands += re.findall(r"`python -m (lro_jax[^\s`]*)([^`]*)`", text)
    self.assertGreater(len(commands), 5)
    for module, rest in commands:
      path = ROOT / pathlib.Path(*module.split("."))
      target = path.with_suffix(".py")
      if not target.exists():
        target = path / "__main__.py"
      source = target.read_text()
      for word in shlex.split(rest.split("#")[0]):
        if not word.startswith("--"):
          continue
        flag = word[2:].split("=")[0].split(".")[0]
        self.assertIn(f'"{flag}"', source, f"{module}: {word}")
        if flag == "config" and "=configs/" in word:
          file, _, preset = word.split("=")[1].partition(":")
          name = file.removesuffix(".py").replace("/", ".")
          importlib.import_module(name).get_config(preset)


if __name__ == "__main__":
  absltest.main()
