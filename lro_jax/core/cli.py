"""Command lines: absl flags, and one sentence for every mistake.

The flag libraries answer a mistake with tracebacks, usage texts and lists of
causes; here each becomes a `UserError`, printed as one line, exit status 1.
"""

import functools
import os
import re
import sys
import traceback
import types
from collections.abc import Callable, Mapping

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from ml_collections.config_flags import config_path

from lro_jax.core import interrupt
from lro_jax.core.schema import UserError, shown

# Where ml_collections looks an override's field up.
PATHS = config_path.__file__
LONGEST = 280
CACHE = "compilation_cache_dir"

# What a field of each flag type may be on the command line.
ALLOWED = {
  "int": "an integer",
  "float": "a number",
  "bool": "true or false",
  "tuple": "a list such as 0,1,2",
  "string": "set field by field",
}


def config_flag() -> flags.FlagHolder:
  """Defines --config, whose fields --config.<field> overrides. Ours."""
  return config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, with a preset after a colon: configs/theory.py:paper.",
    lock_config=True,
  )


def cache_flag() -> flags.FlagHolder:
  """Defines --compilation_cache_dir, which `run` obeys. Ours."""
  return flags.DEFINE_string(
    CACHE,
    None,
    "Folder that keeps what was compiled for the next process; made if missing."
    " Programs are the same with and without.",
  )


def _keep_what_is_compiled() -> None:
  if CACHE not in flags.FLAGS or not flags.FLAGS[CACHE].value:
    return
  folder = os.path.abspath(flags.FLAGS[CACHE].value)
  try:
    os.makedirs(folder, exist_ok=True)
  except OSError as error:
    raise UserError(
      f"Cannot write --{CACHE} {folder} ({error.strerror}): name a folder you"
      " may write to, or leave it out."
    ) from error
  jax.config.update("jax_compilation_cache_dir", folder)


def run(
  main: Callable[[], None],
  *,
  required: tuple[str, ...],
  example: str,
  instead: Mapping[str, tuple[str, ...]] = types.MappingProxyType({}),
) -> None:
  """Parses the flags and calls `main`. Ours.

  Args:
    main: what to do; may raise `UserError`.
    required: names of flags that must be given.
    example: a command line that works, for the message.
    instead: name of a flag -> which required ones it makes optional.
  """
  logging.set_verbosity(logging.INFO)
  # Orbax logs a paragraph per checkpoint at this level, JAX a line for each
  # kind of accelerator that is not there.
  logging.get_absl_handler().addFilter(
    lambda r: not re.search("orbax|xla_bridge|compilation_cache", r.pathname)
  )
  parse = functools.partial(
    parse_flags, required=required, example=example, instead=instead
  )

  def begin(argv):
    del argv
    _keep_what_is_compiled()
    main()

  try:
    app.run(begin, flags_parser=parse)
  except UserError as error:
    sys.exit(f"Error: {error}")
  except interrupt.InterruptedRun as told:
    print(f"{told}: give the same command again to continue.", file=sys.stderr)
    sys.exit(interrupt.EXIT_STATUS)


def parse_flags(
  argv: list[str],
  *,
  required: tuple[str, ...],
  example: str,
  instead: Mapping[str, tuple[str, ...]] = types.MappingProxyType({}),
) -> list[str]:
  """The arguments that are no flags; the flags are parsed. Ours.

  Args:
    argv: the command line.
    required: see `run`.
    example: see `run`.
    instead: see `run`.

  Raises:
    UserError: one sentence for what the flag libraries spread over many lines.
  """
  try:
    rest = flags.FLAGS(argv)
    for name, spared in instead.items():
      if flags.FLAGS[name].value:
        required = tuple(set(required) - set(spared))
    # A config file that is not there is missed only where it is used.
    values = {name: flags.FLAGS[name].value for name in required}
    if "config" in required:
      # Names only: a value may be required, and its lack is `main`'s to tell.
      values["config"] = list(values["config"] or ())
  except (flags.Error, OSError) as error:
    raise UserError(_one_line(_last_words(error))) from error
  except (AttributeError, LookupError, TypeError, ValueError) as error:
    raise UserError(_one_line(_unknown_field(error, argv))) from error
  for name, value in values.items():
    if not value:
      raise UserError(f"Flag --{name} is missing: write {example}.")
  if len(rest) > 1:
    raise UserError(
      f"Got {shown(rest[1])}, which is no flag: write --name=value."
    )
  return rest


def _unknown_field(error: Exception, argv: list[str]) -> str:
  """The sentence for an override of a field that the config lacks."""
  inner = error
  while inner.args and isinstance(inner.args[0], Exception):
    inner = inner.args[0]
  overrides = [
    word.split("=")[0] for word in argv if re.match(r"--?config\.", word)
  ]
  # "'dimm'", and on a second line the nearest name where there is one.
  name, *hint = str(*inner.args[:1]).splitlines() or [""]
  for word in overrides:
    if name.strip("'") in re.split(r"[.\[\]]+", word):
      return f"Unknown field in {word}: {' '.join(hint) or 'see the config.'}"
  # What ml_collections says of names that are none is not for users.
  if traceback.extract_tb(error.__traceback__)[-1].filename == PATHS:
    return (
      f"Unknown field in {', '.join(overrides)}: write --config.SECTION.FIELD,"
      " with names that the config has."
    )
  # The config file's own mistake: its author needs the traceback.
  raise error


def _one_line(text: str) -> str:
  """The text with what is not printable escaped, and not a long one."""
  text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
  return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _last_words(error: Exception) -> str:
  """The sentence that an error of the flag libraries ends with."""
  text = str(error).strip().splitlines()[-1].strip()
  field = re.match(r"flag --(config\.[\w.]+)=(.*?): ", text)
  if field:
    name, value = field.groups()
    kind = flags.FLAGS[name].parser.flag_type()
    allowed = ALLOWED.get(kind, "of its type in the config")
    # Cut here, so that what is allowed is not.
    return f"Got --{name}={value[:100]}: it must be {allowed}."
  return re.sub(r"^[\w.]+Error: |^\[Errno \d+\] ", "", text)
