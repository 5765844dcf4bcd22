"""Compiled programs read: sources, parts, kinds, loops."""

import jax
import jax.numpy as jnp
from absl.testing import absltest

from lro_jax.bench import hlo
from lro_jax.core import optim, prng


def compiled(program, *args):
  return hlo.read(jax.jit(program).lower(*args).compile().as_text())


def instruction(**fields):
  empty = hlo.Instruction("add", "main", (), 1, "jit(f)/add", ())
  return empty._replace(**fields)


class PartsTest(absltest.TestCase):
  def test_noise_is_told_by_who_drew_it(self):
    link = optim.add_gaussian_noise(0.1, prng.root_key(0))
    w = jnp.ones((64, 64))
    found = compiled(lambda w: link.update(w, link.init(w))[0], w)
    self.assertIn(hlo.NOISE, hlo.parts(found).values())

  def test_a_gradient_has_a_forward_and_a_backward_part(self):
    w = jnp.ones((32, 32))
    loss = lambda w, x: jnp.sum(jnp.tanh(x @ w) ** 2)  # noqa: E731
    parts = hlo.parts(compiled(jax.grad(loss), w, w)).values()
    self.assertContainsSubset({hlo.FORWARD, hlo.BACKWARD}, parts)
    only = hlo.parts(compiled(loss, w, w)).values()
    self.assertNoCommonElements({hlo.FORWARD, hlo.BACKWARD}, set(only))

  def test_a_fusion_is_of_the_part_of_most_of_its_elements(self):
    stack = ("core/forward:one_step",)
    program = {
      "small_1": instruction(computation="f", op_name="jvp(a)"),
      "small_2": instruction(computation="f", op_name="jvp(b)"),
      "large": instruction(computation="f", op_name="transpose(a)", size=9),
      "fusion": instruction(opcode="fusion", calls=("f",), stack=stack),
      "loop": instruction(opcode="while", calls=("f",), stack=stack),
    }
    parts = hlo.parts(program)
    self.assertEqual(parts["fusion"], hlo.BACKWARD)
    self.assertEqual(parts["loop"], hlo.LOOP)

  def test_what_nothing_tells_is_a_copy_but_for_convolutions(self):
    nameless = {"op_name": "", "stack": ()}
    program = {
      "copy.1": instruction(opcode="copy", **nameless),
      "convolution.1": instruction(opcode="convolution", **nameless),
    }
    parts = hlo.parts(program)
    self.assertEqual(parts["copy.1"], hlo.COPIES)
    self.assertEqual(parts["convolution.1"], hlo.BACKWARD)


class KindsTest(absltest.TestCase):
  def test_products_and_convolutions_are_told_apart(self):
    x = jnp.ones((64, 64))
    image = jnp.ones((2, 8, 8, 4))
    kernel = jnp.ones((3, 3, 4, 4))

    def convolve(x, k):
      return jax.lax.conv_general_dilated(
        x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
      )

    for kind, program in (
      ("product", compiled(lambda x: x @ x, x)),
      ("convolution", compiled(convolve, image, kernel)),
    ):
      standing = hlo.by_computation(program)
      kinds = {hlo.kind_of(n, program, standing) for n in program}
      self.assertIn(kind, kinds)
      self.assertNoCommonElements({"product", "convolution"} - {kind}, kinds)


class LoopsTest(absltest.TestCase):
  def test_only_what_a_loop_repeats_is_found(self):
    x = jnp.ones((8, 8))
    inside = compiled(
      lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.tanh(y @ x), x), x
    )
    outside = compiled(
      lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.tanh(y), x) @ x, x
    )
    self.assertNotEmpty(hlo.inside_loops(inside, "dot"))
    self.assertEmpty(hlo.inside_loops(outside, "dot"))


if __name__ == "__main__":
  absltest.main()
