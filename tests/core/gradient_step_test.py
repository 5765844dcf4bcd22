"""The step of a gradient-trained Task: update, latches, devices."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import optim, prng
from lro_jax.core.task import NOT_YET, TrainState

KEY = prng.stream_key(prng.root_key(0), prng.Stream.GRAD_NOISE)


class GradientStepTest(parameterized.TestCase):
  RATE = 0.1

  def run_batches(self, losses, *, stop_loss=-np.inf, move=None):
    """States after each step of a loss that is <params, g> + its batch."""

    def loss(params, model_state, batch, step):
      value = jnp.sum(params * jnp.array([1.0, -2.0])) + batch
      return value, (model_state + 1, {"loss": value, "step": step})

    tx = optim.make(learning_rate=self.RATE, noise_key=KEY)
    params = jnp.zeros(2)
    state = TrainState(
      step=jnp.int32(0),
      params=params,
      model_state=jnp.int32(0),
      opt_state=tx.init(params),
      probe=jnp.zeros(()),
      stopped_at=jnp.int32(NOT_YET),
      diverged_at=jnp.int32(NOT_YET),
    )
    step = jax.jit(
      optim.gradient_step(loss, move or optim.moved_by(tx), stop_loss=stop_loss)
    )
    out, seen = [], []
    for value in losses:
      # <params, g> falls by 5 * RATE per step: the batch undoes that.
      batch = jnp.float32(value) + 5 * self.RATE * len(out)
      state, sums = step(state, batch)
      out.append(state)
      seen.append(float(sums["loss"]))
    np.testing.assert_allclose(seen, losses, atol=1e-5)
    return out

  def test_a_step_is_one_update_along_the_gradient(self):
    states = self.run_batches([1.0, 2.0, 3.0])
    for t, state in enumerate(states):
      self.assertEqual(int(state.step), t + 1)
      self.assertEqual(int(state.model_state), t + 1)
      np.testing.assert_allclose(
        state.params, -self.RATE * (t + 1) * np.array([1, -2]), rtol=1e-6
      )

  def test_stops_at_the_first_step_whose_loss_is_low_and_stays(self):
    losses = [3.0, 2.0, 0.9, 5.0, 0.1]
    states = self.run_batches(losses, stop_loss=1.0)
    got = [int(s.stopped_at) for s in states]
    self.assertEqual(got, [NOT_YET, NOT_YET, 2, 2, 2])
    self.assertEqual({int(s.diverged_at) for s in states}, {NOT_YET})

  @parameterized.parameters(np.nan, np.inf, -np.inf)
  def test_a_loss_that_is_not_finite_has_diverged_and_not_stopped(self, bad):
    states = self.run_batches([3.0, bad, 2.0, bad], stop_loss=1.0)
    got = [int(s.diverged_at) for s in states]
    self.assertEqual(got, [NOT_YET, 1, 1, 1])
    self.assertEqual({int(s.stopped_at) for s in states}, {NOT_YET})

  def test_without_a_stopping_loss_nothing_stops(self):
    states = self.run_batches([0.0, -1e30])
    self.assertEqual(int(states[-1].stopped_at), NOT_YET)

  def test_a_move_of_ones_own_sees_the_state_before_and_the_loss(self):
    def move(state, seen):
      # Mixed with weights that no other step has.
      return optim.Moved(
        params=state.params - self.RATE * seen.grads,
        model_state=seen.model_state,
        opt_state=state.opt_state,
        probe=10.0 * seen.loss + state.step + jnp.sum(seen.grads),
      )

    states = self.run_batches([1.0, 2.0], move=move)
    got = [float(s.probe) for s in states]
    np.testing.assert_allclose(got, [10 + 0 - 1, 20 + 1 - 1], rtol=1e-5)

  def test_devices_add_up_to_the_whole_batch_before_the_noise(self):
    params = jnp.array([1.0, 2.0])
    batch = jnp.array([[1.0, 2.0], [3.0, -4.0]])  # [k, n / k]

    def loss(params, model_state, batch, step):
      del step
      value = jnp.sum(batch) * jnp.sum(params**2) / 4
      return value, (model_state, {"loss": value})

    tx = optim.make(learning_rate=0.1, noise_std=1.0, noise_key=KEY)
    latch = jnp.int32(NOT_YET)
    state = TrainState(
      jnp.int32(0), params, (), tx.init(params), (), latch, latch
    )
    move = optim.moved_by(tx)
    whole, whole_sums = optim.gradient_step(loss, move, stop_loss=0.0)(
      state, batch.reshape(-1)
    )
    split, sums = jax.vmap(
      optim.gradient_step(loss, move, stop_loss=0.0, axis_name="k"),
      in_axes=(None, 0),
      axis_name="k",
    )(state, batch)
    for device in range(2):
      np.testing.assert_allclose(split.params[device], whole.params, rtol=1e-6)
      np.testing.assert_allclose(
        sums["loss"][device], whole_sums["loss"], rtol=1e-6
      )


if __name__ == "__main__":
  absltest.main()
