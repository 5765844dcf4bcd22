"""The limit engine against the double sum over the past it stands for."""

import math

import jax
import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.core import steps
from lro_jax.theory import kernels, limit, limit_inputs, settings
from lro_jax.theory import problem as problem_lib
from tests import testing

FIELDS = {
  "seeds": (0, 1),
  "data.dim": 100,
  "data.num_train": 26,
  "data.num_test": 9,
  "data.q_norm": 3.0,
  "data.r": 0.2,
  "optim.large_learning_rate": 2.0,
  "optim.small_learning_rate": 0.3,
  "optim.weight_decay": 0.01,
  "optim.anneal_excess": 0.5,
  "optim.stop_loss": 0.0,
  "limit.stride": 1,
  "train.max": "40 steps",
}


def config(**fields):
  return testing.run_config(theory_config.get_config("limit"), FIELDS | fields)


def kernel_of(rho, gram):
  """<x, x'> k(rho cos), from the definition."""
  lengths = np.sqrt(np.diag(gram))
  safe = np.where(lengths > 0, lengths, 1)
  cosines = np.clip(gram / np.outer(safe, safe), -1, 1)
  # Rounding may push rho past 1.
  return gram * 0.5 * (0.25 + np.arcsin(min(rho, 1.0) * cosines) / (2 * np.pi))


def double_sum(setting, problem, s, num_steps):
  """f_t by summing over the whole past; also ||Ubar||^2 of both blocks.

  Returns outputs on train + test x1, at the three directions, both squared
  norms, and the annealing step.
  """
  train = jax.tree.map(lambda x: x[s], problem.train)
  test = jax.tree.map(lambda x: x[s], problem.test)
  n = len(train.y)
  gram_p = np.vstack([train.x1, test.x1]) @ np.vstack([train.x1, test.x1]).T
  directions = problem.vectors.directions[s]
  gram_q = directions @ directions.T
  q = np.mean(~train.x1.any(-1))
  eta, annealed = setting.learning_rate, None
  lam, noise = setting.weight_decay, setting.noise_std / setting.init_std
  etas, forces_p, forces_q, decay, std = [], [], [], [1.0], [1.0]
  for t in range(num_steps + 1):
    decay_t, std_t = decay[-1], std[-1]
    r, g = np.zeros(len(gram_p)), np.zeros(3)
    for s_, (e, fp, fq) in enumerate(
      zip(etas, forces_p, forces_q, strict=True)
    ):
      c = e * decay_t / decay[s_ + 1]
      rho = (decay_t / std_t) * (std[s_] / decay[s_])
      r += c * kernel_of(rho, gram_p)[:, :n] @ fp
      g += c * kernel_of(rho, gram_q) @ fq
    if t == num_steps:
      break
    f = r[:n] + train.alpha * g[train.direction]
    loss = np.mean(np.logaddexp(0, -train.y * f))
    if annealed is None and loss <= setting.anneal_excess + q * np.log(2):
      annealed, eta = t, eta * setting.anneal_factor
    force = train.y / (1 + np.exp(train.y * f)) / n
    etas.append(eta)
    forces_p.append(force * train.x1.any(-1))
    forces_q.append(
      np.bincount(train.direction, force * train.alpha, minlength=3)
    )
    decay.append(decay_t * (1 - eta * lam))
    std.append(math.sqrt((1 - eta * lam) ** 2 * std_t**2 + eta**2 * noise**2))
  norms = []
  for gram, forces in ((gram_p[:n, :n], forces_p), (gram_q, forces_q)):
    total = 0.0
    for a in range(num_steps):
      for b in range(num_steps):
        early, late = min(a, b), max(a, b)
        rho = (decay[late] / std[late]) * (std[early] / decay[early])
        c = etas[a] * etas[b] * decay[-1] ** 2 / decay[a + 1] / decay[b + 1]
        total += c * forces[a] @ kernel_of(rho, gram) @ forces[b]
    norms.append(total)
  return r, g, norms, annealed


