"""The network engine's readings against a plain loop over the whole past."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import placement
from tests import testing
from tests.theory import past, small

NUM_STEPS = 24
ALGORITHMS = ("large", "small_noise")


def config(algorithm):
  # At twice the annealed rate the noisy net anneals a few steps later.
  fields = {"optim.small_learning_rate": 12.0}
  return small.config(
    **{"optim.algorithm": algorithm}
    | (fields if algorithm == "small_noise" else {})
  )


def anneals_by_loss(task, cfg):
  """The task, its threshold eps1 + q log 2 whatever the algorithm."""
  q = float(1 - task.data.examples["m1"].mean())
  threshold = np.array([cfg.optim.anneal_excess + q * np.log(2)])
  shared = dict(task.data.shared)
  shared["schedule"] = shared["schedule"]._replace(anneal_threshold=threshold)
  return task._replace(data=task.data._replace(shared=shared))


@functools.cache
def prepared(algorithm):
  cfg = config(algorithm)
  task = anneals_by_loss(testing.make_task(cfg), cfg)
  return cfg, small.run(task, NUM_STEPS)


@functools.cache
def loop(algorithm):
  return past.Past(*prepared(algorithm))


class ReadingsTest(parameterized.TestCase):
  @parameterized.parameters(*ALGORITHMS)
  def test_every_reading_is_the_loops_at_every_step(self, algorithm):
    _, run = prepared(algorithm)
    plain = loop(algorithm)
    # What happens once does, inside the run, and rho falls below 0.1.
    self.assertBetween(plain.t0, 1, NUM_STEPS - 5)
    self.assertBetween(plain.m2_at, 1, NUM_STEPS - 1)
    self.assertLess(plain.rhos[-2], 0.1)
    seen = set()
    for t, state in enumerate(run.states):
      for ours, theirs in zip(plain.weights(t), state.params, strict=True):
        # float64, 24 steps.
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
      for name, value in plain.readings(t).items():
        got = run.logged[t].values[name]
        np.testing.assert_allclose(
          got, value, rtol=1e-9, atol=1e-11, err_msg=f"{name} at {t}"
        )
        if np.isfinite(got) and got > 0:
          seen.add(name)
    self.assertSetEqual(seen, set(plain.readings(plain.t0 + 1)))
    latch = run.task.events(run.states[-1])["anneal"]
    self.assertEqual(latch, plain.t0)

  def test_one_and_four_devices_read_the_same(self):
    # 18 training and 7 test examples: the last devices have padding.
    cfg, alone = prepared("large")
    task = testing.make_task(cfg, devices=4)
    with jax.enable_x64(True):
      evaluation = jax.tree.map(
        lambda x: x[:, 0], placement.split_examples(task.eval_data, 4)
      )
      evals = jax.pmap(task.evals, axis_name=placement.axis_name(4))
      for t in (3, NUM_STEPS):
        state = jax.tree.map(lambda x: jnp.stack([x] * 4), alone.states[t])
        values = jax.device_get(evals(state, evaluation)).values
        for name, of_devices in values.items():
          for got in of_devices:
            # Sums in another order; the error of (3.4) is rounding itself.
            np.testing.assert_allclose(
              got,
              alone.logged[t].values[name],
              rtol=1e-10,
              atol=1e-14,
              err_msg=f"{name} at {t}",
            )


# Where one weight is moved so that (3.4) still holds -> what reads it there.
MOVED = {
  ("params.w", "probe.parts.signal.w"): "A.2 W, A.3 W, A.8 flips W, A.8 output"
  " W, B.4, 5.3 alpha, B.6, 4.3 norm, B.3 flips W, B.3 output, 4.4 M1",
  ("params.v", "probe.parts.signal.v"): "A.2 V, A.3 V, A.8 flips V, A.8 output"
  " V, B.4, 4.3 norm, B.3 flips V, B.3 output, 4.4 Q",
  ("params.w", "probe.parts.noise.w"): "A.7 std W, A.7 law W, A.8 flips W, A.8"
  " output W, B.4, 5.3 fit",
  ("params.v", "probe.parts.noise.v"): "A.7 std V, A.7 law V, D.3 share, D.3"
  " reach, B.4",
  ("probe.from_m2",): "5.2, 5.3 alpha, 5.3 fit",
  ("probe.w_at_start",): "B.6",
  ("probe.at_anneal.params.w",): "B.3 flips W, B.3 output",
  ("probe.at_anneal.params.v",): "B.3 flips V, B.3 output",
  ("probe.at_anneal.signal.w",): "4.3 norm",
}


def moved(tree, path, row):
  """The tree with one weight of the matrix at a dotted path moved far."""
  name, _, rest = path.partition(".")
  leaf = getattr(tree, name)
  new = moved(leaf, rest, row) if rest else leaf.at[row, 0].add(10.0)
  return tree._replace(**{name: new})


class PerturbationTest(parameterized.TestCase):
  @parameterized.parameters(*MOVED.items())
  def test_one_weight_moves_what_reads_it(self, paths, names):
    _, run = prepared("large")
    still = set(names.split(", "))
    # Before annealing and after it. A count need not follow any one weight.
    for t, row in itertools.product((3, NUM_STEPS), range(6)):
      with jax.enable_x64(True):
        state = run.states[t]
        for path in paths:
          state = moved(state, path, row)
      values, old = run.evaluate(state).values, run.logged[t].values
      for name in list(still):
        gap = abs(values[f"lemma/{name}"] - old[f"lemma/{name}"])
        still -= {name} if gap > 1e-6 else set()
    self.assertEmpty(still)


if __name__ == "__main__":
  absltest.main()
