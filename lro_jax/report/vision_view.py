"""The vision track's part of a report: Section 6, Appendix H of the paper."""

import html

import numpy as np

from lro_jax.report import figures_vision, paper
from lro_jax.report.answer import Compared
from lro_jax.report.collect import ANNEAL, BEST, END, RunLog, values
from lro_jax.report.formats import Row, epoch, in_words, loss, percent
from lro_jax.report.intervals import interval, paired
from lro_jax.report.tables import Overview
from lro_jax.report.view import Rows, View

CLEAN, MIXED = "accuracy/clean", "accuracy/mixed"
PATCH_ONLY, AS_AUTHORS = "accuracy/patch_only", "accuracy/patch_only_authors"
OTHER_PATCH, CONFLICT = "accuracy/other_patch", "conflict/patch"
# Above this the patch counts as learned, in the sentences of the page.
LEARNED = 0.5

ROWS = (
  Row("annealed at epoch", ANNEAL, "epoch", epoch),
  Row("  accuracy, clean", ANNEAL, CLEAN, percent),
  Row("  accuracy, patch only, as trained", ANNEAL, PATCH_ONLY, percent),
  Row("  accuracy, patch only, authors' way", ANNEAL, AS_AUTHORS, percent),
  Row("best at epoch", BEST, "epoch", epoch),
  Row("  accuracy, mixed", BEST, MIXED, percent),
  Row("  accuracy, clean", BEST, CLEAN, percent),
  Row("ended at epoch", END, "epoch", epoch),
  Row("  accuracy, mixed", END, MIXED, percent),
  Row("  accuracy, clean", END, CLEAN, percent),
  Row("  accuracy, patch only, as trained", END, PATCH_ONLY, percent),
  Row("  accuracy, patch only, authors' way", END, AS_AUTHORS, percent),
  Row("  accuracy, own class's patch", END, "accuracy/own_patch", percent),
  Row("  accuracy, another class's patch", END, OTHER_PATCH, percent),
  Row("  taken for that patch's class", END, CONFLICT, percent),
  Row("  training accuracy", END, "train_accuracy/all", percent),
  Row("  training accuracy, clean", END, "train_accuracy/clean", percent),
  Row("  training accuracy, mixed", END, "train_accuracy/mixed", percent),
  Row(
    "  training accuracy, patch only",
    END,
    "train_accuracy/patch_only",
    percent,
  ),
  Row("  training loss", END, "train_loss/all", loss),
)

AT_END = Row("clean", END, CLEAN, percent)
OVERVIEW = Overview(
  rows=(
    Row("anneal: clean", ANNEAL, CLEAN, percent),
    Row("anneal: patch only", ANNEAL, PATCH_ONLY, percent),
    Row("mixed", END, MIXED, percent),
    AT_END,
  ),
  compared=AT_END,
  legend="Mean test accuracy; anneal: when annealed; otherwise at the end.",
)

QUOTED = (
  "epoch",
  CLEAN,
  MIXED,
  PATCH_ONLY,
  AS_AUTHORS,
  OTHER_PATCH,
  CONFLICT,
  "train_accuracy/all",
)


def answer(rows: Rows, runs: list[RunLog]) -> list[str]:
  """What this cell's numbers say, in up to three sentences. Ours.

  Nothing is said that the rows do not hold: a sentence whose numbers are
  missing is left out.
  """

  def of(arm, phase, metric):
    return values(rows, arm=arm, cell=runs[0].cell, phase=phase, metric=metric)

  def shown(phase, metric, fmt=percent):
    """Means of the arms that have this."""
    found = {run.arm: of(run.arm, phase, metric) for run in runs}
    return {
      arm: fmt(interval(list(v.values())).mean) for arm, v in found.items() if v
    }

  out = []
  annealed = shown(ANNEAL, "epoch", epoch)
  learned = []
  for run in runs:
    if run.has(PATCH_ONLY):
      at = annealed.get(run.arm)
      where = f"{run.arm}, annealed at epoch {at}" if at else run.arm
      learned.append(f"{_first_passes(run)} ({where})")
  if learned:
    out.append(
      f"Patch-only test accuracy first exceeds {LEARNED:.0%}"
      f" {', '.join(learned)}."
    )
  before = shown(ANNEAL, PATCH_ONLY)
  if before:
    out.append(f"Patch-only test accuracy when annealed: {_listed(before)}.")
  end = shown(END, CLEAN)
  if end:
    text = f"Clean test accuracy at the end: {_listed(end)}"
    gap = paired(of("large", END, CLEAN), of("small", END, CLEAN))
    if gap.num:
      text += f"; large minus small is {in_words(gap)}"
    out.append(f"{text}.")
  return out


def _listed(by_arm: dict[str, str]) -> str:
  return ", ".join(f"{text} ({arm})" for arm, text in by_arm.items())


def _first_passes(run: RunLog) -> str:
  """At which epoch a seed is first seen to have learned the patch, on average.

  Evaluations are some steps apart: it may have happened up to one before.
  """
  first = []
  for seed in run.seeds:
    steps, accuracy = run.curve(PATCH_ONLY, seed)
    above = np.flatnonzero(accuracy > LEARNED)
    if above.size:
      first.append(steps[above[0]] / run.record["facts"]["steps_per_epoch"])
  total = len(run.seeds)
  if not first:
    return "in no seed"
  text = f"at epoch {epoch(float(np.mean(first)))}"
  return text if len(first) == total else f"{text} in {len(first)} of {total}"


def details(runs: list[RunLog]) -> str:
  """Data, milestones and setting, what is of one arm under its name. Ours."""
  facts = {run.arm: run.record["facts"] for run in runs}
  settings = [f["setting"] for f in facts.values()]
  shared = {
    name: value
    for name, value in settings[0].items()
    if all(name in s and s[name] == value for s in settings)
  }
  lines = list(dict.fromkeys(f"Data: {f['data']}." for f in facts.values()))
  found = dict.fromkeys(f.get("patches") for f in facts.values())
  lines += [f"Patches: {text}." for text in found if text]
  if shared:
    lines.append(_setting(shared))
  for arm, of_arm in facts.items():
    own = {k: v for k, v in of_arm["setting"].items() if k not in shared}
    at = [
      epoch(step / of_arm["steps_per_epoch"]) for step in of_arm["milestones"]
    ]
    lowered = (
      f"rate or noise lowered at epoch {', '.join(at)}"
      if at
      else "neither rate nor noise is lowered"
    )
    parts = [f"{of_arm['num_parameters']:,} parameters", lowered]
    if own:
      parts.append(_setting(own))
    lines.append(f"{arm}: {'; '.join(parts)}")
  body = "".join(f"<p class=soft>{html.escape(line)}</p>" for line in lines)
  return f"<details><summary>Data and setting</summary>{body}</details>"


def _setting(setting: dict) -> str:
  return ", ".join(
    f"{name} {value:.6g}"
    if isinstance(value, int | float) and not isinstance(value, bool)
    else f"{name} {value}"
    for name, value in setting.items()
  )


VIEW = View(
  rows=ROWS,
  overview=OVERVIEW,
  quoted=QUOTED,
  curves=(CLEAN, PATCH_ONLY, AS_AUTHORS, CONFLICT, "train_accuracy/all"),
  # One run is one seed.
  own=("seeds",),
  draw=figures_vision.draw,
  answer=answer,
  remark=lambda runs: "",
  details=details,
  beside=paper.beside,
  compared=Compared(
    metric=CLEAN,
    noun="accuracy on clean test images",
    arm="large",
    than="small",
    more="the large rate generalises better",
    less="the large rate generalises worse",
  ),
)
