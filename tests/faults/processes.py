"""Real processes to be killed: `python -m lro_jax.main` in forks of one zygote.

The zygote has imported what is slow to import, and started no JAX backend: a
fork of it is a fresh process that begins in a tenth of the time. One serves
all tests of a session, see `Started`: importing costs as much as a small run.
Whoever starts a Zygote closes it; what then still runs is killed.
"""

import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from lro_jax.core import checkpoint, folders, metrics

ROOT = pathlib.Path(__file__).parents[2]
# No run here takes so long, in s, even on a machine that has other work.
PATIENCE = 300.0

_ZYGOTE = """
import json, os, runpy, select, sys, warnings
import jax
import lro_jax.core.loop, lro_jax.report.page, lro_jax.theory.task
import lro_jax.vision.task
buffer = b""
while True:
  # Who has ended is told, whoever is to begin is begun.
  try:
    while (done := os.waitpid(-1, os.WNOHANG))[0]:
      print(done[0], os.waitstatus_to_exitcode(done[1]), flush=True)
  except ChildProcessError:
    pass
  if not select.select([0], [], [], 0.01)[0]:
    continue
  chunk = os.read(0, 1 << 16)
  if not chunk:
    break
  buffer += chunk
  *lines, buffer = buffer.split(b"\\n")
  for line in lines:
    devices, arguments, errors, command = json.loads(line)
    pid = os.fork()
    if pid:
      print("started", pid, flush=True)
      continue
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = os.open(errors, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if command:
      os.execvp("sh", ["sh", "-c", command])
    jax.config.update("jax_num_cpu_devices", devices)
    os.environ["JAX_NUM_CPU_DEVICES"] = str(devices)
    sys.argv[1:] = arguments
    sys.orig_argv[1:] = ["-m", "lro_jax.main", *arguments]
    runpy.run_module("lro_jax.main", run_name="__main__", alter_sys=True)
    os._exit(0)
"""


class Process:
  """One command that was started."""

  def __init__(self, zygote, pid: int, output: pathlib.Path):
    self._zygote, self.pid, self._output = zygote, pid, output

  @property
  def output(self) -> str:
    """What it has printed so far, errors included."""
    return self._output.read_text(errors="replace")

  @property
  def ended(self) -> bool:
    """Whether it has."""
    return self.pid in self._zygote.statuses

  def send(self, number: int) -> None:
    """Sends a signal, if it is still there."""
    if not self.ended:
      os.kill(self.pid, number)

  def kill_all(self) -> None:
    """SIGKILL to it and to the children that it has."""
    path = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children")
    for pid in (*path.read_text().split(), self.pid):
      os.kill(int(pid), signal.SIGKILL)

  def wait(self, patience: float = PATIENCE) -> int:
    """Its exit status, negative for the signal that ended it."""
    deadline = time.monotonic() + patience
    while not self.ended:
      if time.monotonic() > deadline:
        raise AssertionError(f"It still runs:\n{self.output}")
      time.sleep(0.01)
    return self._zygote.statuses[self.pid]


class Zygote:
  """Starts commands; a context manager."""

  def __init__(self, *prefix: str):
    """Begins nothing yet.

    Args:
      *prefix: a command that itself becomes the command that follows it, as
        `unshare` does.
    """
    self._prefix = prefix

  def __enter__(self):
    self._files = tempfile.TemporaryDirectory()
    self.scratch = pathlib.Path(self._files.name)
    self.statuses: dict[int, int] = {}
    self._started: queue.Queue = queue.Queue()
    self._count = 0
    self._process = subprocess.Popen(
      [*self._prefix, sys.executable, "-c", _ZYGOTE],
      cwd=ROOT,
      env=os.environ
      | {
        "JAX_PLATFORMS": "cpu",
        "NPROC": "16",
        # Compiling is nearly all that so small runs cost; what one process has
        # compiled serves the next: see tests/conftest.py.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "PYTHONWARNINGS": "ignore",
      },
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
    )
    threading.Thread(target=self._listen, daemon=True).start()
    return self

  def __exit__(self, *unused):
    self._process.stdin.close()
    self._process.wait()
    while not self._started.empty():
      self._started.get()
    self.kill_rest()
    self._process.stdout.close()
    self._files.cleanup()

  def _listen(self):
    self._alive: set[int] = set()
    for line in self._process.stdout:
      first, second = line.split()
      if first == b"started":
        # A number may come again.
        self.statuses.pop(int(second), None)
        self._alive.add(int(second))
        self._started.put(int(second))
      else:
        self._alive.discard(int(first))
        self.statuses[int(first)] = int(second)

  def kill_rest(self) -> None:
    """SIGKILL to what still runs."""
    for pid in list(self._alive):
      try:
        os.kill(pid, signal.SIGKILL)
      except ProcessLookupError:
        pass

  def start(self, *arguments: str, devices: int = 1) -> Process:
    """Starts `python -m lro_jax.main` with some virtual devices."""
    return self._start(devices, arguments, "")

  def shell(self, command: str) -> Process:
    """Lets the shell do a command, and waits until it has ended."""
    process = self._start(1, (), command)
    process.wait()
    return process

  def _start(self, devices, arguments, command):
    self._count += 1
    output = self.scratch / f"{self._count}.txt"
    output.touch()
    line = json.dumps([devices, arguments, str(output), command])
    self._process.stdin.write(line.encode() + b"\n")
    self._process.stdin.flush()
    return Process(self, self._started.get(timeout=PATIENCE), output)

  def run(self, *arguments: str, devices: int = 1) -> Process:
    """Starts it and waits until it has ended."""
    process = self.start(*arguments, devices=devices)
    process.wait()
    return process


class Started:
  """Gives a test class `self.zygote`, and a folder of the test's own."""

  @pytest.fixture(autouse=True)
  def _take_zygote(self, zygote):
    self.zygote = zygote
    with tempfile.TemporaryDirectory() as folder:
      self.scratch = pathlib.Path(folder)
      yield
      zygote.kill_rest()


def saved(run: pathlib.Path) -> list[int]:
  """Steps of a run's checkpoints that are whole."""
  where = run / checkpoint.FOLDER
  if not where.exists():
    return []
  return sorted(int(p.name) for p in where.iterdir() if p.name.isdigit())


def saving(run: pathlib.Path) -> bool:
  """Whether a save has begun and not ended."""
  where = run / checkpoint.FOLDER
  return where.exists() and any("tmp" in p.name for p in where.iterdir())


def wait_until(condition, process: Process, patience: float = PATIENCE) -> bool:
  """Looks often; False where the process ended, or patience did, before."""
  deadline = time.monotonic() + patience
  while not condition():
    if process.ended or time.monotonic() > deadline:
      return False
    time.sleep(0.001)
  return True


def facts(run: pathlib.Path) -> tuple[bytes, str, dict]:
  """What two runs must have in common: rows, state, how the seeds ended."""
  record = metrics.read_json(run / metrics.RUN)
  assert record["status"] == folders.DONE, record["status"]
  rows = (run / metrics.METRICS).read_bytes()
  return rows, record["state_digest"], record["seeds"]
