"""Engine 'limit': the dynamics at infinite width, exact, without any m.

Ours, from the paper's own reduction: let m -> infinity, then tau0 -> 0
(Assumption 3.2). What the outputs then are, and how a running sum per rate and
example carries the past, stands in `theory.kernels`; here it becomes a Task.

Strides: where eta is small, l' barely moves in one step, and n = `limit.stride`
steps are taken with F frozen: decay and the whole stride's correlation are in
closed form; l' is held, and within a stride the correlation falls evenly (exact
where the noise is stationary). Event steps are then exact to the stride.
Letters: see `lro_jax.theory`. All of it in double precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core.schema import ConfigDict, to_steps
from lro_jax.core.task import NOT_YET, Array, Data, Measurements, Task, latch
from lro_jax.theory import kernels, measure, models, settings
from lro_jax.theory import problem as problem_lib
from lro_jax.theory.settings import Setting


class LimitState(NamedTuple):
  """State of the limit dynamics.

  Attributes:
    step: gradient steps done, int32 [].
    sums_p: A_k of the P component, [K, n1].
    sums_q: A_k of Q's three directions, [K, 3].
    noise_std: tau_t / tau_0, [].
    norm2_w: ||Wbar||_F^2, [].
    norm2_v: ||Vbar||_F^2, [].
    threshold: loss at which to anneal, [].
    annealed_at: latch, int32 [].
    stopped_at: latch, int32 [].
    diverged_at: latch, int32 [].
  """

  step: Array
  sums_p: Array
  sums_q: Array
  noise_std: Array
  norm2_w: Array
  norm2_v: Array
  threshold: Array
  annealed_at: Array
  stopped_at: Array
  diverged_at: Array


def make(
  config: ConfigDict, setting: Setting, problem: problem_lib.Problem
) -> Task:
  """The limit engine's Task. Ours.

  Args:
    config: valid theory config.
    setting: its numbers.
    problem: data of every seed, leaves [s, ...].

  Returns:
    The Task, in double precision.
  """
  s = setting
  index, x1 = _p_examples(problem.train.x1)
  unit_train, norms = _unit(x1)
  unit_test, test_norms = _unit(problem.test.x1)
  cosines = np.einsum("sid,sjd->sij", unit_train, unit_train)
  diagonal = np.arange(cosines.shape[-1])
  cosines[:, diagonal, diagonal] = 0.0
  test_cosines = np.einsum("sjd,sid->sji", unit_train, unit_test)
  largest = max(np.abs(cosines).max(), np.abs(test_cosines).max())
  max_steps = to_steps(config.train.max, steps_per_epoch=1)
  kernel = kernels.make_kernel(s, float(largest), max_steps)

  train = measure.train_data(problem)
  shared = {
    "p_index": index,
    "cosines": cosines,
    "norms": norms,
    "threshold": settings.anneal_threshold(s, (train["m1"] == 0).mean(-1)),
  }
  # One device: everything is shared, nothing is split.
  data = Data({}, shared | {"train": train})
  eval_data = Data(
    {"train": train, "test": measure.test_data(problem)},
    shared | {"test_cosines": test_cosines, "test_norms": test_norms},
  )
  num_p = x1.shape[-2]

  def init(root, data):
    del root  # nothing is random at infinite width
    zero, never = jnp.zeros(()), jnp.full((), NOT_YET, jnp.int32)
    num_rates = len(kernel.rates)
    return LimitState(
      step=jnp.zeros((), jnp.int32),
      sums_p=jnp.zeros((num_rates, num_p)),
      sums_q=jnp.zeros((num_rates, 3)),
      noise_std=jnp.ones(()),
      norm2_w=zero,
      norm2_v=zero,
      threshold=data.shared["threshold"],
      annealed_at=never,
      stopped_at=never,
      diverged_at=never,
    )

  def components(state, shared):
    """r on M1 [n1], r on every example [N], g at the directions [3]."""
    r_p = kernels.p_output(
      kernel, shared["cosines"], shared["norms"], state.sums_p
    )
    r = jnp.zeros(s.num_train).at[shared["p_index"]].set(r_p, mode="drop")
    return r_p, r, kernels.q_directions_output(kernel, state.sums_q)

  def outputs(state, data):
    _, r, g_at = components(state, data.shared)
    ex = data.shared["train"]
    return r + models.q_output(g_at, ex["alpha"], ex["direction"])

  def rate_of(annealed_at):
    factor = jnp.where(annealed_at == NOT_YET, 1.0, s.anneal_factor)
    return s.learning_rate * factor

  def step(state, batch):
    shared, ex = batch.shared, batch.shared["train"]
    r_p, r, g_at = components(state, shared)
    f = r + models.q_output(g_at, ex["alpha"], ex["direction"])
    value = jnp.sum(ex["weight"] * models.logistic_loss(f, ex["y"]))
    annealed_at = latch(state.annealed_at, value <= state.threshold, state.step)
    rate = rate_of(annealed_at)
    # Strides end on multiples of the stride: where the host looks in between
    # then cannot change the path.
    left = config.limit.stride - state.step % config.limit.stride
    is_small = s.learning_rate <= s.small_learning_rate
    n = jnp.where(is_small | (annealed_at != NOT_YET), left, 1)
    n = jnp.minimum(n, max_steps - state.step)
    u = kernels.log_decorrelation(state.noise_std, n, rate, s)

    force = ex["weight"] * ex["y"] * jax.nn.sigmoid(-ex["y"] * f)
    force_p = force.at[shared["p_index"]].get(mode="fill", fill_value=0.0)
    force_q = jnp.zeros(3).at[ex["direction"]].add(force * ex["alpha"])
    move = dict(n=n, rate=rate, u=u, weight_decay=s.weight_decay)
    decay = jnp.exp(n * jnp.log1p(-rate * s.weight_decay))
    span = _gathered(n, rate, s.weight_decay)
    new = state._replace(
      step=state.step + n,
      sums_p=kernels.advance(kernel, state.sums_p, force_p, **move),
      sums_q=kernels.advance(kernel, state.sums_q, force_q, **move),
      noise_std=state.noise_std * decay * jnp.exp(u),
      norm2_w=_norm2(
        state.norm2_w,
        decay,
        span,
        jnp.sum(force_p * r_p),
        _quadratic_p(kernel, shared, force_p),
      ),
      norm2_v=_norm2(
        state.norm2_v,
        decay,
        span,
        jnp.sum(force_q * g_at),
        force_q @ jnp.sum(kernel.directions, axis=0) @ force_q,
      ),
      annealed_at=annealed_at,
      stopped_at=latch(state.stopped_at, value <= s.stop_loss, state.step),
      diverged_at=latch(state.diverged_at, ~jnp.isfinite(value), state.step),
    )
    return new, {"loss": value}

  def evals(state: LimitState, data: Data) -> Measurements:
    shared = data.shared
    _, r, g_at = components(state, shared)
    r_test = shared["test_norms"] * kernels.off_diagonal(
      kernel, shared["test_cosines"], shared["norms"], state.sums_p
    )
    values = {
      "signal_norm2/w": state.norm2_w,
      "signal_norm2/v": state.norm2_v,
      "noise_std/relative": state.noise_std,
      "learning_rate": rate_of(state.annealed_at),
    }
    return measure.measurements(
      r,
      g_at,
      r_test,
      data,
      values,
      p0=s.p0,
      q0=s.q0,
    )

  def events(state):
    return {
      "anneal": state.annealed_at,
      "stop": state.stopped_at,
      "diverge": state.diverged_at,
    }

  return Task(
    seeds=tuple(config.seeds[: config.max_seeds or None]),
    data=data,
    eval_data=eval_data,
    init=init,
    batches=lambda data, step: data,
    step=step,
    sums=("loss",),
    evals=evals,
    outputs=outputs,
    events=events,
    measured=("anneal", "stop", "diverge"),
    marks={},
    learning_rate=lambda state: rate_of(state.annealed_at),
    x64=True,
    device_loop=True,
    facts={"kernel_error": kernel.error, "num_rates": len(kernel.rates)},
    files={},
  )


def _p_examples(x1):
  """Where each seed's M1 is, [s, n1], padded with N; and its x1, [s, n1, d]."""
  num_seeds, n, _ = x1.shape
  has_p = np.any(x1 != 0, axis=-1)
  num_p = int(has_p.sum(-1).max())
  index = np.full((num_seeds, num_p), n)
  for row, present in zip(index, has_p, strict=True):
    row[: present.sum()] = np.flatnonzero(present)
  padded = np.concatenate([x1, np.zeros_like(x1[:, :1])], axis=1)
  return index, np.take_along_axis(padded, index[..., None], axis=1)


def _unit(x):
  """Rows of unit length (zero rows stay zero), and their lengths."""
  norms = np.linalg.norm(x, axis=-1)
  return x / np.where(norms > 0, norms, 1.0)[..., None], norms


def _gathered(n, rate, weight_decay):
  """Sum of eta (1 - eta lambda)^j over j < n."""
  if not weight_decay:
    return n * rate
  return -jnp.expm1(n * jnp.log1p(-rate * weight_decay)) / weight_decay


def _norm2(norm2, decay, span, along, force_norm2):
  """||D Ubar + span G||^2, since <Ubar, G> = sum F f in the limit."""
  return decay**2 * norm2 + 2 * decay * span * along + span**2 * force_norm2


def _quadratic_p(kernel, shared, force):
  """||G_W||_F^2: the force's quadratic form at rho = 1."""
  norms = shared["norms"]
  same = jnp.broadcast_to(force, (kernel.num_odd + 1, force.shape[0]))
  off = kernels.off_diagonal(kernel, shared["cosines"], norms, same)
  diagonal = norms * jnp.sum(kernel.diagonal) * force
  return jnp.sum(force * norms * (off + diagonal))
