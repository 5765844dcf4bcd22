"""Compiles a Task: jit, pmap, loops and donation of steps stand here.

Many updates run in one device loop, so that Python is not met per step. The
loop is a `lax.while_loop`, not a scan: its length is an argument, so a single
compilation serves every distance between two evaluations, and it ends by
itself when all seeds are done. A Task that forbids the device loop has the same
step called from Python, which stays two steps ahead of the device.

Each seed stops at its own exact step: from then on its state is no longer
replaced. Where a latch is about to close, a loop around that loop evaluates
the state *before* that update, so the metrics of an event do not depend on
where the host happens to look.
"""

import collections
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import jax_utils

from lro_jax.core import hosts, placement, prng
from lro_jax.core.seeds import each_seed, select
from lro_jax.core.task import (
  NOT_YET,
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


class Carry(NamedTuple):
  """What goes round the device loop.

  Attributes:
    state: the Task's state, leaves [s, ...].
    sums: running sums of the step's sums, [s].
    num_steps: how many steps they ran over, int32 [s].
    at_events: event name -> Measurements [s] when its latch closed.
  """

  state: Tree
  sums: dict[str, Array]
  num_steps: Array
  at_events: dict[str, Measurements]


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


def _evaluate(task: Task, state: Tree, data: Data, axis: str | None):
  out = each_seed(task.evals, len(task.seeds))(state, data)
  if axis is not None:
    sums, counts = jax.lax.psum((out.sums, out.counts), axis)
    out = Measurements(sums, counts, out.values)
  return out


def one_step(task: Task) -> Callable[..., tuple[Carry, dict[str, Array]]]:
  """One update of every seed that is still running. Ours.

  A seed that meets an event which is measured is held: it stays in the state
  before that update, for the event is of this state. Released, it makes the
  very same update, by the same program. So no state is read once the next is
  there, and XLA writes the one over the other; else it would copy all of it at
  every step.

  Args:
    task: the Task.

  Returns:
    (carry, data, until, released) -> (carry, held). `until`: steps at which a
    seed waits, [] or [s]; `released`: whose event was measured already, bool
    [s]; `held`: event name -> who waits for it to be, bool [s].
  """
  mapped = functools.partial(each_seed, num_seeds=len(task.seeds))

  def body(carry: Carry, data: Data, until: Array, released: Array):
    state = carry.state
    active = ~is_over(state) & (state.step < until)
    batch = mapped(task.batches)(data, state.step)
    proposal, sums = mapped(task.step)(state, batch)

    def settled(going):
      # A seed that stops at this step keeps the weights it was judged by.
      new = select(going & ~is_over(proposal), proposal, state)
      return new._replace(
        stopped_at=jnp.where(going, proposal.stopped_at, state.stopped_at),
        diverged_at=jnp.where(going, proposal.diverged_at, state.diverged_at),
      )

    before, after = task.events(state), task.events(settled(active))
    held = {
      name: ~released & (after[name] != NOT_YET) & (before[name] == NOT_YET)
      for name in carry.at_events
    }
    active &= ~_any_event(held, active)
    moves = active & ~is_over(proposal)
    return Carry(
      state=settled(active),
      sums={
        name: carry.sums[name] + jnp.where(moves, sums[name], 0)
        for name in carry.sums
      },
      num_steps=carry.num_steps + moves,
      at_events=carry.at_events,
    ), held

  return body


def _any_event(held: dict[str, Array], like: Array) -> Array:
  """Of every seed whether any event holds it, bool [s], shaped as `like`."""
  return functools.reduce(jnp.logical_or, held.values(), jnp.zeros_like(like))


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
  body = one_step(task)
  seeds = np.asarray(task.seeds, np.uint32)

  def init_state(data):
    make = lambda seed, d: task.init(prng.root_key(seed), d)  # noqa: E731
    return each_seed(make, len(seeds))(jnp.asarray(seeds), data)

  def init(data, eval_data):
    state = init_state(data)
    nothing = None
    if task.measured:
      now = _evaluate(task, state, eval_data, axis)
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

  def record(carry, held, eval_data):
    now = _evaluate(task, carry.state, eval_data, axis)
    remember = each_seed(task.remember, len(seeds))
    return carry._replace(
      state=remember(carry.state, held),
      at_events={
        name: select(held[name], now, old)
        for name, old in carry.at_events.items()
      },
    )

  def running(carry, until):
    return jnp.any(~is_over(carry.state) & (carry.state.step < until))

  def forward_once(carry, data, eval_data, until, fresh, stop):
    carry = emptied(carry, fresh)
    nobody = jnp.zeros_like(is_over(carry.state))
    carry, held = body(carry, data, until, nobody)
    released = _any_event(held, nobody)

    def measure(carry):
      carry = record(carry, held, eval_data)
      # Whoever was not held has made this step.
      return body(carry, data, jnp.where(released, until, 0), released)[0]

    if held:
      carry = jax.lax.cond(jnp.any(released), measure, lambda c: c, carry)
    return carry, handle_of(carry, stop)

  def forward_until(carry, data, eval_data, until, fresh, stop):
    nobody = jnp.zeros_like(is_over(carry.state))
    none_held = {name: nobody for name in carry.at_events}

    def to_an_event(carry_and_released):
      carry, released = carry_and_released
      carry, held, _ = jax.lax.while_loop(
        lambda now: (
          running(now[0], until) & ~jnp.any(_any_event(now[1], nobody))
        ),
        # Who was released has moved: nobody is, a step later.
        lambda now: (*body(now[0], data, until, now[2]), nobody),
        (carry, none_held, released),
      )
      released = _any_event(held, nobody)
      if held:
        carry = jax.lax.cond(
          jnp.any(released),
          lambda c: record(c, held, eval_data),
          lambda c: c,
          carry,
        )
      return carry, released

    carry, _ = jax.lax.while_loop(
      lambda now: running(now[0], until),
      to_an_event,
      (emptied(carry, fresh), nobody),
    )
    return carry, handle_of(carry, stop)

  def evaluate(carry, eval_data):
    state = carry.state
    return Reading(
      now=_evaluate(task, state, eval_data, axis),
      at_events=carry.at_events,
      events=task.events(state),
      step=state.step,
      over=is_over(state),
      learning_rate=each_seed(task.learning_rate, len(seeds))(state, eval_data),
      sums=carry.sums,
      num_steps=carry.num_steps,
    )

  forward = forward_until if task.device_loop else forward_once
  if devices == 1:
    data, eval_data = jax.device_put((task.data, task.eval_data))
    run_init, run_evaluate = jax.jit(init), jax.jit(evaluate)
    run_forward = jax.jit(forward, donate_argnums=0)
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
      forward, in_axes=(0, 0, 0, None, None, None), donate_argnums=0
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
