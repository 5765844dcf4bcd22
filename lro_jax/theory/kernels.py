"""The infinite-width kernel, and the running sums that carry the past.

Ours. Patterns come from the noise part alone (Lemma A.8), and

  f_t(x) = sum_{s<t} c_ts sum_j F_js <x_j, x> k(rho_ts cos(x_j, x)),
  k(x)   = (1/2) (1/4 + arcsin(x) / (2 pi)),    F_js = -l'_js / N,

separately for the two components (the 1/2 since half of the units see each; in
the convolutional net of Section F.2 a sum over patches, each with 1/k in its
place, see `theory.limit_inputs`), with l'_js = -y_j sigmoid(-y_j f_s(x_j)),
D_t = prod_{i<t} (1 - eta_i lambda),
c_ts = eta_s D_t / D_(s+1), rho_ts = (D_t / tau_t) (tau_s / D_s). The 1/4 +
arcsin / (2 pi) is the probability that one Gaussian row is active on x_j at
step s and on x at step t.

Since rho_ts = exp(-u) with u additive over steps, and arcsin(c e^-u) is a sum
of exponentials (`theory.arcsine`), the past is carried by one running sum per
rate k and example:

  A_k <- q_k [(1 - eta lambda) A_k + eta F],    q_k = exp(-k u of this step).

For P pairs of different examples the cosines are small and a few odd powers are
exact; pairs of equal examples and Q's three directions use every rate.

With fresh noise on the pre-activations (Section F.1) unit i sees x at step t
through <U_t, x> + Xi_t, where Xi_t ~ N(0, sigma_t^2) is drawn anew each step
and is the same for all examples. Since Xi_s and Xi_t are independent for s < t,
the two pre-activations' correlation is

  rho_ts cos(x_j, x) a_js a_t(x),
  a_t(x) = (1 + (sigma_t / (tau_t |x|))^2)^(-1/2),

and a_js^k goes into the running sums, a_t(x)^k before the weights of each rate:
the dynamics stay Markov. (The added Xi itself contributes u . (1 * Xi), which
vanishes with tau0.) What this noise takes from is the cosine of nearly parallel
inputs: Q's three directions are no longer told apart.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core.schema import UserError
from lro_jax.core.task import Array
from lro_jax.theory import arcsine
from lro_jax.theory import data as data_lib
from lro_jax.theory.settings import Setting, noise_std_after, unit_share

# Absolute error allowed to the kernel's arcsine.
TOLERANCE = 1e-8

# Pairs of examples of a seed in one block of `off_diagonal`: half a MiB, so
# that the blocks of eight seeds stay in a processor's cache.
BLOCK_SIZE = 2**16


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
  """u = -log rho over n steps at one rate, from noise std `std`. Ours.

  rho = D tau / tau' with a = eta lambda, D = (1 - a)^n,
  tau'^2 = D^2 tau^2 + eta^2 tau_xi^2 (1 - D^2) / (a (2 - a)).

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

  Raises:
    UserError: two inputs are so near that the series would not end.
  """
  num_odd = arcsine.num_odd_powers(largest_cosine, TOLERANCE)
  if num_odd >= arcsine.MAX_ODD_POWERS:
    raise UserError(
      f"Two inputs of P are nearly parallel (cosine {largest_cosine:.6f}), too"
      " near for the limit engine's power series: raise data.dim, or use engine"
      " 'network'."
    )
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

  share = unit_share(setting)

  def weights(cosine):
    out = arcsine.at_cosine(at_one, rates, cosine) * share / (2 * math.pi)
    out[0] = share / 4
    return out

  q_weights = np.array([[weights(c) for c in row] for row in cosines])
  series = arcsine.series_coefficients(num_odd) * share / (2 * math.pi)
  return Kernel(
    rates=rates,
    num_odd=num_odd,
    off=np.concatenate([[share / 4], series]),
    diagonal=weights(1.0),
    directions=np.moveaxis(q_weights * products[..., None], -1, 0),
    error=error,
  )


def log_shrink(norms: Array, std: Array, level: Array) -> Array:
  """log a of inputs of some length, [n]: 0 without noise. Section F.1; above.

  Args:
    norms: |x|, [n]; where 0, nothing depends on a.
    std: tau_t / tau_0, [].
    level: sigma_t / tau_0, [].
  """
  safe = jnp.where(norms > 0, norms, 1.0)
  return -0.5 * jnp.log1p((level / (std * safe)) ** 2)


def powers(kernel: Kernel, log_a: Array) -> Array:
  """a^k for every rate k, [K, n]; `log_a` [n]. Ours."""
  return jnp.exp(jnp.asarray(kernel.rates)[:, None] * log_a)


def off_diagonal(
  kernel: Kernel,
  cosines: Array,
  norms: Array,
  sums: Array,
  log_a: Array | None = None,
) -> Array:
  """Sum over j of |x_j| cos_ij k(rho cos_ij a_i) A_j, without |x_i|, [n]. Ours.

  Horner in cos^2, pair by pair, a block of j at a time, so that what is summed
  takes little memory whatever the number of examples.

  Args:
    kernel: the kernel.
    cosines: cos(x_j, x_i), [n1, n], j first.
    norms: |x_j|, [n1].
    sums: A_k of the leading rates, [1 + num_odd, n1].
    log_a: log a_i, [n]; None without noise at this step.
  """
  b = kernel.off[:, None] * sums[: kernel.num_odd + 1]
  shrink = None if log_a is None else jnp.exp(log_a)

  def of(cosines, norms, b):
    shrunk = cosines if shrink is None else cosines * shrink
    square = shrunk * shrunk
    odd = b[kernel.num_odd][:, None]
    for k in range(kernel.num_odd - 1, 0, -1):
      odd = odd * square + b[k][:, None]
    # A product, not a sum: on a CPU it does not share a loop with the Horner,
    # and is three times as quick. Of norms, which every seed has its own of: of
    # ones, XLA would turn the pairs of all seeds round first.
    return norms @ (cosines * (b[0][:, None] + shrunk * odd))

  num, n = cosines.shape
  block = max(1, BLOCK_SIZE // n)
  if num <= block:
    return of(cosines, norms, b)
  left = num % block

  def add(i, total):
    begin = left + i * block
    cut = (
      jax.lax.dynamic_slice_in_dim(x, begin, block, axis=axis)
      for x, axis in ((cosines, 0), (norms, 0), (b, 1))
    )
    return total + of(*cut)

  first = of(cosines[:left], norms[:left], b[:, :left])
  return jax.lax.fori_loop(0, num // block, add, first)


def diagonal(
  kernel: Kernel, norms: Array, sums: Array, log_a: Array | None = None
) -> Array:
  """|x_i|^2 k(rho a_i) A_i without one |x_i|, [n1]; see above. Ours."""
  if log_a is not None:
    sums = sums * powers(kernel, log_a)
  return norms * (kernel.diagonal @ sums)


def q_directions_output(kernel: Kernel, sums: Array) -> Array:
  """g_t at z - zeta, z, z + zeta, [3]. `sums` [K, 3]. Ours."""
  return jnp.einsum("kij,kj->i", kernel.directions, sums)


def q_noisy_output(
  kernel: Kernel, sums: Array, alpha: Array, direction: Array, log_a: Array
) -> Array:
  """g_t of every example under noise, [N]: no longer homogeneous. F.1; above.

  Args:
    kernel: the kernel.
    sums: A_k, [K, 3].
    alpha: lengths, [N].
    direction: which direction, int [N].
    log_a: log a of every example's x2, [N].
  """
  by_rate = jnp.einsum("kij,kj->ki", kernel.directions, sums)
  return alpha * jnp.sum(by_rate[:, direction] * powers(kernel, log_a), axis=0)


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
    force: F, [n1], or one for each rate, [K, n1].
    n: number of steps, [].
    rate: eta, [].
    u: -log rho over the n steps together, [].
    weight_decay: lambda.

  Returns:
    A_k after them, [K, n1].
  """
  log_q = -jnp.asarray(kernel.rates) * (u / n)
  log_x = log_q + jnp.log1p(-rate * weight_decay)
  still = log_x == 0
  safe = jnp.where(still, -1.0, log_x)
  geometric = jnp.where(still, n, jnp.expm1(n * safe) / jnp.expm1(safe))
  gain = rate * jnp.exp(log_q) * geometric
  return jnp.exp(n * log_x)[:, None] * sums + gain[:, None] * force


