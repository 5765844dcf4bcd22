"""The one contract between a track and the loop.

Axis letters of the whole repository: n examples, m hidden units, d dimension,
c classes, h/w/ch image, k devices, s seeds. A [s] in front of a shape is the
seed axis that `core.steps` maps over; a Task's own functions never see it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Tree = Any

# A latch holds the step at which it closed, and this until then.
NOT_YET = -1


class Data(NamedTuple):
  """What a step reads, resident on the device.

  Attributes:
    examples: tree of [n, ...] arrays, split over devices along n. An example
      of zeros must count for nothing: it may be added as padding.
    shared: tree of arrays that every device holds whole.
  """

  examples: Tree
  shared: Tree


class Measurements(NamedTuple):
  """What an evaluation returns; division happens once, on the host.

  Attributes:
    sums: name -> [], summed over this device's examples.
    counts: name -> [], how many examples each sum ran over; same names.
    values: name -> [], readings of the state itself, equal on every device.
  """

  sums: dict[str, Array]
  counts: dict[str, Array]
  values: dict[str, Array]


class TrainState(NamedTuple):
  """State of a gradient-trained engine.

  `core.steps` asks of any engine's state only the fields `step`, `stopped_at`
  and `diverged_at`.

  Attributes:
    step: updates done, int32 [].
    params: trained arrays.
    model_state: what the model carries besides (BatchNorm statistics), or ().
    opt_state: state of the optax chain.
    probe: what is carried only to be measured, or ().
    stopped_at: latch of the stopping rule, int32 [].
    diverged_at: latch of a non-finite loss, int32 [].
  """

  step: Array
  params: Tree
  model_state: Tree
  opt_state: Tree
  probe: Tree
  stopped_at: Array
  diverged_at: Array


class Task(NamedTuple):
  """Everything the loop knows of a track.

  Attributes:
    seeds: the run's seeds; their number is the length of every [s] axis.
    data: training data, leaves [s, n, ...] and [s, ...].
    eval_data: evaluation data, likewise.
    init: (root key, Data of this seed) -> state.
    batches: (Data, step) -> the Data one step reads.
    step: (state, Data) -> (state, sums). Pure, knows no jit. `sums` is a dict
      of [], of the default float type, that the loop averages over steps.
    sums: names of these sums.
    evals: (state, Data) -> Measurements; with 'train_loss/all' among its sums.
    outputs: (state, Data) -> the net's outputs on the training examples this
      device holds, [n, ...].
    events: state -> {name: latch, int32 []}.
    measured: names of the events at which `evals` is run, on the device.
    remember: (state, {name: bool []} of `measured`) -> state: what a state
      keeps of itself at the events that are true, before the update.
    marks: name -> step of what is known beforehand to happen then, as a rate
      that falls by schedule: the evaluation there, before the update, bears the
      name.
    learning_rate: (state, evaluation Data) -> rate of the next update, []; for
      messages.
    x64: whether all of it is traced in double precision.
    device_loop: whether steps may run in a loop on the device. XLA's gradient
      convolutions are up to 100 times slower inside one on a CPU.
    facts: what run.json should say besides (regime, data hash).
    files: name -> content of what the run's folder should hold besides.
  """

  seeds: tuple[int, ...]
  data: Data
  eval_data: Data
  init: Callable[[Array, Data], Tree]
  batches: Callable[[Data, Array], Data]
  step: Callable[[Tree, Data], tuple[Tree, dict[str, Array]]]
  sums: tuple[str, ...]
  evals: Callable[[Tree, Data], Measurements]
  outputs: Callable[[Tree, Data], Array]
  events: Callable[[Tree], dict[str, Array]]
  measured: tuple[str, ...]
  remember: Callable[[Tree, dict[str, Array]], Tree]
  marks: dict[str, int]
  learning_rate: Callable[[Tree, Data], Array]
  x64: bool
  device_loop: bool
  facts: dict[str, Any]
  files: dict[str, bytes]


class DivergedError(ArithmeticError):
  """A loss that is no longer finite; the seed stops where it happened."""

  def __init__(self, *, step: int, seed: int, learning_rate: float):
    super().__init__(
      f"The loss of seed {seed} is not finite at step {step} (learning rate"
      f" {learning_rate:g}): this seed stops there, its earlier metrics are"
      " kept. A smaller learning rate or noise level may train."
    )
    self.step = step
    self.seed = seed
    self.learning_rate = learning_rate


def latch(latch_step: Array, condition: Array, step: Array) -> Array:
  """The latch after a step: closes at `step` if open and `condition`, []."""
  closes = (latch_step == NOT_YET) & condition
  return jnp.where(closes, step, latch_step).astype(jnp.int32)


def is_over(state: Tree) -> Array:
  """Whether a state has stopped or diverged, bool [] (or [s])."""
  return (state.stopped_at != NOT_YET) | (state.diverged_at != NOT_YET)