class DynamicsTest(parameterized.TestCase):
  @parameterized.parameters("noise_std", "none")
  def test_outputs_equal_the_double_sum_through_annealing(self, stationary):
    # "none" leaves the noise at 0.004, off (3.3): tau_t drifts.
    noise_std = 0.004 if stationary == "none" else 0.0
    cfg = config(
      **{"optim.stationary": stationary, "optim.noise_std": noise_std}
    )
    setting = settings.resolve(cfg)
    problem = problem_lib.sample_problem(
      (0, 1),
      dim=100,
      num_train=26,
      num_test=9,
      p0=0.2,
      q0=0.2,
      r=0.2,
      q_norm=3.0,
    )
    self.examples = problem.train, problem.test
    with jax.enable_x64(True):
      task = limit.make(cfg, setting, problem)
      compiled = steps.compile_task(task, 1)
      carry, _ = compiled.advance(compiled.init(), 40, True)
      reading = compiled.fetch(compiled.evaluate(carry))
      outputs = self.outputs(task, setting, carry.state)
    for s in range(2):
      r, g, norms, annealed = double_sum(setting, problem, s, 40)
      self.assertEqual(reading.events["anneal"][s], annealed)
      self.assertBetween(annealed, 1, 39)
      # The arcsines are good to 1e-8, times a total force below 20.
      present = problem.train.x1[s].any(-1)
      train, test, at_directions = (np.asarray(x[s]) for x in outputs)
      index = task.data.shared["inputs"].index[s]
      self.assertCountEqual(index[index < 26], np.flatnonzero(present))
      np.testing.assert_allclose(
        train[index < 26], r[index[index < 26]], atol=2e-7
      )
      np.testing.assert_allclose(train[index == 26], 0.0)
      np.testing.assert_allclose(test, r[26:], atol=2e-7)
      np.testing.assert_allclose(at_directions, g, atol=2e-7)
      values = reading.now.values
      self.assertAlmostEqual(
        values["second_difference"][s], g[2] + g[0] - 2 * g[1], delta=1e-6
      )
      for block, norm2 in zip("wv", norms, strict=True):
        got = values[f"signal_norm2/{block}"][s]
        self.assertAlmostEqual(got / norm2, 1, delta=1e-6)

  def outputs(self, task, setting, state):
    """r on train and test x1, g at the directions; [s] in front."""
    inputs = task.eval_data.shared["inputs"]
    kernel = kernels.make_kernel(
      setting, limit_inputs.largest_cosine(inputs), 40
    )

    def of_seed(inputs, sums_p, sums_q):
      return (
        limit_inputs.p_output(kernel, inputs, sums_p).whole,
        limit_inputs.test_output(kernel, inputs, sums_p),
        kernels.q_directions_output(kernel, sums_q),
      )

    return jax.vmap(of_seed)(inputs, state.sums_p, state.sums_q)

  def test_the_last_stride_ends_where_the_run_does(self):
    cfg = config(
      **{
        "optim.algorithm": "small",
        "limit.stride": 8,
        "train.max": "21 steps",
      }
    )
    with jax.enable_x64(True):
      compiled = steps.compile_task(testing.make_task(cfg), 1)
      carry, _ = compiled.advance(compiled.init(), 21, True)
      reading = compiled.fetch(compiled.evaluate(carry))
    np.testing.assert_array_equal(reading.step, 21)
    np.testing.assert_array_equal(reading.num_steps, 3)

  def test_halving_the_stride_moves_little_and_like_the_stride(self):
    ends = {}
    for stride in (8, 4, 2, 1):
      cfg = config(
        **{
          "seeds": (0,),
          "limit.stride": stride,
          "optim.algorithm": "small",
          "optim.small_learning_rate": 0.02,
          "train.max": "800 steps",
        }
      )
      task = testing.make_task(cfg)
      with jax.enable_x64(True):
        compiled = steps.compile_task(task, 1)
        carry, _ = compiled.advance(compiled.init(), 800, True)
        reading = compiled.fetch(compiled.evaluate(carry))
      self.assertEqual(reading.step[0], 800)
      ends[stride] = reading.now.values["second_difference"][0]
    errors = [abs(ends[n] - ends[1]) for n in (8, 4, 2)]
    self.assertLess(errors[0], 0.02 * abs(ends[1]))
    # First order in the stride: 7 : 3 : 1, give or take a fifth.
    self.assertBetween(errors[0] / errors[1], 7 / 3 * 0.8, 7 / 3 * 1.2)
    self.assertBetween(errors[1] / errors[2], 3 * 0.8, 3 * 1.2)


if __name__ == "__main__":
  absltest.main()
