"""Eq. (3.4): exact at every logged step, and the noise part's law."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.core import optim, steps
from lro_jax.core.normal import normal
from lro_jax.theory import decomposition, settings
from tests import testing

FIELDS = {
  "data.dim": 16,
  "data.num_train": 20,
  "data.num_test": 16,
  "data.q_norm": 2.0,
  "data.r": 0.3,
  "model.num_hidden": 2048,
  "model.num_hidden_v": 8192,
  "model.init_std": 0.05,
  "optim.large_learning_rate": 1.0,
  "optim.small_learning_rate": 0.2,
  "optim.weight_decay": 0.02,
  "optim.anneal_excess": 0.48,
  "optim.stop_loss": 0.0,
  "train.max": "60 steps",
}
LOGGED = (1, 5, 15, 30, 60)


@functools.cache
def readings(**fields):
  """Setting, and what is read at each logged step."""
  config = testing.run_config(
    theory_config.get_config("network"), FIELDS | fields
  )
  task = testing.make_task(config)
  compiled = steps.compile_task(task, 1)
  carry, out = compiled.init(), []
  for until in LOGGED:
    carry, _ = compiled.advance(carry, until, True)
    out.append(compiled.fetch(compiled.evaluate(carry)))
  return settings.resolve(config), compiled.fetch(carry).state, out


SHAPE = (64, 24)


def num_xor(program, *args):
  """Exclusive ors of SHAPE in a compiled program: those of threefry."""
  text = jax.jit(program).lower(*args).compile().as_text()
  shape = ",".join(map(str, SHAPE))
  return len(re.findall(rf"= u32\[{shape}\]\S* xor\(", text))


class OneDrawTest(absltest.TestCase):
  def test_weights_and_noise_part_share_a_draw_that_is_made_once(self):
    if jax.default_backend() != "cpu":
      self.skipTest("Elsewhere a draw is folded into its uses, and cheap.")
    key = jax.random.key(0)
    links = optim.links(learning_rate=0.1, noise_std=1.0, noise_key=key)
    weights = jnp.ones(SHAPE)
    opt_state = tuple(link.init(weights) for link in links)

    def update(opt_state, params, noise_part, grads):
      return decomposition.update_with_noise_part(
        links, opt_state, params, noise_part, grads, loss=jnp.ones(())
      )

    once = num_xor(lambda key: normal(key, SHAPE, np.float32), key)
    self.assertGreater(once, 0)
    self.assertEqual(
      num_xor(update, opt_state, weights, weights, weights), once
    )


class DecompositionTest(parameterized.TestCase):
  @parameterized.parameters("reduced", "full")
  def test_weights_equal_signal_plus_noise_at_every_logged_step(self, basis):
    _, state, read = readings(**{"model.basis": basis})
    for reading in read:
      error = reading.now.values["decomposition_error"]
      # Three float32 recursions of up to 60 steps: sqrt(60) roundings of 2^-24.
      self.assertLess(error.max(), 2 * math.sqrt(60) * 2**-24)
    parts = state.probe.parts
    for u, signal, noise in zip(state.params, *parts, strict=True):
      np.testing.assert_allclose(u, signal + noise, atol=1e-6)
      self.assertGreater(np.abs(signal).max(), 0)

  def assert_noise_std(self, read, expected_of):
    for reading in read:
      for block, entries in (("w", 1024 * 16), ("v", 4096 * 2)):
        got = reading.now.values[f"noise_std/{block}"]
        for i, value in enumerate(got):
          expected = expected_of(reading, i)
          # The std of n normal draws has standard error std / sqrt(2 n). W
          # keeps all 16 coordinates: no fewer examples than that have P.
          self.assertLess(
            abs(value - expected), 4 * expected / math.sqrt(2 * entries)
          )

  def test_noise_part_is_normal_with_independent_entries(self):
    # Lemma A.7; stationary, so that all seeds have the same law.
    setting, state, _ = readings(**{"optim.anneal_excess": 0.0})
    for block in state.probe.parts.noise:
      for seed in block:
        z = np.asarray(seed, np.float64) / setting.init_std
        n = z.size
        # Standard errors of a standard normal's moments and correlations.
        self.assertLess(abs(z.mean()), 4 / math.sqrt(n))
        self.assertLess(abs((z**3).mean()), 4 * math.sqrt(15 / n))
        self.assertLess(abs((z**4).mean() - 3), 4 * math.sqrt(96 / n))
        for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1])):
          self.assertLess(abs((a * b).mean()), 4 / math.sqrt(a.size))

  def test_noise_std_stays_tau0_at_stationarity_until_annealing(self):
    setting, _, read = readings(**{"optim.anneal_excess": 0.0})
    self.assertGreater(setting.noise_std, 0)
    self.assert_noise_std(read, lambda reading, i: setting.init_std)

  @parameterized.parameters(0.02, 0.0005)
  def test_noise_std_follows_footnote_2_away_from_stationarity(self, noise_std):
    setting, _, read = readings(
      **{
        "optim.anneal_excess": 0.0,
        "optim.stationary": "none",
        "optim.noise_std": noise_std,
      }
    )

    def closed_form(reading, i):
      return settings.noise_std_after(
        setting.init_std,
        int(reading.step[i]),
        rate=setting.large_learning_rate,
        weight_decay=setting.weight_decay,
        noise_std=setting.noise_std,
      )

    self.assert_noise_std(read, closed_form)
    drift = closed_form(read[-1], 0) / setting.init_std
    self.assertGreater(abs(drift - 1), 0.2)

  def test_closed_form_in_the_run_holds_through_annealing(self):
    setting, _, read = readings(**{"model.basis": "reduced"})
    annealed = read[-1].events["anneal"]
    self.assertTrue(((annealed > 0) & (annealed < 60)).all(), annealed)
    for reading in read:
      for i, t in enumerate(reading.step):
        before = min(int(t), int(annealed[i]))
        std = setting.init_std
        for rate, n in (
          (setting.large_learning_rate, before),
          (setting.small_learning_rate, int(t) - before),
        ):
          std = settings.noise_std_after(
            std,
            n,
            rate=rate,
            weight_decay=setting.weight_decay,
            noise_std=setting.noise_std,
          )
        got = reading.now.values["noise_std/closed_form"][i]
        self.assertAlmostEqual(got / std, 1, delta=1e-5)
    self.assert_noise_std(
      read, lambda reading, i: reading.now.values["noise_std/closed_form"][i]
    )


if __name__ == "__main__":
  absltest.main()
