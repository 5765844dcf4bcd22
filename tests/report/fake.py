"""Run folders as `lro_jax.main` leaves them, written without training."""

import functools
import json
import pathlib

from lro_jax import main, plans
from lro_jax.core import metrics
from lro_jax.report import collect
from lro_jax.theory import data, regime, settings
from tests import testing

SEEDS = (0, 1, 2, 3)
# Errors on P-only points of seed 0; every further seed errs 0.01 more often.
P_ONLY = {"large": 0.05, "small": 0.20}
LOG2 = 0.6931472


def row(step, seed, event=None, **values):
  return {"step": step, "seed": seed, "event": event} | values


def seed_rows(seed, p_only):
  """One seed that annealed at step 10 + seed and stopped at step 20 + seed."""

  def at(step, event, p, q):
    return row(step, seed, event) | {
      "train_loss/m1": 0.3 * LOG2 if step else LOG2,
      "train_loss/q_only": 0.9 * LOG2 if step else LOG2,
      "test_error/p_only": p,
      "test_error/q_only": q,
      "second_difference": -0.1 * step,
      "signal_norm2/w": 1.0 + step,
    }

  return [
    at(0, None, 0.5, 0.5),
    at(10 + seed, "anneal", 0.4, 0.5),
    at(20 + seed, "stop", p_only, 0.0125),
  ]


def seed_end(status="stopped", **events):
  return {"status": status, "step": 9, "events": events}


@functools.cache
def config_and_facts(engine, arm, fields=()):
  """config.json and run.json's facts of a run, as `main` makes them."""
  runs = main.expand(testing.experiment(engine, dict(fields)))
  config = next(run.config for run in runs if run.arm == arm)
  setting = settings.resolve(config)
  facts = {
    "setting": setting._asdict(),
    "expected_events": ["anneal", "stop"] if arm == "large" else ["stop"],
    "regime": regime.as_facts(plans.track_of(config).conditions(config)),
    "figure_2": data.directions_in_plane(setting.r, setting.q_norm).tolist(),
  }
  return metrics.plain(config.to_dict()), metrics.plain(facts)


def write_rows(folder, rows, *, tail=""):
  lines = [json.dumps(r) + "\n" for r in rows]
  (folder / metrics.METRICS).write_text("".join(lines) + tail)


def write_run(
  folder, rows, *, like="large", engine="limit", fields=(), **record
):
  """A run folder; `record` replaces what run.json says."""
  config, facts = config_and_facts(engine, like, fields)
  written = {
    "status": "done",
    "facts": facts,
    "versions": {"jax": "1.2.3", "commit": "abc"},
    "wall_seconds": 10.0,
  } | record
  if written["status"] == "done":
    ends = {str(r["seed"]): seed_end(anneal=5, stop=9) for r in rows}
    written = {"seeds": ends} | written
  metrics.write_json(folder / metrics.RUN, written)
  metrics.write_json(folder / metrics.CONFIG, config)
  write_rows(folder, rows)


def write_experiment(workdir, *, arms=tuple(P_ONLY), cells=("base",), **record):
  metrics.write_json(
    workdir / "experiment.json",
    {
      "name": "theory",
      "track": "theory",
      "arms": list(arms),
      "cells": list(cells),
      "smoke": False,
      "command": "python -m lro_jax.main",
    }
    | record,
  )


def write_workdir(workdir, *, p_only=None, cell="base", seeds=SEEDS, **kwargs):
  """An experiment of one cell, and one arm for each of `p_only`."""
  p_only = p_only or P_ONLY
  write_experiment(workdir, arms=p_only, cells=[cell])
  for arm, error in p_only.items():
    rows = [r for s in seeds for r in seed_rows(s, error + 0.01 * s)]
    write_run(workdir / arm / cell, rows, like=arm, **kwargs)


def instrument(
  name="4.2", *, algorithm="large", phase="before", kind="at most"
):
  """An entry of run.json's instruments."""
  return {
    "name": name,
    "source": f"Lemma {name}",
    "statement": f"a of {name} <= b",
    "algorithm": algorithm,
    "phase": phase,
    "kind": kind,
  }


def reading(step, seed, event=None, *, name="4.2", value, bound=1.0):
  """A row that has one instrument."""
  read = {f"lemma/{name}": value, f"bound/{name}": bound}
  return row(step, seed, event) | read


def with_instruments(arm="large", listed=(), fields=()):
  """Facts of a run that has these instruments."""
  _, facts = config_and_facts("limit", arm, fields)
  return facts | {"instruments": list(listed)}


def exponent(**fields):
  """An entry of experiment.json's exponents: the large arm's end against r."""
  return {
    "name": "y",
    "title": "y against r",
    "source": "Lemma 4.1",
    "x": {"field": "data.r"},
    "y": {"arm": "large", "phase": "end", "metric": "y"},
    "cells": "*",
    "claimed": 2.0,
    "relation": "equal",
    "ours": None,
    "kind": "exponent",
  } | fields


def grid(by_cell, *, arms=("large",), seeds=SEEDS, exponents=(), **record):
  """An experiment in memory: cells named by their r, one row for each seed.

  Args:
    by_cell: (arm, r, seed) -> the metrics at the end.
    arms: names of arms.
    seeds: the seeds of every cell.
    exponents: of experiment.json.
    **record: further fields of experiment.json; `cells` are {cell: r}.
  """
  cells = record.pop("cells", {f"r={r}": r for r in (0.1, 0.2, 0.4)})
  runs = [
    run_log(
      arm,
      cell=cell,
      rows=[row(9, seed) | by_cell(arm, r, seed) for seed in seeds],
      seeds={str(seed): seed_end(stop=9) for seed in seeds},
      fields=(("data.r", r),),
    )
    for cell, r in cells.items()
    for arm in arms
  ]
  record = {"cells": list(cells), "exponents": list(exponents)} | record
  return collect.Experiment(pathlib.Path("."), record, runs)


def run_log(
  arm="large", *, cell="base", rows=None, seeds=None, fields=(), **record
):
  """A run as `collect.load` gives it; by default stopped seeds 0 and 1."""
  seeds = seeds or {"0": seed_end(stop=9), "1": seed_end(stop=9)}
  rows = rows or [row(0, int(seed)) for seed in seeds]
  like = arm if arm in P_ONLY else "small"
  config, facts = config_and_facts("limit", like, fields)
  record = {"status": "done", "facts": facts, "seeds": seeds} | record
  return collect.RunLog(arm, cell, pathlib.Path(arm), record, config, rows)
