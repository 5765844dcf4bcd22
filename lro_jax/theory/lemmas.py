"""One function for each measured statement of the paper: its value, its bound.

A statement reads a `Reading`, what an engine knows of its state, and the run's
`Setting`; it returns what was measured and what the paper bounds it by, without
the hidden constant and without logarithms hidden in O~. `theory.instruments`
says of which algorithm and phase each one speaks, and which engine has it.
Letters: see `lro_jax.theory`.

Deviation: with |z| = q_norm in place of 1 the net on x2 = |z| x2' is the net on
x2' with weights |z| V, which move at |z|^2 times the rate; so a bound on V's
squared norm or number of steps carries 1 / |z|^2, one on V's gradient |z|^2,
one on g's second difference |z|^2. In the convolutional net bounds carry the k
of Corollaries F.8 to F.10.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from lro_jax.core.task import NOT_YET, Array
from lro_jax.theory import models
from lro_jax.theory.data import MIDDLE
from lro_jax.theory.settings import Setting

# Proposition B.5 counts the steps at which rho_t >= eps2'^2 eps3^2, which at
# sizes within reach is above 1, so that there are none. Its bound, 1 / (r x^4
# eta2) at threshold x, is measured at this one.
LARGE_RHO = 0.1


class Measured(NamedTuple):
  """What was measured, and the bound without its hidden constant, [] each."""

  value: Any
  bound: Any


class Reading(NamedTuple):
  """What an engine knows of one seed's state; [] each unless said otherwise.

  None stands for what an engine or structure has not.

  Attributes:
    step: t.
    annealed_at: t0, the latch.
    rate: gamma_t.
    p, q: shares of P-only and Q-only examples.
    loss, loss_m2, loss_q_only: of f; that on Q-only is also that of g.
    r_loss_m1: of r alone on M1.
    g_at: g at z - zeta, z, z + zeta, [3].
    norm2_w, norm2_v: ||Wbar||^2, ||Vbar||^2; the first holds all of a net
      without blocks, where the second is 0.
    moved2: ||Ubar_t - Ubar_t0||^2.
    norm2_m2: ||W^(2)||^2, (5.1).
    alpha_norm: ||alpha|| of Lemma 5.3, alpha = w^T W^(1) / 2, where W^(1) is
      the rest of Wbar: an element of the span of P-only x1.
    alpha_rest: root mean square of r(x) - r(-x) - 2 <alpha, x> over test x1.
    rest2: ||W'||^2 of Lemma B.6 at the best alpha_k.
    rho: (B.10), mean |l'| on M2 times |M2| / N.
    large_rho_steps: steps till now with rho_t >= LARGE_RHO.
    m2_learned_at: latch of loss_m2 <= eps2.
    grad_norm2: ||grad L||^2.
    units: m of W's and of V's block, [2].
    reach: largest |x1| and |x2|, [2].
    row_grad, row_signal: largest row of grad L and of Ubar, W and V, [2].
    noise_std: std of Utilde's entries, W and V, [2].
    noise_kurtosis: their excess kurtosis, [2]; noise_entries: how many, [2].
    tau: std of the noise part by its closed form.
    flips: most units, over training x, that U and Utilde disagree on, [2].
    pattern_gap: largest |N_U(U; x) - N_Utilde(U; x)|, W and V, [2].
    anneal_flips: most units that U_t and U_t0 disagree on, a share of m, [2].
    anneal_gap: largest |f_t(x) - N_U_t0(Ubar_t; x)|.
    wedge_share: share of V's rows on which z - zeta and z + zeta disagree.
    wedge_reach: largest |Vtilde_i z| of these.
    channels: Lemma F.3's and F.4's value and bound, (Measured, Measured).
  """

  step: Array
  annealed_at: Array
  rate: Array
  p: Array
  q: Array
  loss: Array
  loss_m2: Array
  loss_q_only: Array
  r_loss_m1: Array
  g_at: Array
  norm2_w: Array
  norm2_v: Array
  rho: Array
  large_rho_steps: Array
  m2_learned_at: Array
  grad_norm2: Array
  wedge_share: Array
  moved2: Array | None = None
  norm2_m2: Array | None = None
  alpha_norm: Array | None = None
  alpha_rest: Array | None = None
  rest2: Array | None = None
  units: Array | None = None
  reach: Array | None = None
  row_grad: Array | None = None
  row_signal: Array | None = None
  noise_std: Array | None = None
  noise_kurtosis: Array | None = None
  noise_entries: Array | None = None
  tau: Array | None = None
  flips: Array | None = None
  pattern_gap: Array | None = None
  anneal_flips: Array | None = None
  anneal_gap: Array | None = None
  wedge_reach: Array | None = None
  channels: tuple[Measured, Measured] | None = None


def _over(a: float, b: float) -> float:
  """a / b of a setting's numbers; infinite where b is 0: then no bound."""
  return a / b if b else math.inf


