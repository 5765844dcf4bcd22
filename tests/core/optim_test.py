"""The optimiser: law of the noise, annealing latch, Eq. (3.1)."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized
from hypothesis import example, given
from hypothesis import strategies as st

from lro_jax.core import optim, prng
from lro_jax.core.schema import UserError
from lro_jax.core.task import NOT_YET

# How far a sample statistic may lie from its law, in standard errors.
STANDARD_ERRORS = 4

KEY = prng.stream_key(prng.root_key(0), prng.Stream.GRAD_NOISE)
PARAMS = {"u": np.linspace(-1, 1, 12).reshape(3, 4), "v": np.arange(1.0, 3.0)}


def draws(std, num_steps, params, key=KEY):
  """The noise of consecutive updates: what is added to a gradient of zeros."""
  tx = optim.add_gaussian_noise(std, key)
  state, out = tx.init(params), []
  zeros = jax.tree.map(jnp.zeros_like, params)
  update = jax.jit(tx.update)
  for _ in range(num_steps):
    noise, state = update(zeros, state)
    out.append(jax.tree.map(lambda x: np.asarray(x, np.float64), noise))
  return out


class NoiseTest(parameterized.TestCase):
  @parameterized.parameters(0.3, 7.0)
  def test_entries_have_mean_zero_and_the_given_std(self, std):
    (noise,) = draws(std, 1, jnp.zeros((200, 300)))
    n = noise.size
    self.assertLess(abs(noise.mean()), STANDARD_ERRORS * std / np.sqrt(n))
    # Var z^2 = 2 std^4 and E z^4 = 3 std^4 (with variance 96 std^8).
    self.assertLess(
      abs(np.mean(noise**2) / std**2 - 1), STANDARD_ERRORS * np.sqrt(2 / n)
    )
    self.assertLess(
      abs(np.mean(noise**4) / std**4 - 3), STANDARD_ERRORS * np.sqrt(96 / n)
    )

  def test_steps_and_leaves_are_independent(self):
    n = 40_000
    # Leaves of one shape, so that a shared key would show.
    first, second = draws(1.0, 2, {"u": jnp.zeros(n), "v": jnp.zeros(n)})
    samples = [first["u"], first["v"], second["u"], second["v"]]
    for i in range(4):
      for j in range(i):
        # The product of two independent N(0, 1) has mean 0 and variance 1.
        self.assertLess(
          abs(np.mean(samples[i] * samples[j])), STANDARD_ERRORS / np.sqrt(n)
        )

  def test_key_and_count_fix_the_draw(self):
    tx = optim.add_gaussian_noise(0.5, KEY)
    updates = jnp.linspace(-1, 1, 12)
    later, states = tx.init(updates), []
    for _ in range(3):
      states.append(later)
      _, later = tx.update(updates, later)
    self.assertEqual([int(s.count) for s in states], [0, 1, 2])
    # A state made from key and count alone, as after a restart, draws the same.
    again = optim.AddGaussianNoiseState(KEY, jnp.asarray(2, jnp.int32))
    chex.assert_trees_all_equal(
      tx.update(updates, again)[0], tx.update(updates, states[2])[0]
    )
    # The stream's key of step 2, with a key for each leaf of it.
    (leaf_key,) = jax.random.split(prng.step_key(KEY, 2), 1)
    chex.assert_trees_all_equal(
      tx.update(updates, again)[0],
      updates + 0.5 * jax.random.normal(leaf_key, updates.shape),
    )

  def test_only_init_reads_the_key(self):
    other = prng.root_key(99)
    updates = jnp.linspace(-1, 1, 12)
    state = optim.add_gaussian_noise(0.5, KEY).init(updates)
    chex.assert_trees_all_equal(
      *(
        optim.add_gaussian_noise(0.5, key).update(updates, state)[0]
        for key in (KEY, other)
      )
    )

  def test_other_keys_draw_otherwise(self):
    one, other = (
      draws(1.0, 1, jnp.zeros(20), prng.root_key(seed))[0] for seed in (1, 2)
    )
    self.assertFalse((one == other).any())

  def test_a_scheduled_std_follows_the_count(self):
    def schedule(count):
      return 0.5 + count

    scheduled = draws(schedule, 4, jnp.zeros(50))
    unit = draws(1.0, 4, jnp.zeros(50))
    for count, (a, b) in enumerate(zip(scheduled, unit, strict=True)):
      # One rounding of a float32 product.
      np.testing.assert_allclose(a, schedule(count) * b, rtol=1e-6)

  def test_std_zero_leaves_the_updates_bitwise_and_still_counts(self):
    tx = optim.add_gaussian_noise(0.0, KEY)
    updates = {"u": jnp.array([-0.0, 1e-40, jnp.inf, jnp.nan, 3.0])}
    out, state = tx.update(updates, tx.init(updates))
    self.assertEqual(
      np.asarray(out["u"]).tobytes(), np.asarray(updates["u"]).tobytes()
    )
    self.assertEqual(int(state.count), 1)

  @parameterized.parameters(jnp.bfloat16, jnp.float32)
  def test_types_and_shapes_are_kept(self, dtype):
    updates = {"u": jnp.ones((2, 3), dtype), "v": jnp.ones((), dtype)}
    for std in (0.5, lambda count: 0.5):
      tx = optim.add_gaussian_noise(std, KEY)
      out, _ = tx.update(updates, tx.init(updates))
      chex.assert_trees_all_equal_shapes_and_dtypes(out, updates)

  @parameterized.parameters(-1.0, -1e-30, float("nan"))
  def test_a_std_below_zero_is_refused(self, std):
    with self.assertRaisesRegex(UserError, f"noise_std {std}.*>= 0"):
      optim.add_gaussian_noise(std, KEY)


class AnnealTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()

    @jax.jit
    def run(losses, threshold):
      tx = optim.anneal_on_loss(threshold, 0.25)

      def body(state, loss):
        updates, state = tx.update(jnp.ones(2), state, value=loss)
        return state, (updates, state.annealed_at)

      return jax.lax.scan(body, tx.init(jnp.ones(2)), losses)

    # A staticmethod, or the first loss would be taken for `self`.
    cls.run_losses = staticmethod(run)

  @given(
    st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12),
    st.floats(0, 1, width=32),
  )
  @example([0.5] * 12, 0.5)
  @example([0.9] * 12, 0.5)
  @example([0.9] * 11 + [0.5], 0.5)
  @example([0.4] + [0.9] * 11, 0.5)
  @example([float("nan")] * 3 + [0.1] + [float("nan")] * 8, 0.5)
  def test_agrees_with_a_latch_in_plain_python(self, losses, threshold):
    state, (updates, annealed_at) = self.run_losses(
      np.array(losses, np.float32), np.float32(threshold)
    )
    closed = NOT_YET
    for t, loss in enumerate(losses):
      if closed == NOT_YET and loss <= threshold:
        closed = t
      # The update at which the loss is first seen is scaled already.
      scale = 1.0 if closed == NOT_YET else 0.25
      np.testing.assert_array_equal(updates[t], np.full(2, scale))
      self.assertEqual(annealed_at[t], closed)
    self.assertEqual(int(state.count), len(losses))

  def test_every_seed_keeps_a_threshold_of_its_own(self):
    thresholds = jnp.array([0.9, 0.5, 0.1, -jnp.inf])
    losses = np.linspace(1, 0, 21, dtype=np.float32)
    states, _ = jax.vmap(self.run_losses, in_axes=(None, 0))(losses, thresholds)
    first = [
      int(np.argmax(losses <= t)) if (losses <= t).any() else NOT_YET
      for t in np.asarray(thresholds)
    ]
    self.assertGreater(len(set(first)), 3)
    self.assertEqual(states.annealed_at.tolist(), first)

  @parameterized.parameters((0.5, 3, 3), (0.5, 9, 6), (-np.inf, 7, 7))
  def test_closes_at_the_latest_whatever_the_loss(self, threshold, latest, at):
    tx = optim.anneal_on_loss(threshold, 0.25, latest=latest)
    state, scales = tx.init(jnp.ones(2)), []
    for loss in [0.9] * 6 + [0.4] * 6:
      updates, state = tx.update(jnp.ones(2), state, value=jnp.float32(loss))
      scales.append(float(updates[0]))
    self.assertEqual(int(state.annealed_at), at)
    self.assertEqual(scales, [1.0] * at + [0.25] * (12 - at))

  def test_minus_infinity_never_anneals(self):
    state, _ = self.run_losses(np.zeros(12, np.float32), -np.inf)
    self.assertEqual(int(state.annealed_at), NOT_YET)

  @parameterized.parameters(0.0, -0.5, 1.5, float("nan"), float("inf"))
  def test_a_factor_outside_zero_and_one_is_refused(self, factor):
    with self.assertRaisesRegex(UserError, rf"factor {factor}.*\(0, 1\]"):
      optim.anneal_on_loss(0.5, factor)

  def test_types_are_kept(self):
    tx = optim.anneal_on_loss(0.5, 0.1)
    updates = {"u": jnp.ones(3, jnp.bfloat16), "v": jnp.ones((), jnp.float32)}
    out, state = tx.update(updates, tx.init(updates), value=jnp.float32(0.4))
    chex.assert_trees_all_equal_shapes_and_dtypes(out, updates)
    chex.assert_trees_all_equal_shapes_and_dtypes(state, tx.init(updates))


def advance(tx, gradients, losses, params=PARAMS):
  """Parameters after each update, in double precision; and the last state."""
  with jax.enable_x64(True):
    params = jax.tree.map(jnp.asarray, params)
    state, out = tx.init(params), []
    for gradient, loss in zip(gradients, losses, strict=True):
      updates, state = tx.update(gradient, state, params, value=loss)
      params = optax.apply_updates(params, updates)
      out.append(jax.tree.map(np.asarray, params))
    return out, state


def sample_gradients(num_steps):
  draw = np.random.default_rng(1)
  return [
    {k: draw.normal(size=x.shape) for k, x in PARAMS.items()}
    for _ in range(num_steps)
  ]


class ChainTest(parameterized.TestCase):
  @parameterized.product(
    threshold=(-np.inf, 0.5), std=(0.0, 0.3), weight_decay=(0.0, 0.02)
  )
  def test_every_update_is_equation_3_1(self, threshold, std, weight_decay):
    gamma, factor, num_steps = 0.7, 0.1, 4
    losses = [1.0, 0.6, 0.4, 0.8]
    gradients = sample_gradients(num_steps)
    got, _ = advance(
      optim.make(
        learning_rate=gamma,
        weight_decay=weight_decay,
        noise_std=std,
        noise_key=KEY,
        anneal_threshold=threshold,
        anneal_factor=factor,
      ),
      gradients,
      losses,
    )
    with jax.enable_x64(True):
      noise = draws(std, num_steps, jax.tree.map(jnp.asarray, PARAMS))
    w, rate = dict(PARAMS), gamma
    for t in range(num_steps):
      if losses[t] <= threshold:
        rate = factor * gamma
      for k in w:
        w[k] = (1 - rate * weight_decay) * w[k] - rate * (
          gradients[t][k] + noise[t][k]
        )
        # A few roundings of double precision.
        np.testing.assert_allclose(got[t][k], w[k], rtol=0, atol=1e-14)
        self.assertEqual(got[t][k].dtype, np.float64)

  @parameterized.product(momentum=(0.5, 0.9), nesterov=(False, True))
  def test_momentum_is_pytorchs(self, momentum, nesterov):
    gamma, weight_decay, num_steps = 0.1, 0.05, 6
    losses = [1.0, 1.0, 1.0, 0.1, 1.0, 1.0]
    gradients = sample_gradients(num_steps)
    got, _ = advance(
      optim.make(
        learning_rate=gamma,
        weight_decay=weight_decay,
        noise_key=KEY,
        momentum=momentum,
        nesterov=nesterov,
        anneal_threshold=0.5,
        anneal_factor=0.1,
      ),
      gradients,
      losses,
    )
    # torch.optim.SGD: decay on the gradient, the rate outside the buffer, so
    # that annealing acts on the whole buffer at once.
    w, buffer = dict(PARAMS), {k: 0.0 for k in PARAMS}
    for t in range(num_steps):
      rate = gamma * (0.1 if t >= 3 else 1.0)
      for k in w:
        g = gradients[t][k] + weight_decay * w[k]
        buffer[k] = momentum * buffer[k] + g
        w[k] = w[k] - rate * (
          g + momentum * buffer[k] if nesterov else buffer[k]
        )
        np.testing.assert_allclose(got[t][k], w[k], rtol=0, atol=1e-13)

  def test_a_scheduled_rate_follows_the_count_and_is_annealed_besides(self):
    gradients = [{k: np.ones_like(x) for k, x in PARAMS.items()}] * 4
    got, _ = advance(
      optim.make(
        learning_rate=lambda count: 1.0 / (1 + count),
        noise_key=KEY,
        anneal_threshold=0.5,
        anneal_factor=0.5,
      ),
      gradients,
      [1.0, 1.0, 0.1, 1.0],
    )
    steps = np.diff([PARAMS["v"], *(w["v"] for w in got)], axis=0)[:, 0]
    np.testing.assert_allclose(steps, [-1, -1 / 2, -1 / 6, -1 / 8], atol=1e-12)

  def test_the_latch_is_found_in_any_chain(self):
    for momentum in (0.0, 0.9):
      tx = optim.make(
        learning_rate=0.1,
        noise_key=KEY,
        momentum=momentum,
        anneal_threshold=0.5,
        anneal_factor=0.1,
      )
      _, state = advance(tx, sample_gradients(3), [1.0, 0.5, 1.0])
      self.assertEqual(int(optim.annealed_at(state)), 1)

  @parameterized.parameters((1.0, 1.0), (10.0, 0.1), (200.0, 0.5))
  def test_a_rate_times_decay_of_one_is_refused(self, rate, decay):
    with self.assertRaisesRegex(
      UserError, f"rate {rate} .*decay {decay}.* low"
    ):
      optim.make(learning_rate=rate, weight_decay=decay, noise_key=KEY)
    optim.make(learning_rate=rate, weight_decay=0.999 / rate, noise_key=KEY)


if __name__ == "__main__":
  absltest.main()
