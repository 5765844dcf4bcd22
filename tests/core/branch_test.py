"""Branches: what a run would have been, to the bit; and what is refused."""

import functools
import json
import pathlib
import shutil
import tempfile

import jax
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax import branching, main, plans
from lro_jax.core import branch, checkpoint, config, metrics, schema
from tests import testing
from tests.core.steps_test import LIMIT, NETWORK
from tests.vision import small

STEP = 40
# Calls of a length that the saved steps are no multiples of.
KEPT = {
  "checkpoint.every": "20 steps",
  "checkpoint.keep": 9,
  "eval.every": "20 steps",
  "eval.per_decade": 0,
  "train.steps_per_call": 9,
}
# Neither annealed by the loss nor stopped.
ENDLESS = {"optim.anneal_excess": 0.0, "optim.stop_loss": 0.0}
ENGINES = {
  "network": NETWORK
  | KEPT
  | ENDLESS
  | {"seeds": (0, 1), "model.dtype": "float64"},
  "limit": LIMIT | KEPT | ENDLESS | {"limit.stride": 1, "seeds": (0,)},
}
IMAGE_STEP = 4


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


class Interrupted(Exception):
  """Stands for a process that disappears right after a save."""


def folder():
  return pathlib.Path(tempfile.mkdtemp()) / "run"


def of_engine(engine, **more):
  if engine == "images":
    return image_config(**more)
  fields = ENGINES[engine] | more
  return testing.run_config(theory_config.get_config("network"), fields)


def image_config(**more):
  fields = {"train.max": "7 steps", "checkpoint.every": "2 steps"} | more
  run = main.expand(small.experiment({"seeds": (3,)}))[0]
  out = schema.ConfigDict(run.config.to_dict())
  return testing.set_fields(
    out, {"checkpoint.keep": 9, "optim.anneal_at": ()} | fields
  )


@functools.cache
def parent(engine):
  """A run that kept its states: folder, record, rows."""
  where = folder()
  record, rows = testing.run(of_engine(engine), where)
  return where, record, rows


def branched(engine, **more):
  """Config of a branch of `parent(engine)`."""
  step = more.pop("step", IMAGE_STEP if engine == "images" else STEP)
  where = parent(engine)[0]
  return of_engine(engine, branch_from=f"{where}@{step}", **more)


def annealed(engine):
  """What makes a run anneal at the step of the branch."""
  if engine == "images":
    return {"optim.anneal_at": (f"{IMAGE_STEP} steps",)}
  return {"optim.anneal_latest": STEP}


def content(where):
  return {
    path.relative_to(where): path.read_bytes()
    for path in where.rglob("*")
    if path.is_file()
  }


