"""Reads compiled programs as XLA prints them: which part an operation is of.

XLA keeps, with every instruction, the JAX names it came from ('jit(call)/
transpose(jvp(WideResNet))/...') and the Python functions that were on the
stack. A part is told from both: the gradient from the names, who drew noise
from the stack. What XLA fuses stands under the name of what it is fused into.
"""

import functools
import math
import pathlib
import re
from collections import Counter
from typing import NamedTuple

BATCH, PATCHES, NOISE = "batch", "patch drawing", "noise"
FORWARD, BACKWARD, OPTIMISER = "forward", "backward", "optimiser"
NOISE_PART, INSTRUMENTS = "noise part", "instruments"
EVALUATION, LOOP, COPIES = "evaluation", "loop", "copies without a source"

# In this order: (part, pattern over 'file:function' of the stack).
BY_STACK = (
  (EVALUATION, r"core/forward:evaluate"),
  (NOISE, r"optim:add_gaussian_noise|vision/noise:|network:act_noise"),
  (PATCHES, r"vision/patches:|training:example_keys"),
  (BATCH, r"training:batch_at|vision/data:normalize"),
  (NOISE_PART, r"theory/decomposition:"),
  (INSTRUMENTS, r"theory/\w+_probe:|theory/instruments:"),
)
CONVOLUTION = "convolution"
CONTROL = ("while", "call", "conditional")

