"""Engine 'limit': the dynamics at infinite width, exact, without any m.

Ours, from the paper's own reduction: let m -> infinity, then tau0 -> 0
(Assumption 3.2). Then patterns come from the noise part alone (Lemma A.8), and

  f_t(x) = sum_{s<t} c_ts sum_j F_js <x_j, x> k(rho_ts cos(x_j, x)),
  k(x)   = (1/2) (1/4 + arcsin(x) / (2 pi)),    F_js = -l'_js / N,

separately for the two components (the 1/2 since half of the units see each), with
l'_js = -y_j sigmoid(-y_j f_s(x_j)), D_t = prod_{i<t} (1 - eta_i lambda),
c_ts = eta_s D_t / D_(s+1), rho_ts = (D_t / tau_t) (tau_s / D_s). The 1/4 +
arcsin / (2 pi) is the probability that one Gaussian row is active on x_j at step
s and on x at step t.

Since rho_ts = exp(-u) with u additive over steps, and arcsin(c e^-u) is a sum of
exponentials (`theory.arcsine`), the past is carried by one running sum per rate
k and example:

  A_k <- q_k [(1 - eta lambda) A_k + eta F],    q_k = exp(-k u of this step).

For P pairs of different examples the cosines are small and a few odd powers are
exact; pairs of equal examples and Q's three directions use every rate.

Strides: where eta is small, l' barely moves in one step, and n = `limit.stride`
steps are taken with F frozen: exact decay and correlations in closed form, only
l' is held. Event steps are then exact to the stride. Letters: see
`lro_jax.theory`. All of it in double precision.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core.config import ConfigDict, to_steps
from lro_jax.core.task import NOT_YET, Array, Data, Measurements, Task, latch
from lro_jax.theory import arcsine, measure, models
from lro_jax.theory import data as data_lib
from lro_jax.theory.regime import Setting, noise_std_after

# Absolute error allowed to the kernel's arcsine.
TOLERANCE = 1e-8


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


class Kernel(NamedTuple):
  """The kernel's constants, the same for every seed.

  Attributes:
    rates: rates k, [K]; the first is 0.
    num_odd: how many odd powers P's pairs of different examples use.
    off: their coefficients, [1 + num_odd], that of the constant first.
    diagonal: weights of every rate at cosine 1, [K].
    directions: weights between Q's directions, inner products included,
      [K, 3, 3].
    error: largest error of the arcsine.
  """

  rates: np.ndarray
  num_odd: int
  off: np.ndarray
  diagonal: np.ndarray
  directions: np.ndarray
  error: float


def smallest_log_step(setting: Setting, max_steps: int) -> float:
  """Smallest positive u of one step of the run. Ours.

  At either rate the noise std drifts one way, so its extremes, and those of u,
  are at the ends of the run.

  Args:
    setting: the run's numbers.
    max_steps: length of the run.
  """
  rates = (setting.large_learning_rate, setting.small_learning_rate)
  stds = [1.0] + [
    noise_std_after(
      1.0,
      max_steps,
      rate=rate,
      weight_decay=setting.weight_decay,
      noise_std=setting.noise_std / setting.init_std,
    )
    for rate in rates
  ]
  found = [
    float(log_decorrelation(std, 1, rate, setting))
    for rate in rates
    for std in stds
  ]
  # Without noise rho stays 1 for ever and any rates serve.
  return min([u for u in found if u > 0], default=1e-6)


def log_decorrelation(std, n, rate, setting: Setting):
  """U = -log rho over n steps at one rate, from noise std `std`. Ours.

  rho = D tau / tau', tau'^2 = D^2 tau^2 + eta^2 tau_xi^2 (1 - D^2) / (a (2 - a))
  with a = eta lambda, D = (1 - a)^n.

  Args:
    std: tau / tau_0 before.
    n: number of steps.
    rate: eta.
    setting: the run's numbers.
  """
  a = rate * setting.weight_decay
  log_d2 = 2 * n * jnp.log1p(-a)
  noise2 = (rate * setting.noise_std / setting.init_std) ** 2
  if setting.weight_decay:
    gathered = noise2 * jnp.expm1(-log_d2) / (a * (2 - a))
  else:
    gathered = noise2 * n
  return 0.5 * jnp.log1p(gathered / std**2)


def make_kernel(
  setting: Setting, largest_cosine: float, max_steps: int
) -> Kernel:
  """Fits the exponentials and folds in the constants. Ours.

  Args:
    setting: the run's numbers.
    largest_cosine: largest |cos| between two different x1 of the run.
    max_steps: length of the run.
  """
  num_odd = arcsine.num_odd_powers(largest_cosine, TOLERANCE)
  directions = data_lib.directions_in_plane(setting.r, setting.q_norm)
  products = directions @ directions.T
  lengths = np.sqrt(np.diag(products))
  cosines = np.minimum(products / np.outer(lengths, lengths), 1.0)
  # A cosine c acts like log(1/c) more of u: the fit must reach down to either.
  smallest_u = min(
    smallest_log_step(setting, max_steps), -math.log(cosines[cosines < 1].max())
  )
  rates = arcsine.rates(num_odd, smallest_u)
  at_one, error = arcsine.fit(rates, smallest_u)

  def weights(cosine):
    # k(x) = 1/8 + arcsin(x) / (4 pi).
    out = arcsine.at_cosine(at_one, rates, cosine) / (4 * math.pi)
    out[0] = 1 / 8
    return out

  q_weights = np.array([[weights(c) for c in row] for row in cosines])
  series = arcsine.series_coefficients(num_odd) / (4 * math.pi)
  return Kernel(
    rates=rates,
    num_odd=num_odd,
    off=np.concatenate([[1 / 8], series]),
    diagonal=weights(1.0),
    directions=np.moveaxis(q_weights * products[..., None], -1, 0),
    error=error,
  )


def off_diagonal(kernel: Kernel, cosines: Array, norms: Array, sums: Array):
  """Sum over j of |x_j| cos_ij k(rho cos_ij) A_j, without |x_i|, [n]. Ours.

  Horner in cos^2, pair by pair: one pass over the cosines.

  Args:
    kernel: the kernel.
    cosines: cos(x_j, x_i), [n1, n], j first: the sum then runs along the slow
      axis, which compiles to vector code.
    norms: |x_j|, [n1].
    sums: A_k of the leading rates, [1 + num_odd, n1].
  """
  b = kernel.off[:, None] * norms * sums[: kernel.num_odd + 1]
  square = cosines * cosines
  odd = b[kernel.num_odd][:, None]
  for k in range(kernel.num_odd - 1, 0, -1):
    odd = odd * square + b[k][:, None]
  return jnp.sum(cosines * (b[0][:, None] + cosines * odd), axis=0)


def p_output(
  kernel: Kernel, cosines: Array, norms: Array, sums: Array
) -> Array:
  """r_t on the training x1, [n1]. Ours, from the formula above.

  Args:
    kernel: the kernel.
    cosines: between training x1, [n1, n1], diagonal set to 0.
    norms: |x_j|, [n1].
    sums: A_k, [K, n1].
  """
  same = norms * (kernel.diagonal @ sums)
  return norms * (off_diagonal(kernel, cosines, norms, sums) + same)


def q_directions_output(kernel: Kernel, sums: Array) -> Array:
  """g_t at z - zeta, z, z + zeta, [3]. `sums` [K, 3]. Ours."""
  return jnp.einsum("kij,kj->i", kernel.directions, sums)


def advance(
  kernel: Kernel,
  sums: Array,
  force: Array,
  *,
  n: Array,
  rate: Array,
  u: Array,
  weight_decay: float,
) -> Array:
  """Running sums after n steps with the force held. Ours.

  Per step A_k <- x A_k + eta q_k F with x = q_k (1 - eta lambda); n steps are a
  geometric sum. Exact for n = 1 and wherever u is the same in each step.

  Args:
    kernel: the kernel.
    sums: A_k, [K, n1].
    force: F, [n1].
    n: number of steps, [].
    rate: eta, [].
    u: -log rho over the n steps together, [].
    weight_decay: lambda.
  """
  log_q = -jnp.asarray(kernel.rates) * (u / n)
  log_x = log_q + jnp.log1p(-rate * weight_decay)
  still = log_x == 0
  safe = jnp.where(still, -1.0, log_x)
  geometric = jnp.where(still, n, jnp.expm1(n * safe) / jnp.expm1(safe))
  gain = rate * jnp.exp(log_q) * geometric
  return jnp.exp(n * log_x)[:, None] * sums + gain[:, None] * force


def make(
  config: ConfigDict, setting: Setting, problem: data_lib.Problem
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
  kernel = make_kernel(s, float(largest), max_steps)

  train = measure.train_data(problem)
  shared = {
    "p_index": index,
    "cosines": cosines,
    "norms": norms,
    "threshold": s.anneal_excess + (train["m1"] == 0).mean(-1) * np.log(2),
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
    """R on M1 [n1], r on every example [N], g at the directions [3]."""
    r_p = p_output(kernel, shared["cosines"], shared["norms"], state.sums_p)
    r = jnp.zeros(s.num_train).at[shared["p_index"]].set(r_p, mode="drop")
    return r_p, r, q_directions_output(kernel, state.sums_q)

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
    n = jnp.where(rate <= s.small_learning_rate, left, 1)
    u = log_decorrelation(state.noise_std, n, rate, s)

    force = ex["weight"] * ex["y"] * jax.nn.sigmoid(-ex["y"] * f)
    force_p = force.at[shared["p_index"]].get(mode="fill", fill_value=0.0)
    force_q = jnp.zeros(3).at[ex["direction"]].add(force * ex["alpha"])
    move = dict(n=n, rate=rate, u=u, weight_decay=s.weight_decay)
    decay = jnp.exp(n * jnp.log1p(-rate * s.weight_decay))
    span = _gathered(n, rate, s.weight_decay)
    new = state._replace(
      step=state.step + n,
      sums_p=advance(kernel, state.sums_p, force_p, **move),
      sums_q=advance(kernel, state.sums_q, force_q, **move),
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
    r_test = shared["test_norms"] * off_diagonal(
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
    evals=evals,
    outputs=outputs,
    events=events,
    learning_rate=lambda state: rate_of(state.annealed_at),
    x64=True,
    facts={"kernel_error": kernel.error, "num_rates": len(kernel.rates)},
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
  off = off_diagonal(kernel, shared["cosines"], norms, same)
  diagonal = norms * jnp.sum(kernel.diagonal) * force
  return jnp.sum(force * norms * (off + diagonal))
