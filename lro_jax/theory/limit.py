"""Engine 'limit': the dynamics at infinite width, exact, without any m.

Ours, from the paper's own reduction: let m -> infinity, then tau0 -> 0
(Assumption 3.2). What the outputs then are, and how a running sum per rate and
example carries the past, stands in `theory.kernels`; here it becomes a Task.

Strides: where eta is small, l' barely moves in one step, and n = `limit.stride`
steps are taken with F frozen: decay and the whole stride's correlation are in
closed form; l' is held, and within a stride the correlation falls evenly (exact
where the noise is stationary). Event steps are then exact to the stride.
The mitigation of Section F.1, noise on the pre-activations, is in the kernel
too; evaluations are of the net without that noise. Letters: see
`lro_jax.theory`. All of it in double precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lro_jax.core.schema import ConfigDict, to_steps
from lro_jax.core.task import NOT_YET, Array, Data, Measurements, Task, latch
from lro_jax.theory import (
  instruments,
  kernels,
  limit_inputs,
  limit_probe,
  limit_reading,
  measure,
  models,
  settings,
)
from lro_jax.theory import problem as problem_lib
from lro_jax.theory.limit_inputs import ByGroup, Inputs
from lro_jax.theory.settings import Setting


class LimitState(NamedTuple):
  """State of the limit dynamics.

  Attributes:
    step: gradient steps done, int32 [].
    sums_p: A_k of the P component, [K, n1].
    sums_q: A_k of Q's three directions, [K, 3].
    noise_std: tau_t / tau_0, [].
    probe: what is carried only to be measured.
    threshold: loss at which to anneal, [].
    annealed_at: latch, int32 [].
    stopped_at: latch, int32 [].
    diverged_at: latch, int32 [].
  """

  step: Array
  sums_p: Array
  sums_q: Array
  noise_std: Array
  probe: limit_probe.Probe
  threshold: Array
  annealed_at: Array
  stopped_at: Array
  diverged_at: Array


class Seen(NamedTuple):
  """The net on the training set as a step sees it.

  Attributes:
    r_p: r on M1, [n1], by group.
    f: on every example, [N].
    g: on every example, [N].
    log_p, log_q: log a of x1 [n1] and of x2 [N], None without noise.
  """

  r_p: ByGroup
  f: Array
  g: Array
  log_p: Array | None
  log_q: Array | None


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
  inputs = limit_inputs.make(s, problem.train, problem.test)
  max_steps = to_steps(config.train.max, steps_per_epoch=1)
  kernel = kernels.make_kernel(
    s, limit_inputs.largest_cosine(inputs), max_steps
  )
  num_p, num_rates = inputs.index.shape[-1], len(kernel.rates)
  chosen = instruments.choose(config.lemmas.measure, "limit", s.structure)
  carries = instruments.carried(chosen)

  train = measure.train_data(problem)
  schedule = settings.schedule(s, (train["m1"] == 0).mean(-1))
  # One device: everything is shared, nothing is split.
  shared = {"inputs": inputs, "schedule": schedule, "train": train}
  data = Data({}, shared)
  eval_data = Data({"train": train, "test": measure.test_data(problem)}, shared)

  def init(root, data):
    del root  # nothing is random at infinite width
    never = jnp.full((), NOT_YET, jnp.int32)
    return LimitState(
      step=jnp.zeros((), jnp.int32),
      sums_p=jnp.zeros((num_rates, num_p)),
      sums_q=jnp.zeros((num_rates, 3)),
      noise_std=jnp.ones(()),
      probe=limit_probe.start(num_rates, num_p, carries),
      threshold=data.shared["schedule"].anneal_threshold,
      annealed_at=never,
      stopped_at=never,
      diverged_at=never,
    )

  def without_noise(state, shared) -> tuple[ByGroup, Array, Array]:
    """r on M1 by group, r on every example [N], g at the directions [3]."""
    inputs = shared["inputs"]
    r_p = limit_inputs.p_output(kernel, inputs, state.sums_p)
    r = limit_inputs.on_all(inputs, r_p.whole, s.num_train)
    return r_p, r, kernels.q_directions_output(kernel, state.sums_q)

  def see(state, shared) -> Seen:
    inputs, ex = shared["inputs"], shared["train"]
    if not s.act_noise:
      r_p, r, g_at = without_noise(state, shared)
      g = models.q_output(g_at, ex["alpha"], ex["direction"])
      return Seen(r_p, r + g, g, None, None)
    level = jnp.where(state.annealed_at == NOT_YET, s.act_noise, 0.0)
    log_p = kernels.log_shrink(inputs.norms[0], state.noise_std, level)
    # Deviation: on V's units the noise is |z| times as large, for in the paper
    # |z| is 1: V's pre-activations are that much larger too.
    lengths = jnp.sqrt(1 + s.r**2 * jnp.array([1.0, 0.0, 1.0]))
    log_q = kernels.log_shrink(
      ex["alpha"] * lengths[ex["direction"]], state.noise_std, level
    )
    r_p = limit_inputs.p_output(kernel, inputs, state.sums_p, log_p)
    r = limit_inputs.on_all(inputs, r_p.whole, s.num_train)
    g = kernels.q_noisy_output(
      kernel, state.sums_q, ex["alpha"], ex["direction"], log_q
    )
    return Seen(r_p, r + g, g, log_p, log_q)

  def outputs(state, data):
    _, r, g_at = without_noise(state, data.shared)
    ex = data.shared["train"]
    return r + models.q_output(g_at, ex["alpha"], ex["direction"])

  def rate_of(annealed_at, schedule):
    factor = jnp.where(annealed_at == NOT_YET, 1.0, schedule.anneal_factor)
    return schedule.learning_rate * factor

  def step(state, batch):
    shared, ex = batch.shared, batch.shared["train"]
    inputs, schedule = shared["inputs"], shared["schedule"]
    seen = see(state, shared)
    loss = models.logistic_loss(seen.f, ex["y"])
    value = jnp.sum(ex["weight"] * loss)
    anneals = value <= state.threshold
    anneals |= state.step >= schedule.anneal_latest
    annealed_at = latch(state.annealed_at, anneals, state.step)
    rate = rate_of(annealed_at, schedule)
    # Strides end on multiples of the stride: where the host looks in between
    # then cannot change the path.
    left = config.limit.stride - state.step % config.limit.stride
    is_small = schedule.learning_rate <= s.small_learning_rate
    n = jnp.where(is_small | (annealed_at != NOT_YET), left, 1)
    n = jnp.minimum(n, max_steps - state.step)
    u = kernels.log_decorrelation(state.noise_std, n, rate, s)

    slope = jax.nn.sigmoid(-ex["y"] * seen.f)
    force = ex["weight"] * ex["y"] * slope
    force_p = limit_inputs.of_m1(inputs, force)
    force_q = limit_inputs.on_directions(force * ex["alpha"], ex["direction"])
    # The past meets the noise of its own time: a force for every rate.
    rate_force_p, rate_force_q = force_p, force_q
    if s.act_noise:
      rate_force_p = force_p * kernels.powers(kernel, seen.log_p)
      rate_force_q = limit_inputs.on_directions(
        kernels.powers(kernel, seen.log_q) * force * ex["alpha"],
        ex["direction"],
      )
    move = limit_probe.Move(
      n=n,
      rate=rate,
      u=u,
      weight_decay=s.weight_decay,
      decay=jnp.exp(n * jnp.log1p(-rate * s.weight_decay)),
      span=_gathered(n, rate, s.weight_decay),
      force_p=force_p,
      force_q=force_q,
    )
    m2 = ex["m2"]
    probe = limit_probe.advance(
      state.probe,
      move,
      kernel,
      inputs,
      r=seen.r_p,
      along_q=jnp.sum(force * seen.g),
      force_norm2=_force_norm2(
        kernel, inputs, move, seen, rate_force_p, rate_force_q
      ),
      rho=jnp.sum(ex["weight"] * slope * m2),
      loss_m2=jnp.sum(loss * m2) / jnp.sum(m2),
      step=state.step,
      stop_loss=s.stop_loss,
    )
    probe = probe._replace(
      anneal=limit_probe.advance_anneal(
        state.probe,
        move,
        kernel,
        inputs,
        sums_p=state.sums_p,
        sums_q=state.sums_q,
        annealed_at=annealed_at,
        step=state.step,
      )
    )
    new = state._replace(
      step=state.step + n,
      sums_p=kernels.advance(kernel, state.sums_p, rate_force_p, **move.by),
      sums_q=kernels.advance(kernel, state.sums_q, rate_force_q, **move.by),
      noise_std=state.noise_std * move.decay * jnp.exp(u),
      probe=probe,
      annealed_at=annealed_at,
      stopped_at=latch(state.stopped_at, value <= s.stop_loss, state.step),
      diverged_at=latch(state.diverged_at, ~jnp.isfinite(value), state.step),
    )
    return new, {"loss": value}

  def evals(state: LimitState, data: Data) -> Measurements:
    _, r, g_at = without_noise(state, data.shared)
    ex = data.shared["train"]
    rate = rate_of(state.annealed_at, data.shared["schedule"])
    values = {
      "signal_norm2/w": state.probe.norm2_w,
      "signal_norm2/v": state.probe.norm2_v,
      "noise_std/relative": state.noise_std,
      "learning_rate": rate,
    }
    f = r + models.q_output(g_at, ex["alpha"], ex["direction"])
    if chosen:
      reading = limit_reading.read(
        state.probe,
        state.sums_p,
        data.shared["inputs"],
        ex,
        kernel,
        s,
        f=f,
        r=r,
        g_at=g_at,
        step=state.step,
        annealed_at=state.annealed_at,
        rate=rate,
      )
      values |= instruments.measure(chosen, reading, s)
    return measure.measurements(
      f,
      r,
      g_at,
      limit_inputs.test_output(kernel, data.shared["inputs"], state.sums_p),
      None,
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
    remember=lambda state, held: state,
    marks={},
    learning_rate=lambda state, data: rate_of(
      state.annealed_at, data.shared["schedule"]
    ),
    x64=True,
    device_loop=True,
    facts={
      "kernel_error": kernel.error,
      "num_rates": num_rates,
      "instruments": instruments.as_facts(chosen),
    },
    files={},
  )


def _gathered(n, rate, weight_decay):
  """Sum of eta (1 - eta lambda)^j over j < n."""
  if not weight_decay:
    return n * rate
  return -jnp.expm1(n * jnp.log1p(-rate * weight_decay)) / weight_decay


def _force_norm2(kernel, inputs: Inputs, move, seen: Seen, rate_p, rate_q):
  """||G||^2 of W, of W from M2 alone, and of V: quadratic forms in the force.

  Under noise the examples' patterns are taken as independent. Those of one and
  the same step share their draw: neglected, a relative eta.
  """
  force = inputs.by_group(move.force_p)
  if seen.log_p is None:
    at_one = jnp.sum(kernel.directions, axis=0)
    seen_by = ByGroup(
      *(f @ gram for f, gram in zip(force, inputs.gram, strict=True))
    )
    of_v = move.force_q @ at_one @ move.force_q
  else:
    seen_by = limit_inputs.p_output(kernel, inputs, rate_p, seen.log_p)
    of_v = jnp.einsum("ki,kij,kj->", rate_q, kernel.directions, rate_q)
  of_w = seen_by.whole @ move.force_p
  of_m2 = inputs.by_group(seen_by.m2).m2 @ force.m2
  return of_w, of_m2, of_v
