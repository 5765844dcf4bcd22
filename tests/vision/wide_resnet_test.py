"""The net is the authors': sizes, initialisation, forward pass, statistics."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.schema import UserError
from lro_jax.vision import batch_norm, nets, wide_resnet
from lro_jax.vision import noise as noise_lib

IMAGE = (32, 32, 3)


def net(depth=16, widen_factor=1, num_classes=10):
  return wide_resnet.WideResNet(depth, widen_factor, num_classes)


@functools.cache
def start(depth=16, widen_factor=1):
  """Weights and statistics of a new net."""
  return jax.jit(
    lambda key: wide_resnet.init(key, net(depth, widen_factor), IMAGE)
  )(jax.random.key(1))


@functools.cache
def weights(depth=16, widen_factor=1):
  """Weights and statistics, none of them 0 or 1, of one net."""
  params, stats = start(depth, widen_factor)
  draw = np.random.default_rng(0)

  def moved(path, x):
    x = np.asarray(x)
    if path[-1].key in ("scale", "var"):
      return (x * draw.uniform(0.5, 1.5, x.shape)).astype(np.float32)
    if x.ndim == 1:
      return draw.normal(0, 0.2, x.shape).astype(np.float32)
    return x

  return tuple(jax.tree.map_with_path(moved, tree) for tree in (params, stats))


def convolve(x, kernel, stride):
  """Cross-correlation with padding on both sides, in plain NumPy."""
  size = kernel.shape[0]
  x = np.pad(x, [(0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)])
  windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
  # [n, h, w, c, k, k] with [k, k, c, out].
  windows = windows[:, ::stride, ::stride]
  return np.tensordot(windows, kernel, ([3, 4, 5], [2, 0, 1]))


class Reference:
  """The authors' WideResNet in plain float64 NumPy, written from its paper."""

  def __init__(self, params, stats, depth, *, train, noise=None):
    wide = lambda x: np.asarray(x, np.float64)  # noqa: E731
    self.params = jax.tree.map(wide, params)
    self.stats = jax.tree.map(wide, stats)
    self.num_blocks = (depth - 4) // 6
    self.train, self.noise = train, noise
    self.moved = {}

  def activate(self, path, x):
    params, stats = self.params, self.stats
    for name in path:
      params, stats = params[name], stats[name]
    mean, var = stats["mean"], stats["var"]
    if self.train:
      mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
      count = x.size // x.shape[-1]
      self.moved[path] = (
        0.9 * stats["mean"] + 0.1 * mean,
        0.9 * stats["var"] + 0.1 * var * count / (count - 1),
      )
    x = (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    if self.noise is not None:
      x = x + np.asarray(self.noise.pop(0), np.float64)
    return np.maximum(x, 0)

  def logits(self, x):
    p = self.params
    x = convolve(np.asarray(x, np.float64), p["conv"]["kernel"], 1)
    for group in (1, 2, 3):
      for block in range(1, self.num_blocks + 1):
        name = f"group{group}_block{block}"
        stride = 2 if group > 1 and block == 1 else 1
        out = self.activate((name, "bn1"), x)
        if "shortcut" in p[name]:
          x = convolve(out, p[name]["shortcut"]["kernel"], stride)
        out = convolve(out, p[name]["conv1"]["kernel"], stride)
        out = self.activate((name, "bn2"), out)
        x = x + convolve(out, p[name]["conv2"]["kernel"], 1)
    x = self.activate(("bn",), x).mean((1, 2))
    return x @ p["kernel"] + p["bias"]


def products(program):
  """Multiply-adds of the convolutions and matrix products of a jaxpr."""
  total = 0
  for equation in program.eqns:
    if equation.primitive.name in ("conv_general_dilated", "dot_general"):
      kernel = equation.invars[1].aval
      # Each output is a sum over all of the kernel but its output channels.
      per_output = kernel.size // kernel.shape[-1]
      total += equation.outvars[0].aval.size * per_output
    # What a call, a loop or a branch has inside; closed over values or not.
    for value in jax.tree.leaves(list(equation.params.values())):
      inner = getattr(value, "jaxpr", value)
      if hasattr(inner, "eqns"):
        total += products(inner)
  return total


class SizeTest(parameterized.TestCase):
  @parameterized.parameters((10, 17_116_634), (4, 2_748_890), (1, 175_066))
  def test_number_of_trained_parameters(self, widen_factor, expected):
    params, _ = jax.eval_shape(
      lambda: wide_resnet.init(jax.random.key(0), net(16, widen_factor), IMAGE)
    )
    self.assertEqual(sum(x.size for x in jax.tree.leaves(params)), expected)

  def test_forward_flops_of_wrn_16_10(self):
    flops = wide_resnet.forward_flops(net(16, 10), IMAGE)
    # Two for each of the 2.41 G multiply-adds.
    self.assertAlmostEqual(flops / 1e9, 4.82, delta=0.005)

  @parameterized.parameters((10, 1), (16, 2))
  def test_flops_are_those_of_the_products_in_the_program(self, depth, widen):
    model = net(depth, widen)
    params, stats = jax.eval_shape(
      lambda: wide_resnet.init(jax.random.key(0), model, IMAGE)
    )
    program = jax.make_jaxpr(
      lambda p, s, x: nets.apply(model, p, s, x, train=False)[0]
    )(params, stats, jnp.zeros((1, *IMAGE)))
    self.assertEqual(
      wide_resnet.forward_flops(model, IMAGE), 2 * products(program.jaxpr)
    )

  @parameterized.parameters(4, 8, 12, 17, 3)
  def test_a_depth_other_than_6n_plus_4_is_refused(self, depth):
    with self.assertRaisesRegex(UserError, "6n [+] 4"):
      wide_resnet.num_blocks(depth)

  @parameterized.parameters((33, 17, 9), (30, 15, 8), (32, 16, 8))
  def test_sites_are_what_enters_each_activation(self, side, half, quarter):
    sites = wide_resnet.sites(net(10, 2), (side, side, 3))
    self.assertEqual(
      [(s.height, s.channels) for s in sites],
      [
        (side, 16),
        (side, 32),
        (side, 32),
        (half, 64),
        (half, 64),
        (quarter, 128),
        (quarter, 128),
      ],
    )


class InitTest(parameterized.TestCase):
  def test_variance_of_convolutions_is_two_over_the_fan_out(self):
    params, stats = start(16, 2)
    for path, x in jax.tree.leaves_with_path(params):
      name = path[-1].key
      if x.ndim == 4:
        variance = 2 / (x.shape[0] * x.shape[1] * x.shape[3])
        # Variance of n normal squares: 2/n of its square, 4 standard errors.
        error = 4 * np.sqrt(2 / x.size)
        self.assertAlmostEqual(float(jnp.var(x)) / variance, 1, delta=error)
        self.assertLess(
          abs(float(jnp.mean(x))), 4 * np.sqrt(variance / x.size), path
        )
      elif x.ndim == 2:
        bound = 1 / np.sqrt(x.shape[0])
        self.assertLessEqual(float(jnp.abs(x).max()), bound)
        # A uniform draw's square has standard deviation 2/sqrt(5) of its mean.
        self.assertAlmostEqual(
          float(jnp.mean(x**2)) / (bound**2 / 3),
          1,
          delta=4 * 2 / np.sqrt(5 * x.size),
        )
      else:
        self.assertTrue((x == (1.0 if name == "scale" else 0.0)).all(), path)
    for path, x in jax.tree.leaves_with_path(stats):
      self.assertTrue((x == (1.0 if path[-1].key == "var" else 0.0)).all())

  def test_layers_are_drawn_apart(self):
    params, _ = start()
    first = params["group3_block1"]["conv2"]["kernel"].ravel()
    second = params["group3_block2"]["conv2"]["kernel"].ravel()
    correlation = np.corrcoef(first, second)[0, 1]
    self.assertLess(abs(correlation), 4 / np.sqrt(first.size))


class ForwardTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(3)
    self.x = draw.normal(size=(3, *IMAGE)).astype(np.float32)

  @parameterized.product(
    train=(False, True), noise_shape=(None, "shared", "channel", "example")
  )
  def test_output_and_statistics_are_the_numpy_references(
    self, train, noise_shape
  ):
    params, stats = weights()
    noise = None
    if noise_shape:
      noise = noise_lib.sample(
        jax.random.key(5),
        net(),
        IMAGE,
        std=0.3,
        shape=noise_shape,
        index=jnp.arange(3),
      )
    reference = Reference(
      params, stats, 16, train=train, noise=list(noise) if noise else None
    )
    logits, moved = jax.jit(
      lambda p, s, x, n: nets.apply(net(), p, s, x, train=train, noise=n)
    )(params, stats, self.x, noise)
    np.testing.assert_allclose(
      logits, reference.logits(self.x), rtol=0, atol=1e-4
    )
    if noise is not None:
      self.assertEmpty(reference.noise)  # every map was used
    if train:
      self.assertLen(reference.moved, 13)
      for path, (mean, var) in reference.moved.items():
        here = moved
        for name in path:
          here = here[name]
        np.testing.assert_allclose(here["mean"], mean, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(here["var"], var, rtol=1e-4, atol=1e-4)
    else:
      chex.assert_trees_all_equal(moved, stats)

  @parameterized.parameters(False, True)
  def test_a_first_group_that_widens_is_the_numpy_references(self, train):
    # At width 1 no stride-1 block has a shortcut convolution.
    params, stats = weights(10, 2)
    self.assertIn("shortcut", params["group1_block1"])
    reference = Reference(params, stats, 10, train=train)
    apply = functools.partial(nets.apply, net(10, 2), train=train)
    logits, _ = jax.jit(apply)(params, stats, self.x)
    np.testing.assert_allclose(
      logits, reference.logits(self.x), rtol=0, atol=1e-4
    )

  def test_bfloat16_gradients_of_batch_norm_are_those_of_float32(self):
    norm = batch_norm.BatchNorm()
    draw = np.random.default_rng(1)
    x = draw.normal(1.0, 2.0, (32, 32, 32, 16)).astype(np.float32)
    # A mean in what comes back is what a sum in bfloat16 would lose.
    back = draw.normal(1e-5, 1e-4, x.shape).astype(np.float32)

    def gradient(dtype):
      how = batch_norm.Normalized(True, None, None, dtype)
      variables = norm.init(jax.random.key(0), x[:1], how)

      def loss(params):
        y, _ = norm.apply(
          variables | {"params": params},
          x.astype(dtype),
          how,
          mutable=["batch_stats"],
        )
        return jnp.sum(y.astype(jnp.float32) * back)

      return jax.jit(jax.grad(loss))(variables["params"])

    exact, rough = gradient(jnp.float32), gradient(jnp.bfloat16)
    for name in ("scale", "bias"):
      # 32,768 entries rounded to 2^-9 each; their errors add up like noise.
      np.testing.assert_allclose(
        rough[name], exact[name], rtol=0.01, atol=1e-3, err_msg=name
      )

  def test_examples_of_weight_zero_leave_the_others_as_if_alone(self):
    params, stats = weights(10)
    apply = jax.jit(
      functools.partial(nets.apply, net(10), params, stats, train=True)
    )
    alone, alone_stats = apply(self.x[:2])
    padded, padded_stats = apply(
      self.x.copy(), weight=jnp.array([1.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(padded[:2], alone, rtol=0, atol=2e-5)
    chex.assert_trees_all_close(padded_stats, alone_stats, rtol=0, atol=2e-5)

  def test_bfloat16_activations_keep_float32_logits_and_statistics(self):
    params, stats = weights(10)
    apply = jax.jit(
      functools.partial(nets.apply, net(10), train=True),
      static_argnames="dtype",
    )
    exact, _ = apply(params, stats, self.x)
    rough, moved = apply(params, stats, self.x, dtype=jnp.bfloat16)
    for leaf in [rough, *jax.tree.leaves(moved)]:
      self.assertEqual(leaf.dtype, jnp.float32)
    difference = float(jnp.abs(rough - exact).max())
    # 2^-8 at each of some ten layers, on logits of order one; never nothing.
    self.assertLess(difference, 10 * 2**-8 * float(jnp.abs(exact).max()))
    self.assertGreater(difference, 0)


class NoiseTest(parameterized.TestCase):
  @parameterized.parameters(
    ("shared", (1, 32, 32, 1)),
    ("channel", (1, 32, 32, 16)),
    ("example", (4, 32, 32, 1)),
  )
  def test_shape_of_the_first_map(self, shape, expected):
    noise = noise_lib.sample(
      jax.random.key(0),
      net(),
      IMAGE,
      std=1.0,
      shape=shape,
      index=jnp.arange(4),
    )
    self.assertEqual(noise[0].shape, expected)
    self.assertLen(noise, 13)

  def test_std_of_the_draws(self):
    noise = noise_lib.sample(
      jax.random.key(0), net(), IMAGE, std=0.4, shape="channel"
    )
    flat = np.concatenate([np.ravel(x) for x in noise])
    error = 4 / np.sqrt(2 * flat.size)
    self.assertAlmostEqual(flat.std() / 0.4, 1, delta=error)
    self.assertLess(abs(flat.mean()), 4 * 0.4 / np.sqrt(flat.size))

  def test_an_examples_map_follows_its_index_not_its_place(self):
    draw = functools.partial(
      noise_lib.sample,
      jax.random.key(0),
      net(10),
      IMAGE,
      std=1.0,
      shape="example",
    )
    ordered, turned = (
      draw(index=jnp.array([7, 2])),
      draw(index=jnp.array([2, 7])),
    )
    for a, b in zip(ordered, turned, strict=True):
      np.testing.assert_array_equal(a[0], b[1])
      self.assertFalse((a[0] == a[1]).all())


class TorchTest(absltest.TestCase):
  """Against PyTorch, where it happens to be installed."""

  def test_output_is_pytorchs(self):
    try:
      from lro_jax.bench import torch_peer
    except ImportError:
      self.skipTest("PyTorch is not installed")
    params, stats = weights()
    x = np.random.default_rng(0).normal(size=(4, *IMAGE)).astype(np.float32)
    for train in (False, True):
      peer = torch_peer.from_flax(params, stats, net())
      theirs = torch_peer.logits(peer, x, train=train)
      apply = functools.partial(nets.apply, net(), train=train)
      ours, _ = jax.jit(apply)(params, stats, x)
      np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


if __name__ == "__main__":
  absltest.main()
