"""Several hosts: how they meet, what one says to all, what all must agree on.

With `jax.distributed` every host runs the same program over all devices. Only
the first one writes; what it read or decided goes to the others, and a mistake
that one host sees ends all of them with the same sentence. On one host all of
this is nothing.
"""

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from lro_jax.core import packing
from lro_jax.core.interrupt import InterruptedRun
from lro_jax.core.schema import UserError
from lro_jax.core.task import Tree

# Set in the process that trains, to its parent's number; see `guard`.
_GUARDED = "LRO_JAX_GUARDED"
# What errors say that another host caused: Gloo, NCCL, the coordination
# service, sockets.
_OF_OTHERS = re.compile(
  "gloo|nccl|coordination|heartbeat|barrier|peer|connection|socket"
  "|UNAVAILABLE|DEADLINE_EXCEEDED",
  re.IGNORECASE,
)
# From <linux/prctl.h>: the signal to receive when the parent ends.
_PR_SET_PDEATHSIG = 1


def start(
  coordinator: str | None,
  num_processes: int | None,
  process_id: int | None,
  *,
  timeout: int,
) -> None:
  """Meets the other hosts; before any device is touched. Ours.

  Args:
    coordinator: host:port of process 0; None where TPU pod, Slurm or MPI say
      it themselves.
    num_processes: number of hosts, None likewise.
    process_id: which of them this is, None likewise.
    timeout: for so many s the others are waited for, and a host that went
      silent is missed only then.

  Raises:
    UserError: the hosts do not meet.
  """
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      initialization_timeout=timeout,
      heartbeat_timeout_seconds=timeout,
    )
  except (ValueError, RuntimeError) as error:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise UserError(
      f"The hosts did not meet ({lines[0][:200]}): start the same command on"
      " all of them; outside a TPU pod, Slurm or MPI each needs --coordinator,"
      " --num_processes and a --process_id of its own."
    ) from error


def count() -> int:
  """How many hosts there are. Ours."""
  return jax.process_count()


def is_first() -> bool:
  """Whether this is the host that writes. Ours."""
  return jax.process_index() == 0


def _gather(content: bytes) -> list[bytes]:
  """What every host has to say, by host."""
  length = np.array([len(content)], np.int32)
  lengths = multihost_utils.process_allgather(length)[:, 0]
  # One of few lengths: each is compiled for.
  room = 1 << int(lengths.max()).bit_length()
  buffer = np.zeros(room, np.uint8)
  buffer[: len(content)] = np.frombuffer(content, np.uint8)
  rows = multihost_utils.process_allgather(buffer)
  return [r[:n].tobytes() for r, n in zip(rows, lengths, strict=True)]


def _together(call: Callable[[], Any] | None) -> list[Any]:
  """What `call` gave on every host; the first refusal of any is everyone's."""
  said: dict[str, Any] = {}
  if call is not None:
    try:
      said["value"] = call()
    except UserError as error:
      said["error"] = str(error)
  everyone = [json.loads(x) for x in _gather(json.dumps(said).encode())]
  for host, theirs in enumerate(everyone):
    if "error" in theirs:
      where = "" if host == 0 else f"Host {host}: "
      raise UserError(f"{where}{theirs['error']}")
  return [theirs.get("value") for theirs in everyone]


def first_says(call: Callable[[], Any]) -> Any:
  """What `call` returns on the first host, on all of them. Ours.

  Args:
    call: only the first host calls it; returns what JSON can hold.

  Raises:
    UserError: what it raised there.
  """
  if count() == 1:
    return call()
  return _together(call if is_first() else None)[0]


def all_do(call: Callable[[], Any]) -> Any:
  """Every host calls; a refusal on one is a refusal on all. Ours.

  Args:
    call: what it returns stays on its host.

  Raises:
    UserError: of the first host that raised one.
  """
  if count() == 1:
    return call()
  kept = []
  _together(lambda: kept.append(call()))
  return kept[0]


def any_says(flag: bool) -> bool:
  """Whether any host says yes. Ours."""
  return bool(flag) if count() == 1 else any(_together(lambda: bool(flag)))


def must_agree(what: str, value: str) -> None:
  """Refuses hosts that were started differently. Ours.

  Args:
    what: what must be the same, in words.
    value: this host's.

  Raises:
    UserError: on every host, naming one that differs from the first.
  """
  if count() == 1:
    return
  everyone = _together(lambda: value)
  for host, theirs in enumerate(everyone):
    if theirs != everyone[0]:
      raise UserError(
        f"Host {host} was started with another {what} than host 0: give all"
        " hosts the same command, but for --process_id."
      )


def from_first(leaves: list[np.ndarray]) -> list[np.ndarray]:
  """The first host's arrays on all hosts, to the bit. Ours.

  Args:
    leaves: arrays [...] of the same shapes and types everywhere.

  Returns:
    Arrays [...] as `leaves` has them.
  """
  if count() == 1:
    return leaves
  # As bytes: hosts are summed over, and -0.0 + 0.0 is not -0.0.
  packed = multihost_utils.broadcast_one_to_all(packing.pack(leaves))
  return packing.unpack(np.asarray(packed), leaves)


def local_rows(tree: Tree) -> Tree:
  """This host's rows of arrays that have one row per device. Ours."""
  if count() == 1:
    return tree
  here = [
    i
    for i, device in enumerate(jax.devices())
    if device.process_index == jax.process_index()
  ]
  return jax.tree.map(lambda x: x[here], tree)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
  """Ends this process on an error, not waiting for hosts that wait for it.

  Ours. A clean exit meets the other hosts once more; after an error they are in
  the middle of something, and would be waited for in vain.
  """
  try:
    yield
  except UserError as error:
    print(f"Error: {error}", file=sys.stderr, flush=True)
    os._exit(1)
  except (SystemExit, InterruptedRun):
    raise
  except BaseException as error:
    is_jax = isinstance(error, jax.errors.JaxRuntimeError)
    if is_jax and _OF_OTHERS.search(str(error)):
      lines = str(error).strip().splitlines() or [""]
      print(_another_has_ended(f" ({lines[0][:200]})"), file=sys.stderr)
      sys.stderr.flush()
      os._exit(1)
    sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    os._exit(1)


def _another_has_ended(why: str = "") -> str:
  return (
    f"Error: another host has ended, or does not answer{why}: what is saved is"
    " kept; start the same command on all hosts again to continue."
  )


def guard() -> int | None:
  """Runs this very command as a child, to say how it ended. Ours.

  Where another host disappears, JAX aborts the process from a thread of its
  own, with a stack trace of C++: the sentence must come from outside.

  Returns:
    The status to exit with; None in the child, which is to do the work.
  """
  if os.environ.get(_GUARDED):
    _end_with_parent(int(os.environ[_GUARDED]))
    return None
  # As it was started: `python -m module` is not `python file`.
  command = [sys.executable, *sys.orig_argv[1:]]
  child = subprocess.Popen(
    command, env=os.environ | {_GUARDED: str(os.getpid())}
  )
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda n, _: child.send_signal(n))
  status = child.wait()
  if status == -signal.SIGABRT:
    print(_another_has_ended(), file=sys.stderr)
  elif status < 0:
    print(
      f"Error: {signal.Signals(-status).name} ended the process that trains"
      " (SIGKILL often for lack of memory): what is saved is kept; start the"
      " same command on all hosts again to continue.",
      file=sys.stderr,
    )
  return 1 if status < 0 else status


def _end_with_parent(parent: int) -> None:
  """A guard that is killed takes its child along, where Linux can say so."""
  try:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before that was said
      os._exit(1)
  except (OSError, AttributeError):
    pass
