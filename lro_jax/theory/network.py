"""Engine 'network': an actual two-layer net trained by noisy gradient descent.

Paper: Section 3, (3.1)-(3.2), through the optax chain of `core.optim`; Section
F.1, noise on the pre-activations, for the arm that has it; evaluations are
without it.
`theory.structures` has the net itself. Letters: see `lro_jax.theory`.

Two bases cut the cost without touching any law (config `model.basis`):

  reduced  of the split net: the gradient of V lies in span{z, zeta} and that of
           W in the span of the training x1, and the noise is isotropic. In an
           orthonormal basis of these spans V is [m/2, 2] and W [m/2, rank]. The
           rest of W is a noise process that no training output sees; where a
           test output needs it, it is drawn from its law at that step. Draws at
           different logged steps are then independent, where those of `full`
           are correlated.
  full     all d coordinates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import optim, prng
from lro_jax.core.normal import normal
from lro_jax.core.prng import Stream
from lro_jax.core.schema import ConfigDict
from lro_jax.core.task import (
  NOT_YET,
  Array,
  Data,
  Measurements,
  Task,
  TrainState,
  Tree,
)
from lro_jax.theory import data as data_lib
from lro_jax.theory import (
  decomposition,
  instruments,
  measure,
  models,
  network_probe,
  network_reading,
  settings,
  structures,
)
from lro_jax.theory import problem as problem_lib
from lro_jax.theory.settings import Setting

REDUCED, FULL = "reduced", "full"


class Size(NamedTuple):
  """Rows of W and V (m/2 each, or of a net without blocks), and columns kept.

  Attributes:
    rows: of W and of V.
    dims: columns of W and of V.
  """

  rows: tuple[int, int]
  dims: tuple[int, int]


def make(
  config: ConfigDict,
  setting: Setting,
  problem: problem_lib.Problem,
  *,
  axis_name: str | None,
) -> Task:
  """The network engine's Task. Paper: Section 3.

  Args:
    config: valid theory config.
    setting: its numbers.
    problem: data of every seed.
    axis_name: name of the device axis, or None.

  Returns:
    The Task.
  """
  s, dtype = setting, np.dtype(config.model.dtype)
  rank = s.dim
  if config.model.basis == REDUCED:
    problem, rank, _ = problem_lib.rotate_to_span(problem)
    plane = data_lib.directions_in_plane(s.r, s.q_norm)
    directions = np.stack([plane] * len(config_seeds(config)))
  else:
    directions = problem.vectors.directions
  size = Size(rows(config), (rank, directions.shape[-1]))
  net = structures.make(s, rows=size.rows, dims=size.dims, dtype=dtype)
  chosen = instruments.choose(config.lemmas.measure, "network", s.structure)
  carries = instruments.carried(chosen)
  loss = make_loss(net)

  def cast(tree):
    return jax.tree.map(
      lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, tree
    )

  train = measure.train_data(problem) | {"x1": problem.train.x1[..., :rank]}
  test = measure.test_data(problem) | {"x1": problem.test.x1}
  shared = cast(
    {
      "directions": directions,
      "schedule": settings.schedule(s, (train["m1"] == 0).mean(-1)),
    }
  )
  data = Data(cast(train), shared)
  eval_shared = shared | cast(
    {
      "p_only_x1": network_reading.p_only_x1(train),
      # A few examples, whole, on every device.
      "few": {n: train[n][:, :16] for n in ("y", "x1", "alpha", "direction")},
      "q": (train["m1"] == 0).mean(-1).astype(dtype),
      "p": (train["m2"] == 0).mean(-1).astype(dtype),
    }
  )
  eval_data = Data(cast({"train": train, "test": test}), eval_shared)

  def chain(schedule, noise_key=None):
    return optim.links(
      learning_rate=schedule.learning_rate,
      weight_decay=s.weight_decay,
      noise_std=s.noise_std,
      noise_key=noise_key,
      anneal_threshold=schedule.anneal_threshold,
      anneal_factor=schedule.anneal_factor,
      anneal_latest=schedule.anneal_latest,
    )

  def init(root, data):
    key = prng.stream_key(root, Stream.INIT)
    std = jnp.asarray(s.init_std, dtype)
    params = jax.tree.map(
      lambda x: std * x, net.init(jax.random.fold_in(key, 0))
    )
    noise_key = prng.stream_key(root, Stream.GRAD_NOISE)
    model_state = {
      "heads": net.heads(jax.random.fold_in(key, 1)),
      # Far from the small numbers that splitting the stream's key stands for.
      "eval_key": jax.random.fold_in(prng.stream_key(root, Stream.EVAL), 2**30),
    }
    if s.act_noise:
      model_state |= {
        "act_key": prng.stream_key(root, Stream.ACT_NOISE),
        "act_noise": jnp.asarray(s.act_noise * s.init_std, dtype),
      }
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      model_state=model_state,
      opt_state=tuple(
        link.init(params) for link in chain(data.shared["schedule"], noise_key)
      ),
      probe=network_probe.start(params, std, carries),
      stopped_at=jnp.full((), NOT_YET, jnp.int32),
      diverged_at=jnp.full((), NOT_YET, jnp.int32),
    )

  def rate(opt_state, data):
    schedule = data.shared["schedule"]
    annealed = optim.annealed_at(opt_state) != NOT_YET
    factor = jnp.where(annealed, schedule.anneal_factor, 1)
    return (schedule.learning_rate * factor).astype(dtype)

  def move(before: TrainState, seen: optim.Seen) -> optim.Moved:
    old = before.probe
    params, noise_part, opt_state = decomposition.update_with_noise_part(
      # The noise's key lives in the state.
      chain(seen.batch.shared["schedule"]),
      before.opt_state,
      before.params,
      old.parts.noise,
      seen.grads,
      loss=seen.loss,
    )
    annealed_at = optim.annealed_at(opt_state)
    # The rate this update was made with: the latch is already the new one.
    gamma = rate(opt_state, seen.batch)
    probe = network_probe.advance(
      before,
      seen,
      noise_part,
      s,
      rate=gamma,
      axis_name=axis_name,
      noise=act_noise(net, before.model_state, before.step),
    )
    model_state = seen.model_state
    if s.act_noise:
      model_state = model_state | {
        "act_noise": jnp.where(
          annealed_at == NOT_YET, model_state["act_noise"], 0
        )
      }
    return optim.Moved(params, model_state, opt_state, probe)

  def evals(state: TrainState, data: Data) -> Measurements:
    heads, examples = state.model_state["heads"], data.examples
    train, test = examples["train"], examples["test"]
    directions = data.shared["directions"]
    f = net.output(state.params, heads, train, directions, None)
    r, g_at = net.components(state.params, heads, train["x1"], directions)

    if rank < s.dim:
      r_test, r_opposite = test_outputs(state, test["x1"], rank)
    else:
      r_test, r_opposite = (
        net.components(state.params, heads, x1, directions)[0]
        for x1 in (test["x1"], -test["x1"])
      )
    f_test = None
    if s.structure == settings.GENERAL:
      f_test = net.output(state.params, heads, test, directions, None)
    values = network_reading.norms(state.params, state.probe) | {
      "learning_rate": rate(state.opt_state, data)
    }
    if chosen:
      reading = network_reading.read(
        net,
        state,
        data,
        s,
        size.rows,
        f=f,
        r=r,
        g_at=g_at,
        r_test=r_test,
        r_opposite=r_opposite,
        rate=rate(state.opt_state, data),
        annealed_at=optim.annealed_at(state.opt_state),
        loss=loss,
        axis_name=axis_name,
      )
      values |= instruments.measure(chosen, reading, s)
    return measure.measurements(
      f, r, g_at, r_test, f_test, data, values, p0=s.p0, q0=s.q0
    )

  def events(state):
    return {
      "anneal": optim.annealed_at(state.opt_state),
      "stop": state.stopped_at,
      "diverge": state.diverged_at,
    }

  return Task(
    seeds=config_seeds(config),
    data=data,
    eval_data=eval_data,
    init=init,
    batches=lambda data, step: data,
    step=optim.gradient_step(
      loss,
      move,
      stop_loss=s.stop_loss,
      axis_name=axis_name,
    ),
    sums=("loss",),
    evals=evals,
    outputs=lambda state, data: net.output(
      state.params,
      state.model_state["heads"],
      data.examples,
      data.shared["directions"],
      None,
    ),
    events=events,
    measured=("anneal", "stop", "diverge"),
    remember=network_probe.remember,
    marks={},
    learning_rate=lambda state, data: rate(state.opt_state, data),
    x64=dtype == np.float64,
    device_loop=True,
    facts={"instruments": instruments.as_facts(chosen)},
    files={},
  )


def act_noise(
  net: structures.Net, model_state: dict, step: Array
) -> Tree | None:
  """Xi of a step, drawn anew each step for all examples; None if none. (F.2).

  Args:
    net: the structure.
    model_state: holds `act_key` and the level `act_noise`, if there is any.
    step: the step, [].
  """
  if "act_key" not in model_state:
    return None
  # One key on all devices: the noise is of the units, not of the examples.
  drawn = net.noise(prng.step_key(model_state["act_key"], step))
  return jax.tree.map(lambda xi: model_state["act_noise"] * xi, drawn)


def make_loss(net: structures.Net):
  """The loss function of `core.optim.gradient_step`. Section 2.

  Returns:
    (params, model_state, batch, step) -> (this device's share of the mean
    logistic loss [], (model_state, sums)); sums are `loss`, `loss_m2`, the
    share of the examples with a Q component, and `rho`, (B.10).
  """

  def loss(params: Tree, model_state: dict, batch: Data, step: Array):
    ex = batch.examples
    f = net.output(
      params,
      model_state["heads"],
      ex,
      batch.shared["directions"],
      act_noise(net, model_state, step),
    )
    each = ex["weight"] * models.logistic_loss(f, ex["y"])
    value = jnp.sum(each)
    in_m2 = ex["weight"] * ex["m2"]
    sums = {
      "loss": value,
      "loss_m2": jnp.sum(each * ex["m2"]),
      "share_m2": jnp.sum(in_m2),
      "rho": jnp.sum(in_m2 * jax.nn.sigmoid(-ex["y"] * f)),
    }
    return value, (model_state, sums)

  return loss


def test_outputs(
  state: TrainState, x1: Array, rank: int
) -> tuple[Array, Array]:
  """r of the reduced split net, with the noise beyond, on any x1. Ours.

  Args:
    state: the engine's state; W keeps `rank` columns.
    x1: inputs in W's basis, [n, d]; the coordinates past `rank` meet rows drawn
      from the noise part's law at this step, N(0, tau_t^2).
    rank: how many coordinates W keeps.

  Returns:
    r on x1 and on -x1, [n] each, by one product: U(-x) is -(U x).
  """
  weights, head = state.params.w, state.model_state["heads"].w
  # One key on all devices: the weights are replicated.
  key = prng.step_key(state.model_state["eval_key"], state.step)
  shape = (weights.shape[0], x1.shape[-1] - rank)
  unseen = state.probe.noise_std * normal(key, shape, weights.dtype)
  pre = x1 @ jnp.concatenate([weights, unseen], axis=1).T
  return jax.nn.relu(pre) @ head, jax.nn.relu(-pre) @ head


def rows(config: ConfigDict) -> tuple[int, int]:
  """Rows of W and of V: m/2 each, unless V has a width of its own. Ours."""
  wide = config.model.num_hidden_v or config.model.num_hidden
  return config.model.num_hidden // 2, wide // 2


def config_seeds(config: ConfigDict) -> tuple[int, ...]:
  """The seeds a run uses: the first `max_seeds` of `seeds`, 0 for all. Ours."""
  return tuple(config.seeds[: config.max_seeds or None])
