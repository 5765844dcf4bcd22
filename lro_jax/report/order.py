"""The order of learning, from logs alone: tables, a figure, report/order.json.

For every arm, seed and pattern: when it was learned, how much was known before
and after annealing, which of two patterns came first and by how much, and what
an accuracy is worth in clean images.
"""

import html
import pathlib
from typing import Any

from lro_jax.core import metrics
from lro_jax.report import (
  controls,
  effective,
  elements,
  figures,
  gallery,
  learning,
  measures,
  order_tables,
)
from lro_jax.report.collect import Experiment, RunLog
from lro_jax.report.controls import Control
from lro_jax.report.effective import Effective
from lro_jax.report.learning import (
  COMMON,
  CONFLICT,
  FRACTIONS,
  OWN,
  Entry,
  Mean,
)
from lro_jax.report.tables import Table


def _worth(
  cells: list[list[RunLog]], control: Control | None
) -> tuple[list[Effective], list[str]]:
  """What clean accuracies among patches are worth, and what it is read off."""
  runs = [
    run
    for runs in cells
    for run in runs
    if run.has(controls.CLEAN) and run.has(CONFLICT)
  ]
  if not runs:
    return [], []
  notes = [effective.paper_says()]
  if control is None and all(controls.is_as_paper(run) for run in runs):
    control = controls.of_paper()
    notes.append(f"Worth so many clean images: by {control.source}.")
  elif control is None:
    notes.append(
      "What these nets' clean accuracy is worth is not read off the paper's"
      " numbers, which are of another net or other images: give a control of"
      " their own (configs/cifar10.py:control) by --control=WORKDIR."
    )
    return [], notes
  else:
    notes.append(f"Worth so many clean images: by {control.source}.")
    unlike = controls.unlike(control, runs[0])
    if unlike:
      notes.append(f"The control is not as these runs: {', '.join(unlike)}.")
  found = []
  for run in runs:
    excluded = measures.left_out(run)
    last = {
      seed: values[-1]
      for seed in run.seeds
      if seed not in excluded
      for _, values in [run.curve(controls.CLEAN, seed)]
      if len(values)
    }
    if last:
      found.append(effective.read_off(control, run, last))
  return found, notes


def as_json(
  cells: list[list[RunLog]],
  entries: list[Entry],
  means: list[Mean],
  worth: list[Effective],
  *,
  track: str,
  notes: list[str],
) -> dict[str, Any]:
  """All of report/order.json. Ours.

  Args:
    cells: the runs of every cell.
    entries: of the experiment.
    means: their means.
    worth: effective numbers of clean images.
    track: of the experiment.
    notes: of what these are read off.

  Returns:
    "method": what the numbers are, in words; "pairs": [{"by", "hard", "easy"}],
    the metrics compared; "entries": [Entry], one number of one seed a row;
    "means": [Mean] with "mean", "low", "high", "num"; "first": [{"cell", "arm",
    "by", "fraction", "of", "easy_first", "hard_first", "undecided"}], seeds, of
    the net's own end or the best arm's;
    "annealings": [{"cell", "arm", "seed", "step", "of_arm"}]; "conflict":
    [{"cell", "arm", "seed", "steps", "values"}], the curves;
    "worth_clean_images": [Effective]; "left_out": [{"cell", "arm", "seed",
    "why"}].
  """
  runs = [run for of_cell in cells for run in of_cell]
  pairs = measures.PAIRS[track]
  return {
    "method": [order_tables.METHOD, order_tables.NEVER, *notes],
    "pairs": [
      {"by": p.by, "hard": p.hard.metric, "easy": p.easy.metric} for p in pairs
    ],
    "entries": [e._asdict() for e in entries],
    "means": [_flat(m) for m in means],
    "first": [
      {"cell": run.cell, "arm": run.arm, "by": p.by, "fraction": fraction}
      | {"of": "best" if level else "own"}
      | found
      for run in runs
      for p in pairs
      for level in (OWN, COMMON)
      for fraction in FRACTIONS
      for found in [
        order_tables.shares(
          [e for e in entries if (e.cell, e.arm) == (run.cell, run.arm)],
          p.by,
          fraction,
          level,
        )
      ]
      if sum(found.values())
    ],
    "annealings": [
      {"cell": of_cell[0].cell, "arm": arm, "seed": seed, "step": step}
      | {"of_arm": owner}
      for of_cell in cells
      for arm, by_seed in measures.annealings(of_cell).items()
      for seed, (step, owner) in by_seed.items()
    ],
    "conflict": [
      {"cell": run.cell, "arm": run.arm, "seed": seed}
      | {"steps": list(curve[0]), "values": list(curve[1])}
      for run in runs
      if run.has(CONFLICT)
      for seed in run.seeds
      if seed not in measures.left_out(run)
      for curve in [run.curve(CONFLICT, seed)]
    ],
    "worth_clean_images": [
      w._asdict()
      | {
        "accuracy": w.accuracy._asdict(),
        "images": w.images._asdict(),
      }
      for w in worth
    ],
    "left_out": [
      {"cell": run.cell, "arm": run.arm, "seed": seed, "why": why}
      for run in runs
      for seed, why in measures.left_out(run).items()
    ],
  }


def _flat(mean: Mean) -> dict[str, Any]:
  """A mean as one flat row."""
  row = mean._asdict()
  return row | row.pop("interval")._asdict()


def section(
  experiment: Experiment,
  folder: pathlib.Path,
  *,
  shown: list[str],
  control: pathlib.Path | None = None,
) -> tuple[str, list[Table]]:
  """Writes order.json and the figure; what page and terminal say. Ours.

  Args:
    experiment: a loaded workdir.
    folder: of the report.
    shown: cells that have a table and are drawn; the JSON has all.
    control: workdir or results of a control experiment, see `controls`.

  Returns:
    HTML of the section and the brief tables for the terminal; nothing where
    the runs have none of the metrics.

  Raises:
    UserError: the control is none.
  """
  track = experiment.record.get("track")
  by_cell: dict[str, list[RunLog]] = {}
  for run in experiment.runs:
    by_cell.setdefault(run.cell, []).append(run)
  cells = list(by_cell.values())
  read = controls.load(control) if control else None
  entries = [e for runs in cells for e in learning.of_cell(runs, track)]
  if not entries:
    return "", []
  means = learning.means(entries, experiment)
  worth, notes = _worth(cells, read)
  made = as_json(cells, entries, means, worth, track=track, notes=notes)
  metrics.write_json(folder / "order.json", made)
  full, brief = [], []
  if len(cells) > 2:
    full += [order_tables.overview(cells, means, track)]
    brief += full
  for cell in shown:
    given = (by_cell[cell], entries, means, worth)
    full.append(order_tables.table(*given, track=track))
    brief.append(order_tables.table(*given, track=track, brief=True))
  if not any(full):
    return "", []
  parts = [f"<p class=note>{html.escape(note)}</p>" for note in notes]
  drawn = gallery.of_order([by_cell[cell] for cell in shown], entries, track)
  for figure in drawn:
    figures.save(figure, folder / "figures")
    parts.append(elements.figure(figure))
  parts += [elements.table(t, level="h3") for t in full if t]
  return "".join(parts), [t for t in brief if t]
