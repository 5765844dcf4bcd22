"""The optimiser: one optax chain, and the step that feeds it.

Two transforms are ours, everything else is optax's: `add_gaussian_noise` puts
the spherical noise of Eq. (3.1)-(3.2) on the gradient, `anneal_on_loss` lowers
the learning rate for good when the loss first falls to a threshold (Algorithm
1, L-S). In the chain noise comes first and the rate last, so that one update is

  U <- (1 - gamma lambda) U - gamma (grad L + xi).            Eq. (3.1)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lro_jax.core import prng
from lro_jax.core.normal import normal
from lro_jax.core.schema import UserError
from lro_jax.core.seeds import if_any
from lro_jax.core.task import NOT_YET, Array, Data, TrainState, Tree, latch


class AddGaussianNoiseState(NamedTuple):
  """Key of the noise stream and number of draws, int32 []."""

  key: Array
  count: Array


class AnnealOnLossState(NamedTuple):
  """Updates seen, step at which the latch closed, its threshold; [] each."""

  count: Array
  annealed_at: Array
  threshold: Array


def _is_number(x) -> bool:
  """Whether it is known already; JAX's arrays may be a compiled program's."""
  return not callable(x) and not isinstance(x, jax.Array)


def _zero() -> Array:
  return jnp.zeros((), jnp.int32)


def add_gaussian_noise(
  std: float | optax.Schedule, key: Array
) -> optax.GradientTransformation:
  """Adds an independent N(0, std^2) draw to every entry of the updates.

  The key and the count live in the state: the transform is pure, a checkpoint
  carries its randomness, and the state before an update fixes that update's
  draw. Paper: Eq. (3.2).

  Args:
    std: standard deviation per entry, or a schedule of it over the count.
    key: key of the noise stream, []; only `init` reads it.

  Returns:
    The transform. At std 0 no draw is made.

  Raises:
    UserError: `std` is a negative number.
  """
  if not callable(std) and not std >= 0:  # NaN, too
    raise UserError(f"Got noise_std {std}: it must be >= 0; 0 means no noise.")

  def init_fn(params):
    del params
    return AddGaussianNoiseState(key=key, count=_zero())

  def update_fn(updates, state, params=None):
    del params
    count = optax.safe_increment(state.count)
    if not callable(std) and std == 0:
      return updates, state._replace(count=count)
    level = std(state.count) if callable(std) else std
    draw_key = prng.step_key(state.key, state.count)
    drawn = _draw_once(updates, draw_key, count > 0)
    noisy = jax.tree.map(
      lambda g, n: g + jnp.asarray(level, g.dtype) * n, updates, drawn
    )
    return noisy, state._replace(count=count)

  return optax.GradientTransformation(init_fn, update_fn)


def _draw_once(like: Tree, key: Array, always: Array) -> Tree:
  """N(0, 1) draws shaped as `like`, which on a CPU are made once.

  There XLA folds a draw into each of its uses and makes it again in each: in
  the weights and in their noise part, or in the momentum. It does not see
  through a branch whose condition only a run knows.

  Args:
    like: tree of arrays.
    key: of this update, [].
    always: bool [], true, of the state.
  """
  leaves, treedef = jax.tree.flatten(like)

  def draw(_, key):
    keys = jax.random.split(key, len(leaves))
    return [
      normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]

  zeros = [jnp.zeros(x.shape, x.dtype) for x in leaves]
  if jax.default_backend() == "cpu":
    return treedef.unflatten(if_any(always, draw, zeros, key))
  return treedef.unflatten(draw(zeros, key))


def anneal_on_loss(
  threshold: float | Array,
  factor: float | Array,
  *,
  latest: int | Array | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Scales updates by `factor` from the first loss <= `threshold` on.

  A latch: once down it never goes up again, whatever the loss does. The update
  at which the loss is first seen that low is already scaled. Paper: Algorithm 1
  (L-S), Section 3.

  Args:
    threshold: loss at which to anneal, []; -inf never anneals. Kept in the
      state, so that every seed may have its own.
    factor: annealed rate over initial rate, in (0, 1]; an array [], which a
      compiled program may be given, is not checked.
    latest: update at which the latch closes whatever the loss, or None; or an
      array [], int32.

  Returns:
    The transform; its `update` needs the keyword `value`, the loss [] before
    the update.

  Raises:
    UserError: `factor` is not in (0, 1].
  """
  if _is_number(factor) and not 0 < factor <= 1:
    raise UserError(
      f"Got anneal factor {factor}: it must be in (0, 1], the annealed rate"
      " over the initial one."
    )

  def init_fn(params):
    del params
    return AnnealOnLossState(
      count=_zero(),
      annealed_at=jnp.full((), NOT_YET, jnp.int32),
      threshold=jnp.asarray(threshold, jnp.result_type(float)),
    )

  def update_fn(updates, state, params=None, *, value, **extra_args):
    del params, extra_args
    closes = value <= state.threshold
    if latest is not None:
      closes |= state.count >= latest
    annealed_at = latch(state.annealed_at, closes, state.count)
    scale = jnp.where(annealed_at == NOT_YET, 1.0, factor)
    updates = jax.tree.map(lambda g: g * scale.astype(g.dtype), updates)
    return updates, state._replace(
      count=optax.safe_increment(state.count), annealed_at=annealed_at
    )

  return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class Links(NamedTuple):
  """The chain in two: the noise, and all that follows it.

  Whoever follows the draws by themselves, as (3.4) does, takes them apart. The
  state of `make` is the two links' states.
  """

  noise: optax.GradientTransformation
  rest: optax.GradientTransformationExtraArgs


