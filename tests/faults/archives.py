"""Damaged .npz files, the same ones every time, and pickles that would act.

A file is told by what is wrong with it. None of them may be read as anything
but arrays: what is pickled in one would make a file if it were loaded.
"""

import io
import pathlib
import pickle
import random
import struct
import zipfile
from collections.abc import Iterator

import numpy as np
from numpy.lib import format as npy


class Trap:
  """What makes a file where it is unpickled."""

  def __init__(self, path: pathlib.Path):
    self._path = str(path)

  def __reduce__(self):
    return open, (self._path, "w")


def pickled(trap: Trap) -> bytes:
  """The pickle of a trap."""
  return pickle.dumps(trap)


def object_array(trap: Trap) -> bytes:
  """An .npy of objects, as `np.save` writes it: header, then a pickle."""
  buffer = io.BytesIO()
  np.save(buffer, np.array([trap], object), allow_pickle=True)
  return buffer.getvalue()


def array(value: np.ndarray) -> bytes:
  """An .npy."""
  buffer = io.BytesIO()
  np.save(buffer, value, allow_pickle=False)
  return buffer.getvalue()


def claiming(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
  """An .npy whose header promises more than follows."""
  buffer = io.BytesIO()
  header = {"descr": descr, "fortran_order": False, "shape": shape}
  npy.write_array_header_1_0(buffer, header)
  return buffer.getvalue() + bytes(100)


def with_header(text: bytes) -> bytes:
  """An .npy with any text for a header."""
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def packed(members: dict[str, bytes]) -> bytes:
  """The zip of these files, as `np.savez_compressed` packs it."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
    for name, content in members.items():
      file.writestr(name, content)
  return buffer.getvalue()


def cut_short(data: bytes, count: int) -> Iterator[tuple[str, bytes]]:
  """The file up to so many different places."""
  for length in np.linspace(0, len(data) - 1, count, dtype=int):
    yield f"cut to {length}", data[:length]


def flipped(data: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
  """The file with one byte, or a few, changed."""
  draw = random.Random(seed)
  for i in range(count):
    changed = bytearray(data)
    places = [draw.randrange(len(data)) for _ in range(1 + i % 3)]
    for place in places:
      changed[place] ^= draw.randrange(1, 256)
    yield f"flipped at {places}", bytes(changed)


def rewritten(
  arrays: dict[str, np.ndarray], count: int, seed: int
) -> Iterator[tuple[str, bytes]]:
  """One array's bytes changed and packed anew, so that no checksum tells."""
  draw = random.Random(seed)
  members = {f"{name}.npy": array(value) for name, value in arrays.items()}
  for i in range(count):
    name = draw.choice(sorted(members))
    changed = bytearray(members[name])
    # The header is 128 bytes: most of what can go wrong is in it.
    place = draw.randrange(min(128, len(changed)) if i % 4 else len(changed))
    changed[place] ^= draw.randrange(1, 256)
    yield f"{name} at {place}", packed(members | {name: bytes(changed)})


def strange(
  arrays: dict[str, np.ndarray], trap: Trap
) -> Iterator[tuple[str, bytes]]:
  """What is no .npz of plain arrays, or claims to be a large one."""
  members = {f"{name}.npy": array(value) for name, value in arrays.items()}
  first = next(iter(members))
  yield "empty", b""
  yield "text", b"x_train = 3\n" * 9
  yield "a pickle", pickled(trap)
  yield "a pickled dict", pickle.dumps(dict.fromkeys(arrays, trap))
  yield "an .npy", array(np.zeros(3))
  yield "an .npy of objects", object_array(trap)
  yield "an empty zip", packed({})
  yield (
    "names without .npy",
    packed(
      {name.removesuffix(".npy"): content for name, content in members.items()}
    ),
  )
  yield (
    "in a folder",
    packed({f"../{name}": content for name, content in members.items()}),
  )
  yield (
    "one more, of objects",
    packed(members | {"more.npy": object_array(trap)}),
  )
  yield "one more, a pickle", packed(members | {"more": pickled(trap)})
  nested = b"(" * 5000 + b")" * 5000
  for what, content in {
    "objects": object_array(trap),
    "a pickle": pickled(trap),
    "10^13 bytes claimed": claiming((10**13,)),
    "10^30 bytes claimed": claiming((10**10,) * 3),
    "a negative length": claiming((-1, 3)),
    "a large empty": claiming((0, 2**62)),
    "a code of objects": claiming((1,), "|O"),
    "a deep header": with_header(nested),
    "a header that calls": with_header(b"__import__('os').getpid()\n"),
    "a header of nothing": with_header(b""),
    "no magic": bytes(200),
    "nothing": b"",
  }.items():
    yield f"{first} is {what}", packed(members | {first: content})


KINDS = ("?", "i1", "u1", "<i4", ">i8", "<u8", "<f2", "<f8", "<c8", "<U3")
KINDS += ("S2", "<M8[s]", "V4", "<i4,<f4")


def other_arrays(
  arrays: dict[str, np.ndarray],
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
  """One array of another type, shape or name, or gone, or of wild numbers."""
  for name, value in arrays.items():
    yield f"no {name}", {k: v for k, v in arrays.items() if k != name}
    yield (
      f"{name} renamed",
      {f"{k}s" if k == name else k: v for k, v in arrays.items()},
    )
    shapes = (value[:0], value[:1], value[None], value[..., None], value[0])
    others = {f"shape {x.shape}": x for x in shapes}
    others["no dimension"] = np.array(3, value.dtype)
    others["backwards"] = value[::-1].swapaxes(0, -1)
    others |= {f"kind {k}": np.zeros(value.shape, k) for k in KINDS}
    for number in (np.nan, np.inf, 1e39, 1e300, -1e300):
      others[f"all {number}"] = np.full(value.shape, number)
    for number in (-1, -(2**63), 2**16, 2**31, 2**63 - 1):
      others[f"all {number}"] = np.full(value.shape, number, np.int64)
    others["all 2^64 - 1"] = np.full(value.shape, 2**64 - 1, np.uint64)
    for what, other in others.items():
      yield f"{name}: {what}", arrays | {name: other}
