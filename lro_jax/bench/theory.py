"""What a step of either theory engine costs, and of plain NumPy; for bench."""

from typing import Any, NamedTuple

import jax
import numpy as np

from lro_jax.bench import device as bench_device
from lro_jax.bench import programs
from lro_jax.core import cadence, optim, prng
from lro_jax.core import config as config_lib
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.core.task import Data
from lro_jax.core.timing import seconds
from lro_jax.theory import data as data_lib
from lro_jax.theory import (
  instruments,
  network,
  reference,
  settings,
  structures,
)
from lro_jax.theory import problem as problem_lib
from lro_jax.theory import task as theory

# What a run of so many steps costs more with all instruments than with none.
INSTRUMENT_STEPS = 10_000
LONG = "20000000 steps"
STANDARD = {"dim": 400, "num_train": 200, "num_hidden": 16384}
LIMIT_SIZES = (200, 800, 3200)
WIDE = 65536


def run_config(
  config: ConfigDict,
  engine: str,
  *,
  measure: str = instruments.NONE,
  **sizes: int,
) -> ConfigDict:
  """The first run of a config with one seed that never anneals or stops. Ours.

  Args:
    config: the experiment.
    engine: 'network' or 'limit'.
    measure: which instruments it has.
    **sizes: dim, num_train, num_hidden (of both blocks), num_hidden_v (of V);
      the config's own where they are missing.

  Raises:
    UserError: no run of that engine, or a bad field.
  """
  runs = config_lib.expand(config, theory.SCHEMA)
  for run in runs:
    if run.config.engine == engine:
      break
  else:
    raise UserError(
      f"No run of this config has engine {engine!r}: choose another preset."
    )
  c = ConfigDict(run.config.to_dict())
  c.seeds, c.max_seeds = (0,), 0
  c.optim.anneal_excess = c.optim.stop_loss = 0.0
  # The limit engine waits for ever to be told of a step beyond its last.
  c.train.max = LONG
  c.limit.stride, c.data.num_test = 1, 1
  c.lemmas.measure = measure
  c.data.dim = sizes.get("dim", c.data.dim)
  c.data.num_train = sizes.get("num_train", c.data.num_train)
  if "num_hidden" in sizes:
    c.model.num_hidden, c.model.num_hidden_v = sizes["num_hidden"], 0
  c.model.num_hidden_v = sizes.get("num_hidden_v", c.model.num_hidden_v)
  theory.validate(c)
  return c


class Costs(NamedTuple):
  """Seconds of a step inside the compiled loop, and of an evaluation."""

  step: float
  evaluation: float


def costs(config: ConfigDict, *, steps_per_call: int) -> Costs:
  """What a run's steps and evaluations cost, all its seeds together. Ours."""
  run = programs.start(config, steps_per_call)
  return Costs(seconds(run.step) / run.per_call, seconds(run.evaluate))


def seconds_per_step(config: ConfigDict, *, steps_per_call: int) -> float:
  """One seed's step inside the compiled loop, in s. Ours."""
  return costs(config, steps_per_call=steps_per_call).step


def instruments_cost(
  config: ConfigDict, *, steps_per_call: int
) -> dict[str, Any]:
  """What all instruments add to a run's time, before annealing and after. Ours.

  Of `INSTRUMENT_STEPS` steps with the config's own evaluations. Both times are
  of the same run of the bench, by turns.

  Returns:
    {"before", "after"}: {"none", "all": seconds, "added": share}.
  """
  num_evals = len(
    cadence.eval_steps(
      INSTRUMENT_STEPS, per_decade=config.eval.per_decade, every=None
    )
  )
  out = {}
  # An excess of 9 anneals at the first step, one of 0 never.
  for phase, excess in (("before", 0.0), ("after", 9.0)):
    totals = {}
    for measure in (instruments.NONE, instruments.ALL):
      c = ConfigDict(config.to_dict())
      c.lemmas.measure, c.optim.anneal_excess = measure, excess
      cost = costs(c, steps_per_call=steps_per_call)
      totals[measure] = (
        INSTRUMENT_STEPS * cost.step + num_evals * cost.evaluation
      )
    added = totals[instruments.ALL] / totals[instruments.NONE] - 1
    out[phase] = totals | {"added": added}
    print(
      f"instruments, {config.engine}, {phase} annealing: {added:+.0%} of a run"
      f" of {INSTRUMENT_STEPS:,} steps with {num_evals} evaluations",
      flush=True,
    )
  return out


