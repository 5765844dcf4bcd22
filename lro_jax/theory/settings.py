"""A config as numbers: (3.3) solved, Assumption 3.3 filled in.

Letters: see `lro_jax.theory`.
"""

import math
from typing import NamedTuple

import numpy as np

from lro_jax.core.schema import MAX_REAL, MAX_STEPS, ConfigDict, UserError

FREE, ASSUMPTION_3_3 = "free", "assumption_3_3"
# Algorithms L-S and S of Section 3, and the mitigation of Section F.1.
LARGE, SMALL, SMALL_NOISE = "large", "small", "small_noise"
LIMIT, NETWORK = "limit", "network"
# Structures of the first layer: Section 2's W and V, Section F.2, no split.
SPLIT, CONV, GENERAL = "split", "conv", "general"
STATIONARY = ("init_std", "noise_std", "large_learning_rate", "weight_decay")

# Of what is divided by: the square of a smaller one may be 0.
MIN_REAL = 1e-38
DIVISORS = (
  "data.q_norm",
  "model.init_std",
  "optim.large_learning_rate",
  "optim.small_learning_rate",
)

# Most examples, and coordinates, that a run may have.
MAX_SIZE = 10**6


class Setting(NamedTuple):
  """The numbers of one run, everything derived.

  Attributes:
    dim: d.
    num_train: N.
    p0: probability of P-only.
    q0: probability of Q-only.
    r: ||zeta|| / ||z||.
    q_norm: ||z||.
    init_std: tau0, per entry.
    noise_std: tau_xi, per entry.
    large_learning_rate: eta1.
    small_learning_rate: eta2.
    weight_decay: lambda.
    learning_rate: rate this arm starts with.
    anneal_factor: annealed rate over it; 1 where the arm does not anneal.
    anneal_excess: eps1 where the arm anneals, else -inf.
    stop_loss: eps2.
    excess: eps1, whether or not the arm anneals.
    anneal_step: step at which the rate falls or the pre-activation noise goes,
      whatever the loss, if not before; None where it is the loss alone.
    act_noise: std of the pre-activation noise before it is annealed, over tau0;
      0 but for the mitigation of Section F.1.
    structure: of the first layer.
    num_strides: k of Section F.2; 1 where the net is not convolutional.
  """

  dim: int
  num_train: int
  p0: float
  q0: float
  r: float
  q_norm: float
  init_std: float
  noise_std: float
  large_learning_rate: float
  small_learning_rate: float
  weight_decay: float
  learning_rate: float
  anneal_factor: float
  anneal_excess: float
  stop_loss: float
  excess: float
  anneal_step: int | None
  act_noise: float
  structure: str
  num_strides: int


def unit_share(setting: Setting) -> float:
  """Share of u's squared length on one component: sum of u_i^2. Ours.

  1/2 where half of the m units see each component (Section 2); 1/k where m/k
  channels have a head for every patch (F.2); 1 where every unit sees all.
  """
  return {SPLIT: 1 / 2, CONV: 1 / setting.num_strides, GENERAL: 1.0}[
    setting.structure
  ]


