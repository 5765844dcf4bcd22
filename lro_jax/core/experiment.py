"""What a config says of the experiment: its arms, its grid, and their names.

What one run of it may say is `core.schema`'s.
"""

from collections.abc import Iterator

from ml_collections import config_dict

from lro_jax.core.schema import (
  ConfigDict,
  UserError,
  choice,
  flatten,
  is_mapping,
  is_real,
  shown,
)

# Fields that describe the experiment rather than one run of it.
FIELDS = ("arms", "grid", "shrink", "smoke", "exponents")
# What a workdir holds besides the folders of its arms.
NO_ARM = "report"
# Of a folder's name, in bytes: most file systems have no longer ones.
LONGEST_NAME = 255


def settled(config: ConfigDict) -> ConfigDict:
  """A copy with every reference replaced by its value. Ours.

  Raises:
    UserError: a required one has none.
  """
  for name in _unset(config, ""):
    raise UserError(f"Field {name!r} is required, but not set: give a value.")
  return ConfigDict(config.to_dict())


def _unset(config: ConfigDict, prefix: str) -> Iterator[str]:
  """Names of required placeholders without a value."""
  for key, value in config.items(preserve_field_references=True):
    if isinstance(value, ConfigDict):
      yield from _unset(value, f"{prefix}{key}.")
      continue
    for one in value if isinstance(value, list | tuple) else (value,):
      if isinstance(one, config_dict.FieldReference):
        try:
          one.get()
        except config_dict.RequiredValueError:
          yield f"{prefix}{key}"


def check_folder_name(kind: str, name: str) -> None:
  """Refuses what would not name one folder, or one elsewhere. Ours.

  Args:
    kind: 'Arm' or 'Grid cell'.
    name: its name.

  Raises:
    UserError: it cannot name a folder.
  """
  # A lone surrogate has no bytes, and is not printable either.
  size = len(name.encode(errors="replace"))
  if (
    not name.strip(". ")
    or not name.isprintable()
    or any(c in name for c in "/\\")
    or size > LONGEST_NAME
    or (kind == "Arm" and name == NO_ARM)
  ):
    raise UserError(
      f"{kind} {shown(name)} cannot name a folder: it must be printable, at"
      f" most {LONGEST_NAME} bytes, without slashes, not of dots alone, and no"
      f" arm {NO_ARM!r}; a grid axis may name its values, as in"
      " {'mine': {'data': {'source': 'my/images.npz'}}}."
    )


def check(config: ConfigDict) -> None:
  """Refuses arms, a grid and so on not of the kind they must be. Ours.

  Raises:
    UserError: one of them is missing, no section, or names no folder.
  """
  for name in FIELDS:
    if name not in config:
      # What the report is to fit may be left out.
      if name != "exponents":
        raise UserError(
          f"Field {name!r} is missing: every config must have it."
        )
    elif name == "smoke":
      if not choice(True, False).accepts(config.smoke):
        raise UserError(
          f"Field 'smoke' is {shown(config.smoke)}: it must be True or False."
        )
    elif not is_mapping(config[name]):
      raise UserError(
        f"Field {name!r} is {shown(config[name])}: it must be a section, as in"
        " configs/*.py."
      )
  if not config.arms:
    raise UserError("Field 'arms' is empty: name at least one arm.")
  for arm, overrides in config.arms.items():
    check_folder_name("Arm", arm)
    if not is_mapping(overrides):
      raise UserError(
        f"Arm {arm!r} is {shown(overrides)}: it must be a section of the fields"
        " that it sets."
      )


def _value_name(value) -> str:
  """A grid value as a folder name; different numbers never share one."""
  if is_real(value) and float(f"{value:g}") == value:
    return f"{value:g}"
  return value if isinstance(value, str) else shown(value)


def grid_axes(grid: ConfigDict) -> list[list[tuple[str, dict]]]:
  """Each axis as its list of (value name, overrides). Ours.

  Raises:
    UserError: an axis has no values, one twice, or is not written as one.
  """
  axes = []
  for axis in sorted(grid):
    values = grid[axis]
    is_field = is_mapping(values) and set(values) == {"field", "values"}
    if is_field:
      good = isinstance(values["field"], str)
      good = good and isinstance(values["values"], list | tuple)
    else:
      good = is_mapping(values) and all(is_mapping(values[v]) for v in values)
    if not good:
      raise UserError(
        f"Grid axis {axis!r} is {shown(values)}: it must be {{field, values}}"
        " with a field's name and a tuple of values, or a mapping from value"
        " name to overrides."
      )
    if is_field:
      named = [(_value_name(v), {values["field"]: v}) for v in values["values"]]
    else:
      named = [(v, flatten(values[v])) for v in sorted(values)]
    if not named:
      raise UserError(f"Grid axis {axis!r} is empty: give at least one value.")
    names = [value for value, _ in named]
    if len(set(names)) < len(names):
      raise UserError(
        f"Grid axis {axis!r} has a value twice ({shown(names)}): each value"
        " must stand once, for it names the run's folder."
      )
    axes.append([(f"{axis}={value}", fields) for value, fields in named])
  return axes
