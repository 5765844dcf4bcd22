"""Compiles a Task: jit, pmap and donation of `core.forward` stand here.

A Task that forbids the device loop has the same step called from Python, which
stays two steps ahead of the device.
"""

import collections
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import jax_utils

from lro_jax.core import forward, hosts, placement, prng
from lro_jax.core.forward import Carry
from lro_jax.core.seeds import each_seed
from lro_jax.core.task import (
  Array,
  Data,
  Measurements,
  Task,
  Tree,
  is_over,
)

# Device calls whose results the host has not waited for. More would deadlock
# some jaxlib releases on several CPU devices, and would not be faster.
IN_FLIGHT = 2


class Reading(NamedTuple):
  """Everything the host writes down at an evaluation, [s] throughout.

  Attributes:
    now: Measurements of the present state, of all devices together.
    at_events: event name -> Measurements when its latch closed.
    events: event name -> step at which its latch closed, or NOT_YET.
    step: steps done, int32.
    over: whether the seed has stopped or diverged.
    learning_rate: rate of the next update.
    sums: sums since the last fresh `advance`.
    num_steps: how many steps they ran over.
  """

  now: Measurements
  at_events: dict[str, Measurements]
  events: dict[str, Array]
  step: Array
  over: Array
  learning_rate: Array
  sums: dict[str, Array]
  num_steps: Array


class Handle(NamedTuple):
  """What to wait on after a call: small, and the same on every host.

  Attributes:
    step: steps done, int32 [s].
    over: whether the seed has stopped or diverged, bool [s].
    stop: whether any host was told to end, bool [].
  """

  step: Array
  over: Array
  stop: Array


class Compiled(NamedTuple):
  """A Task's entry points. All trees are on the device(s).

  Attributes:
    init: () -> Carry.
    call: (Carry, until, fresh, stop) -> (Carry, Handle); one call of the
      device: every seed runs until its step is at least `until`, or it is over,
      but by one step only where the Task forbids the device loop. `fresh`
      empties the running sums first; `stop` comes back in the handle, of all
      hosts together. Donates its first argument.
    advance: (Carry, until, fresh) -> (Carry, Handle); as many calls as it
      takes to reach `until`.
    evaluate: Carry -> Reading.
    apply: (fn, Carry) -> fn(state, Data) of every seed, [s, ...]; one device.
    fetch: tree of one of the above -> the same in NumPy, one copy.
    put: NumPy Carry -> on the device(s).
    lower: Carry -> {'init', 'call', 'evaluate': that program, lowered}; for
      those who count or read what is compiled.
  """

  init: Callable[[], Carry]
  call: Callable[[Carry, int, bool, bool], tuple[Carry, Handle]]
  advance: Callable[[Carry, int, bool], tuple[Carry, Handle]]
  evaluate: Callable[[Carry], Reading]
  apply: Callable[[Callable[[Tree, Data], Tree], Carry], Tree]
  fetch: Callable[[Tree], Tree]
  put: Callable[[Tree], Carry]
  lower: Callable[[Carry], dict[str, jax.stages.Lowered]]


