"""Reads JAX's profiles: how long each compiled operation had the device.

Where several operations run at once, on the threads of a CPU or the streams of
a GPU, the time is shared out among them, so that all operations and the gaps
between them add up to the time that has passed.
"""

import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from lro_jax.bench import hlo


class Event(NamedTuple):
  """One operation at work: its name, its line, and from when to when, in s."""

  name: str
  line: str
  begin: float
  end: float


class Busy(NamedTuple):
  """What the operations had of the time that has passed.

  Attributes:
    seconds: by operation.
    count: how often each was seen.
    gaps: time in which none ran, in s.
  """

  seconds: dict[str, float]
  count: dict[str, int]
  gaps: float


def trace(call: Callable[[], Any]) -> list[Event]:
  """The device's operations while `call` runs. Ours."""
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      call()
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    profile = jax.profiler.ProfileData.from_file(str(path))
  out = []
  for plane in profile.planes:
    for number, line in enumerate(plane.lines):
      for event in line.events:
        name = dict(event.stats).get("hlo_op")
        if name is not None:
          begin = event.start_ns * 1e-9
          out.append(
            Event(
              str(name),
              f"{plane.name} {number}",
              begin,
              begin + event.duration_ns * 1e-9,
            )
          )
  return out


def busy(events: Iterable[Event], control: Iterable[str] = ()) -> Busy:
  """Shares out the time from the first event to the end of the last. Ours.

  Of one line the innermost operation counts, and of all lines together each
  that is at work has an equal share; a loop has none while its body works.

  Args:
    events: as `trace` gives them.
    control: names of loops, calls and branches.
  """
  control = frozenset(control)
  marks = []
  for i, event in enumerate(events):
    # Ends before begins; of begins at one time the longer event is outside.
    marks.append((event.begin, 1, -event.end, i, event))
    marks.append((event.end, 0, 0.0, i, event))
  marks.sort(key=lambda mark: mark[:4])
  open_events: dict[str, list[Event]] = {}
  seconds, count, gaps = Counter(), Counter(), 0.0
  before = marks[0][0] if marks else 0.0
  for at, begins, _, _, event in marks:
    passed, before = at - before, at
    if passed > 0:
      at_work = [line[-1].name for line in open_events.values() if line]
      inner = [name for name in at_work if name not in control] or at_work
      for name in inner:
        seconds[name] += passed / len(inner)
      gaps += passed * (not inner)
    line = open_events.setdefault(event.line, [])
    if begins:
      line.append(event)
      count[event.name] += 1
    else:
      line.remove(event)
  return Busy(dict(seconds), dict(count), gaps)


class Profile(NamedTuple):
  """Where the time of one call goes, in s.

  Attributes:
    by_part: part -> seconds; they add up to `seconds`.
    by_kind: 'convolution', 'product', 'layout', 'elementwise', likewise.
    seconds: one call, not traced.
    traced_seconds: one call, traced.
  """

  by_part: dict[str, float]
  by_kind: dict[str, float]
  seconds: float
  traced_seconds: float


GAPS = "gaps between operations"


def profile(
  call: Callable[[], Any], text: str, *, calls: int, seconds: float
) -> Profile:
  """Traces some calls, and tells parts and kinds of operations apart. Ours.

  To be traced costs an operation a little, the same for each: what the trace
  lasted beyond the time not traced is taken off all of them by their number.

  Args:
    call: one call of the device; waits for its own result.
    text: the compiled program, as XLA prints it.
    calls: how many to trace.
    seconds: one call, not traced.
  """
  instructions = hlo.read(text)
  control = [k for k, x in instructions.items() if x.opcode in hlo.CONTROL]

  def several():
    for _ in range(calls):
      call()

  found = busy([e for e in trace(several) if e.name in instructions], control)
  traced = sum(found.seconds.values()) + found.gaps
  # A trace may also be the quicker one, by chance.
  over = max(0.0, traced - calls * seconds) / max(1, sum(found.count.values()))
  parts = hlo.parts(instructions)
  standing = hlo.by_computation(instructions)
  by_part, by_kind = Counter(), Counter()
  for name, spent in found.seconds.items():
    spent = max(0.0, spent - over * found.count.get(name, 0))
    by_part[parts[name]] += spent
    by_kind[hlo.kind_of(name, instructions, standing)] += spent
  by_part[GAPS], by_kind[GAPS] = found.gaps, found.gaps
  scale = seconds / max(sum(by_part.values()), 1e-12)
  return Profile(
    {k: v * scale for k, v in by_part.most_common()},
    {k: v * scale for k, v in by_kind.most_common()},
    seconds,
    traced / calls,
  )
