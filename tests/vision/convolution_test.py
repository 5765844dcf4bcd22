"""The convolution: its gradients, and what XLA makes of them on a CPU."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.bench import hlo
from lro_jax.core import steps
from lro_jax.vision import convolution
from tests.vision import small


def draws(shape_x, shape_k, stride):
  keys = jax.random.split(jax.random.key(0), 3)
  x, kernel = (
    jax.random.normal(k, s)
    for k, s in zip(keys, (shape_x, shape_k), strict=False)
  )
  out = jax.eval_shape(
    functools.partial(convolution._plain, stride=stride), x, kernel
  )
  return x, kernel, jax.random.normal(keys[2], out.shape)


class GradientTest(parameterized.TestCase):
  @parameterized.product(
    image=((8, 8), (7, 5)), channels=(3, 16), size=(1, 3), stride=(1, 2)
  )
  def test_both_gradients_are_those_of_the_plain_convolution(
    self, image, channels, size, stride
  ):
    x, kernel, by_out = draws(
      (4, *image, channels), (size, size, channels, 6), stride
    )

    def gradients(fn):
      out, pull = jax.vjp(lambda x, k: fn(x, k, stride), x, kernel)
      return out, *pull(by_out)

    with mock.patch.object(convolution, "MANY_PIXELS", 0):
      ours = jax.jit(lambda: gradients(convolution.convolve))()
    plain = jax.jit(lambda: gradients(convolution._plain))()
    for a, b in zip(ours, plain, strict=True):
      # The same sums of up to 256 products of float32, in another order.
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

  @parameterized.parameters(
    # Channels, images of 4 x 4, by products.
    (3, 1, True),
    (16, 2**12, True),
    (16, 2**12 - 1, False),
    (17, 2**12, False),
  )
  def test_wide_and_few_inputs_are_left_to_the_compiler(
    self, channels, num, is_by_products
  ):
    x = jax.ShapeDtypeStruct((num, 4, 4, channels), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, channels, 2), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda x, k: convolution.convolve(x, k, 1))(
      x, kernel
    )
    self.assertEqual("custom_vjp" in str(jaxpr), is_by_products)


def gradient_convolutions_in_loops(task, devices=1):
  """Names of convolutions inside loops of the program that trains."""
  compiled = steps.compile_task(task, devices)
  lowered = compiled.lower(compiled.init())["call"]
  instructions = hlo.read(lowered.compile().as_text())
  opcodes = {x.opcode for x in instructions.values()}
  return hlo.inside_loops(instructions), "convolution" in opcodes


class LoopTest(parameterized.TestCase):
  """XLA's CPU convolutions run on one thread, unfused, inside a loop."""

  @parameterized.product(arm=("large", "small_noise"), devices=(1, 4))
  def test_no_path_puts_a_training_convolution_into_a_loop(self, arm, devices):
    found, has_any = gradient_convolutions_in_loops(
      small.task(arm, devices), devices
    )
    self.assertEmpty(found)
    self.assertTrue(has_any)

  def test_the_same_task_in_the_device_loop_is_caught(self):
    task = small.task()._replace(device_loop=True)
    found, _ = gradient_convolutions_in_loops(task)
    self.assertNotEmpty(found)

  def test_a_loop_within_a_called_computation_is_seen(self):
    def body(_, x):
      return convolution._plain(x, jnp.ones((3, 3, 2, 2)), 1)

    def program(x):
      return jax.lax.cond(
        x.sum() > 0, lambda x: jax.lax.fori_loop(0, 9, body, x), lambda x: x, x
      )

    text = jax.jit(program).lower(jnp.ones((1, 8, 8, 2))).compile().as_text()
    self.assertNotEmpty(hlo.inside_loops(hlo.read(text)))


if __name__ == "__main__":
  absltest.main()
