"""Every public name of lro_jax says what it is, of what shape, and whence.

The rule, read off the source without importing it:

  - a public module, class, function or method has a docstring. Public is what
    has no underscore in front, anywhere in its path; a function inside of a
    function is not;
  - arrays have shapes. Where an annotation names an array (`Array`,
    `np.ndarray`), the docstring has a shape in brackets, [] for a scalar: for
    a parameter that stands under Args, in its own entry, unless that entry
    points to where it is said (see `x`; likewise) or the text above says it of
    all ("[n] each"); for what is returned, in the first paragraph or under
    Returns. An attribute of a class counts as a parameter, with its entry
    under Attributes, or a shape above that is of all but where one is given;
  - in `theory` and `vision`, which implement the paper, and in the two files of
    `core` that hold its algorithms, the docstring of a function, or else, in a
    track, that of its class or module, says after what: an equation or a
    numbered place of the paper, a file of the authors, another work, or that it
    is ours. A class that only holds values needs none.
"""

import ast
import pathlib
import re
from typing import NamedTuple

from absl.testing import absltest, parameterized

PACKAGE = pathlib.Path(__file__).parent.parent / "lro_jax"
ARRAY = re.compile(r"\b(Array|ndarray)\b")
# [n, d], [], [batch / k], [...]; not an interval such as [0, 1], no index "a".
SHAPE = re.compile(r"\[(?!0[,.])[^\[\]\"]*\]")
EACH = re.compile(SHAPE.pattern + r" (?:each|in front of)")
ELSEWHERE = re.compile(r"[Ss]ee `|[Ll]ikewise")
SOURCE = re.compile(
  r"\b(?:Eqs?\.|Equation|Section|Sec\.|Appendix|Lemmas?|Theorems?|Propositions?"
  r"|Corollar(?:y|ies)|Assumptions?|Algorithms?|Figures?|Tables?|[Ff]ootnote)"
  r" ?\(?[A-Z0-9]"
  r"|\([A-Z]?\.?\d+\.\d+\)|\([A-Z]\.\d+\)"  # (3.1), (B.8)
  r"|\bH\.[12]\b|\bF\.[12]\b|\bPaper, H\b|\. H\."
  r"|[Aa]uthors' (?:PyTorch )?code|PyTorch|\(\d{4}\)|\b[Oo]urs\b"
)
# Folders and files that implement the paper. In a file of core, where that is
# the exception, every function says so for itself.
TRACKS = ("theory", "vision")
ALGORITHMS = ("core/optim.py", "core/schedules.py")
# What a plain section of a Google docstring begins with.
SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$", re.M)


class Public(NamedTuple):
  """A public function or class, and the docstrings around it."""

  path: str
  name: str
  node: ast.AST
  around: str

  @property
  def doc(self) -> str:
    return ast.get_docstring(self.node) or ""


def publics(source: str, path: str) -> list[Public]:
  """All of a file, classes before their methods."""
  tree = ast.parse(source)
  module_doc = ast.get_docstring(tree) or ""
  found = []

  def visit(body, prefix, around):
    for node in body:
      kinds = (ast.FunctionDef, ast.ClassDef)
      if isinstance(node, kinds) and not node.name.startswith("_"):
        found.append(Public(path, prefix + node.name, node, around))
        if isinstance(node, ast.ClassDef):
          own = ast.get_docstring(node) or ""
          visit(node.body, f"{node.name}.", f"{around}\n{own}")

  visit(tree.body, "", module_doc)
  return found


def sections(doc: str) -> dict[str, str]:
  """A docstring's text by section; 'summary' is the first paragraph."""
  parts = SECTION.split(doc)
  out = {"summary": parts[0].split("\n\n")[0], "text": parts[0]}
  out |= dict(zip(parts[1::2], parts[2::2], strict=True))
  return out


def entry(section: str, name: str) -> str | None:
  """What a section says of a name; several may share an entry."""
  lines = re.split(r"\n(?=  [^\s])", "\n" + section.strip("\n"))
  for text in lines:
    names = text.split(":")[0].replace("*", "")
    if name in re.findall(r"\w+", names):
      return text
  return None


def is_array(annotation) -> bool:
  """Whether an annotation names an array, unless inside of a Callable."""
  if annotation is None:
    return False
  text = re.sub(r"Callable\[.*\]", "", ast.unparse(annotation))
  return bool(ARRAY.search(text))


