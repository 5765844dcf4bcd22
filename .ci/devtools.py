"""Headless Chromium, spoken to by the DevTools protocol over a pipe.

Commands and events are JSON that ends with a zero byte, on file descriptors 3
and 4 (--remote-debugging-pipe): the standard library is enough.
"""

import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from typing import Any

# After so many seconds without an answer Chromium is given up.
PATIENCE = 90


class NoAnswer(RuntimeError):
  """Chromium has ended, or does not answer."""


class Chromium:
  """A browser at the other end of two pipes; ended with the context."""

  def __init__(self, program: str):
    self._id = 0
    self._read = b""
    self.events: list[dict[str, Any]] = []
    self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    flags = [
      "--headless=new",
      "--remote-debugging-pipe",
      f"--user-data-dir={self._home.name}",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-gpu",
      "--hide-scrollbars",
    ]
    if os.geteuid() == 0:
      flags.append("--no-sandbox")  # root has none
    theirs, self._to = os.pipe()
    self._from, back = os.pipe()
    # Chromium reads from 3 and writes to 4; a shell puts them there, from
    # numbers that are neither.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (theirs, back)]
    self._process = subprocess.Popen(
      [
        "bash",
        "-c",
        f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}',
        program,
        *flags,
      ],
      pass_fds=high,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      stdin=subprocess.DEVNULL,
    )
    for fd in (theirs, back, *high):
      os.close(fd)

  def close(self) -> None:
    """Ends it."""
    with contextlib.suppress(Exception):
      self.ask("Browser.close")
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    os.close(self._to)
    os.close(self._from)
    self._home.cleanup()

  def _next(self, until: float) -> dict[str, Any]:
    while b"\0" not in self._read:
      ready, _, _ = select.select(
        [self._from], [], [], max(0.0, until - time.monotonic())
      )
      piece = os.read(self._from, 1 << 20) if ready else b""
      if not piece:
        raise NoAnswer(
          f"Chromium did not answer within {PATIENCE} s, or ended: is $CHROMIUM"
          " the program, and may it start here?"
        )
      self._read += piece
    message, _, self._read = self._read.partition(b"\0")
    return json.loads(message)

  def ask(self, method: str, session: str | None = None, **params):
    """Sends a command; returns its result, keeping the events before it."""
    self._id += 1
    message = {"id": self._id, "method": method, "params": params}
    if session:
      message["sessionId"] = session
    text = json.dumps(message).encode() + b"\0"
    # Where it has ended there is nothing to read either.
    with contextlib.suppress(BrokenPipeError):
      while text:
        text = text[os.write(self._to, text) :]
    until = time.monotonic() + PATIENCE
    while True:
      told = self._next(until)
      if told.get("id") == self._id:
        if "error" in told:
          raise RuntimeError(f"{method}: {told['error']['message']}")
        return told["result"]
      self.events.append(told)

  def wait_for(self, method: str) -> None:
    """Returns once there was such an event."""
    until = time.monotonic() + PATIENCE
    while not any(e.get("method") == method for e in self.events):
      self.events.append(self._next(until))
