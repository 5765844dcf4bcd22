"""What if it were annealed here: an experiment of branches of one run.

Its arms are the run as it went on, and the same state annealed at each of the
steps named, by the run's own factor. See `core.branch` for what a branch is,
and `configs/branch.py` for the command.
"""

import pathlib

from configs import common
from lro_jax.core import branch, metrics
from lro_jax.core.schema import ConfigDict, UserError, shown
from lro_jax.plans import track_of
from lro_jax.report import collect

CONTINUED, ANNEALED = "continued", "annealed"


def experiment(text: str) -> ConfigDict:
  """The experiment that RUN@STEP[,STEP...] stands for. Ours.

  Args:
    text: a run's folder, or the parent of the folders of its seeds; and steps
      of which it has checkpoints.

  Returns:
    A config whose base is the run's own.

  Raises:
    UserError: the text is written otherwise, there is no such run, or it had
      annealed by then.
  """
  run, _, steps = text.rpartition("@")
  names = [f"{run}@{step}" for step in steps.split(",")] if run else [text]
  at = {name: branch.split(name)[1] for name in names}
  base = _config_of(pathlib.Path(run))
  _refuse_annealed(pathlib.Path(run), max(at.values()))
  out = common.base(base.name, base.track)
  out.update(base)
  out.name = f"{base.name}_branch"
  # Its sizes are shrunk already; that they are stands in its workdir alone.
  out.smoke = _is_smoke(pathlib.Path(run))
  arms = {CONTINUED: {"branch_from": min(names, key=at.get)}}
  annealed_at = track_of(base).annealed_at
  # Arms are kept by name: as many digits keep the steps in their order.
  digits = len(str(max(at.values())))
  for name, step in at.items():
    arms[f"{ANNEALED}_{step:0{digits}}"] = {"branch_from": name} | annealed_at(
      base, step
    )
  out.arms = ConfigDict(arms)
  return out


def _config_of(run: pathlib.Path) -> ConfigDict:
  """The config of a run, with all the seeds that have folders of their own."""
  own = run / metrics.CONFIG
  apart = sorted(run.glob(f"seed_*/{metrics.CONFIG}"))
  if not own.exists() and not apart:
    raise UserError(
      f"There is no run in {shown(str(run))}: name the folder that holds its"
      " config.json, or those of its seeds, as in runs/patches/large/base@4000."
    )
  read = [
    _with_tuples(metrics.read_json(path))
    for path in ([own] if own.exists() else apart)
  ]
  base = read[0]
  base["seeds"] = tuple(sorted(s for one in read for s in one["seeds"]))
  return ConfigDict(base)


def _is_smoke(run: pathlib.Path) -> bool:
  """Whether a run, or the runs of its seeds, is of a smoke experiment."""
  for workdir in run.resolve().parents[1:3]:
    path = workdir / "experiment.json"
    if path.exists():
      return bool(metrics.read_json(path)["smoke"])
  return False


def _refuse_annealed(run: pathlib.Path, last: int) -> None:
  """Refuses steps at which the run had annealed already."""
  for path in run.glob(f"**/{metrics.METRICS}"):
    for row in metrics.read_metrics(path):
      if row["event"] == collect.ANNEAL and row["step"] < last:
        raise UserError(
          f"Got branches up to step {last}, but {path.parent} had annealed at"
          f" step {row['step']} (seed {row['seed']}): branch where it had not."
        )


def _with_tuples(value):
  """JSON knows no tuples, and configs have no lists."""
  if isinstance(value, dict):
    return {name: _with_tuples(inner) for name, inner in value.items()}
  return tuple(value) if isinstance(value, list) else value
