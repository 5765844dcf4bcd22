"""Writes the report of a workdir again, from its logs alone.

  python -m lro_jax.report --workdir=runs/theory

With --summary=FILE the numbers go to one small JSON file as well; --control
names clean runs that tell what an accuracy among patches is worth.
"""

import pathlib

from absl import flags

from lro_jax.core import cli, metrics
from lro_jax.report import collect, page, summary


def main() -> None:
  """Entry point. Ours."""
  workdir = flags.DEFINE_string(
    "workdir", None, "Folder that lro_jax.main has written."
  )
  cells = flags.DEFINE_string(
    "cells",
    None,
    "Pattern over the cells to show in full; by default all, or none if many.",
  )
  control = flags.DEFINE_string(
    "control",
    None,
    "Workdir of configs/cifar10.py:control, or a file of its results: what its"
    " accuracies say of how many clean images a net used.",
  )
  out = flags.DEFINE_string("summary", None, "JSON file for means, or none.")

  def write():
    folder = pathlib.Path(workdir.value)
    other = pathlib.Path(control.value) if control.value else None
    print(page.write(folder, cells=cells.value, control=other))
    if out.value:
      experiment = collect.load(folder)
      metrics.write_json(
        pathlib.Path(out.value),
        summary.summary(experiment, collect.tidy(experiment)),
      )

  cli.run(
    write,
    required=("workdir",),
    example="python -m lro_jax.report --workdir=FOLDER",
  )


if __name__ == "__main__":
  main()
