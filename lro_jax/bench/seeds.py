"""Several seeds of a small net on one device: by turns, mapped, in a scan.

A run of images has one seed (`SEEDS_APART`); this measures what that costs. By
turns is what stands: runs one after the other. Interleaved sends a step of each
seed before it waits for the first. Mapped and scanned put all seeds into one
program, as a batch axis or as a loop.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.bench import vision as bench_vision
from lro_jax.core import forward, steps, timing
from lro_jax.core.schema import ConfigDict
from lro_jax.core.task import Data, Task
from lro_jax.vision import task as vision

AT_MOST = 20.0


def merged(tasks: list[Task]) -> Task:
  """One Task with the seeds of several, their data along the axis [s]. Ours."""

  def stack(*trees):
    return Data(
      *jax.tree.map(lambda *x: np.concatenate(x), *(tuple(t) for t in trees))
    )

  return tasks[0]._replace(
    seeds=tuple(seed for task in tasks for seed in task.seeds),
    data=stack(*(t.data for t in tasks)),
    eval_data=stack(*(t.eval_data for t in tasks)),
  )


def _advancing(tasks: list[Task], wait_for_each: bool):
  """A call that makes one step of every Task."""
  all_compiled = [steps.compile_task(task, 1) for task in tasks]
  carries = [compiled.init() for compiled in all_compiled]
  at = 0

  def call():
    nonlocal at
    at += 1
    handles = []
    for i, compiled in enumerate(all_compiled):
      carries[i], handle = compiled.call(carries[i], at, False)
      handles.append(handle)
      if wait_for_each:
        jax.block_until_ready(handle)
    jax.block_until_ready(handles)

  return call


def _scanned(tasks: list[Task]):
  """A call that makes one step of every Task, in a loop of the device."""
  body = forward.one_step(tasks[0])
  carry = jax.tree.map(
    lambda *x: jnp.stack(x), *(steps.compile_task(t, 1).init() for t in tasks)
  )
  data = jax.device_put(
    jax.tree.map(lambda *x: np.stack(x), *[t.data for t in tasks])
  )

  @functools.partial(jax.jit, donate_argnums=0)
  def once(carry, data, until):
    # A run of images measures at no event: nobody is ever held.
    nobody = jnp.zeros(1, bool)
    return jax.lax.map(
      lambda each: body(*each, until, nobody)[0], (carry, data)
    )

  at = 0

  def call():
    nonlocal carry, at
    at += 1
    carry = once(carry, data, np.int32(at))
    jax.block_until_ready(carry.state.step)

  return call


def run(config: ConfigDict, num_seeds: int = 3) -> dict[str, Any]:
  """Seconds of a step of one seed, in each way. Ours.

  Args:
    config: an experiment of the vision track.
    num_seeds: how many seeds.
  """
  tasks = []
  for seed in range(num_seeds):
    c = bench_vision.run_config(config)
    c.seeds = (seed,)
    tasks.append(vision.make(c, axis_name=None)._replace(device_loop=False))
  ways = {
    "by turns": lambda: _advancing(tasks, wait_for_each=True),
    "interleaved": lambda: _advancing(tasks, wait_for_each=False),
    "mapped": lambda: _advancing([merged(tasks)], wait_for_each=True),
    "scanned": lambda: _scanned(tasks),
  }
  out = {}
  for name, make in ways.items():
    call = make()
    out[name] = timing.seconds(call, at_most=AT_MOST) / num_seeds
    print(
      f"{num_seeds} seeds, {name}: {1e3 * out[name]:.2f} ms a step and seed,"
      f" {out['by turns'] / out[name]:.2f} of the speed by turns",
      flush=True,
    )
  return {"num_seeds": num_seeds, "seconds_per_step_and_seed": out}
