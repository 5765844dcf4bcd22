"""How the seeds of a Task move: one update, one call of the device.

Many updates run in one device loop, so that Python is not met per step. The
loop is a `lax.while_loop`, not a scan: its length is an argument, so a single
compilation serves every distance between two evaluations, and it ends by
itself when all seeds are done.

Each seed stops at its own exact step: from then on its state is no longer
replaced. Where a latch is about to close, a loop around that loop evaluates
the state *before* that update, so the metrics of an event do not depend on
where the host happens to look.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

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


def evaluate(
  task: Task, state: Tree, data: Data, axis: str | None
) -> Measurements:
  """Measures every seed, of all devices together. Ours.

  Args:
    task: the Task.
    state: its state, leaves [s, ...].
    data: its evaluation data.
    axis: name of the device axis, or None.
  """
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


def make(task: Task, axis: str | None) -> Callable[..., Carry]:
  """One call of the device. Ours.

  Args:
    task: the Task.
    axis: name of the device axis, or None.

  Returns:
    (carry, data, evaluation data, until) -> carry: every seed runs until its
    step is at least `until`, int32 [], or it is over; by one step only where
    the Task forbids the device loop.
  """
  body = one_step(task)

  def record(carry, held, eval_data):
    now = evaluate(task, carry.state, eval_data, axis)
    remember = each_seed(task.remember, len(task.seeds))
    return carry._replace(
      state=remember(carry.state, held),
      at_events={
        name: select(held[name], now, old)
        for name, old in carry.at_events.items()
      },
    )

  def running(carry, until):
    return jnp.any(~is_over(carry.state) & (carry.state.step < until))

  def forward_once(carry, data, eval_data, until):
    nobody = jnp.zeros_like(is_over(carry.state))
    carry, held = body(carry, data, until, nobody)
    released = _any_event(held, nobody)

    def measure(carry):
      carry = record(carry, held, eval_data)
      # Whoever was not held has made this step.
      return body(carry, data, jnp.where(released, until, 0), released)[0]

    if held:
      carry = jax.lax.cond(jnp.any(released), measure, lambda c: c, carry)
    return carry

  def forward_until(carry, data, eval_data, until):
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
      (carry, nobody),
    )
    return carry

  return forward_until if task.device_loop else forward_once