def missing_shapes(public: Public) -> list[str]:
  """What of a function or class is an array without a shape."""
  node, doc = public.node, sections(public.doc)
  if isinstance(node, ast.ClassDef):
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
    arrays = [n.target.id for n in fields if is_array(n.annotation)]
    where, returned, of_all = "Attributes", False, SHAPE
  else:
    a = node.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    arrays = [x.arg for x in every if x and is_array(x.annotation)]
    where, returned, of_all = "Args", is_array(node.returns), EACH
  out = []
  for name in arrays:
    own = entry(doc[where], name) if where in doc else None
    told = SHAPE.search(doc["text"] if own is None else own)
    if not (told or ELSEWHERE.search(own or "") or of_all.search(doc["text"])):
      out.append(name)
  if returned and not SHAPE.search(doc["summary"] + doc.get("Returns", "")):
    out.append("what is returned")
  return out


def faults(source: str, path: str = "lro_jax/theory/x.py") -> list[str]:
  """What is wrong with the docstrings of a file."""
  out = []
  if not ast.get_docstring(ast.parse(source)):
    out.append(f"{path}: no docstring")
  inside = path.split("/", 1)[1]
  is_algorithm = inside in ALGORITHMS
  is_of_the_paper = is_algorithm or inside.split("/")[0] in TRACKS
  for public in publics(source, path):
    where = f"{path}: {public.name}"
    if not public.doc:
      out.append(f"{where}: no docstring")
      continue
    out += [f"{where}: no shape of {x}" for x in missing_shapes(public)]
    is_function = isinstance(public.node, ast.FunctionDef)
    around = "" if is_algorithm else public.around
    told = SOURCE.search(f"{public.doc}\n{around}")
    if is_of_the_paper and is_function and not told:
      out.append(f"{where}: no source")
  return out


class DocstringsTest(parameterized.TestCase):
  def test_every_public_name_has_shapes_and_a_source(self):
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
      name = path.relative_to(PACKAGE.parent).as_posix()
      if not any(part.startswith("_") for part in name[:-3].split("/")):
        found += faults(path.read_text(), name)
    self.assertEmpty(found, "\n" + "\n".join(found))

  @parameterized.parameters(
    ("def f(x: Array): ...", "no docstring"),
    ("class A:\n  'Ours.'\n  def f(self): ...", "A.f: no docstring"),
    ("def f(x: Array):\n  'Ours.'", "no shape of x"),
    ("def f(x: Array):\n  'In [0, 1]. Ours.'", "no shape of x"),
    (
      "def f() -> tuple[np.ndarray]:\n  'Ours.'",
      "no shape of what is returned",
    ),
    ("class A:\n  'Ours.'\n  x: Array | None", "no shape of x"),
    ("def f():\n  'What f is.'", "no source"),
    (
      "def f(x: Array, y: Array):\n"
      "  '''F. Ours.\n\n  Args:\n    x: mine, [n].\n    y: his.\n  '''",
      "no shape of y",
    ),
  )
  def test_a_fault_is_seen(self, code, fault):
    (found,) = faults(f"'''A module.'''\n{code}\n")
    self.assertEndsWith(found, fault)

  def test_an_algorithm_of_core_says_its_source_itself(self):
    code = "'''After Eq. (3.1).'''\ndef f():\n  'What f is.'"
    for path in ALGORITHMS:
      self.assertTrue((PACKAGE / path).exists())
      (found,) = faults(code, f"lro_jax/{path}")
      self.assertEndsWith(found, "f: no source")
    self.assertEmpty(faults(code, "lro_jax/core/loop.py"))
    self.assertEmpty(faults(code, "lro_jax/theory/x.py"))

  @parameterized.parameters(
    "def f(x: Array) -> Array:\n  'Sum [] of x [n]. Lemma 4.2.'",
    "def f(x: Array):\n  '''F. (3.1).\n\n  Args:\n    x: see `g`.\n  '''",
    "def f(g: Callable[[Array], Array]):\n  'Calls g. Ours.'",
    "class A:\n  'Values, [n] each.'\n  x: Array",
    "def _f(x: Array): ...",
  )
  def test_what_the_rule_allows_passes(self, code):
    self.assertEmpty(faults(f"'''A module.'''\n{code}\n"))


if __name__ == "__main__":
  absltest.main()
