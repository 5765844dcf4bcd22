"""Engine 'network': an actual two-layer net trained by noisy gradient descent.

Paper: Section 3, (3.1)-(3.2), through the optax chain of `core.optim`. Letters:
see `lro_jax.theory`.

Two structures cut the cost without touching any law (config `model.basis`):

  reduced  the gradient of V lies in span{z, zeta} and that of W in the span of
           the training x1, and the noise is isotropic. In an orthonormal basis
           of these spans V is [m/2, 2] and W [m/2, rank]. The rest of W is a
           noise process that no training output sees; where a test output needs
           it, it is drawn from its law at that step. Draws at different logged
           steps are then independent, where those of `full` are correlated.
  full     W and V in all d coordinates.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import optim, prng
from lro_jax.core.prng import Stream
from lro_jax.core.schema import ConfigDict
from lro_jax.core.task import (
  NOT_YET,
  Array,
  Data,
  Measurements,
  Task,
  TrainState,
)
from lro_jax.theory import data as data_lib
from lro_jax.theory import decomposition, measure, models, settings
from lro_jax.theory import problem as problem_lib
from lro_jax.theory.settings import Setting

REDUCED, FULL = "reduced", "full"


class Probe(NamedTuple):
  """What is carried to be measured: (3.4)'s parts and the noise std, []."""

  parts: decomposition.Parts
  noise_std: Array


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
  s, model = setting, config.model
  rows_w, rows_v = rows(config)
  dtype = np.dtype(model.dtype)
  reduced = model.basis == REDUCED
  rank = s.dim
  if reduced:
    problem, rank, _ = problem_lib.rotate_to_span(problem)
    plane = data_lib.directions_in_plane(s.r, s.q_norm)
    directions = np.stack([plane] * len(config_seeds(config)))
  else:
    directions = problem.vectors.directions
  dim_v = directions.shape[-1]

  def cast(tree):
    return jax.tree.map(
      lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, tree
    )

  train = measure.train_data(problem) | {"x1": problem.train.x1[..., :rank]}
  test = measure.test_data(problem) | {"x1": problem.test.x1}
  shared = cast(
    {
      "directions": directions,
      "anneal_threshold": settings.anneal_threshold(
        s, (train["m1"] == 0).mean(-1)
      ),
    }
  )
  data = Data(cast(train), shared)
  eval_data = Data(cast({"train": train, "test": test}), shared)

  def chain(noise_key, threshold):
    return optim.make(
      learning_rate=s.learning_rate,
      weight_decay=s.weight_decay,
      noise_std=s.noise_std,
      noise_key=noise_key,
      anneal_threshold=threshold,
      anneal_factor=s.anneal_factor,
    )

  # Key and threshold live in the state; only `init` reads these arguments.
  tx = chain(None, -np.inf)

  def heads(root):
    key = jax.random.fold_in(prng.stream_key(root, Stream.INIT), 1)
    w_key, v_key = jax.random.split(key)
    return models.Blocks(
      models.sample_head(w_key, rows_w).astype(dtype),
      models.sample_head(v_key, rows_v).astype(dtype),
    )

  def init(root, data):
    init_key = jax.random.fold_in(prng.stream_key(root, Stream.INIT), 0)
    w_key, v_key = jax.random.split(init_key)
    std = jnp.asarray(s.init_std, dtype)
    params = models.Blocks(
      w=std * jax.random.normal(w_key, (rows_w, rank), dtype),
      v=std * jax.random.normal(v_key, (rows_v, dim_v), dtype),
    )
    noise_key = prng.stream_key(root, Stream.GRAD_NOISE)
    threshold = data.shared["anneal_threshold"]
    # Far from the small numbers that splitting the stream's key stands for.
    eval_key = jax.random.fold_in(prng.stream_key(root, Stream.EVAL), 2**30)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      model_state={"heads": heads(root), "eval_key": eval_key},
      opt_state=chain(noise_key, threshold).init(params),
      probe=Probe(decomposition.start(params), std),
      stopped_at=jnp.full((), NOT_YET, jnp.int32),
      diverged_at=jnp.full((), NOT_YET, jnp.int32),
    )

  def rate(opt_state):
    annealed = optim.annealed_at(opt_state) != NOT_YET
    factor = jnp.where(annealed, s.anneal_factor, 1.0)
    return (s.learning_rate * factor).astype(dtype)

  def move(before, grads, value):
    old = before.probe
    params, noise_part, opt_state = decomposition.update_with_noise_part(
      tx, before.opt_state, before.params, old.parts.noise, grads, loss=value
    )
    # The rate this update was made with: the latch is already the new one.
    gamma = rate(opt_state)
    signal_part = decomposition.advance_signal_part(
      old.parts.signal, grads, rate=gamma, weight_decay=s.weight_decay
    )
    shrink = 1 - gamma * s.weight_decay
    variance = (shrink * old.noise_std) ** 2 + (gamma * s.noise_std) ** 2
    parts = decomposition.Parts(signal_part, noise_part)
    probe = Probe(parts, jnp.sqrt(variance).astype(dtype))
    return optim.Moved(params, opt_state, probe)

  def evals(state: TrainState, data: Data) -> Measurements:
    head = state.model_state["heads"]
    examples = data.examples
    r, g_at = components(
      state.params, head, Data(examples["train"], data.shared)
    )
    r_test = test_output(state, examples["test"]["x1"], rank)
    parts = state.probe.parts
    squares = lambda x: jnp.sum(jnp.square(x))  # noqa: E731
    values = {
      "signal_norm2/w": squares(parts.signal.w),
      "signal_norm2/v": squares(parts.signal.v),
      "noise_norm2/w": squares(parts.noise.w),
      "noise_norm2/v": squares(parts.noise.v),
      "noise_std/w": jnp.std(parts.noise.w),
      "noise_std/v": jnp.std(parts.noise.v),
      "noise_std/closed_form": state.probe.noise_std,
      "decomposition_error": decomposition.relative_error(state.params, parts),
      "learning_rate": rate(state.opt_state),
    }
    return measure.measurements(r, g_at, r_test, data, values, p0=s.p0, q0=s.q0)

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
      tx,
      stop_loss=s.stop_loss,
      axis_name=axis_name,
      move=move,
    ),
    sums=("loss",),
    evals=evals,
    outputs=lambda state, data: output(
      state.params, state.model_state["heads"], data
    ),
    events=events,
    measured=("anneal", "stop", "diverge"),
    marks={},
    learning_rate=lambda state: rate(state.opt_state),
    x64=dtype == np.float64,
    device_loop=True,
    facts={},
    files={},
  )