def links(
  *,
  learning_rate: float | Array | optax.Schedule,
  weight_decay: float = 0.0,
  noise_std: float | optax.Schedule = 0.0,
  noise_key: Array,
  momentum: float = 0.0,
  nesterov: bool = False,
  anneal_threshold: float | Array = -jnp.inf,
  anneal_factor: float | Array = 1.0,
  anneal_latest: int | Array | None = None,
) -> Links:
  """The two links of `make`, of the same arguments. Paper: Eq. (3.1).

  Args:
    learning_rate: gamma, or a schedule of it; an array [] is not checked.
    weight_decay: lambda; gamma * lambda must stay below 1.
    noise_std: tau_xi per entry, or a schedule of it.
    noise_key: key of the GRAD_NOISE stream, [].
    momentum: 0 for none, as in the theory.
    nesterov: Nesterov's form of the momentum.
    anneal_threshold: see `anneal_on_loss`.
    anneal_factor: see `anneal_on_loss`.
    anneal_latest: see `anneal_on_loss`.

  Returns:
    The noise, and weight decay, momentum, annealing and rate.

  Raises:
    UserError: learning_rate * weight_decay >= 1, or a bad noise or factor.
  """
  if _is_number(learning_rate) and learning_rate * weight_decay >= 1:
    raise UserError(
      f"Got learning_rate {learning_rate} and weight_decay {weight_decay}:"
      " their product must be below 1, or one update flips the sign of every"
      " weight; lower either."
    )
  rest = [optax.add_decayed_weights(weight_decay)]
  if momentum:
    rest.append(optax.trace(momentum, nesterov))
  rest += [
    anneal_on_loss(anneal_threshold, anneal_factor, latest=anneal_latest),
    optax.scale_by_learning_rate(learning_rate),
  ]
  return Links(add_gaussian_noise(noise_std, noise_key), optax.chain(*rest))


def make(**fields) -> optax.GradientTransformationExtraArgs:
  """The whole optimiser as one optax chain.

  Order: noise, weight decay (coupled, as Eq. (3.1) and the authors' SGD have
  it), momentum, annealing, learning rate.

  Args:
    **fields: see `links`.

  Returns:
    The chain; `update` takes `params` and `value`, the loss [].

  Raises:
    UserError: see `links`.
  """
  return optax.chain(*links(**fields))


def annealed_at(opt_state: Tree) -> Array:
  """The annealing latch inside a chain's state, int32 []. Ours."""
  return optax.tree.get(opt_state, "annealed_at")


class Moved(NamedTuple):
  """What an update changes of a TrainState."""

  params: Tree
  model_state: Tree
  opt_state: Tree
  probe: Tree


class Seen(NamedTuple):
  """What a step knows when it moves; sums over all devices.

  Attributes:
    batch: this device's share of the batch.
    model_state: as the loss left it.
    grads: gradient of the mean loss.
    loss: the mean loss, [].
    sums: what the loss returned besides, [] each.
  """

  batch: Data
  model_state: Tree
  grads: Tree
  loss: Array
  sums: dict[str, Array]


def moved_by(
  tx: optax.GradientTransformationExtraArgs,
) -> Callable[[TrainState, Seen], Moved]:
  """The update that a chain makes, for `gradient_step`; no probe. Ours.

  Args:
    tx: chain from `make`.
  """

  def move(state, seen):
    updates, opt_state = tx.update(
      seen.grads, state.opt_state, state.params, value=seen.loss
    )
    params = optax.apply_updates(state.params, updates)
    return Moved(params, seen.model_state, opt_state, state.probe)

  return move


def gradient_step(
  loss: Callable[..., tuple[Array, tuple[Tree, dict[str, Array]]]],
  move: Callable[[TrainState, Seen], Moved],
  *,
  stop_loss: float,
  axis_name: str | None = None,
) -> Callable[[TrainState, Data], tuple[TrainState, dict[str, Array]]]:
  """The `step` of a gradient-trained Task.

  The step sees the loss of the weights it starts from, and decides on it: to
  anneal (inside `move`), to stop, to give up. `core.steps` undoes the update of
  a step that stops or gives up. Paper: Section 3, Algorithms 1 and 2.

  Args:
    loss: (params, model_state, batch, step) -> (scalar, (model_state, sums)).
      Scalar and sums are this device's share: over all devices they add up to
      the mean loss.
    move: (state before, what the step has seen) -> Moved: `moved_by` a chain,
      or of a track that carries a probe along.
    stop_loss: loss at or below which training stops; -inf never stops.
    axis_name: name of the device axis, None on one device.

  Returns:
    (state, batch) -> (state, sums).
  """

  def step(state: TrainState, batch: Data):
    grad_fn = jax.value_and_grad(loss, has_aux=True)
    (value, (model_state, sums)), grads = grad_fn(
      state.params, state.model_state, batch, state.step
    )
    if axis_name is not None:
      # Before the noise: every device then adds the same draw to the same sum.
      value, sums, grads = jax.lax.psum((value, sums, grads), axis_name)
    seen = Seen(batch, model_state, grads, value, sums)
    moved = move(state, seen)
    finite = jnp.isfinite(value)
    return TrainState(
      step=state.step + 1,
      params=moved.params,
      model_state=moved.model_state,
      opt_state=moved.opt_state,
      probe=moved.probe,
      stopped_at=latch(
        state.stopped_at, finite & (value <= stop_loss), state.step
      ),
      diverged_at=latch(state.diverged_at, ~finite, state.step),
    ), sums

  return step
