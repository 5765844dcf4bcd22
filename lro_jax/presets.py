r"""Where two presets of a config differ, field by field.

  python -m lro_jax.main --diff=authors,paper

Both are expanded into their runs first, so that what stands in the base fields
of the one and in an arm of the other is no difference.
"""

import importlib
import pathlib
import pkgutil

import configs
from lro_jax.core.config import Run, differences
from lro_jax.core.schema import UserError, nearest

# Modules of `configs` that are no experiments, or none without a run.
SHARED = ("common", "vision", "branch")


def experiments() -> dict[str, object]:
  """The config modules by file name, {'configs/theory.py': module}. Ours."""
  found = pkgutil.iter_modules(configs.__path__)
  return {
    f"configs/{m.name}.py": importlib.import_module(f"configs.{m.name}")
    for m in found
    if m.name not in SHARED
  }


def pair(text: str) -> tuple[str, str]:
  """The two names in 'authors,paper'. Ours.

  Raises:
    UserError: it is not two names.
  """
  names = [name.strip() for name in text.split(",")]
  if len(names) != 2 or not all(names):
    raise UserError(f"Got --diff={text}: name two presets, authors,paper.")
  return names[0], names[1]


def diff(names: tuple[str, str], expand, only: str | None = None) -> str:
  """Differing fields of two presets, one line per run and field. Ours.

  Args:
    names: of the two presets.
    expand: config -> its runs; `main.expand`.
    only: file name of one config; all that have both presets where None.

  Returns:
    Text for the terminal.

  Raises:
    UserError: no such config, or none that has both presets.
  """
  modules = experiments()
  if only is not None:
    file = pathlib.Path(only.partition(":")[0])
    name = f"configs/{file.name}"
    own = pathlib.Path(configs.__path__[0]) / file.name
    if name not in modules or (file.exists() and not file.samefile(own)):
      raise UserError(
        f"Got --config={only}{nearest(only, modules)}: --diff compares presets"
        f" of this project's {', '.join(modules)}."
      )
    modules = {name: modules[name]}
  blocks = []
  for file, module in modules.items():
    known = _presets(module, names)
    if known is not None:
      first, second = (expand(config) for config in known)
      blocks.append(_block(file, names, first, second))
  if not blocks:
    raise UserError(
      f"No config has both presets {names[0]!r} and {names[1]!r}: the presets"
      " are listed in the docstrings of configs/*.py."
    )
  return "\n\n".join(blocks)


def _presets(module, names):
  try:
    return [module.get_config(name) for name in names]
  except ValueError:
    return None


def _block(
  file: str, names: tuple[str, str], first: list[Run], second: list[Run]
) -> str:
  there = {run.name: run for run in second}
  lines = [f"{file}, {names[0]} against {names[1]}:"]
  found: dict[str, list[str]] = {}
  for run in first:
    if run.name in there:
      theirs = there.pop(run.name).config
      for line in differences(run.config, theirs, names):
        found.setdefault(line, []).append(run.name)
    else:
      found.setdefault(f"no such run in {names[1]}", []).append(run.name)
  for name in there:
    found.setdefault(f"no such run in {names[0]}", []).append(name)
  everywhere = len(first)
  for line, runs in found.items():
    where = "all runs" if len(runs) == everywhere else ", ".join(runs)
    lines.append(f"  {line}   ({where})")
  if len(lines) == 1:
    lines.append("  no difference")
  return "\n".join(lines)
