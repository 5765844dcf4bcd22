"""The theory track's front door: what a config may say, and its Task."""

import jax
import numpy as np

from lro_jax.core import branch, cadence, schema
from lro_jax.core.schema import ConfigDict, UserError, choice, integer, real
from lro_jax.core.task import Task
from lro_jax.theory import (
  data,
  instruments,
  limit,
  network,
  regime,
  settings,
)
from lro_jax.theory import problem as problem_lib

SCHEMA = {
  "name": schema.text(),
  "track": choice("theory"),
  "engine": choice(settings.LIMIT, settings.NETWORK),
  "branch_from": schema.text(empty=True),
  "seeds": schema.seeds_rule(),
  "max_seeds": integer(0, schema.MAX_STEPS),
  "data.scaling": choice(settings.FREE, settings.ASSUMPTION_3_3),
  "data.kappa": real(0, 1, open_low=True),
  "data.dim": integer(2, settings.MAX_SIZE),
  "data.num_train": integer(2, settings.MAX_SIZE),
  "data.num_test": integer(1, 10**7),
  "data.p0": real(0, 1),
  "data.q0": real(0, 1),
  "data.r": real(0, schema.MAX_REAL),
  "data.q_norm": real(0, schema.MAX_REAL, open_low=True),
  "model.num_hidden": integer(2, 2**30),
  "model.num_hidden_v": integer(0, 2**30),
  "model.structure": choice(settings.SPLIT, settings.CONV, settings.GENERAL),
  "model.num_strides": integer(1, schema.MAX_STEPS),
  "model.basis": choice(network.REDUCED, network.FULL),
  "model.init_std": real(0, schema.MAX_REAL, open_low=True),
  "model.dtype": choice("float32", "float64"),
  "optim.algorithm": choice(
    settings.LARGE, settings.SMALL, settings.SMALL_NOISE
  ),
  "optim.large_learning_rate": real(0, schema.MAX_REAL, open_low=True),
  "optim.small_learning_rate": real(0, schema.MAX_REAL, open_low=True),
  "optim.anneal_excess": real(0, schema.MAX_REAL),
  "optim.anneal_latest": integer(0, schema.MAX_STEPS),
  "optim.stop_loss": real(0, schema.MAX_REAL),
  "optim.weight_decay": real(0, schema.MAX_REAL),
  "optim.noise_std": real(0, schema.MAX_REAL),
  "optim.act_noise": real(0, schema.MAX_REAL),
  "optim.act_noise_steps": integer(0, schema.MAX_STEPS),
  "optim.stationary": choice("none", *settings.STATIONARY),
  "limit.stride": integer(1, schema.MAX_STEPS),
  "lemmas.measure": schema.text(),
  "train.max": schema.duration(),
  "train.steps_per_call": integer(1, schema.MAX_STEPS),
  "train.num_devices": integer(0, schema.MAX_STEPS),
  "eval.per_decade": integer(0, 1000),
  "eval.every": schema.duration(never=True),
  "checkpoint.minutes": real(0, schema.MAX_REAL),
  "checkpoint.every": schema.duration(never=True),
  "checkpoint.keep": integer(1, schema.MAX_STEPS),
}

# All seeds of a run are one array.
SEEDS_APART = False
MEMORY_FIELDS = "model.num_hidden, data.num_train or max_seeds"


def validate(config: ConfigDict) -> None:
  """Refuses what the rules of single fields cannot see. Ours.

  Touches no device.

  Args:
    config: a run's config that holds against `SCHEMA`.

  Raises:
    UserError: fields that do not fit together.
  """
  setting = settings.resolve(config)
  cadence.check(config, steps_per_epoch=steps_per_epoch(config))
  if config.engine == settings.LIMIT and config.train.num_devices > 1:
    raise UserError(
      f"Got train.num_devices {config.train.num_devices} for the limit engine:"
      " its state is one recursion over all examples and runs on one device;"
      " set 0 or 1, and spread runs over hosts with --only."
    )
  if config.engine == settings.LIMIT and setting.r == 0:
    raise UserError(
      "Got data.r 0 for the limit engine: z - zeta, z and z + zeta would be one"
      " point with two labels; give r > 0."
    )
  if config.engine == settings.LIMIT and setting.r > 1:
    raise UserError(
      f"Got data.r {setting.r:g} for the limit engine: z - zeta and z + zeta"
      " would be at more than a right angle, where its kernel has no series;"
      " give r of at most 1, or use engine 'network'."
    )
  _validate_branch(config, setting)
  _validate_structure(config, setting)
  instruments.choose(
    config.lemmas.measure, config.engine, config.model.structure
  )
  if config.model.num_hidden % 2 or config.model.num_hidden_v % 2:
    raise UserError(
      f"Got num_hidden {config.model.num_hidden}, num_hidden_v"
      f" {config.model.num_hidden_v}: both must be even, half of the units see"
      " each component."
    )


