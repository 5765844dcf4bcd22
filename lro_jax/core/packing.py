"""Many arrays as one of bytes, for where each would cost by itself."""

import numpy as np


def pack(leaves: list[np.ndarray]) -> np.ndarray:
  """The bytes of arrays, one after the other, uint8 [b]. Ours."""
  flat = [np.ascontiguousarray(x).reshape(-1).view(np.uint8) for x in leaves]
  return np.concatenate([np.zeros(0, np.uint8), *flat])


def unpack(packed: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
  """What was packed, again. Ours.

  Args:
    packed: uint8 [b].
    like: arrays [...] of the shapes and types that were packed.

  Returns:
    Arrays [...] as `like` has them.

  Raises:
    ValueError: these take another number of bytes.
  """
  like = [np.asarray(x) for x in like]
  ends = np.cumsum([x.nbytes for x in like], dtype=int)
  total = int(ends[-1]) if len(ends) else 0
  if packed.dtype != np.uint8 or packed.shape != (total,):
    raise ValueError(
      f"its arrays are {packed.dtype}{packed.shape} in all, not the {total}"
      " bytes of this run's"
    )
  parts = np.split(np.asarray(packed), ends[:-1])
  return [
    part.copy().view(x.dtype).reshape(x.shape)
    for part, x in zip(parts, like, strict=True)
  ]