class Parts(NamedTuple):
  """Seconds per step of parts measured alone, and the former's FLOPs."""

  forward_backward: float
  noise: float
  flops: float


def parts_alone(config: ConfigDict, *, steps_per_call: int) -> Parts:
  """Gradient with a plain descent update, and the noise link, alone. Ours."""
  task = theory.make(config, axis_name=None)
  data = Data(*jax.tree.map(lambda x: x[0], tuple(task.data)))
  state = task.init(prng.root_key(0), data)
  s = settings.resolve(config)
  dims = data.examples["x1"].shape[-1], data.shared["directions"].shape[-1]
  net = structures.make(
    s,
    rows=network.rows(config),
    dims=dims,
    dtype=np.dtype(config.model.dtype),
  )
  gradient = jax.grad(network.make_loss(net), has_aux=True)
  link = optim.add_gaussian_noise(s.noise_std, prng.root_key(0))

  @jax.jit
  def descend(params):
    def body(_, params):
      grads, _ = gradient(params, state.model_state, data, 0)
      return jax.tree.map(lambda p, g: p - 1e-3 * g, params, grads)

    return jax.lax.fori_loop(0, steps_per_call, body, params)

  @jax.jit
  def draw(params, link_state):
    def body(_, carry):
      return link.update(*carry)

    return jax.lax.fori_loop(0, steps_per_call, body, (params, link_state))

  link_state = link.init(state.params)
  # A multiply and an add per weight and input, forward and again backward.
  num_inputs = (config.data.num_train, len(data.shared["directions"]))
  flops = sum(
    4.0 * n * block.size
    for n, block in zip(num_inputs, state.params, strict=True)
  )
  return Parts(
    seconds(lambda: jax.block_until_ready(descend(state.params)))
    / steps_per_call,
    seconds(lambda: jax.block_until_ready(draw(state.params, link_state)[0]))
    / steps_per_call,
    flops,
  )


def numpy_seconds_per_step(config: ConfigDict, *, reduced: bool) -> float:
  """One step of `theory.reference` in float32, noise included. Ours.

  Args:
    config: a run of the network engine.
    reduced: in the basis the engine uses, or in all d coordinates.
  """
  s = settings.resolve(config)
  problem = problem_lib.sample_problem(
    (0,),
    dim=s.dim,
    num_train=s.num_train,
    num_test=1,
    p0=s.p0,
    q0=s.q0,
    r=s.r,
    q_norm=s.q_norm,
  )
  x1_dim = s.dim
  if reduced:
    problem, x1_dim, _ = problem_lib.rotate_to_span(problem)
    directions = data_lib.directions_in_plane(s.r, s.q_norm)
  else:
    directions = problem.vectors.directions[0]
  train = jax.tree.map(lambda x: x[0], problem.train)
  inputs = reference.Inputs(
    train.x1[:, :x1_dim].astype(np.float32),
    data_lib.x2_of(train, data_lib.Vectors(None, directions)).astype(
      np.float32
    ),
    train.y.astype(np.float32),
  )
  rows_w, rows_v = network.rows(config)
  draw = np.random.default_rng(0)
  shapes = (rows_w, x1_dim), (rows_v, directions.shape[-1])

  def normal(std):
    return reference.Weights(
      *(
        np.float32(std) * draw.standard_normal(shape, np.float32)
        for shape in shapes
      )
    )

  head = reference.Weights(
    *(
      draw.choice([-1, 1], n).astype(np.float32) / np.float32(np.sqrt(2 * n))
      for n in (rows_w, rows_v)
    )
  )
  state = {"weights": normal(s.init_std)}

  def call():
    _, grads = reference.gradient(head, state["weights"], inputs)
    state["weights"] = reference.update(
      state["weights"],
      grads,
      normal(s.noise_std),
      rate=np.float32(s.learning_rate),
      weight_decay=np.float32(s.weight_decay),
    )

  return seconds(call)