def _validate_branch(config: ConfigDict, setting: settings.Setting) -> None:
  """Refuses a step between two strides: no state is of it."""
  stride = config.limit.stride
  goes_by_strides = (
    config.engine == settings.LIMIT
    and setting.learning_rate <= setting.small_learning_rate
  )
  if not (config.branch_from and goes_by_strides):
    return
  _, step = branch.split(config.branch_from)
  if step % stride:
    raise UserError(
      f"Got branch_from {config.branch_from!r} for the limit engine: at the"
      f" small rate it goes by strides of limit.stride {stride}, and what is"
      f" saved at step {step} is the state of step {step + -step % stride};"
      f" branch from a multiple of {stride} of which the run has a checkpoint."
    )


def _validate_structure(config: ConfigDict, setting: settings.Setting) -> None:
  """Refuses what an engine or a structure of the first layer has not."""
  structure, k = config.model.structure, config.model.num_strides
  is_limit = config.engine == settings.LIMIT
  if structure == settings.CONV and setting.dim % k:
    raise UserError(
      f"Got model.num_strides {k} with data.dim {setting.dim}: the stride d / k"
      " of the convolutional net must be whole; choose a divisor of data.dim."
    )
  if structure == settings.CONV and setting.dim // k < 2:
    raise UserError(
      f"Got model.num_strides {k} with data.dim {setting.dim}: z and zeta live"
      " on d / k coordinates, of which they need two; lower num_strides."
    )
  if structure == settings.CONV and config.model.num_hidden % k:
    raise UserError(
      f"Got model.num_strides {k} with model.num_hidden"
      f" {config.model.num_hidden}: the m / k channels must be whole; choose"
      " num_hidden a multiple of num_strides."
    )
  if structure == settings.GENERAL and is_limit:
    raise UserError(
      "Got model.structure 'general' for the limit engine: without the split"
      " its kernel couples x1 with x2 and has no short series; use engine"
      " 'network'."
    )
  if structure == settings.CONV and is_limit and setting.act_noise:
    raise UserError(
      "Got optim.algorithm 'small_noise' with model.structure 'conv' for the"
      " limit engine: noise meets every patch at another strength there; use"
      " engine 'network', or structure 'split'."
    )
  if structure != settings.SPLIT and not is_limit:
    if config.model.basis != network.FULL:
      raise UserError(
        f"Got model.basis {config.model.basis!r} with model.structure"
        f" {structure!r}: only the split net has a reduced basis; set 'full'."
      )
    if config.model.num_hidden_v:
      raise UserError(
        f"Got model.num_hidden_v {config.model.num_hidden_v} with"
        f" model.structure {structure!r}: all units see x2 there; set 0."
      )


def schedule_fields(config: ConfigDict) -> tuple[str, ...]:
  """Fields that a branch of a run may have otherwise. Ours; `core.branch`.

  Args:
    config: the branch's.
  """
  if config.engine == settings.NETWORK:
    return ("optim", "train.max")
  # A state of the limit engine is a sum per rate, and the rates come from the
  # learning rates, the decay and the length of the run.
  return tuple(
    f"optim.{name}"
    for name in (
      "anneal_excess",
      "anneal_latest",
      "stop_loss",
      "act_noise_steps",
    )
  )