def solve_stationary(
  *,
  init_std: float | None = None,
  noise_std: float | None = None,
  large_learning_rate: float | None = None,
  weight_decay: float | None = None,
) -> dict[str, float]:
  """Solves (1 - eta1 lambda)^2 tau0^2 + eta1^2 tau_xi^2 = tau0^2. Eq. (3.3).

  With a = eta1 lambda the condition reads eta1^2 tau_xi^2 = a (2 - a) tau0^2.

  Args:
    init_std: tau0.
    noise_std: tau_xi.
    large_learning_rate: eta1.
    weight_decay: lambda. Exactly one of the four is None: the unknown.

  Returns:
    All four, the unknown filled in.

  Raises:
    UserError: not exactly one unknown, or no solution exists.
  """
  given = {
    "init_std": init_std,
    "noise_std": noise_std,
    "large_learning_rate": large_learning_rate,
    "weight_decay": weight_decay,
  }
  unknown = [name for name, value in given.items() if value is None]
  if len(unknown) != 1:
    raise UserError(
      f"Got {len(unknown)} unknowns in (3.3): leave exactly one of"
      f" {', '.join(STATIONARY)} out."
    )
  tau0, tau_xi = init_std, noise_std
  eta, lam = large_learning_rate, weight_decay
  if unknown[0] == "init_std":
    if not 0 < eta * lam < 2:
      raise UserError(
        "(3.3) has no init_std at large_learning_rate x weight_decay ="
        f" {eta * lam:g}: it must be in (0, 2); without decay the noise"
        " never settles."
      )
    value = eta * tau_xi / math.sqrt(eta * lam * (2 - eta * lam))
  elif unknown[0] == "noise_std":
    a = eta * lam
    if not 0 <= a <= 2 or eta <= 0:
      raise UserError(
        "(3.3) has no noise_std at large_learning_rate x weight_decay ="
        f" {a:g}: it must be in [0, 2]."
      )
    value = tau0 * math.sqrt(a * (2 - a)) / eta
  elif unknown[0] == "large_learning_rate":
    # eta (tau_xi^2 + lambda^2 tau0^2) = 2 lambda tau0^2.
    total = tau_xi**2 + (lam * tau0) ** 2
    if total == 0 or lam <= 0:
      raise UserError(
        "(3.3) fixes no learning rate without weight decay and noise: give a"
        " positive weight_decay."
      )
    value = 2 * lam * tau0**2 / total
  else:
    # a (2 - a) = (eta tau_xi / tau0)^2; the root below 1 is the stable one.
    ratio = eta * tau_xi / tau0 if tau0 > 0 else math.inf
    if ratio > 1:
      raise UserError(
        "(3.3) has no weight_decay at large_learning_rate x noise_std /"
        f" init_std = {ratio:g}: it must be at most 1; lower the noise."
      )
    # 1 - sqrt(1 - x^2), without cancellation for small x.
    value = ratio**2 / (1 + math.sqrt(1 - ratio**2)) / eta
  return given | {unknown[0]: value}


def resolve(config: ConfigDict) -> Setting:
  """The numbers a config stands for. Paper: Assumptions 3.1, 3.3, Section 3.

  Args:
    config: a valid theory config.

  Returns:
    The setting; with `data.scaling` 'assumption_3_3' N, r, p0 and lambda come
    from d and kappa.

  Raises:
    UserError: probabilities, rates or (3.3) do not fit together.
  """
  data, optim = config.data, config.optim
  for name in DIVISORS:
    group, field = name.split(".")
    if config[group][field] < MIN_REAL:
      raise UserError(
        f"Got {name} {config[group][field]:g}: it must be at least"
        f" {MIN_REAL:g}, as small as a float32 can be."
      )
  num_train, r, p0 = data.num_train, data.r, data.p0
  weight_decay = optim.weight_decay
  if data.scaling == ASSUMPTION_3_3:
    # The square of a tiny kappa is 0.
    num_train = max(1, round(data.dim / max(data.kappa**2, 1e-60)))
    r, p0 = data.dim**-0.75, data.kappa**2 / 2
    weight_decay = data.dim**-1.25
  if p0 + data.q0 > 1:
    raise UserError(
      f"Got p0 + q0 = {p0:g} + {data.q0:g} > 1: they are probabilities of"
      " P-only and Q-only; lower one so that their sum is at most 1."
    )
  large, small = optim.large_learning_rate, optim.small_learning_rate
  four = {
    "init_std": config.model.init_std,
    "noise_std": optim.noise_std,
    "large_learning_rate": large,
    "weight_decay": weight_decay,
  }
  if optim.stationary != "none":
    four = solve_stationary(**four | {optim.stationary: None})
    large, weight_decay = four["large_learning_rate"], four["weight_decay"]
  for name, value in four.items():
    if not value <= MAX_REAL:
      raise UserError(
        f"(3.3) gives {name} {value:g}: bring optim.large_learning_rate,"
        " optim.weight_decay, optim.noise_std and model.init_std nearer to 1."
      )
  if not four["init_std"] > 0:
    raise UserError(
      f"(3.3) gives init_std {four['init_std']:g} for noise_std"
      f" {four['noise_std']:g}: without noise only init_std 0 is stationary;"
      " give optim.noise_std > 0, or solve for another unknown."
    )
  if not 1 <= num_train <= MAX_SIZE:
    raise UserError(
      f"Assumption 3.3 asks for {num_train} training examples at d {data.dim},"
      f" kappa {data.kappa:g}: at most {MAX_SIZE} are possible; lower"
      " data.dim or raise data.kappa."
    )
  if optim.stationary == "noise_std" and optim.noise_std:
    raise UserError(
      f"Got optim.noise_std {optim.noise_std:g} while optim.stationary solves"
      " for it: leave it 0, or set optim.stationary to none."
    )
  if small > large:
    raise UserError(
      f"Got small_learning_rate {small:g} > large_learning_rate {large:g}: the"
      " annealed rate must not exceed the initial one."
    )
  if large * weight_decay >= 1:
    raise UserError(
      f"Got large_learning_rate x weight_decay = {large:g} x"
      f" {weight_decay:g} >= 1: one update would flip every weight's sign;"
      " lower either."
    )
  is_large = optim.algorithm == LARGE
  is_noisy = optim.algorithm == SMALL_NOISE
  structure = config.model.structure
  return Setting(
    dim=data.dim,
    num_train=num_train,
    p0=p0,
    q0=data.q0,
    r=r,
    q_norm=data.q_norm,
    init_std=four["init_std"],
    noise_std=four["noise_std"],
    large_learning_rate=large,
    small_learning_rate=small,
    weight_decay=weight_decay,
    learning_rate=large if is_large else small,
    anneal_factor=small / large if is_large else 1.0,
    anneal_excess=optim.anneal_excess if is_large else -math.inf,
    stop_loss=optim.stop_loss,
    excess=optim.anneal_excess,
    anneal_step=_noisy_steps(optim, data.dim)
    if is_noisy
    else (optim.anneal_latest or None if is_large else None),
    act_noise=optim.act_noise if is_noisy else 0.0,
    structure=structure,
    num_strides=config.model.num_strides if structure == CONV else 1,
  )


