"""What the compiled programs of a run cost: time, memory, FLOPs, by part.

For either track: a run's Task, compiled as `core.loop` compiles it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from lro_jax.bench import device, timeline
from lro_jax.core import steps, timing
from lro_jax.core.schema import ConfigDict
from lro_jax.core.task import Task
from lro_jax.plans import track_of

AT_MOST = 30.0
# A timed call of a device loop makes steps for so many seconds: of one of few
# steps at infinite width a good part is the call itself.
CALL_SECONDS = 0.5
# Steps of a device loop in one traced call, and seconds that a trace may take.
PER_CALL, TRACED_SECONDS, MOST_TRACED = 500, 1.0, 4


class Running(NamedTuple):
  """A Task under way.

  Attributes:
    task: the Task.
    compiled: its entry points.
    carry: () -> the present carry.
    advance: (num) -> None; so many more steps, waited for.
    step: () -> None; `per_call` more.
    per_call: how many.
    evaluate: () -> None; an evaluation, waited for.
    fetch: () -> None; what an evaluation has found, brought to the host.
  """

  task: Task
  compiled: steps.Compiled
  carry: Callable[[], steps.Carry]
  advance: Callable[[int], None]
  step: Callable[[], None]
  per_call: int
  evaluate: Callable[[], None]
  fetch: Callable[[], None]


def start(config: ConfigDict, per_call: int = PER_CALL) -> Running:
  """Makes a run's Task, on one device, and its calls. Ours.

  Args:
    config: a valid config of one run.
    per_call: steps in a call, where the device may loop.
  """
  task = track_of(config).make(config, axis_name=None)
  per_call = per_call if task.device_loop else 1
  # As in `core.loop`: what is put on the device outside would be float32.
  precision = functools.partial(jax.enable_x64, task.x64)
  with precision():
    compiled = steps.compile_task(task, 1)
    state: dict[str, Any] = {"carry": compiled.init(), "until": 0}

  def advance(num):
    state["until"] += num
    with precision():
      state["carry"], handle = compiled.advance(
        state["carry"], state["until"], False
      )
    jax.block_until_ready(handle)

  def evaluate():
    with precision():
      state["reading"] = jax.block_until_ready(
        compiled.evaluate(state["carry"])
      )

  def fetch():
    if "reading" not in state:
      evaluate()
    compiled.fetch(state["reading"])

  return Running(
    task=task,
    compiled=compiled,
    carry=lambda: state["carry"],
    advance=advance,
    step=lambda: advance(per_call),
    per_call=per_call,
    evaluate=evaluate,
    fetch=fetch,
  )


def _counted(compiled: jax.stages.Compiled) -> dict[str, float]:
  """XLA's own count of a program; a loop's body counts once."""
  costs = compiled.cost_analysis() or {}
  memory = compiled.memory_analysis()
  out = {
    "xla_flops": float(costs.get("flops", 0.0)),
    "xla_bytes": float(costs.get("bytes accessed", 0.0)),
  }
  if memory is not None:
    out["temporary_bytes"] = int(memory.temp_size_in_bytes)
    out["argument_bytes"] = int(memory.argument_size_in_bytes)
  return out


def times(run: Running) -> dict[str, float]:
  """Seconds of what a run is made of, each by itself. Ours.

  Args:
    run: from `start`, of a config whose `train.max` is far.

  Returns:
    `step_seconds`, `evaluation_seconds`, `fetch_seconds` of what one has found.
  """
  num = run.per_call
  if run.task.device_loop:
    run.step()
    num *= math.ceil(CALL_SECONDS / timing.once(run.step))
  return {
    "step_seconds": timing.seconds(lambda: run.advance(num), at_most=AT_MOST)
    / num,
    "evaluation_seconds": timing.seconds(run.evaluate, at_most=AT_MOST),
    "fetch_seconds": timing.seconds(run.fetch, at_most=AT_MOST),
  }


def measure(config: ConfigDict, *, profile: bool = False) -> dict[str, Any]:
  """What a run's programs cost. Ours.

  Args:
    config: a valid config of one run, that anneals and stops nowhere.
    profile: whether to trace a step as well.

  Returns:
    `programs`: of init, call and evaluate the seconds to compile, XLA's FLOPs
    and bytes (of one step, or one evaluation), temporary and argument bytes;
    what `times` gives; FLOPs and bytes per second of a step, as shares of one
    large matrix product and one large copy on the same device; with `profile`,
    `by_part` and `by_kind`: seconds of a step.
  """
  run = start(config)
  with jax.enable_x64(run.task.x64):
    programs, text = {}, ""
    for name, lowered in run.compiled.lower(run.carry()).items():
      made = []
      seconds = timing.once(
        lambda made=made, x=lowered: made.append(x.compile())
      )
      programs[name] = {"compile_seconds": seconds} | _counted(made[0])
      if name == "call":
        text = made[0].as_text()
    timed = times(run)
    step = timed["step_seconds"]
    dtype = config.model.get("dtype", "float32")
    product = device.matrix_product_flops_per_second(
      dtype="float64" if run.task.x64 else dtype
    )
    copy = device.copy_bytes_per_second()
    called = programs["call"]
    out = timed | {
      "programs": programs,
      "steps_per_second": 1 / step,
      "matrix_product_flops_per_second": product,
      "copy_bytes_per_second": copy,
      "share_of_matrix_product": called["xla_flops"] / step / product,
      # Above 1 where what is read stays in a cache.
      "share_of_copy": called["xla_bytes"] / step / copy,
    }
    out["peak_bytes"], out["peak_bytes_of"] = device.peak_bytes()
    if profile:
      call_seconds = step * run.per_call
      found = timeline.profile(
        run.step,
        text,
        calls=max(1, min(MOST_TRACED, round(TRACED_SECONDS / call_seconds))),
        seconds=call_seconds,
      )
      for name in ("by_part", "by_kind"):
        spent = getattr(found, name)
        out[name] = {k: v / run.per_call for k, v in spent.items()}
      out["traced_over_untraced"] = found.traced_seconds / call_seconds
  return out


def show(name: str, found: dict[str, Any]) -> None:
  """Prints what `measure` found. Ours."""
  called = found["programs"]["call"]
  print(
    f"{name}: {1e3 * found['step_seconds']:.3f} ms a step, an evaluation"
    f" {1e3 * found['evaluation_seconds']:.1f} ms, compiled in"
    f" {called['compile_seconds']:.1f} s\n"
    f"  by XLA's count {called['xla_flops'] / 1e9:.3f} GFLOP and"
    f" {called['xla_bytes'] / 2**20:.1f} MiB a step:"
    f" {found['share_of_matrix_product']:.0%} of a matrix product,"
    f" {found['share_of_copy']:.0%} of a copy; peak memory of the"
    f" {found['peak_bytes_of']} {found['peak_bytes'] / 2**30:.2f} GiB",
    flush=True,
  )
  for part, seconds in found.get("by_part", {}).items():
    print(
      f"  {part:26s} {1e3 * seconds:10.3f} ms"
      f" {seconds / found['step_seconds']:6.1%}"
    )
