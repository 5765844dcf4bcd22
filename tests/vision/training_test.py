"""Batches, gradients and devices: a step is what a plain one would be."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import prng, steps
from lro_jax.core.task import Data
from lro_jax.vision import training, wide_resnet
from tests.vision import small

STEPS_PER_EPOCH = 4


def first(tree):
  """The trees of the one seed."""
  return jax.tree.map(lambda x: jnp.asarray(x[0]), tree)


def one_seed(data):
  return Data(*first(tuple(data)))


def advance(task, compiled, until):
  """Running loss of every step, and the carry."""
  carry, losses = compiled.init(), []
  for step in range(1, until + 1):
    carry, _ = compiled.advance(carry, step, True)
    sums = compiled.fetch(carry.sums)
    losses.append({k: float(v[0]) for k, v in sums.items()})
  return losses, compiled.fetch(carry)


@functools.cache
def slow(arm, devices=1):
  """An arm at the small rate, and its entry points.

  At a rate of 0.1 training multiplies any rounding by ten every few steps.
  """
  config = small.run_config(arm, {"optim.learning_rate": 0.004})
  task = small.make_task(config, devices)
  return task, steps.compile_task(task, devices)


@functools.cache
def after_20_steps(arm, devices):
  return advance(*slow(arm, devices), 20)


@functools.cache
def in_a_loop(device_loop):
  """A task whose steps the device, or the host, loops over; entry points.

  Of small images: XLA's CPU gradient convolutions crawl inside a loop.
  """
  task = small.task_of_small_images()._replace(device_loop=device_loop)
  return task, steps.compile_task(task, 1)


@functools.cache
def first_batches():
  """Batches of the first two epochs."""
  task = small.task()
  data, batch = one_seed(task.data), jax.jit(task.batches)
  return data, [batch(data, jnp.int32(step)) for step in range(8)]


class BatchTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.data, self.batches = first_batches()

  def counted(self, batch):
    return np.array(batch.examples["index"])[
      np.array(batch.examples["counts"]) > 0
    ]

  def test_an_epoch_shows_every_example_once(self):
    everything = np.sort(self.data.shared["index"])
    for epoch in (0, 1):
      seen = [
        self.counted(b)
        for b in self.batches[STEPS_PER_EPOCH * epoch :][:STEPS_PER_EPOCH]
      ]
      self.assertEqual([len(s) for s in seen], [16, 16, 16, 12])
      np.testing.assert_array_equal(np.sort(np.concatenate(seen)), everything)

  def test_orders_of_two_epochs_differ(self):
    self.assertFalse(
      (self.counted(self.batches[0]) == self.counted(self.batches[4])).all()
    )

  def test_a_batch_weighs_its_examples_alike_and_sums_to_one(self):
    for batch in self.batches:
      counts = np.array(batch.examples["counts"])
      weight = np.array(batch.examples["weight"])
      np.testing.assert_allclose(weight, counts / counts.sum(), rtol=1e-6)

  def test_labels_images_and_members_belong_together(self):
    shared = self.data.shared
    place = {int(i): p for p, i in enumerate(shared["index"])}
    for batch in self.batches[:3]:
      for i in range(16):
        at = place[int(batch.examples["index"][i])]
        self.assertEqual(batch.examples["label"][i], shared["label"][at])
        self.assertEqual(batch.examples["member"][i], shared["member"][at])
        np.testing.assert_array_equal(
          batch.examples["image"][i], shared["images"][at]
        )

  def test_four_devices_share_what_one_has(self):
    setup = self.setup_of(None)
    split = self.setup_of("batch")
    for step in range(STEPS_PER_EPOCH):
      whole = training.batch_at(setup, self.data, jnp.int32(step))
      parts = jax.vmap(
        lambda _, step=step: (
          training.batch_at(split, self.data, jnp.int32(step)).examples
        ),
        axis_name="batch",
      )(jnp.arange(4))
      for name, x in whole.examples.items():
        np.testing.assert_array_equal(
          x, parts[name].reshape(x.shape), err_msg=name
        )

  def setup_of(self, axis_name):
    return training.Setup(
      net=None,
      image=(32, 32, 3),
      num_train=60,
      batch_size=16,
      mean=(0.0,),
      std=(1.0,),
      dtype=jnp.float32,
      patch=training.PatchRule("replace", 0.2, 1.75),
      noise_std=lambda step: 0.0,
      noise_shape="shared",
      noisy=False,
      axis_name=axis_name,
    )


class StepTest(parameterized.TestCase):
  @parameterized.parameters("large", "small_noise")
  def test_two_steps_are_nesterov_with_coupled_decay(self, arm):
    task, config = small.task(arm), small.run_config(arm)
    data = one_seed(task.data)
    state = jax.jit(task.init)(prng.root_key(0), data)
    rate, decay = config.optim.learning_rate, config.optim.weight_decay
    buffers = jax.tree.map(jnp.zeros_like, state.params)
    gradient = jax.grad(self.loss(config, arm), has_aux=True)

    # One program: what both do, XLA compiles once.
    @jax.jit
    def take(state, data):
      batch = task.batches(data, state.step)
      return task.step(state, batch)[0], gradient(
        state.params, state.model_state, batch, state.step
      )

    for step in range(2):
      new, (grads, (moved, _)) = take(state, data)
      # PyTorch: g + decay w; v = 0.9 v + g; w - rate (g + 0.9 v).
      coupled = jax.tree.map(lambda g, w: g + decay * w, grads, state.params)
      buffers = jax.tree.map(lambda g, v: g + 0.9 * v, coupled, buffers)
      expected = jax.tree.map(
        lambda w, g, v: w - rate * (g + 0.9 * v), state.params, coupled, buffers
      )
      chex.assert_trees_all_close(new.params, expected, rtol=0, atol=1e-6)
      chex.assert_trees_all_close(
        new.model_state["batch_stats"], moved["batch_stats"], atol=1e-6
      )
      moved_by = max(
        float(jnp.abs(a - b).max())
        for a, b in zip(
          jax.tree.leaves(new.params),
          jax.tree.leaves(state.params),
          strict=True,
        )
      )
      self.assertGreater(moved_by, 1e-4, step)
      state = new

  def loss(self, config, arm):
    setup = BatchTest.setup_of(self, None)
    std = config.act_noise.std
    return training.make_loss(
      setup._replace(
        net=wide_resnet.WideResNet(10, 1, 10),
        mean=config.data.mean,
        std=config.data.std,
        noise_std=lambda step: std,
        noisy=std > 0,
      )
    )

  def test_decay_reaches_batch_norm_and_the_last_bias(self):
    task = small.make_task(
      small.run_config(
        fields={"optim.weight_decay": 0.5, "optim.momentum": 0.0}
        | {"optim.nesterov": False}
      )
    )
    plain = small.make_task(
      small.run_config(
        fields={"optim.weight_decay": 0.0, "optim.momentum": 0.0}
        | {"optim.nesterov": False}
      )
    )
    data = one_seed(task.data)
    state = jax.jit(task.init)(prng.root_key(0), data)
    # Zeros would not show that they are decayed.
    params = jax.tree.map(lambda x: x + 0.25, state.params)
    state = state._replace(params=params)

    # One program: what both do, XLA compiles once.
    @jax.jit
    def take(state, data):
      batch = task.batches(data, state.step)
      return [t.step(state, batch)[0].params for t in (task, plain)]

    decayed, kept = take(state, data)
    for name in ("scale", "bias"):
      start = params["bn"][name]
      np.testing.assert_allclose(
        kept["bn"][name] - decayed["bn"][name], 0.1 * 0.5 * start, atol=1e-6
      )
    np.testing.assert_allclose(
      kept["bias"] - decayed["bias"], 0.1 * 0.5 * params["bias"], atol=1e-6
    )


class DevicesTest(parameterized.TestCase):
  @parameterized.parameters("large", "small_noise")
  def test_one_and_four_devices_have_the_same_curve(self, arm):
    (ours, one), (theirs, four) = (after_20_steps(arm, k) for k in (1, 4))
    np.testing.assert_allclose(
      [x["loss"] for x in ours], [x["loss"] for x in theirs], rtol=0, atol=1e-4
    )
    chex.assert_trees_all_close(
      one.state.model_state["batch_stats"],
      four.state.model_state["batch_stats"],
      rtol=1e-3,
      atol=1e-4,
    )
    self.assertEqual(int(one.state.step[0]), 20)

  def test_the_noise_moves_the_curve(self):
    quiet, _ = after_20_steps("large", 1)
    noisy, _ = after_20_steps("small_noise", 1)
    # Paired: the first step sees the same images and weights; without noise
    # its losses would be equal to the last bit.
    self.assertGreater(abs(quiet[0]["loss"] - noisy[0]["loss"]), 1e-3)

  def test_one_and_four_devices_score_alike(self):
    readings = []
    for k in (1, 4):
      _, compiled = slow("large", k)
      carry, _ = compiled.advance(compiled.init(), 2, True)
      readings.append(compiled.fetch(compiled.evaluate(carry)).now)
    one, four = readings
    self.assertEqual(set(one.sums), set(four.sums))
    for name in one.sums:
      np.testing.assert_array_equal(one.counts[name], four.counts[name])
      # Sums of up to 20 entropies of float32; an answer may tip over.
      loose = 1.0 if "loss" not in name else 2e-3
      np.testing.assert_allclose(
        one.sums[name], four.sums[name], rtol=0, atol=loose, err_msg=name
      )


class CompilationTest(parameterized.TestCase):
  @parameterized.parameters((False, 1), (True, 1), (False, 4))
  def test_the_step_is_traced_once(self, device_loop, devices):
    task, _ = in_a_loop(True) if device_loop else slow("large", devices)
    chex.clear_trace_counter()
    task = task._replace(step=chex.assert_max_traces(task.step, n=1))
    compiled = steps.compile_task(task, devices)
    carry = compiled.init()
    for until, fresh in ((1, True), (2, False), (4, True)):
      carry, handle = compiled.advance(carry, until, fresh)
    jax.block_until_ready(handle)

  def test_seeds_of_an_arm_step_by_one_program(self):
    texts = []
    for seed in (0, 1):
      task = small.make_task(small.run_config(fields={"seeds": (seed,)}))
      compiled = steps.compile_task(task, 1)
      lowered = compiled.lower(jax.eval_shape(compiled.init))
      texts.append([lowered[k].as_text() for k in ("call", "evaluate")])
    self.assertEqual(*texts)

  def test_the_step_is_compiled_once(self):
    task, _ = slow("large")
    compiled = steps.compile_task(task, 1)
    carry, _ = compiled.advance(compiled.init(), 1, True)
    with jax.log_compiles(), self.assertNoLogs("jax", "WARNING"):
      carry, handle = compiled.advance(carry, 4, False)
      jax.block_until_ready(handle)

  def test_loops_on_device_and_host_agree(self):
    _, compiled = in_a_loop(True)
    carry, _ = compiled.advance(compiled.init(), 3, True)
    looped = compiled.fetch(carry).state.params
    _, other = in_a_loop(False)
    carry, _ = other.advance(other.init(), 3, True)
    chex.assert_trees_all_close(
      other.fetch(carry).state.params,
      looped,
      rtol=0,
      # Rounding of one compilation against the other, after three steps at
      # rates up to 0.1; the steps themselves move weights by 1e-2.
      atol=1e-5,
    )


if __name__ == "__main__":
  absltest.main()