def _noisy_steps(optim: ConfigDict, dim: int) -> int:
  """Steps with pre-activation noise: as given, or d / (eta2 eps1). Theorem F.1.

  Deviation: the paper has eta1 in the place of eta2; in so few steps nothing
  can be learned at the rate eta2.
  """
  if optim.act_noise_steps:
    return optim.act_noise_steps
  # Never divided by what may be 0.
  product = optim.small_learning_rate * optim.anneal_excess
  return round(dim / product) if dim < MAX_STEPS * product else MAX_STEPS


class Schedule(NamedTuple):
  """An arm's rates, as data [s]: the arms of a cell are then one program.

  Attributes:
    learning_rate: rate before annealing.
    anneal_factor: the rate after it over that.
    anneal_threshold: loss at which to anneal.
    anneal_latest: step at which to anneal whatever the loss, int32.
  """

  learning_rate: np.ndarray
  anneal_factor: np.ndarray
  anneal_threshold: np.ndarray
  anneal_latest: np.ndarray


def schedule(setting: Setting, q: np.ndarray) -> Schedule:
  """When and how far every seed's rate falls. Algorithms 1 (L-S) and 2 (S).

  Args:
    setting: the run's numbers.
    q: share of training examples without a P component, [s].
  """
  # A step that no run reaches.
  latest = MAX_STEPS if setting.anneal_step is None else setting.anneal_step
  return Schedule(
    learning_rate=np.full(q.shape, setting.learning_rate),
    anneal_factor=np.full(q.shape, setting.anneal_factor),
    anneal_threshold=anneal_threshold(setting, q),
    anneal_latest=np.full(q.shape, latest, np.int32),
  )


def anneal_threshold(setting: Setting, q: np.ndarray) -> np.ndarray:
  """Loss at which each seed anneals, eps1 + q log 2, [s]. Algorithm 1 (L-S).

  Args:
    setting: the run's numbers; -inf where the arm does not anneal.
    q: share of training examples without a P component, [s].
  """
  return setting.anneal_excess + q * math.log(2)


def noise_std_after(
  std: float, steps: int, *, rate: float, weight_decay: float, noise_std: float
) -> float:
  """Std of the noise part after some updates at one rate. Footnote 2.

  tau_t^2 = D^2 tau^2 + eta^2 tau_xi^2 (1 - D^2) / (1 - (1 - eta lambda)^2) with
  D = (1 - eta lambda)^t: it drifts to the fixed point of (3.3).

  Args:
    std: std per entry before.
    steps: number of updates.
    rate: eta.
    weight_decay: lambda.
    noise_std: tau_xi.

  Returns:
    Std per entry after.
  """
  a = rate * weight_decay
  shrink2 = math.exp(2 * steps * math.log1p(-a))
  gathered = (
    -math.expm1(2 * steps * math.log1p(-a)) / (a * (2 - a)) if a else steps
  )
  return math.sqrt(shrink2 * std**2 + (rate * noise_std) ** 2 * gathered)