class SameTest(parameterized.TestCase):
  """A branch is the run it would have been from step 0."""

  @parameterized.parameters("network", "limit", "images")
  def test_unchanged_it_is_the_run_itself(self, engine):
    where, record, _ = parent(engine)
    before = content(where)
    again = folder()
    got, rows = testing.run(branched(engine), again)
    self.assertEqual(got["state_digest"], record["state_digest"])
    self.assertEqual(rows, parent(engine)[2])
    self.assertEqual(content(where), before)

  @parameterized.parameters("network", "limit", "images")
  def test_annealed_here_it_is_the_run_that_anneals_here(self, engine):
    whole, cut = folder(), folder()
    marks = annealed(engine)
    _, rows = testing.run(of_engine(engine, **marks), whole)
    _, branch_rows = testing.run(branched(engine, **marks), cut)
    self.assertEqual(len(branch_rows), len(rows))
    # Two programs, for schedules are compiled in: they may round differently.
    rtol = 1e-4 if engine == "images" else 1e-9
    for got, row in zip(branch_rows, rows, strict=True):
      self.assertEqual(got["event"], row["event"])
      for name in row.keys() - {"event"}:
        np.testing.assert_allclose(
          *np.array([got[name], row[name]], float), rtol, 1e-9, err_msg=name
        )
    unchanged = parent(engine)[2][-1]["train_loss/all"]
    self.assertNotAlmostEqual(rows[-1]["train_loss/all"], unchanged, 3)
    at = {row["step"] for row in branch_rows if row["event"] == "anneal"}
    self.assertEqual(at, {IMAGE_STEP if engine == "images" else STEP})

  def test_from_a_step_that_was_not_measured(self):
    _, record, rows = parent("images")
    got, branch_rows = testing.run(branched("images", step=2), folder())
    self.assertEqual(got["state_digest"], record["state_digest"])
    measured = {row["step"] for row in rows}
    self.assertNotIn(2, measured)
    there = [row["step"] for row in branch_rows]
    self.assertEqual(there, sorted({2, *measured}))

  def test_a_threshold_of_its_own(self):
    # It lives in the state, and the state is the parent's.
    marks = {"optim.anneal_excess": 5.0}
    _, rows = testing.run(branched("network", **marks), folder())
    at = {row["step"] for row in rows if row["event"] == "anneal"}
    self.assertEqual(at, {STEP})

  def test_interrupted_and_continued(self):
    whole, cut = folder(), folder()
    cfg = branched("network", **annealed("network"))
    record, _ = testing.run(cfg, whole)

    def after_save(at):
      raise Interrupted

    with self.assertRaises(Interrupted):
      testing.run(cfg, cut, after_save=after_save)
    again, _ = testing.run(cfg, cut)
    self.assertEqual(again["resumed"], 1)
    self.assertEqual(again["state_digest"], record["state_digest"])
    for where in (whole, cut):
      self.assertEqual(
        (where / metrics.METRICS).read_bytes(),
        (whole / metrics.METRICS).read_bytes(),
      )

  @pytest.mark.slow
  def test_a_branch_of_a_branch(self):
    first = folder()
    cfg = branched("network", step=20, **annealed("network"))
    record, rows = testing.run(cfg, first)
    again = testing.set_fields(
      schema.ConfigDict(cfg.to_dict()), {"branch_from": f"{first}@60"}
    )
    got, branch_rows = testing.run(again, folder())
    self.assertEqual(got["state_digest"], record["state_digest"])
    # What was told together with its step comes in another order.
    self.assertCountEqual(branch_rows, rows)


class RefusalTest(parameterized.TestCase):
  def refused(self, cfg, *words):
    track = plans.track_of(cfg)
    testing.refusal(
      self,
      lambda: branch.check(cfg, track.schedule_fields(cfg), steps_per_epoch=1),
      *words,
    )

  @parameterized.parameters(
    "somewhere", "@3", "run@", "run@0", "run@-1", "a@1,2"
  )
  def test_not_written_as_run_at_step(self, text):
    cfg = of_engine("network", branch_from=text)
    self.refused(cfg, repr(text), "RUN@STEP")

  def test_no_such_run(self):
    self.refused(of_engine("network", branch_from="nowhere@20"), "no run in")

  def test_no_such_step(self):
    self.refused(branched("network", step=30), "20, 40, 60, 80")

  def test_past_its_end(self):
    self.refused(branched("network", **{"train.max": "40 steps"}), "40 steps")

  @parameterized.parameters("data.r", "model.init_std")
  def test_what_is_no_schedule_must_stay(self, field):
    self.refused(branched("network", **{field: 0.123}), field, "0.123")

  def test_what_the_limit_engines_rates_come_from_must_stay(self):
    name = "optim.small_learning_rate"
    self.refused(branched("limit", **{name: 1.0}), name)

  def test_a_step_between_two_strides_of_the_limit_engine(self):
    # At the small rate it goes by strides; the large one takes every step.
    of_small = {"optim.algorithm": "small_noise", "optim.act_noise_steps": 40}
    for step, stride, more, is_refused in (
      (40, 16, of_small, True),
      (48, 16, of_small, False),
      (40, 16, {}, False),
      (40, 1, of_small, False),
    ):
      cfg = branched("limit", step=step, **{"limit.stride": stride} | more)
      validate = functools.partial(plans.track_of(cfg).validate, cfg)
      if is_refused:
        testing.refusal(self, validate, "@40'", "stride 16", "of step 48")
      else:
        validate()

  def test_what_the_run_had_not(self):
    cfg = branched("images", **{"optim.momentum": 0.0, "optim.nesterov": False})
    testing.refusal(
      self, lambda: testing.run(cfg, folder()), "other arrays", "opt_state"
    )

  def test_damaged_and_left_as_it_is(self):
    where = folder()
    shutil.copytree(parent("network")[0], where)
    step = where / checkpoint.FOLDER / str(STEP)
    for path in step.rglob("*"):
      if path.is_file() and path.stat().st_size > 2000:
        path.write_bytes(path.read_bytes()[::-1])
    before = content(where)
    cfg = of_engine("network", branch_from=f"{where}@{STEP}")
    testing.refusal(
      self, lambda: testing.run(cfg, folder()), f"step {STEP}", str(where)
    )
    self.assertEqual(content(where), before)

  def test_rows_that_are_lost(self):
    where = folder()
    shutil.copytree(parent("network")[0], where)
    (where / metrics.METRICS).write_bytes(b"")
    cfg = of_engine("network", branch_from=f"{where}@{STEP}")
    testing.refusal(self, lambda: testing.run(cfg, folder()), "lost rows")

  def test_other_data_under_the_same_name(self):
    cfg = branched("network")
    task = testing.make_task(cfg)
    other = task._replace(facts=task.facts | {"data": "sha256 of others"})
    testing.refusal(
      self,
      lambda: testing.run(cfg, folder(), task=other),
      "sha256 of others",
    )


