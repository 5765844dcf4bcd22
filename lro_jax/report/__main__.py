"""Writes the report of a workdir again, from its logs alone.

  python -m lro_jax.report --workdir=runs/theory

With --summary=FILE the numbers go to one small JSON file as well; --control
names clean runs that tell what an accuracy among patches is worth. With
--claims nothing is written: the paper's claims are held against the workdir's
runs, or without a workdir against the committed result files. With
--tensorboard=LOGDIR the logs go there as TensorBoard events, and nothing else
is written.
"""

import pathlib

from absl import flags

from lro_jax.core import cli, metrics
from lro_jax.report import (
  claims,
  claims_file,
  claims_table,
  collect,
  page,
  summary,
  tables,
  tensorboard,
)

ALL, MARKDOWN = "all", "markdown"


class _ClaimsFlag(flags.Flag):
  """A flag that may stand without a value, which is then 'true'."""

  def __init__(self, **fields):
    super().__init__(**fields)
    self.boolean = True


def claims_text(which: str, workdir: pathlib.Path | None) -> str:
  """The claims against runs, as text for the terminal. Ours.

  Args:
    which: 'all' or 'true', 'markdown', or the id of one claim.
    workdir: folder of the runs; None for the committed result files.

  Raises:
    UserError: no such claim, or what is read is damaged.
  """
  known = claims_file.load()
  if which not in (ALL, "true", MARKDOWN):
    known = known._replace(claims=(known.named(which),))
  if workdir is None:
    sources = claims.committed()
  else:
    experiment = collect.load(workdir)
    sources = [claims.of_workdir(experiment, collect.tidy(experiment))]
  verdicts = claims.evaluate(known, sources)
  if which == MARKDOWN:
    return claims_table.as_markdown(verdicts)
  if which not in (ALL, "true"):
    return claims_table.in_full(verdicts[0], known)
  return tables.as_text(claims_table.table(verdicts))


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
  logdir = flags.DEFINE_string(
    "tensorboard", None, "Folder for TensorBoard events, instead of the page."
  )
  asked = flags.DEFINE_flag(
    _ClaimsFlag(
      parser=flags.ArgumentParser(),
      serializer=flags.ArgumentSerializer(),
      name="claims",
      default=None,
      help_string="The paper's claims; =markdown for the README, =ID for one.",
    )
  )

  def write():
    folder = pathlib.Path(workdir.value) if workdir.value else None
    if asked.value:
      print(claims_text(asked.value, folder))
      return
    if logdir.value:
      events = tensorboard.write(
        collect.load(folder), pathlib.Path(logdir.value)
      )
      print(events)
      return
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
    instead={"claims": ("workdir",)},
  )


if __name__ == "__main__":
  main()