_TABLE_ROW = re.compile(r"^(\d+) (.*)$")
_FIELD = re.compile(r"(\w+)=(\d+)")
_NAME = re.compile(r"^\s*(?:ROOT )?%([\w.-]+) = ")
_OPCODE = re.compile(r"(?:[\]})]|\)) ([a-z][\w-]*)\(")
_SHAPE = re.compile(r"\w+\[([\d,]*)\]")
_CALLS = re.compile(r"(?:calls|body|to_apply)=%([\w.-]+)")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_FRAME = re.compile(r"stack_frame_id=(\d+)")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%([\w.-]+) .*\{$")


class Instruction(NamedTuple):
  """One instruction of a compiled program.

  Attributes:
    opcode: 'fusion', 'convolution', 'while', ...
    computation: the computation it stands in.
    calls: computations that it calls.
    size: elements of its result, 0 for a tuple.
    op_name: JAX's names, '' where XLA made it itself.
    stack: 'folder/file:function' of lro_jax and others, outermost first.
  """

  opcode: str
  computation: str
  calls: tuple[str, ...]
  size: int
  op_name: str
  stack: tuple[str, ...]


def _tables(lines: list[str]) -> dict[str, dict[int, str]]:
  """The tables at the head of a module, {'FileNames': {1: ...}, ...}."""
  out: dict[str, dict[int, str]] = {}
  rows: dict[int, str] = {}
  for line in lines:
    if line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
      rows = out.setdefault(line, {})
    elif match := _TABLE_ROW.match(line):
      rows[int(match[1])] = match[2]
    elif line.startswith(("%", "ENTRY")):
      break
  return out


def _stacks(tables: dict[str, dict[int, str]]) -> dict[int, tuple[str, ...]]:
  """Frame -> 'folder/file:function' of it and of those that called it."""
  locations, frames = (
    {
      i: {k: int(v) for k, v in _FIELD.findall(row)}
      for i, row in tables.get(name, {}).items()
    }
    for name in ("FileLocations", "StackFrames")
  )

  def words(location):
    file = tables["FileNames"][location["file_name_id"]].strip('"')
    path = pathlib.PurePath(file)
    function = tables["FunctionNames"][location["function_name_id"]].strip('"')
    return f"{path.parent.name}/{path.stem}:{function}"

  out: dict[int, tuple[str, ...]] = {}

  def stack(i):
    if i not in out:
      frame = frames[i]
      # A frame's parent is counted from 1, and 1 is none.
      parent = frame.get("parent_frame_id", 1) - 1
      above = stack(parent) if parent in frames and parent != i else ()
      out[i] = (*above, words(locations[frame["file_location_id"]]))
    return out[i]

  for i in frames:
    stack(i)
  return out


def _size(text: str) -> int:
  shape = _SHAPE.match(text)
  return math.prod(int(n) for n in shape[1].split(",") if n) if shape else 0


def read(text: str) -> dict[str, Instruction]:
  """The instructions of a compiled program by name. Ours.

  Args:
    text: what `jax.stages.Compiled.as_text` gives.
  """
  lines = text.splitlines()
  stacks = _stacks(_tables(lines))
  out, computation = {}, ""
  for line in lines:
    if match := _COMPUTATION.match(line):
      computation = match[1]
    elif match := _NAME.match(line):
      opcode = _OPCODE.search(line, match.end() - 1)
      frame, op_name = _FRAME.search(line), _OP_NAME.search(line)
      out[match[1]] = Instruction(
        opcode=opcode[1] if opcode else "",
        computation=computation,
        calls=tuple(_CALLS.findall(line)),
        size=_size(line[match.end() :]),
        op_name=op_name[1] if op_name else "",
        stack=stacks.get(int(frame[1]), ()) if frame else (),
      )
  return out


def part_of(instruction: Instruction) -> str | None:
  """The part an instruction is of, None where nothing tells it. Ours."""
  stack = " ".join(instruction.stack)
  for part, pattern in BY_STACK:
    if re.search(pattern, stack):
      return part
  if "transpose(" in instruction.op_name:
    return BACKWARD
  if "jvp(" in instruction.op_name:
    return FORWARD
  if re.search(r"core/optim:gradient_step.*(core/optim|optax|move)", stack):
    return OPTIMISER
  ours = [x for x in instruction.stack if x.startswith("theory/")]
  if ours:
    return ours[-1].partition(":")[0].removeprefix("theory/")
  return LOOP if instruction.stack or instruction.op_name else None


def by_computation(
  instructions: dict[str, Instruction],
) -> dict[str, list[str]]:
  """{computation: names of the instructions that stand in it}. Ours."""
  out: dict[str, list[str]] = {}
  for name, x in instructions.items():
    out.setdefault(x.computation, []).append(name)
  return out


def parts(instructions: dict[str, Instruction]) -> dict[str, str]:
  """The part of every instruction, by name. Ours.

  A fusion without a source, as one that also changes the layout, or one whose
  last operation is the loop's choice whether a seed moves, is of the part that
  most elements computed inside it are of. A convolution without a source is a
  gradient by the kernel, which XLA's CPU backend rewrites.
  """
  own = {name: part_of(x) for name, x in instructions.items()}
  standing = by_computation(instructions)

  @functools.cache
  def inside(computation: str) -> Counter:
    found: Counter = Counter()
    for name in standing.get(computation, ()):
      if own[name] not in (None, LOOP):
        found[own[name]] += instructions[name].size
      for called in instructions[name].calls:
        found += inside(called)
    return found

  out = {}
  for name, x in instructions.items():
    part = own[name]
    if part in (None, LOOP) and x.opcode not in ("while", "conditional"):
      found = sum((inside(called) for called in x.calls), Counter())
      part = found.most_common(1)[0][0] if found else part
      if part is None and kind_of(name, instructions, standing) == CONVOLUTION:
        part = BACKWARD
    out[name] = part or COPIES
  return out


def kind_of(
  name: str,
  instructions: dict[str, Instruction],
  standing: dict[str, list[str]],
) -> str:
  """'convolution', 'product', 'layout' or 'elementwise'. Ours.

  Args:
    name: of an instruction.
    instructions: of its program.
    standing: see `by_computation`.
  """
  x = instructions[name]
  opcodes = {x.opcode} | {
    instructions[inner].opcode
    for called in x.calls
    for inner in standing.get(called, ())
  }
  for kind, wanted in ((CONVOLUTION, "convolution"), ("product", "dot")):
    if wanted in opcodes:
      return kind
  is_layout = re.match(r"(transpose|copy|bitcast_transpose)", name)
  return "layout" if is_layout else "elementwise"


def inside_loops(
  instructions: dict[str, Instruction], opcode: str = "convolution"
) -> list[str]:
  """Names of the instructions of one kind that a while loop repeats. Ours."""
  standing = by_computation(instructions)
  todo = [
    called
    for x in instructions.values()
    if x.opcode == "while"
    for called in x.calls
  ]
  seen, found = set(), []
  while todo:
    computation = todo.pop()
    if computation in seen:
      continue
    seen.add(computation)
    for name in standing.get(computation, ()):
      x = instructions[name]
      todo += x.calls
      if x.opcode == opcode:
        found.append(name)
  return found