def compile_task(task: Task, devices: int) -> Compiled:
  """Compiles a Task for some number of devices. Ours.

  `pmap` stands in this function alone, so that `shard_map` can take its place.

  Args:
    task: the Task; with more than one device it must have been made with
      `axis_name(devices)`.
    devices: how many devices to use: of this host, or all of all hosts.

  Returns:
    The entry points. On several hosts each makes the same calls in the same
    order. Call them inside `jax.enable_x64(task.x64)`.
  """
  axis = placement.axis_name(devices)
  move = forward.make(task, axis)
  seeds = np.asarray(task.seeds, np.uint32)

  def init_state(data):
    make = lambda seed, d: task.init(prng.root_key(seed), d)  # noqa: E731
    return each_seed(make, len(seeds))(jnp.asarray(seeds), data)

  def init(data, eval_data):
    state = init_state(data)
    nothing = None
    if task.measured:
      now = forward.evaluate(task, state, eval_data, axis)
      nothing = jax.tree.map(jnp.zeros_like, now)
    return Carry(
      state=state,
      sums={name: jnp.zeros(len(seeds)) for name in task.sums},
      num_steps=jnp.zeros(len(seeds), jnp.int32),
      at_events={name: nothing for name in task.measured},
    )

  def emptied(carry, fresh):
    sums, num_steps = jax.tree.map(
      lambda x: jnp.where(fresh, jnp.zeros_like(x), x),
      (carry.sums, carry.num_steps),
    )
    return carry._replace(sums=sums, num_steps=num_steps)

  def handle_of(carry, stop):
    if axis is not None:
      stop = jax.lax.pmax(stop, axis)
    # Copies: the carry is donated to the next call.
    return Handle(carry.state.step + 0, is_over(carry.state), stop | False)

  def call_of(carry, data, eval_data, until, fresh, stop):
    carry = move(emptied(carry, fresh), data, eval_data, until)
    return carry, handle_of(carry, stop)

  def evaluate(carry, eval_data):
    state = carry.state
    return Reading(
      now=forward.evaluate(task, state, eval_data, axis),
      at_events=carry.at_events,
      events=task.events(state),
      step=state.step,
      over=is_over(state),
      learning_rate=each_seed(task.learning_rate, len(seeds))(state, eval_data),
      sums=carry.sums,
      num_steps=carry.num_steps,
    )

  if devices == 1:
    data, eval_data = jax.device_put((task.data, task.eval_data))
    run_init, run_evaluate = jax.jit(init), jax.jit(evaluate)
    run_forward = jax.jit(call_of, donate_argnums=0)
    fetch, put = placement.to_numpy, placement.to_device
  else:
    used = placement.used_devices(devices)
    here = [d for d in used if d.process_index == jax.process_index()]
    pmap = functools.partial(jax.pmap, axis_name=axis, devices=used)
    data, eval_data = jax.pmap(lambda x: x, devices=used)(
      hosts.local_rows(
        (
          placement.split_examples(task.data, devices),
          placement.split_examples(task.eval_data, devices),
        )
      )
    )
    run_init, run_evaluate = pmap(init), pmap(evaluate)
    run_forward = pmap(
      call_of, in_axes=(0, 0, 0, None, None, None), donate_argnums=0
    )

    def fetch(tree):
      return placement.to_numpy(jax_utils.unreplicate(tree))

    def put(tree):
      return jax_utils.replicate(placement.to_device(tree), here)

  def call(carry, until, fresh, stop=False):
    return run_forward(
      carry,
      data,
      eval_data,
      np.int32(until),
      np.bool_(fresh),
      np.bool_(stop),
    )

  def call_for_each_step(carry, until, fresh):
    handles: collections.deque = collections.deque()
    at, over = fetch((carry.state.step, is_over(carry.state)))
    # At least once: a call is what empties the sums and gives a handle.
    first = until - 1 if over.all() else min(int(at.min()), until - 1)
    for _ in range(first, until):
      carry, handle = call(carry, until, fresh)
      handles.append(handle)
      if len(handles) > IN_FLIGHT:
        jax.block_until_ready(handles.popleft())
      fresh = False
    return carry, handles[-1]

  def lower(carry):
    asked = np.int32(1), np.bool_(False), np.bool_(False)
    return {
      "init": run_init.lower(data, eval_data),
      "call": run_forward.lower(carry, data, eval_data, *asked),
      "evaluate": run_evaluate.lower(carry, eval_data),
    }

  return Compiled(
    init=lambda: run_init(data, eval_data),
    call=call,
    advance=call if task.device_loop else call_for_each_step,
    evaluate=lambda carry: run_evaluate(carry, eval_data),
    apply=lambda fn, carry: jax.jit(each_seed(fn, len(seeds)))(
      carry.state, data
    ),
    fetch=fetch,
    put=put,
    lower=lower,
  )
