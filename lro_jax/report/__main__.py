"""Writes the report of a workdir again, from its logs alone.

python -m lro_jax.report --workdir=runs/theory
"""

import pathlib
import sys

from absl import app, flags

from lro_jax.core.schema import UserError
from lro_jax.report import page

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder that lro_jax.main has written."
)


def _main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
  try:
    print(page.write(pathlib.Path(_WORKDIR.value)))
  except UserError as error:
    sys.exit(f"Error: {error}")


if __name__ == "__main__":
  flags.mark_flag_as_required("workdir")
  app.run(_main)