def advance_from_start(
  kernel: Kernel,
  sums: Array,
  force: Array,
  *,
  n: Array,
  rate: Array,
  u: Array,
  since_start: Array,
  weight_decay: float,
) -> Array:
  """As `advance`, but of c_ts exp(-k u(0, s)) F: seen from the first patterns.

  With these sums in place of A_k an output is N_{U_0}(Ubar_t; x), the signal
  under the activation patterns of the initialisation (Lemma B.6). Ours.

  Args:
    kernel: the kernel.
    sums: [K, n1].
    force: F, [n1].
    n: number of steps, [].
    rate: eta, [].
    u: -log rho over the n steps together, [].
    since_start: -log rho from step 0 to here, [].
    weight_decay: lambda.

  Returns:
    The sums after them, [K, n1].
  """
  # Sum over i < n of x^(n-1-i) y^i with x = 1 - eta lambda, y = exp(-k u / n).
  log_x = jnp.log1p(-rate * weight_decay)
  log_ratio = -jnp.asarray(kernel.rates) * (u / n) - log_x
  still = log_ratio == 0
  safe = jnp.where(still, -1.0, log_ratio)
  geometric = jnp.where(still, n, jnp.expm1(n * safe) / jnp.expm1(safe))
  from_here = jnp.exp((n - 1) * log_x) * geometric
  gain = rate * from_here * jnp.exp(-jnp.asarray(kernel.rates) * since_start)
  return jnp.exp(n * log_x) * sums + gain[:, None] * force