def _signal2(x: Reading) -> Array:
  return x.norm2_w + x.norm2_v


def _strength(s: Setting) -> float:
  """r |z|^2 / k: what the rate of learning Q is proportional to."""
  return s.r * s.q_norm**2 / s.num_strides


def _length(s: Setting, block: int) -> float:
  """|x| of what W and V see, up to constants: 1 and |z|."""
  return (1.0, s.q_norm)[block]


def _p_only(x: Reading, s: Setting) -> Array:
  """N p k."""
  return s.num_train * x.p * s.num_strides


def _once_annealed(x: Reading, value: Array) -> Array:
  """The value, NaN before annealing."""
  return jnp.where(x.annealed_at == NOT_YET, jnp.nan, value)


def eps3(s: Setting) -> float:
  """eps3 = d^(-1/32) / eps2'^2. Paper: Lemma 5.2."""
  return _over(s.dim ** (-1 / 32), s.stop_loss**2)


def eps_s(s: Setting, units: Array, length: float) -> Array:
  """eps_s = (|x| / (lambda tau0))^(4/3) m^(-1/3), []. Paper: after Lemma A.8.

  Args:
    s: the run's numbers.
    units: m, [].
    length: |x|.
  """
  signal = _over(length, s.weight_decay * s.init_std)
  return signal ** (4 / 3) * units ** (-1 / 3)


def least_rest2(gram: Array, target: Array, norm2: Array) -> Array:
  """min over alpha of ||Wbar - sum_k alpha_k phi_k||^2, []. Lemma B.6.

  phi_k is u 1(W_0 x_k) x_k^T. A little ridge keeps near-parallel ones apart;
  what is returned is the square at the alpha found.

  Args:
    gram: <phi_k, phi_l>, [n, n], zero rows where padded.
    target: <Wbar, phi_k>, [n].
    norm2: ||Wbar||^2, [].
  """
  diagonal = jnp.diag(gram)
  ridge = jnp.finfo(gram.dtype).eps * jnp.max(diagonal)
  padding = jnp.where(diagonal > 0, ridge, 1.0)
  alpha = jnp.linalg.solve(gram + jnp.diag(padding), target)
  return norm2 - 2 * alpha @ target + alpha @ gram @ alpha


def lemma_4_1_steps(x: Reading, s: Setting) -> Measured:
  """Steps till annealing against d k / (eta1 eps1)."""
  dim = s.dim * s.num_strides
  return Measured(x.step, _over(dim, s.large_learning_rate * s.excess))


def lemma_4_1_norm(x: Reading, s: Setting) -> Measured:
  """||Ubar||_F^2 against d k log^2(1 / eps1)."""
  log = math.log(1 / s.excess) if s.excess else math.inf
  return Measured(_signal2(x), s.dim * s.num_strides * log**2)


def lemma_4_2(x: Reading, s: Setting) -> Measured:
  """|g(z + zeta) + g(z - zeta) - 2 g(z)| against r^2 / lambda. (4.1), (F.23).

  For t <= 1 / (gamma lambda); NaN later.
  """
  horizon = x.step * x.rate * s.weight_decay <= 1
  value = jnp.abs(models.second_difference(x.g_at))
  bound = _over((s.r * s.q_norm) ** 2, s.weight_decay)
  return Measured(jnp.where(horizon, value, jnp.nan), bound)


def plateau(x: Reading, s: Setting) -> Measured:
  """The same against (1 - p) |z|^2 r^3 / (24 pi lambda). Ours.

  What the second difference settles at under stationary noise while the loss
  derivative stays at its start, to leading order in r.
  """
  law = _over(s.q_norm**2 * s.r**3, 24 * math.pi * s.weight_decay)
  return Measured(jnp.abs(models.second_difference(x.g_at)), (1 - x.p) * law)


def lemma_4_3_steps(x: Reading, s: Setting) -> Measured:
  """Steps since annealing against k / (eps1^3 eta2 r |z|^2)."""
  bound = _over(1.0, s.excess**3 * s.small_learning_rate * _strength(s))
  return Measured(_once_annealed(x, x.step - x.annealed_at), bound)


def lemma_4_3_norm(x: Reading, s: Setting) -> Measured:
  """||Ubar_t - Ubar_t0||_F^2 against k / (eps1^2 r |z|^2)."""
  bound = _over(1.0, s.excess**2 * _strength(s))
  return Measured(_once_annealed(x, x.moved2), bound)