def annealed_at(config: ConfigDict, step: int) -> dict:
  """Overrides with which a branch at `step` anneals there. Ours.

  Args:
    config: of the run it comes from.
    step: where it begins.

  Raises:
    UserError: the run's algorithm has nothing to anneal.
  """
  algorithm = config.optim.algorithm
  if algorithm == settings.LARGE:
    return {"optim": {"anneal_latest": step}}
  if algorithm == settings.SMALL_NOISE:
    return {"optim": {"act_noise_steps": step}}
  raise UserError(
    f"Got a run of optim.algorithm {algorithm!r}, which has nothing to anneal:"
    " branch from an arm that anneals, or set branch_from in a config with arms"
    " of your own."
  )


def conditions(config: ConfigDict) -> list[regime.Condition]:
  """The regime report of a run. Paper: Assumptions 3.1-3.3."""
  rows_w, rows_v = network.rows(config)
  return regime.report(
    settings.resolve(config),
    engine=config.engine,
    rows_w=rows_w,
    rows_v=rows_v,
  )


def describe(config: ConfigDict, *, whole: bool) -> str:
  """What to print before a run: its regime, whole or in one line. Ours."""
  found = conditions(config)
  if whole:
    return "\n  ".join(["regime", *regime.lines(found)])
  return f"regime: {regime.one_line(found)}"


def steps_per_epoch(config: ConfigDict) -> int:
  """1: training is full batch, an epoch is a step. Ours."""
  del config
  return 1


def check_data(config: ConfigDict, devices: int) -> None:
  """Refuses a run whose draw lacks a kind of example, or must not anneal.

  Section 2; Algorithm 1 (L-S).

  Args:
    config: a valid config.
    devices: how many it will run on; any number will do.

  Raises:
    UserError: a seed drew no P-only or no Q-only example, or would stop before
      it anneals.
  """
  del devices
  setting = settings.resolve(config)
  seeds = network.config_seeds(config)
  q = problem_lib.check_draw(
    seeds,
    num_train=setting.num_train,
    p0=setting.p0,
    q0=setting.q0,
  )
  thresholds = settings.anneal_threshold(setting, q)
  early = np.flatnonzero(thresholds <= setting.stop_loss)
  if config.optim.algorithm == settings.LARGE and early.size:
    raise UserError(
      f"Got stop_loss {setting.stop_loss:g}, but seed {seeds[early[0]]} anneals"
      f" only at loss {thresholds[early[0]]:.4g} (anneal_excess + q log 2):"
      " lower optim.stop_loss or raise optim.anneal_excess."
    )


def support(setting: settings.Setting) -> int | None:
  """Last coordinates that z and zeta live on: d/k in a convolutional net. F.2.

  Args:
    setting: the run's numbers.
  """
  if setting.structure != settings.CONV:
    return None
  return setting.dim // setting.num_strides


def num_devices(config: ConfigDict) -> int:
  """Devices the config asks for; 0 stands for all there are. Ours."""
  return 1 if config.engine == settings.LIMIT else config.train.num_devices


def make(config: ConfigDict, *, axis_name: str | None) -> Task:
  """The Task of a run. Paper: Section 3; theory.md's limit for 'limit'.

  Args:
    config: a valid config.
    axis_name: name of the device axis, None on one device.

  Returns:
    The Task, its problem drawn.

  Raises:
    UserError: a seed drew no P-only or no Q-only example.
  """
  setting = settings.resolve(config)
  problem = problem_lib.sample_problem(
    network.config_seeds(config),
    dim=setting.dim,
    num_train=setting.num_train,
    num_test=config.data.num_test,
    p0=setting.p0,
    q0=setting.q0,
    r=setting.r,
    q_norm=setting.q_norm,
    support=support(setting),
  )
  facts = {
    "data": f"P/Q distribution, sha256 {problem_lib.digest(problem)}",
    "setting": setting._asdict(),
    "expected_events": ["anneal", "stop"]
    if config.optim.algorithm != settings.SMALL
    else ["stop"],
    "regime": regime.as_facts(conditions(config)),
    # z - zeta, z, z + zeta of the first seed in their plane, for Figure 2.
    "figure_2": data.in_own_plane(problem.vectors.directions[0]).tolist(),
  }
  if config.engine == settings.LIMIT:
    with jax.enable_x64(True):
      task = limit.make(config, setting, problem)
  else:
    task = network.make(config, setting, problem, axis_name=axis_name)
  return task._replace(facts=task.facts | facts)
