"""Writes the report of a workdir again, from its logs alone.

python -m lro_jax.report --workdir=runs/theory
"""

import pathlib

from absl import flags

from lro_jax.core import cli
from lro_jax.report import page


def main() -> None:
  """Entry point. Ours."""
  workdir = flags.DEFINE_string(
    "workdir", None, "Folder that lro_jax.main has written."
  )
  cli.run(
    lambda: print(page.write(pathlib.Path(workdir.value))),
    required=("workdir",),
    example="python -m lro_jax.report --workdir=FOLDER",
  )


if __name__ == "__main__":
  main()
