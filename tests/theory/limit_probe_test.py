"""The limit engine's instruments and noise against sums over the whole past."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import steps
from lro_jax.theory import limit_inputs, settings
from lro_jax.theory import problem as problem_lib
from lro_jax.theory import task as theory
from tests import testing
from tests.theory.limit_test import config

NUM_STEPS = 40
SEEDS = (0, 1)
# k is good to 1e-8, forces and norms are below 20.
CLOSE = dict(rtol=1e-6, atol=1e-6)


def drawn(cfg):
  """The setting, and the problem as the engine draws it."""
  setting = settings.resolve(cfg)
  return setting, problem_lib.sample_problem(
    cfg.seeds,
    dim=setting.dim,
    num_train=setting.num_train,
    num_test=cfg.data.num_test,
    p0=setting.p0,
    q0=setting.q0,
    r=setting.r,
    q_norm=setting.q_norm,
    support=theory.support(setting),
  )


def run(cfg):
  """Setting and problem; the final reading, and the outputs at the end."""
  task = testing.make_task(cfg)
  with jax.enable_x64(True):
    compiled = steps.compile_task(task, 1)
    carry, _ = compiled.advance(compiled.init(), NUM_STEPS, True)
    reading = compiled.fetch(compiled.evaluate(carry))
    outputs = np.asarray(compiled.apply(task.outputs, carry))
  return *drawn(cfg), reading, outputs


def kernel(gram, rho, share, a=1.0):
  """<x_j, x_i> P(both active), for correlation rho cos a, times the share."""
  lengths = np.sqrt(np.diag(gram))
  safe = np.where(lengths > 0, lengths, 1)
  cosines = np.clip(gram / np.outer(safe, safe), -1, 1)
  angle = np.arcsin(np.clip(rho * a * cosines, -1, 1))
  return gram * share * (0.25 + angle / (2 * np.pi))


class Past:
  """One seed's dynamics by double sums over its past, float64, plain NumPy.

  Blocks are lists of Gram matrices: patches of x1 in the first, x2 of every
  example in the second.
  """

  def __init__(self, setting, problem, seed, shares):
    train = jax.tree.map(lambda x: x[seed], problem.train)
    self.setting, self.train = setting, train
    self.m1, self.m2 = train.x1.any(-1), train.alpha > 0
    directions = problem.vectors.directions[seed]
    x2 = train.alpha[:, None] * directions[train.direction]
    d, k = setting.dim, setting.num_strides
    patches = []
    for i in range(k):
      patch = np.zeros_like(train.x1)
      offset = i * (d // k)
      patch[:, : d - offset] = train.x1[:, offset:]
      patches.append(patch)
    self.grams = {"w": [x @ x.T for x in patches], "v": [x2 @ x2.T]}
    self.share = shares
    self.scale = {"w": 1.0, "v": setting.q_norm}
    self.decay, self.std = [1.0], [1.0]
    self.etas, self.forces, self.levels = [], [], []
    self.annealed = None

  def correlation(self, early, late):
    return (self.decay[late] / self.std[late]) * (
      self.std[early] / self.decay[early]
    )

  def shrink(self, gram, block, t, level):
    """a_t of every example: the part of its pre-activation that stays."""
    lengths = np.sqrt(np.diag(gram))
    safe = np.where(lengths > 0, lengths, 1)
    noise = level * self.scale[block]
    return 1 / np.sqrt(1 + (noise / (self.std[t] * safe)) ** 2)

  def weight(self, s, t):
    return self.etas[s] * self.decay[t] / self.decay[s + 1]

  def output(self, t, *, level=0.0, sources=None, until=None, patterns=None):
    """f_t by block: signal till `until`, seen by the patterns of `patterns`."""
    until = t if until is None else until
    seen_at = t if patterns is None else patterns
    out = {}
    for block, grams in self.grams.items():
      total = np.zeros(len(self.train.y))
      for gram in grams:
        now = self.shrink(gram, block, seen_at, level)
        for s in range(until):
          then = self.shrink(gram, block, s, self.levels[s])
          early, late = min(s, seen_at), max(s, seen_at)
          k = kernel(
            gram,
            min(1.0, self.correlation(early, late)),
            self.share[block],
            np.outer(now, then),
          )
          force = self.forces[s]
          force = force if sources is None else force * sources
          total += self.weight(s, until) * k @ force
      out[block] = total
    return out

  def run(self, num_steps):
    s, y = self.setting, self.train.y
    rate, n = s.learning_rate, len(y)
    threshold = s.anneal_excess + np.mean(~self.m1) * math.log(2)
    for t in range(num_steps):
      level = s.act_noise if self.annealed is None else 0.0
      f = sum(self.output(t, level=level).values())
      if self.annealed is None and (
        np.mean(np.logaddexp(0, -y * f)) <= threshold or t == s.anneal_step
      ):
        self.annealed, rate = t, rate * s.anneal_factor
      self.forces.append(y / (1 + np.exp(y * f)) / n)
      self.levels.append(level)
      self.etas.append(rate)
      shrink, noise = 1 - rate * s.weight_decay, s.noise_std / s.init_std
      self.decay.append(self.decay[-1] * shrink)
      variance = (shrink * self.std[-1]) ** 2 + (rate * noise) ** 2
      self.std.append(math.sqrt(variance))
    return self

  def inner(self, block, a, b, sources=None):
    """<Ubar_a, Ubar_b>, each decayed to its own time."""
    total = 0.0
    for s in range(a):
      for t in range(b):
        rho = min(1.0, self.correlation(min(s, t), max(s, t)))
        fs, ft = (
          self.forces[i] * (1 if sources is None else sources) for i in (s, t)
        )
        for gram in self.grams[block]:
          k = kernel(gram, rho, self.share[block])
          total += self.weight(s, a) * self.weight(t, b) * fs @ k @ ft
    return total


class InstrumentsTest(parameterized.TestCase):
  def test_carried_quantities_equal_their_definitions(self):
    setting, problem, reading, outputs = run(
      config(**{"seeds": SEEDS, "lemmas.measure": "all"})
    )
    values = reading.now.values
    for i in range(len(SEEDS)):
      past = Past(setting, problem, i, {"w": 0.5, "v": 0.5}).run(NUM_STEPS)
      got = {k: v[i] for k, v in values.items()}
      t, t0 = NUM_STEPS, past.annealed
      self.assertEqual(reading.events["anneal"][i], t0)
      np.testing.assert_allclose(
        outputs[i], sum(past.output(t).values()), **CLOSE
      )
      # (5.1): W from M2 alone.
      of_m2 = past.inner("w", t, t, past.m2)
      np.testing.assert_allclose(got["lemma/5.2"] ** 2, of_m2, rtol=1e-6)
      # Lemma 4.3.
      moved = sum(
        past.inner(b, t, t) + past.inner(b, t0, t0) - 2 * past.inner(b, t, t0)
        for b in "wv"
      )
      np.testing.assert_allclose(got["lemma/4.3 norm"], moved, rtol=1e-5)
      # (B.8): arccos(rho) / pi of the units change sides.
      share = np.arccos(past.correlation(t0, t)) / np.pi
      for block in "WV":
        np.testing.assert_allclose(
          got[f"lemma/B.3 flips {block}"], share, rtol=1e-9
        )
      # Lemma 5.3: alpha_k x_k / 8 of P-only, and the rest on test points.
      decayed = sum(past.weight(s, t) * past.forces[s] for s in range(t))
      x1, test = past.train.x1, problem.test.x1[i]
      alpha = (decayed * ~past.m2) @ x1 / 8
      np.testing.assert_allclose(
        got["lemma/5.3 alpha"], np.linalg.norm(alpha), rtol=1e-9
      )
      rest = 2 * test @ ((decayed * past.m2) @ x1 / 8)
      np.testing.assert_allclose(
        got["lemma/5.3 fit"], np.sqrt(np.mean(rest**2)), rtol=1e-9
      )
      # Lemma B.6: least squares on phi_k = u 1(W_0 x_k) x_k of P-only.
      only = ~past.m2
      phi = kernel(past.grams["w"][0], 1.0, 0.5)[np.ix_(only, only)]
      along = past.output(t, patterns=0)["w"][only]
      best = np.linalg.lstsq(phi, along, rcond=None)[0]
      rest2 = past.inner("w", t, t) - along @ best
      np.testing.assert_allclose(got["lemma/B.6"] ** 2, rest2, rtol=1e-5)
      # Lemma B.4, Proposition B.5.
      f = sum(past.output(t).values())
      force = past.train.y / (1 + np.exp(past.train.y * f)) / len(f)
      grad2 = sum(
        force @ kernel(g[0], 1.0, 0.5) @ force for g in past.grams.values()
      )
      np.testing.assert_allclose(got["lemma/B.4"], grad2, rtol=1e-6)
      rho = np.sum(np.abs(force) * past.m2)
      expected = setting.r * setting.q_norm**2 * rho**4
      np.testing.assert_allclose(got["bound/B.4"], expected, rtol=1e-6)
      large = sum(np.sum(np.abs(f) * past.m2) >= 0.1 for f in past.forces)
      self.assertEqual(got["lemma/B.5"], large)

  def test_the_latch_of_m2_closes_at_the_loss_of_m2(self):
    def losses(past, member):
      f = [sum(past.output(t).values()) for t in range(NUM_STEPS)]
      each = np.logaddexp(0, -past.train.y * np.array(f))
      return each[:, member].mean(1)

    setting, problem = drawn(config(**{"seeds": SEEDS[:1]}))
    past = Past(setting, problem, 0, {"w": 0.5, "v": 0.5}).run(NUM_STEPS)
    of_m2, of_all = losses(past, past.m2), losses(past, slice(None))
    # A step at which the loss on M2 is below all that any loss was before.
    lowest = [
      min(of_m2[:t].min(), of_all[: t + 1].min()) for t in range(1, NUM_STEPS)
    ]
    found = 1 + max(t for t, low in enumerate(lowest) if of_m2[t + 1] < low)
    stop = (of_m2[found] + lowest[found - 1]) / 2
    *_, reading, _ = run(
      config(
        **{
          "seeds": SEEDS[:1],
          "optim.stop_loss": float(stop),
          "lemmas.measure": "5.1 M2 steps",
        }
      )
    )
    self.assertEqual(reading.now.values["lemma/5.1 M2 steps"][0], found)

  def test_the_shares_of_instruments_left_out_are_not_carried(self):
    for measure in ("none", "4.2"):
      cfg = config(**{"seeds": SEEDS, "lemmas.measure": measure})
      task = testing.make_task(cfg)
      with jax.enable_x64(True):
        state = jax.eval_shape(
          task.init, jax.random.key(0), jax.tree.map(lambda x: x[0], task.data)
        )
      kept = (state.probe.norm2_m2, state.probe.from_start, state.probe.anneal)
      self.assertEqual(kept, (None, None, None))


class NoiseTest(parameterized.TestCase):
  """Section F.1: fresh noise on the pre-activations."""

  CONFIG = {
    "seeds": SEEDS,
    "optim.algorithm": "small_noise",
    "optim.small_learning_rate": 1.5,
    "optim.act_noise_steps": 25,
    "data.q_norm": 3.0,
  }

  def test_outputs_and_annealing_equal_the_double_sum(self):
    setting, problem, reading, outputs = run(config(**self.CONFIG))
    for i in range(len(SEEDS)):
      past = Past(setting, problem, i, {"w": 0.5, "v": 0.5}).run(NUM_STEPS)
      self.assertEqual(past.annealed, 25)
      self.assertEqual(reading.events["anneal"][i], past.annealed)
      np.testing.assert_allclose(
        outputs[i], sum(past.output(NUM_STEPS).values()), **CLOSE
      )

  def test_norms_are_those_of_the_double_sum_to_a_relative_eta(self):
    # The noise that one step's examples share is neglected.
    errors = {}
    for rate in (0.3, 0.03):
      cfg = config(
        **self.CONFIG
        | {
          "optim.small_learning_rate": rate,
          "optim.act_noise_steps": NUM_STEPS,
          "optim.weight_decay": 0.0,
          "optim.stationary": "none",
        }
      )
      setting, problem, reading, _ = run(cfg)
      past = Past(setting, problem, 0, {"w": 0.5, "v": 0.5}).run(NUM_STEPS)
      gram = past.grams["w"][0]
      a = past.shrink(gram, "w", 0, setting.act_noise)
      both = np.outer(a, a)
      total = 0.0
      for s in range(NUM_STEPS):
        for t in range(NUM_STEPS):
          lengths = np.sqrt(np.diag(gram))
          safe = np.where(lengths > 0, lengths, 1)
          cosines = np.clip(gram / np.outer(safe, safe), -1, 1) * both
          if s == t:
            cosines = cosines + np.sqrt(np.outer(1 - a**2, 1 - a**2))
          k = (
            gram * 0.5 * (0.25 + np.arcsin(np.clip(cosines, -1, 1)) / 2 / np.pi)
          )
          total += (
            past.weight(s, NUM_STEPS)
            * past.weight(t, NUM_STEPS)
            * past.forces[s]
            @ k
            @ past.forces[t]
          )
      errors[rate] = abs(reading.now.values["signal_norm2/w"][0] / total - 1)
    # One step in NUM_STEPS is its own: the error is a share of 1 / NUM_STEPS.
    self.assertLess(max(errors.values()), 1.5 / NUM_STEPS)
    self.assertGreater(min(errors.values()), 0)

  @parameterized.parameters((0.7, 0.8, 0.9), (0.2, 1.0, 0.5))
  def test_two_noisy_patterns_agree_as_the_arcsine_says(self, rho, cos, level):
    # Rows u_s and u_t of correlation rho, x_j and x_i at an angle, Xi_s and
    # Xi_t independent: P(both active) = 1/4 + arcsin(rho cos a_j a_i) / (2 pi).
    num = 400_000
    keys = jax.random.split(jax.random.key(5), 4)
    first, other = (jax.random.normal(k, (num, 2)) for k in keys[:2])
    later = rho * first + math.sqrt(1 - rho**2) * other
    x_j = 1.3 * jnp.array([1.0, 0.0])
    x_i = 0.6 * jnp.array([cos, math.sqrt(1 - cos**2)])
    xi = [level * jax.random.normal(k, (num,)) for k in keys[2:]]
    both = (first @ x_j + xi[0] >= 0) & (later @ x_i + xi[1] >= 0)
    a = [1 / math.sqrt(1 + (level / length) ** 2) for length in (1.3, 0.6)]
    expected = 0.25 + math.asin(rho * cos * a[0] * a[1]) / (2 * math.pi)
    error = math.sqrt(expected * (1 - expected) / num)
    self.assertAlmostEqual(float(both.mean()), expected, delta=4 * error)
    # And not as without the noise.
    bare = 0.25 + math.asin(rho * cos) / (2 * math.pi)
    self.assertGreater(abs(expected - bare), 8 * error)

  def test_no_noise_is_the_small_rate(self):
    quiet = config(**self.CONFIG | {"optim.act_noise": 0.0})
    small = config(**self.CONFIG | {"optim.algorithm": "small"})
    np.testing.assert_array_equal(run(quiet)[3], run(small)[3])


class ConvolutionTest(parameterized.TestCase):
  @parameterized.parameters(1, 4)
  def test_outputs_equal_the_double_sum_over_patches(self, k):
    cfg = config(
      **{
        "seeds": SEEDS,
        "model.structure": "conv",
        "model.num_strides": k,
      }
    )
    setting, problem, reading, outputs = run(cfg)
    for i in range(len(SEEDS)):
      shares = {"w": 1 / k, "v": 1 / k}
      past = Past(setting, problem, i, shares).run(NUM_STEPS)
      self.assertEqual(reading.events["anneal"][i], past.annealed)
      np.testing.assert_allclose(
        outputs[i], sum(past.output(NUM_STEPS).values()), **CLOSE
      )
      values = reading.now.values
      norm2 = past.inner("w", NUM_STEPS, NUM_STEPS)
      np.testing.assert_allclose(values["signal_norm2/w"][i], norm2, rtol=1e-6)


class GroupsTest(parameterized.TestCase):
  def test_p_only_come_first_and_every_example_of_m1_once(self):
    setting, problem = drawn(config(**{"seeds": SEEDS}))
    inputs = limit_inputs.make(setting, problem.train, problem.test)
    num = inputs.num_p_only
    for i in range(len(SEEDS)):
      m1 = problem.train.x1[i].any(-1)
      m2 = problem.train.alpha[i] > 0
      index = inputs.index[i]
      first, rest = index[:num], index[num:]
      n = setting.num_train
      self.assertCountEqual(first[first < n], np.flatnonzero(m1 & ~m2))
      self.assertCountEqual(rest[rest < n], np.flatnonzero(m1 & m2))


if __name__ == "__main__":
  absltest.main()