def components(
  params: models.Blocks, heads: models.Blocks, batch: Data
) -> tuple[Array, Array]:
  """r on the batch's x1, [n], and g at Q's directions, [3]. (3.5), (3.6).

  Args:
    params: W and V, in the basis of the batch.
    heads: their heads.
    batch: examples with x1 [n, rank]; shared directions [3, d or 2].
  """
  r = models.two_layer(heads.w, params.w, batch.examples["x1"])
  g_at = models.directions_output(heads.v, params.v, batch.shared["directions"])
  return r, g_at


def output(params: models.Blocks, heads: models.Blocks, batch: Data) -> Array:
  """f = r + g on a batch, [n]; arguments as `components`. Section 2."""
  r, g_at = components(params, heads, batch)
  ex = batch.examples
  return r + models.q_output(g_at, ex["alpha"], ex["direction"])


def loss(
  params: models.Blocks, model_state: dict, batch: Data, step: Array
) -> tuple[Array, tuple[dict, dict[str, Array]]]:
  """This device's share of the mean logistic loss, []. Section 2.

  Args:
    params: W and V.
    model_state: holds `heads`.
    batch: as `components`, with labels y [n] and weights 1/N [n].
    step: unused.
  """
  del step
  ex = batch.examples
  f = output(params, model_state["heads"], batch)
  value = jnp.sum(ex["weight"] * models.logistic_loss(f, ex["y"]))
  return value, (model_state, {"loss": value})


def test_output(state: TrainState, x1: Array, rank: int) -> Array:
  """r on any x1, [n]: trained coordinates, and the noise beyond them. Ours.

  Args:
    state: the engine's state; W is [m/2, rank].
    x1: inputs in W's basis, [n, d]; the coordinates past `rank` meet rows drawn
      from the noise part's law at this step, N(0, tau_t^2).
    rank: how many coordinates W keeps; d in the full basis.
  """
  weights, head = state.params.w, state.model_state["heads"].w
  pre = x1[:, :rank] @ weights.T
  if rank < x1.shape[-1]:
    # One key on all devices: the weights are replicated.
    key = prng.step_key(state.model_state["eval_key"], state.step)
    shape = (weights.shape[0], x1.shape[-1] - rank)
    unseen = jax.random.normal(key, shape, weights.dtype)
    pre = pre + x1[:, rank:] @ (state.probe.noise_std * unseen).T
  return jax.nn.relu(pre) @ head


def rows(config: ConfigDict) -> tuple[int, int]:
  """Rows of W and of V: m/2 each, unless V has a width of its own. Ours."""
  wide = config.model.num_hidden_v or config.model.num_hidden
  return config.model.num_hidden // 2, wide // 2


def config_seeds(config: ConfigDict) -> tuple[int, ...]:
  """The seeds a run uses: the first `max_seeds` of `seeds`, 0 for all. Ours."""
  return tuple(config.seeds[: config.max_seeds or None])
