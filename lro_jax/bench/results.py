"""One JSON per run of the bench: the numbers, and what they depend on."""

import datetime
import os
import pathlib
import platform
import shlex
import sys
from typing import Any

import jax

from lro_jax.core import folders, metrics

FOLDER = pathlib.Path(__file__).parent.parent / "bench_results"


def hardware() -> dict[str, Any]:
  """The machine: processor, cores, memory, and JAX's devices. Ours."""
  processor = platform.processor()
  info = pathlib.Path("/proc/cpuinfo")
  if info.exists():
    for line in info.read_text().splitlines():
      if line.startswith("model name"):
        processor = line.partition(":")[2].strip()
        break
  devices = jax.devices()
  return {
    "processor": processor,
    "cores": os.cpu_count(),
    "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    # Of the last minute: figures taken beside other work say so themselves.
    "load_average": os.getloadavg()[0],
    "devices": len(devices),
    "device_kind": devices[0].device_kind,
  }


def record(name: str, numbers: dict[str, Any]) -> dict[str, Any]:
  """The numbers with name, command, date, versions and hardware. Ours."""
  return {
    "name": name,
    "command": shlex.join(["python", "-m", "lro_jax.bench", *sys.argv[1:]]),
    "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    "versions": folders.versions(),
    "hardware": hardware(),
  } | numbers


def write(path: str | pathlib.Path, found: dict[str, Any]) -> pathlib.Path:
  """Writes a record; a bare name goes to `bench_results` of the package. Ours.

  Args:
    path: a file, or a name without folder and ending.
    found: from `record`.
  """
  path = pathlib.Path(path)
  if len(path.parts) == 1 and not path.suffix:
    path = FOLDER / f"{path}.json"
  path.parent.mkdir(parents=True, exist_ok=True)
  metrics.write_json(path, found)
  return path