def lemma_4_4_m1(x: Reading, s: Setting) -> Measured:
  """Loss of r on M1 against sqrt(eps1 / q). Paper: (4.2)."""
  return Measured(x.r_loss_m1, jnp.sqrt(s.excess / x.q))


def lemma_4_4_q(x: Reading, s: Setting) -> Measured:
  """Loss of g on Q-only examples against sqrt(eps1 / q^3). Paper: (4.2)."""
  return Measured(x.loss_q_only, jnp.sqrt(s.excess / x.q**3))


def lemma_5_1_m2_steps(x: Reading, s: Setting) -> Measured:
  """Steps till the loss on M2 is eps2', against k / (eta2 eps2'^3 r |z|^2)."""
  at = jnp.where(x.m2_learned_at == NOT_YET, jnp.nan, x.m2_learned_at)
  rate = s.small_learning_rate
  return Measured(at, _over(1.0, rate * s.stop_loss**3 * _strength(s)))


def lemma_5_1_steps(x: Reading, s: Setting) -> Measured:
  """Steps till the loss is eps2', against the former + N p k / (eta2 eps2')."""
  q_part = lemma_5_1_m2_steps(x, s).bound
  p_part = _over(1.0, s.small_learning_rate * s.stop_loss) * _p_only(x, s)
  return Measured(x.step, q_part + p_part)


def lemma_5_1_norm(x: Reading, s: Setting) -> Measured:
  """||Ubar||_F^2 against k / (eps2'^2 r |z|^2) + N p k."""
  q_part = _over(1.0, s.stop_loss**2 * _strength(s))
  return Measured(_signal2(x), q_part + _p_only(x, s))


def lemma_5_2(x: Reading, s: Setting) -> Measured:
  """||W^(2)||_F, signal of W from M2, against d^(15/32) / eps2'^2. (5.1)."""
  return Measured(jnp.sqrt(x.norm2_m2), math.sqrt(s.dim) * eps3(s))


def lemma_5_3_alpha(x: Reading, s: Setting) -> Measured:
  """||alpha||, at least of the order of sqrt(N p)."""
  return Measured(x.alpha_norm, jnp.sqrt(_p_only(x, s)))


def lemma_5_3_fit(x: Reading, s: Setting) -> Measured:
  """r(x) - r(-x) - 2 <alpha, x> against eps3. Paper: (5.2)."""
  return Measured(x.alpha_rest, eps3(s))


def lemma_b_6(x: Reading, s: Setting) -> Measured:
  """||W'||_F against eps3 sqrt(d)."""
  return Measured(jnp.sqrt(jnp.maximum(x.rest2, 0)), math.sqrt(s.dim) * eps3(s))


def proposition_a_2(x: Reading, s: Setting, block: int) -> Measured:
  """Largest row of the gradient against |x| / sqrt(m), |x| being 1 or |z|."""
  bound = _length(s, block) / jnp.sqrt(x.units[block])
  return Measured(x.row_grad[block], bound)


def proposition_a_3_row(x: Reading, s: Setting, block: int) -> Measured:
  """Largest row of Ubar against min(1 / lambda, eta t) |x| / sqrt(m)."""
  reach = jnp.minimum(_over(1.0, s.weight_decay), x.rate * x.step)
  gradient = proposition_a_2(x._replace(row_grad=x.row_signal), s, block)
  return Measured(x.row_signal[block], reach * gradient.bound)


def proposition_a_3_norm(x: Reading, s: Setting) -> Measured:
  """||Ubar||_F against max(1, |z|) / lambda."""
  bound = _over(max(1.0, s.q_norm), s.weight_decay)
  return Measured(jnp.sqrt(_signal2(x)), bound)


def proposition_a_7_std(x: Reading, s: Setting, block: int) -> Measured:
  """Std of the noise part's entries; equal to tau0."""
  return Measured(x.noise_std[block], s.init_std)


def proposition_a_7_law(x: Reading, s: Setting, block: int) -> Measured:
  """Excess kurtosis of the entries, 0 if normal, against its standard error."""
  del s
  return Measured(
    jnp.abs(x.noise_kurtosis[block]), jnp.sqrt(24 / x.noise_entries[block])
  )


def lemma_a_8_flips(x: Reading, s: Setting, block: int) -> Measured:
  """|1(U x) - 1(Utilde x)|_1 against ||Ubar||^(4/3) tau^(-4/3) m^(2/3)."""
  del s
  norm2 = (x.norm2_w, x.norm2_v)[block]
  bound = (norm2 / x.tau**2 * x.units[block]) ** (2 / 3)
  return Measured(x.flips[block], bound)


