"""Control experiments: clean accuracy by arm and number of clean images.

Of the paper's Appendix H.2, or of one's own runs: a workdir whose cells are
num_train=N, its report's results.json, or a summary of it.
"""

import json
import pathlib
import re
from typing import Any, NamedTuple

from lro_jax.core.schema import UserError, flatten
from lro_jax.report import collect, measures, paper
from lro_jax.report.collect import END, RunLog

CLEAN = "accuracy/clean"
OF_PAPER = "the paper's numbers (Appendix H.2)"
# What a control must share with the runs that are read off it.
SHARED = (
  *("data.source", "model.net", "model.depth", "model.widen_factor"),
  "train.max",
)


class Control(NamedTuple):
  """Clean accuracies at the end, by arm, training images and seed.

  Attributes:
    source: where they are from.
    arms: {arm: {images: {seed: accuracy}}}.
    config: its fields by dotted name, as far as they are known.
  """

  source: str
  arms: dict[str, dict[int, dict[int, float]]]
  config: dict[str, Any]


def of_paper() -> Control:
  """The paper's four numbers, single trials rounded to whole percent. H.2."""
  arms: dict[str, dict[int, dict[int, float]]] = {}
  for entry in paper.SOURCES["cifar10_control"].entries:
    size = _size(entry.cell)
    if size:
      arms.setdefault(entry.arm, {})[size] = {0: entry.accuracy}
  return Control(OF_PAPER, arms, {})


def _size(cell: str) -> int | None:
  """Training images in a cell's name; None where it does not say."""
  found = re.search(r"(?:^|,)num_train=(\d+)(?:,|$)", cell)
  return int(found.group(1)) or None if found else None


def load(path: pathlib.Path) -> Control:
  """A control from its workdir, its results.json or its summary. Ours.

  Args:
    path: a folder that lro_jax.main has written, or a file that lro_jax.report
      has.

  Raises:
    UserError: none of these, or it holds no clean accuracies by num_train.
  """
  found: list[tuple[str, str, dict[int, float]]] = []
  config: dict[str, Any] = {}
  if path.is_dir():
    experiment = collect.load(path)
    rows = collect.tidy(experiment)
    config = flatten(experiment.runs[0].config)
    for run in experiment.runs:
      done = collect.values(
        rows, arm=run.arm, cell=run.cell, phase=END, metric=CLEAN
      )
      out = measures.left_out(run)
      kept = {seed: v for seed, v in done.items() if seed not in out}
      found.append((run.arm, run.cell, kept))
  else:
    found, config = _from_file(path)
  arms: dict[str, dict[int, dict[int, float]]] = {}
  for arm, cell, by_seed in found:
    size = _size(cell)
    if size and by_seed:
      if size in arms.setdefault(arm, {}):
        raise UserError(
          f"--control={path}: arm {arm} has more than one cell of {size:,}"
          " images; name a control that varies num_train alone."
        )
      arms[arm][size] = by_seed
  if not any(len(sizes) > 1 for sizes in arms.values()):
    raise UserError(
      f"--control={path} holds no end/{CLEAN} of two or more cells num_train=N:"
      " run --config=configs/cifar10.py:control and name its workdir."
    )
  return Control(str(path), arms, config)


def _from_file(path: pathlib.Path):
  """(arm, cell, accuracies by seed) of a file, and the config if it says."""
  try:
    saved = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise UserError(
      f"--control={path} cannot be read as JSON ({error}): name a workdir, its"
      " report/results.json or a summary."
    ) from error
  found = []
  if isinstance(saved, list):
    names = dict.fromkeys((row["arm"], row["cell"]) for row in saved)
    for arm, cell in names:
      by_seed = collect.values(
        saved, arm=arm, cell=cell, phase=END, metric=CLEAN
      )
      found.append((arm, cell, by_seed))
    return found, {}
  for cell in saved.get("cells", ()):
    for arm, by_seed in cell["by_seed"].get(f"{END}/{CLEAN}", {}).items():
      known = {int(s): v for s, v in by_seed.items() if v is not None}
      found.append((arm, cell["cell"], known))
  return found, saved.get("config", {})


def unlike(control: Control, run: RunLog) -> list[str]:
  """In what a control is not as the runs, fields by dotted name. Ours."""
  own = flatten(run.config)
  return [
    f"{name} {control.config[name]} for {own[name]}"
    for name in SHARED
    if name in control.config
    and name in own
    and control.config[name] != own[name]
  ]


def is_as_paper(run: RunLog) -> bool:
  """Whether a run is of the paper's net and images. Ours."""
  model, data = run.config["model"], run.config["data"]
  return (
    paper.is_its_net(model)
    and data["source"] == "cifar10"
    and data["num_train"] in (0, paper.NUM_TRAIN)
  )
