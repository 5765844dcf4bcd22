"""What the device at hand does at its best, for bench's shares."""

import resource
import sys

import jax
import jax.numpy as jnp

from lro_jax.core.timing import seconds

# Rows of the square, and products one after the other: enough of both to hide
# the call that starts them.
ON_CPU, ELSEWHERE = (2048, 1), (8192, 20)
# Bytes, beyond any cache, and copies one after the other.
COPY_ON_CPU, COPY_ELSEWHERE = (2**28, 4), (2**31, 20)


def matrix_product_flops_per_second(dtype: str = "float32") -> float:
  """What this device makes of large square matrix products. Ours.

  Args:
    dtype: of the operands.
  """
  size, num = ON_CPU if jax.default_backend() == "cpu" else ELSEWHERE
  a = jnp.full((size, size), 1 / size, dtype)
  chain = jax.jit(lambda a: jax.lax.fori_loop(0, num, lambda _, b: b @ a, a))
  return 2 * num * size**3 / seconds(lambda: chain(a).block_until_ready())


def copy_bytes_per_second() -> float:
  """Bytes read and written per s by one large copy on this device. Ours."""
  size, num = COPY_ON_CPU if jax.default_backend() == "cpu" else COPY_ELSEWHERE
  x = jnp.zeros(size // 4, jnp.float32)
  # Adding, lest the copy is left out; in turns, each reads what was written.
  again = jax.jit(
    lambda x: jax.lax.fori_loop(0, num, lambda i, x: x + i.astype(x.dtype), x)
  )
  return 2 * num * size / seconds(lambda: again(x).block_until_ready())


def peak_bytes() -> tuple[int, str]:
  """Most memory in use so far, and whose: device's or process'. Ours."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return int(stats["peak_bytes_in_use"]), "device"
  # Kilobytes, except on a Mac.
  unit = 1 if sys.platform == "darwin" else 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process"
