"""The network engine: bases agree, and wide nets approach the limit."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest

from configs import theory as theory_config
from lro_jax.core import prng
from lro_jax.core.prng import Stream
from lro_jax.theory import convergence, models, network
from lro_jax.theory import problem as problem_lib
from tests import testing

FIELDS = {
  "seeds": (0,),
  "data.dim": 60,
  "data.num_train": 40,
  "data.num_test": 5,
  "data.q_norm": 2.0,
  "data.r": 0.3,
  "model.num_hidden": 128,
  "model.num_hidden_v": 64,
  "model.init_std": 0.1,
  "model.dtype": "float64",
  "optim.large_learning_rate": 1.0,
  "optim.small_learning_rate": 0.1,
  "optim.weight_decay": 0.01,
  "optim.anneal_excess": 0.5,
  "optim.stop_loss": 0.0,
}


def task_of(**fields):
  config = testing.run_config(
    theory_config.get_config("network"), FIELDS | fields
  )
  return config, testing.make_task(config)


class BasesTest(absltest.TestCase):
  def test_full_and_reduced_give_the_same_outputs_from_projected_draws(self):
    # The update is affine in the noise: stepping a chain without noise and
    # subtracting gamma xi by hand is a step with the draw xi.
    num_steps, seed = 50, 0
    fields = {"optim.stationary": "none", "optim.noise_std": 0.0}
    config, full = task_of(**{"model.basis": "full"}, **fields)
    _, reduced = task_of(**{"model.basis": "reduced"}, **fields)

    problem = problem_lib.sample_problem(
      (seed,),
      dim=60,
      num_train=40,
      num_test=5,
      p0=0.2,
      q0=0.2,
      r=0.3,
      q_norm=2.0,
    )
    _, rank, rotation = problem_lib.rotate_to_span(problem)
    minus, middle, plus = problem.vectors.directions[0]
    plane = np.stack(
      [
        middle / np.linalg.norm(middle),
        (plus - minus) / np.linalg.norm(plus - minus),
      ],
      axis=1,
    )
    self.assertLess(rank, 60)

    def project(blocks):
      return models.Blocks(blocks.w @ rotation[0][:, :rank], blocks.v @ plane)

    with jax.enable_x64(True):
      batch = [jax.tree.map(lambda x: x[0], t.data) for t in (full, reduced)]
      root = prng.root_key(seed)
      states = [
        t.init(root, b) for t, b in zip((full, reduced), batch, strict=True)
      ]
      states[1] = states[1]._replace(params=project(states[0].params))
      step = [jax.jit(full.step), jax.jit(reduced.step)]
      for t in range(num_steps):
        key = prng.step_key(prng.stream_key(root, Stream.GRAD_NOISE), t)
        draw = models.Blocks(
          *(
            0.02 * jax.random.normal(k, p.shape)
            for k, p in zip(
              jax.random.split(key), states[0].params, strict=True
            )
          )
        )
        sums = [None, None]
        for i, xi in enumerate((draw, project(draw))):
          states[i], sums[i] = step[i](states[i], batch[i])
          gamma = (full, reduced)[i].learning_rate(states[i], batch[i])
          states[i] = states[i]._replace(
            params=jax.tree.map(
              lambda u, n, gamma=gamma: u - gamma * n, states[i].params, xi
            )
          )
        # float64; 50 steps.
        self.assertAlmostEqual(
          float(sums[0]["loss"]), float(sums[1]["loss"]), delta=1e-12
        )
      events = [
        t.events(x) for t, x in zip((full, reduced), states, strict=True)
      ]
      self.assertEqual(*(int(e["anneal"]) for e in events))
      self.assertBetween(int(events[0]["anneal"]), 1, num_steps - 1)
      for ours, theirs in zip(
        project(states[0].params), states[1].params, strict=True
      ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)

  def test_reduced_test_outputs_have_the_full_law(self):
    # At step 0, r(x) is a sum over rows of +-relu of N(0, tau0^2 |x|^2) draws
    # with head 1/sqrt(2 rows): variance tau0^2 |x|^2 / 4 exactly, and 256
    # independent seeds. Outside of the training span only the drawn part acts.
    config, task = task_of(
      **{"seeds": tuple(range(256)), "max_seeds": 0, "data.p0": 0.3}
    )
    rank = task.data.examples["x1"].shape[-1]
    problem = problem_lib.sample_problem(
      config.seeds,
      dim=60,
      num_train=40,
      num_test=5,
      p0=0.3,
      q0=0.2,
      r=0.3,
      q_norm=2.0,
    )
    rotated, _, _ = problem_lib.rotate_to_span(problem)
    x = rotated.test.x1[:, 0]
    for part, expected in (
      (x, np.sum(x**2, -1)),
      (np.where(np.arange(60) < rank, 0, x), np.sum(x[:, rank:] ** 2, -1)),
    ):
      with jax.enable_x64(True):
        roots = jax.vmap(prng.root_key)(jnp.arange(256))
        states = jax.vmap(task.init)(roots, task.data)
        outputs = jax.vmap(lambda st, x1: network.test_outputs(st, x1, rank))
        r, r_opposite = outputs(states, jnp.asarray(part)[:, None])
        mirrored = outputs(states, -jnp.asarray(part)[:, None])
      # A sign flips no digit: equal to the bit.
      np.testing.assert_array_equal((r_opposite, r), mirrored)
      self.assertFalse(np.array_equal(r, r_opposite))
      squares = np.asarray(r)[:, 0] ** 2 / (0.1**2 * expected / 4)
      error = squares.std(ddof=1) / np.sqrt(256)
      self.assertLess(abs(squares.mean() - 1), 4 * error)
      self.assertLess(error, 0.2)


class LimitTest(absltest.TestCase):
  def test_wide_nets_approach_the_limit_like_one_over_root_m(self):
    # The signal part's output: what is left of the noise part's own output at a
    # fixed tau0 has no part in the limit.
    config, _ = task_of(
      **{
        "seeds": tuple(range(4)),
        "max_seeds": 0,
        "data.r": 0.5,
        "model.dtype": "float32",
        "model.init_std": 0.0125,
        "optim.large_learning_rate": 0.5,
        "optim.small_learning_rate": 0.05,
        "optim.weight_decay": 0.02,
        "optim.anneal_excess": 0.0,
        "train.max": "10 steps",
      }
    )
    widths = (2**10, 2**13, 2**16)
    table = convergence.table(config, widths)
    errors = [row["signal"] for row in table["rows"]]
    self.assertGreater(table["scale"], 10 * errors[-1])
    # Each RMS of 4 draws is good to a third: over 6 octaves, 0.1 in slope.
    self.assertBetween(table["slope_signal"], -0.65, -0.35)


if __name__ == "__main__":
  absltest.main()
