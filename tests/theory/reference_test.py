"""The network engine against a plain NumPy loop fed the same draws."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.core import prng, steps
from lro_jax.core.prng import Stream
from lro_jax.theory import data, network, reference, settings
from lro_jax.theory import problem as problem_lib
from tests import testing

NUM_STEPS = 50


def config(dtype):
  return testing.run_config(
    theory_config.get_config("network"),
    {
      "seeds": (3,),
      "data.dim": 12,
      "data.num_train": 24,
      "data.num_test": 8,
      "data.q_norm": 2.0,
      "data.r": 0.3,
      "model.num_hidden": 64,
      "model.num_hidden_v": 64,
      "model.basis": "full",
      "model.init_std": 0.1,
      "model.dtype": dtype,
      "optim.large_learning_rate": 1.0,
      "optim.small_learning_rate": 0.1,
      "optim.weight_decay": 1e-3,
      "optim.anneal_excess": 0.5,
      "optim.stop_loss": 0.0,
    },
  )


def draws(seed, shapes, std, dtype):
  """The engine's Gaussian draws, from its documented key rule."""
  root = prng.root_key(seed)
  stream = prng.stream_key(root, Stream.GRAD_NOISE)
  for t in range(NUM_STEPS):
    keys = jax.random.split(prng.step_key(stream, t), len(shapes))
    yield reference.Weights(
      *(
        np.asarray(std * jax.random.normal(k, shape, dtype), np.float64)
        for k, shape in zip(keys, shapes, strict=True)
      )
    )


def start_of(task):
  """The state before any step, of every seed; nothing but it is compiled."""
  init = jax.jit(jax.vmap(lambda s, d: task.init(prng.root_key(s), d)))
  return jax.device_get(init(np.asarray(task.seeds, np.uint32), task.data))


class ReferenceTest(parameterized.TestCase):
  # float32: 50 roundings of relative size 6e-8 each, and a few ReLU patterns
  # decided within rounding of zero.
  @parameterized.parameters(("float32", 1e-5), ("float64", 1e-12))
  def test_network_equals_numpy_through_annealing(self, dtype, tolerance):
    cfg = config(dtype)
    setting = settings.resolve(cfg)
    # Annealing inside the 50 steps: at the loss the plain loop has at step 20.
    with jax.enable_x64(dtype == "float64"):
      problem = problem_lib.sample_problem(
        (3,),
        dim=12,
        num_train=24,
        num_test=8,
        p0=0.2,
        q0=0.2,
        r=0.3,
        q_norm=2.0,
      )
      task = network.make(cfg, setting, problem, axis_name=None)
      start = start_of(task)
      _, losses, _ = self.numpy_loop(
        setting, problem, task, start, dtype, anneal=False
      )
      floor = np.log(2) * np.mean(problem.train.x1[0].any(-1) == 0)
      # Between two losses: rounding must not decide.
      cfg.optim.anneal_excess = float((losses[19] + losses[20]) / 2 - floor)
      setting = settings.resolve(cfg)
      task = network.make(cfg, setting, problem, axis_name=None)
      compiled = steps.compile_task(task, 1)
      weights, _, annealed = self.numpy_loop(
        setting, problem, task, start, dtype, anneal=True
      )
      self.assertIsNotNone(annealed)
      self.assertBetween(annealed, 1, NUM_STEPS - 1)
      carry, _ = compiled.advance(compiled.init(), NUM_STEPS, True)
      end = compiled.fetch(carry).state
      got = end.params
      self.assertEqual(
        int(compiled.fetch(compiled.evaluate(carry)).events["anneal"][0]),
        annealed,
      )
    for ours, theirs in zip(got, weights, strict=True):
      gap = np.linalg.norm(ours[0] - theirs) / np.linalg.norm(theirs)
      self.assertLess(gap, tolerance)

  def numpy_loop(self, setting, problem, task, start, dtype, anneal):
    head = jax.tree.map(
      lambda x: np.asarray(x[0], np.float64), start.model_state["heads"]
    )
    weights = reference.Weights(
      *(np.asarray(p[0], np.float64) for p in start.params)
    )
    train = jax.tree.map(lambda x: x[0], problem.train)
    vectors = jax.tree.map(lambda x: x[0], problem.vectors)
    inputs = reference.Inputs(
      train.x1.astype(dtype).astype(np.float64),
      np.asarray(data.x2_of(train, vectors), np.float64),
      train.y,
    )
    rate, annealed, losses = setting.large_learning_rate, None, []
    q = np.mean(~train.x1.any(-1))
    shapes = [w.shape for w in weights]
    for t, noise in enumerate(
      draws(3, shapes, setting.noise_std, jnp.dtype(dtype))
    ):
      value, grads = reference.gradient(head, weights, inputs)
      losses.append(value)
      below = value <= setting.anneal_excess + q * np.log(2)
      if anneal and annealed is None and below:
        annealed, rate = t, setting.small_learning_rate
      weights = reference.update(
        weights, grads, noise, rate=rate, weight_decay=setting.weight_decay
      )
    return weights, losses, annealed


class GradientTest(absltest.TestCase):
  def test_gradient_is_the_loss_difference_quotient(self):
    rng = np.random.default_rng(0)
    head = reference.Weights(*(rng.choice([-0.2, 0.2], 6) for _ in range(2)))
    weights = reference.Weights(*(rng.normal(size=(6, 4)) for _ in range(2)))
    inputs = reference.Inputs(
      rng.normal(size=(9, 4)),
      rng.normal(size=(9, 4)),
      rng.choice([-1.0, 1.0], 9),
    )
    _, grads = reference.gradient(head, weights, inputs)
    h = 1e-6
    for block in range(2):
      for index in ((0, 0), (5, 3), (2, 1)):
        moved = [
          [w.copy() for w in weights],
          [w.copy() for w in weights],
        ]
        moved[0][block][index] += h
        moved[1][block][index] -= h
        up, down = (
          reference.loss(
            reference.output(head, reference.Weights(*m), inputs), inputs.y
          )
          for m in moved
        )
        self.assertAlmostEqual(
          (up - down) / (2 * h), grads[block][index], delta=1e-8
        )


if __name__ == "__main__":
  absltest.main()
