"""What the device at hand does at its best, for bench's shares."""

import resource
import sys

import jax
import jax.numpy as jnp

from lro_jax.core.timing import seconds


def matrix_product_flops_per_second(
  size: int = 2048, dtype: str = "float32"
) -> float:
  """What this device makes of one large matrix product. Ours.

  Args:
    size: rows and columns.
    dtype: of the operands.
  """
  a = jnp.ones((size, size), dtype)
  product = jax.jit(lambda a: a @ a)
  return 2 * size**3 / seconds(lambda: product(a).block_until_ready())


def peak_bytes() -> tuple[int, str]:
  """Most memory in use so far, and whose: device's or process'. Ours."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return int(stats["peak_bytes_in_use"]), "device"
  # Kilobytes, except on a Mac.
  unit = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process"
