"""The convolution of the net, and its weight gradient where XLA's is slow.

XLA's CPU backend makes the gradient by the kernel a convolution whose window is
the whole image: with few input channels it gets a few percent of what the cores
can do, and the first group of WRN-16-1 spent half of a step there. The same sum
as one matrix product for each place of the kernel takes a third of that time.
"""

import functools
import math

import jax
import jax.numpy as jnp

from lro_jax.core.task import Array

# Tried by a stopwatch, two cores: from 32 input channels on XLA's is no slower.
# With 16 it is slower for 128 images of 32 x 32 and quicker for 32 of them;
# colours are quicker by products there too. In between nothing was tried.
NARROW, COLOURS = 16, 3
MANY_PIXELS = 2**16


def convolve(x: Array, kernel: Array, stride: int) -> Array:
  """A bias-free convolution padded on both sides, as PyTorch's. Ours.

  Args:
    x: [n, h, w, in].
    kernel: [k, k, in, out], k odd.
    stride: in both directions.

  Returns:
    [n, h / stride, w / stride, out], rounded up.
  """
  # Only there: elsewhere the compiler knows better.
  channels = x.shape[-1]
  is_many = math.prod(x.shape[:-1]) >= MANY_PIXELS
  narrow = channels <= (NARROW if is_many else COLOURS)
  if jax.default_backend() == "cpu" and narrow:
    return _by_products(x, kernel, stride)
  return _plain(x, kernel, stride)


def _plain(x, kernel, stride):
  # "SAME" would pad (0, 1) at stride 2.
  pad = kernel.shape[0] // 2
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    [(pad, pad), (pad, pad)],
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _by_products(x, kernel, stride):
  return _plain(x, kernel, stride)


def _forward(x, kernel, stride):
  return _plain(x, kernel, stride), (x, kernel)


def _backward(stride, saved, by_out):
  x, kernel = saved
  _, by_input = jax.vjp(lambda x: _plain(x, kernel, stride), x)
  return *by_input(by_out), kernel_gradient(x, by_out, kernel.shape[0], stride)


_by_products.defvjp(_forward, _backward)


def kernel_gradient(x: Array, by_out: Array, size: int, stride: int) -> Array:
  """Gradient of a convolution by its kernel, [size, size, in, out]. Ours.

  Args:
    x: what went in, [n, h, w, in].
    by_out: gradient by what came out, [n, h / stride, w / stride, out].
    size: of the kernel, odd.
    stride: in both directions.
  """
  channels, pad = x.shape[-1], size // 2
  x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  height, width, out = by_out.shape[1:]
  by_out = by_out.reshape(-1, out)
  places = []
  for row in range(size):
    for column in range(size):
      met = x[
        :,
        row : row + (height - 1) * stride + 1 : stride,
        column : column + (width - 1) * stride + 1 : stride,
      ].reshape(-1, channels)
      places.append(met.T @ by_out)
  return jnp.stack(places).reshape(size, size, channels, out)