class ExperimentTest(absltest.TestCase):
  """branching.experiment: what RUN@STEP,STEP stands for."""

  def test_its_runs_differ_from_the_run_in_their_schedules_alone(self):
    for engine in ("network", "limit"):
      where = parent(engine)[0]
      runs = main.expand(branching.experiment(f"{where}@40,20"))
      self.assertEqual(
        [run.arm for run in runs], ["annealed_20", "annealed_40", "continued"]
      )
      own = metrics.read_json(where / metrics.CONFIG)
      changed = [
        {
          text.split(":")[0]
          for text in config.differences(
            metrics.plain(run.config.to_dict()), own
          )
        }
        - {"name", "branch_from"}
        for run in runs
      ]
      self.assertEqual(changed, [{"optim.anneal_latest"}] * 2 + [set()])
      for run in runs:
        track = plans.track_of(run.config)
        branch.check(
          run.config, track.schedule_fields(run.config), steps_per_epoch=1
        )

  def test_seeds_in_folders_of_their_own(self):
    where = folder()
    for seed in (3, 7):
      cfg = image_config(seeds=(seed,), **{"optim.anneal_at": ("6 steps",)})
      metrics.write_json(where / f"seed_{seed}" / metrics.CONFIG, cfg.to_dict())
    runs = main.expand(branching.experiment(f"{where}@{IMAGE_STEP}"))
    self.assertEqual(
      [(run.arm, run.seed) for run in runs],
      [(a, s) for s in (3, 7) for a in ("annealed_4", "continued")],
    )
    for run in runs:
      self.assertEqual(
        branch.origin(run.config),
        branch.Origin(where / f"seed_{run.seed}", IMAGE_STEP),
      )
    self.assertEqual(runs[0].config.optim.anneal_at, ("4 steps",))

  def test_branches_of_a_smoke_run_are_one(self):
    workdir = pathlib.Path(tempfile.mkdtemp())
    where = workdir / "large" / "base"
    metrics.write_json(where / metrics.CONFIG, of_engine("network").to_dict())
    for smoke in (True, False):
      metrics.write_json(workdir / "experiment.json", {"smoke": smoke})
      self.assertEqual(branching.experiment(f"{where}@20").smoke, smoke)

  def test_a_run_that_had_annealed_by_then(self):
    where = folder()
    shutil.copytree(parent("network")[0], where)
    row = {"step": 30, "seed": 0, "event": "anneal"}
    with (where / metrics.METRICS).open("a") as file:
      file.write(json.dumps(row) + "\n")
    branching.experiment(f"{where}@20")
    testing.refusal(
      self, lambda: branching.experiment(f"{where}@20,40"), "step 30", "seed 0"
    )

  def test_what_has_nothing_to_anneal(self):
    where = folder()
    for cfg in (
      image_config(),
      of_engine("network", **{"optim.algorithm": "small"}),
    ):
      metrics.write_json(where / metrics.CONFIG, cfg.to_dict())
      testing.refusal(
        self, lambda: branching.experiment(f"{where}@4"), "arm that anneals"
      )


if __name__ == "__main__":
  absltest.main()