def lemma_a_8_output(x: Reading, s: Setting, block: int) -> Measured:
  """|N_U(U) - N_Utilde(U)| against |x| ||Ubar|| tau^-2 m^(-1/6). (A.11)."""
  del s
  norm = jnp.sqrt((x.norm2_w, x.norm2_v)[block])
  scale = x.reach[block] * x.units[block] ** (-1 / 6)
  return Measured(x.pattern_gap[block], scale * norm / x.tau**2)


def lemma_b_3_flips(x: Reading, s: Setting, block: int) -> Measured:
  """Share of units that U_t and U_t0 disagree on. Paper: (B.8), over m.

  Against sqrt(eta2 / eta1) + eps_s.
  """
  bound = math.sqrt(s.small_learning_rate / s.large_learning_rate)
  if x.units is not None:
    bound = bound + eps_s(s, x.units[block], _length(s, block))
  return Measured(x.anneal_flips[block], bound)


def lemma_b_3_output(x: Reading, s: Setting) -> Measured:
  """|N_U_t(U_t) - N_U_t0(Ubar_t)|. Paper: (B.9).

  Against |x|^2 (the former's bound) / lambda + |x| tau0 log d, |x| being 1 or
  |z|.
  """
  bounds = []
  for block in (0, 1):
    length = _length(s, block)
    share = lemma_b_3_flips(x, s, block).bound
    noise = length * s.init_std * math.log(s.dim)
    bounds.append(_over(length**2, s.weight_decay) * share + noise)
  return Measured(x.anneal_gap, jnp.maximum(*bounds))


def lemma_b_4(x: Reading, s: Setting) -> Measured:
  """||grad L||_F^2, at least r |z|^2 rho_t^4 while rho_t >= 1/N. (B.11)."""
  bound = _strength(s) * x.rho**4
  return Measured(
    jnp.where(x.rho >= 1 / s.num_train, x.grad_norm2, jnp.nan), bound
  )


def proposition_b_5(x: Reading, s: Setting) -> Measured:
  """Steps with rho_t >= 0.1, `LARGE_RHO`, against 1 / (r |z|^2 0.1^4 eta2)."""
  rate = s.small_learning_rate
  return Measured(
    x.large_rho_steps, _over(1.0, _strength(s) * LARGE_RHO**4 * rate)
  )


def lemma_c_1(x: Reading, s: Setting) -> Measured:
  """min y g(x2) / |x2| over Q, at least 1 / (|z| delta), delta the loss on
  Q-only. (C.1), over |x2|.
  """
  lengths = s.q_norm * jnp.sqrt(1 + s.r**2 * jnp.array([1.0, 0.0, 1.0]))
  labels = jnp.full(3, -1.0).at[MIDDLE].set(1.0)
  bound = 1 / (s.q_norm * x.loss_q_only)
  return Measured(jnp.min(labels * x.g_at / lengths), bound)


def proposition_d_3_share(x: Reading, s: Setting) -> Measured:
  """Share of units that split z - zeta from z + zeta, against r sqrt(log d).

  (D.26), over m.
  """
  return Measured(x.wedge_share, s.r * math.sqrt(math.log(s.dim)))


def proposition_d_3_reach(x: Reading, s: Setting) -> Measured:
  """|Vtilde_i z| of these units, against tau0 r |z| sqrt(log d)."""
  bound = s.init_std * s.r * s.q_norm * math.sqrt(math.log(s.dim))
  return Measured(x.wedge_reach, bound)


def _sampling(x: Reading, s: Setting) -> Array:
  """log d / sqrt(q N)."""
  return math.log(s.dim) / jnp.sqrt(x.q * s.num_train)


def proposition_d_9_loss(x: Reading, s: Setting) -> Measured:
  """log 2 - loss on Q-only, against delta + log d / sqrt(q N). Paper: (D.74).

  delta is Lemma 4.2's second difference.
  """
  delta = jnp.abs(models.second_difference(x.g_at))
  return Measured(math.log(2) - x.loss_q_only, delta + _sampling(x, s))


def proposition_d_9_output(x: Reading, s: Setting) -> Measured:
  """max |g| on Q's directions, against sqrt(delta' + log d / sqrt(q N)).

  delta' is how far the loss on Q-only lies above log 2, and at least delta.
  """
  delta = jnp.abs(models.second_difference(x.g_at))
  delta = jnp.maximum(delta, x.loss_q_only - math.log(2))
  return Measured(jnp.max(jnp.abs(x.g_at)), jnp.sqrt(delta + _sampling(x, s)))


def lemma_f_3(x: Reading, s: Setting) -> Measured:
  """Output of all heads less that of each on its own signal. Paper: (F.8)."""
  del s
  return x.channels[0]


def lemma_f_4(x: Reading, s: Setting) -> Measured:
  """Effect of one head's gradient on another's output. Paper: (F.9)."""
  del s
  return x.channels[1]
