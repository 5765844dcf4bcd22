"""TensorBoard events from metrics.jsonl, one TensorBoard run for each seed.

Ours. What is written is what the logs hold: every finite number as a scalar of
its own name, every event ('anneal', 'stop', 'diverge', ...) as the scalar
`event/<name>`, 1 at its step. The logs have no times: all events carry the time
at which metrics.jsonl was last written.
"""

import math
import pathlib
from typing import Any

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report.collect import NOT_METRICS, Experiment, RunLog

# What we wrote before is known by this, and replaced.
SUFFIX = ".lro_jax"


def _library() -> tuple[Any, Any]:
  """Writer of a file of events, and the module of what one is."""
  try:
    # Only asked for where events are wanted: it is an extra.
    from tensorboardX import event_file_writer
    from tensorboardX.proto import event_pb2, summary_pb2
  except ImportError as error:
    raise UserError(
      "TensorBoard events need the package tensorboardX, which cannot be"
      f" imported ({error}): pip install -e '.[tensorboard]'."
    ) from error

  def event(step: int, values: dict[str, float], wall_time: float):
    listed = [
      summary_pb2.Summary.Value(tag=name, simple_value=value)
      for name, value in values.items()
    ]
    summary = summary_pb2.Summary(value=listed)
    return event_pb2.Event(step=step, wall_time=wall_time, summary=summary)

  # The writer itself: SummaryWriter's thread keeps a full disk to itself.
  return event_file_writer.EventsWriter, event


def scalars(row: dict[str, Any]) -> dict[str, float]:
  """What of a row of metrics.jsonl TensorBoard shows. Ours.

  Args:
    row: see `core.metrics`.
  """
  out = {
    name: float(value)
    for name, value in row.items()
    if name not in NOT_METRICS
    and isinstance(value, int | float)
    and math.isfinite(value)
  }
  if row["event"]:
    out[f"event/{row['event']}"] = 1.0
  return out


def _write_seed(run: RunLog, seed: int, folder: pathlib.Path) -> None:
  writer_class, event = _library()
  folder.mkdir(parents=True, exist_ok=True)
  for old in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
    old.unlink()
  written = (run.folder / metrics.METRICS).stat().st_mtime
  writer = writer_class(str(folder / "events"), SUFFIX)
  try:
    for row in run.rows:
      if row["seed"] == seed:
        writer.write_event(event(row["step"], scalars(row), written))
  finally:
    writer.close()


def write(experiment: Experiment, logdir: pathlib.Path) -> str:
  """Writes the events of every run, and returns where they are. Ours.

  Args:
    experiment: a loaded workdir.
    logdir: folder for TensorBoard; a run is `<logdir>/<arm>/<cell>/seed_<k>`.
      Events that were written there before are replaced, others left alone.

  Raises:
    UserError: tensorboardX is missing, or the folder cannot be written.
  """
  _library()
  num = 0
  try:
    for run in experiment.runs:
      for seed in run.seeds:
        folder = logdir / run.arm / run.cell / f"seed_{seed}"
        _write_seed(run, seed, folder)
        num += 1
  except OSError as error:
    raise UserError(
      f"Cannot write TensorBoard events to {logdir}"
      f" ({error.strerror or error}): name a folder that can be written."
    ) from error
  return f"TensorBoard events of {num} seeds: tensorboard --logdir={logdir}"