def network_row(config: ConfigDict, *, steps_per_call: int) -> dict[str, Any]:
  """One line of the network table. Ours."""
  rows_w, rows_v = network.rows(config)
  whole = seconds_per_step(config, steps_per_call=steps_per_call)
  alone = parts_alone(config, steps_per_call=steps_per_call)
  plain = numpy_seconds_per_step(config, reduced=False)
  same_basis = numpy_seconds_per_step(config, reduced=True)
  return {
    "dim": config.data.dim,
    "num_train": config.data.num_train,
    "rows_w": rows_w,
    "rows_v": rows_v,
    "steps_per_second": 1 / whole,
    "share_forward_backward": alone.forward_backward / whole,
    "share_noise": alone.noise / whole,
    "forward_backward_gflops": alone.flops / alone.forward_backward / 1e9,
    "matrix_product_gflops": bench_device.matrix_product_flops_per_second()
    / 1e9,
    "share_rest": 1 - (alone.forward_backward + alone.noise) / whole,
    "numpy_steps_per_second": 1 / plain,
    "ratio_to_numpy": plain / whole,
    "numpy_same_basis_steps_per_second": 1 / same_basis,
    "ratio_to_numpy_same_basis": same_basis / whole,
  }


def limit_table(config: ConfigDict) -> dict[str, Any]:
  """Cost of a limit step against N, and the N where a wide net's is met. Ours.

  Returns:
    `limit`: seconds per step by N, the config's own d/N kept; the seconds per
    step of a net of m = 65536 at the config's own N; the N at which the limit
    costs as much, on the line through the nearest two sizes in log and log.
  """
  own = run_config(config, settings.LIMIT)
  ratio = own.data.dim / own.data.num_train
  rows = []
  for n in LIMIT_SIZES:
    sizes = {"num_train": n, "dim": round(ratio * n)}
    cost = seconds_per_step(
      run_config(config, settings.LIMIT, **sizes), steps_per_call=50
    )
    rows.append(sizes | {"seconds": cost})
    print(f"limit N={n} d={sizes['dim']}: {1e3 * cost:.3f} ms/step", flush=True)
  wide = run_config(config, settings.LIMIT, num_hidden=WIDE)
  wide.engine = settings.NETWORK
  net = seconds_per_step(wide, steps_per_call=3)
  sizes, costs = ([r[k] for r in rows] for k in ("num_train", "seconds"))
  i = int(np.clip(np.searchsorted(costs, net), 1, len(costs) - 1))
  power = np.log(costs[i] / costs[i - 1]) / np.log(sizes[i] / sizes[i - 1])
  equal = float(sizes[i] * (net / costs[i]) ** (1 / power))
  print(
    f"network N={own.data.num_train} d={own.data.dim} m={WIDE}:"
    f" {1e3 * net:.1f} ms/step, the cost of a limit step at"
    f" N={equal:.0f}" + (" (extrapolated)" if net > costs[-1] else "")
  )
  return {
    "limit": rows,
    "network_num_train": own.data.num_train,
    "network_seconds": net,
    "equal_cost_num_train": equal,
  }


def run(config: ConfigDict) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours."""
  out: dict[str, Any] = {"network": []}
  engines = {r.config.engine for r in config_lib.expand(config, theory.SCHEMA)}
  if settings.NETWORK in engines:
    for sizes, steps_per_call in (({}, 200), (STANDARD, 10)):
      row = network_row(
        run_config(config, settings.NETWORK, **sizes),
        steps_per_call=steps_per_call,
      )
      out["network"].append(row)
      print(
        f"network d={row['dim']} N={row['num_train']} W {row['rows_w']} rows,"
        f" V {row['rows_v']} rows: {row['steps_per_second']:.1f} steps/s\n"
        f"  forward/backward {row['share_forward_backward']:.0%}, noise"
        f" {row['share_noise']:.0%}, rest {row['share_rest']:.0%} (update,"
        " decomposition, per-seed stop)\n"
        f"  forward/backward at {row['forward_backward_gflops']:.0f} GFLOP/s, a"
        " large matrix product here at"
        f" {row['matrix_product_gflops']:.0f}\n"
        f"  plain NumPy, all d coordinates: {row['numpy_steps_per_second']:.1f}"
        f" steps/s, ratio {row['ratio_to_numpy']:.1f}\n"
        "  plain NumPy, same reduced basis:"
        f" {row['numpy_same_basis_steps_per_second']:.1f} steps/s, ratio"
        f" {row['ratio_to_numpy_same_basis']:.1f}",
        flush=True,
      )
  if settings.LIMIT in engines:
    out |= limit_table(config)
  out["instruments"] = {
    engine: instruments_cost(
      run_config(config, engine, measure=instruments.ALL),
      steps_per_call=100,
    )
    for engine in sorted(engines)
  }
  return out
