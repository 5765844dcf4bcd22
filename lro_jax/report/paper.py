"""The paper's accuracies as data, and a table of ours beside them.

All are of a WideResNet16 on CIFAR-10, by the authors' code ten times as wide,
from single trials where the paper says how many there were.
"""

from typing import Any, NamedTuple

from lro_jax.report import collect, intervals
from lro_jax.report.collect import BEST, END, Experiment, RunLog
from lro_jax.report.formats import NOTHING, percent, show
from lro_jax.report.tables import Table

CLEAN, MIXED = "accuracy/clean", "accuracy/mixed"
# What the paper trained: depth and width as its authors' code has them.
NET, DEPTH, WIDEN_FACTOR = "wide_resnet", 16, 10
NUM_TRAIN, NUM_TEST = 50_000, 10_000
REDUCED = ("cifar10_cpu", "patches_cpu")


class Entry(NamedTuple):
  """One accuracy of the paper; `about` where it is rounded to whole percent."""

  arm: str
  cell: str
  metric: str
  accuracy: float
  about: bool = False


class Source(NamedTuple):
  """Where the accuracies stand, and how long their runs were, if it is said."""

  where: str
  entries: tuple[Entry, ...]
  epochs: int | None


_TABLE_1 = Source(
  "Table 1",
  (
    Entry("large", "base", CLEAN, 0.9041),
    Entry("small_noise", "base", CLEAN, 0.8965),
    Entry("small", "base", CLEAN, 0.8493),
  ),
  200,
)
_TABLE_2 = Source(
  "Table 2",
  (
    Entry("large", "base", MIXED, 0.9535),
    Entry("large", "base", CLEAN, 0.8761),
    Entry("small", "base", MIXED, 0.9283),
    Entry("small", "base", CLEAN, 0.6989),
    Entry("small_noise", "base", MIXED, 0.9443),
    Entry("small_noise", "base", CLEAN, 0.8136),
  ),
  60,
)

# By name of the experiment.
SOURCES = {
  "cifar10": _TABLE_1,
  "cifar10_cpu": _TABLE_1,
  "patches": _TABLE_2,
  "patches_cpu": _TABLE_2,
  "cifar10_control": Source(
    "Appendix H.2",
    (
      Entry("small", "num_train=10000", CLEAN, 0.65, about=True),
      Entry("large", "num_train=10000", CLEAN, 0.76, about=True),
      Entry("small", "num_train=50000", CLEAN, 0.83, about=True),
      Entry("large", "num_train=50000", CLEAN, 0.90, about=True),
    ),
    None,
  ),
}


def beside(
  experiment: Experiment, rows: list[dict[str, Any]], runs: list[RunLog]
) -> Table | None:
  """Our accuracies of one cell beside the paper's, if it has any. Ours.

  Args:
    experiment: the workdir; its name says which numbers of the paper's.
    rows: its tidy rows.
    runs: the arms of the cell.
  """
  source = SOURCES.get(experiment.record["name"])
  by_arm = {run.arm: run for run in runs}
  cell = runs[0].cell
  entries = [
    entry
    for entry in (source.entries if source else ())
    if entry.cell == cell and entry.arm in by_arm
  ]
  if not entries:
    return None
  return Table(
    cell=cell,
    title=f"{cell}: beside the paper's {source.where}",
    header=["", "paper", "ours, at the end", "ours, best epoch", "seeds"],
    lines=[_line(entry, by_arm[entry.arm], rows) for entry in entries],
    notes=_notes(experiment.record["name"], source, runs),
  )


def _line(entry: Entry, run: RunLog, rows) -> list[str]:
  """What of an arm stands beside one accuracy; nothing before its end."""
  end, best = (
    collect.values(
      rows, arm=entry.arm, cell=entry.cell, phase=phase, metric=entry.metric
    )
    for phase in (END, BEST)
  )
  number = f"about {entry.accuracy:.0%}" if entry.about else None
  ours = (
    [
      *(
        show(intervals.interval(list(x.values())), percent) for x in (end, best)
      ),
      str(len(end)) if end else NOTHING,
    ]
    if run.is_done
    else ["not finished", NOTHING, NOTHING]
  )
  label = f"  {entry.arm}, {entry.metric.removeprefix('accuracy/')} accuracy"
  return [label, number or percent(entry.accuracy), *ours]


def _notes(name: str, source: Source, runs: list[RunLog]) -> list[str]:
  """What keeps ours from being the paper's, one sentence each."""
  metric = next((m for m in collect.BEST_BY if runs[0].has(m)), CLEAN)
  out = [
    f"Our images: {runs[0].record['facts']['dataset']}.",
    "The paper's text calls its accuracies final; its authors' code reports"
    f" the best epoch's, by {metric.removeprefix('accuracy/')} accuracy on the"
    " test images.",
  ]
  unlike = _unlike(source, runs)
  if unlike or name in REDUCED:
    parts = ", ".join(unlike) or "the setting"
    out.append(
      f"Not as in the paper: {parts}; only the signs of differences compare,"
      " not the accuracies."
    )
  return out


def is_its_net(model: dict[str, Any]) -> bool:
  """Whether a config's section `model` is the paper's net. Section 6."""
  # Runs from before there were other nets do not say which they had.
  size = model["depth"], model["widen_factor"]
  return (model.get("net", NET), *size) == (NET, DEPTH, WIDEN_FACTOR)


def _unlike(source: Source, runs: list[RunLog]) -> list[str]:
  """What of net, data and length is not the paper's."""
  config, out = runs[0].config, []
  model, data = config["model"], config["data"]
  if not is_its_net(model):
    name = model.get("net", NET)
    if name == NET:
      name = f"WideResNet{model['depth']}-{model['widen_factor']}"
    out.append(f"the net ({name} for WideResNet{DEPTH}-{WIDEN_FACTOR})")
  _, _, size = runs[0].cell.partition("num_train=")
  num_train = int(size) if size.isdecimal() else NUM_TRAIN
  for field, images, words in (
    ("num_train", num_train, "training images"),
    ("num_test", NUM_TEST, "test images"),
  ):
    allowed = (images, 0) if images in (NUM_TRAIN, NUM_TEST) else (images,)
    if data[field] not in allowed:
      found = f"{data[field]:,}" if data[field] else "all"
      out.append(f"the {words} ({found} for {images:,})")
  if data["source"] == "synthetic":
    out.append("the images (synthetic)")
  epochs = max(row.get("epoch") or 0 for run in runs for row in run.rows)
  if source.epochs and all(run.is_done for run in runs):
    if abs(epochs - source.epochs) > 0.5:
      out.append(f"the length ({epochs:.0f} for {source.epochs} epochs)")
  return out
