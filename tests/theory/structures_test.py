"""The three first layers against plain loops; noise on their units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from lro_jax.core import prng
from lro_jax.core.task import Data
from lro_jax.theory import network, structures
from tests import testing
from tests.theory import small

DIM, N, STRIDES, Q_NORM, ROWS = 6, 9, 3, 2.0, (12, 12)
STRUCTURES = ("split", "conv", "general")


def net_of(structure):
  setting = small.setting(
    dim=DIM, structure=structure, num_strides=STRIDES, q_norm=Q_NORM
  )
  return structures.make(setting, rows=ROWS, dims=(DIM, DIM), dtype=np.float64)


@functools.cache
def problem():
  """Examples whose x2 is zero but on the last d / k coordinates."""
  rng = np.random.default_rng(0)
  directions = rng.normal(size=(3, DIM))
  directions[:, : DIM - DIM // STRIDES] = 0
  return {
    "x1": rng.normal(size=(N, DIM)),
    "alpha": rng.uniform(size=N),
    "direction": rng.integers(3, size=N),
  }, directions


def drawn(net):
  keys = jax.random.split(prng.root_key(1), 3)
  return net.init(keys[0]), net.heads(keys[1]), net.noise(keys[2])


def plain(structure, params, heads, xi, x1, x2):
  """u . relu(U x + Xi) of one example, unit by unit, (F.2)."""
  x, terms = np.concatenate([x1, x2]), []
  if structure == "general":
    terms = [(params, x, heads, xi)]
  elif structure == "split":
    terms = zip(params, (x1, x2), heads, xi, strict=True)
  else:
    stride = DIM // STRIDES
    patches = [x[i * stride : i * stride + DIM] for i in range(STRIDES + 1)]
    terms = [
      (params, patch, head, noise)
      for patch, head, noise in zip(patches, heads, xi, strict=True)
    ]
  return sum(
    float(u * max(row @ seen + n, 0.0))
    for weights, seen, head, noise in terms
    for row, u, n in zip(weights, head, noise, strict=True)
  )


@functools.cache
def outputs(structure):
  """Weights, heads and Xi; f without and with Xi, r, g, what is seen of Q."""
  examples, directions = problem()
  net = net_of(structure)

  def compute():
    params, heads, xi = drawn(net)
    return (params, heads, xi), (
      net.output(params, heads, examples, directions, None),
      net.output(params, heads, examples, directions, xi),
      *net.components(params, heads, examples["x1"], directions),
      net.seen_of_q(params, directions),
    )

  with jax.enable_x64(True):
    return jax.device_get(jax.jit(compute)())


class OutputTest(parameterized.TestCase):
  @parameterized.parameters(*STRUCTURES)
  def test_output_is_the_sum_over_units(self, structure):
    examples, directions = problem()
    (params, heads, xi), (f, noisy, r, g_at, seen) = outputs(structure)
    silent = jax.tree.map(np.zeros_like, xi)
    zero = np.zeros(DIM)
    of = functools.partial(plain, structure, params, heads)
    for i, x1 in enumerate(examples["x1"]):
      x2 = examples["alpha"][i] * directions[examples["direction"][i]]
      # float64 sums of at most 48 terms of the order of 1.
      self.assertAlmostEqual(f[i], of(silent, x1, x2), delta=1e-13)
      self.assertAlmostEqual(noisy[i], of(xi, x1, x2), delta=1e-13)
      self.assertAlmostEqual(r[i], of(silent, x1, zero), delta=1e-13)
    for g, x2 in zip(g_at, directions, strict=True):
      self.assertAlmostEqual(g, of(silent, zero, x2), delta=1e-13)
    units = {"split": lambda: params.v, "conv": lambda: params}.get(
      structure, lambda: params[:, DIM:]
    )()
    np.testing.assert_allclose(seen, directions @ units.T, atol=1e-13)

  def test_general_with_blocks_on_the_diagonal_is_the_split_net(self):
    examples, directions = problem()
    (params, heads, _), (expected, *_) = outputs("split")
    zero = np.zeros_like(params.w)
    whole = np.block([[params.w, zero], [zero, params.v]])
    u = np.concatenate(heads)
    with jax.enable_x64(True):
      f = net_of("general").output(whole, u, examples, directions, None)
    np.testing.assert_allclose(f, expected, atol=1e-13)
    # And its own heads are +-1 / sqrt(m) too, m = 24 counting all units.
    for found in (u, outputs("general")[0][1]):
      np.testing.assert_allclose(np.abs(found), 24**-0.5, rtol=1e-14)


class NoiseTest(parameterized.TestCase):
  @parameterized.parameters(*STRUCTURES)
  def test_noise_is_q_norm_times_larger_where_only_x2_is_seen(self, structure):
    with jax.enable_x64(True):
      net = net_of(structure)
      keys = jax.random.split(prng.root_key(2), 4000)
      xi = jax.device_get(jax.jit(jax.vmap(net.noise))(keys))
    expected = {
      "split": lambda: (xi.w, xi.v),
      "conv": lambda: (xi[:, :STRIDES], xi[:, STRIDES]),
      "general": lambda: (xi,),
    }[structure]()
    for part, std in zip(expected, (1.0, Q_NORM), strict=False):
      # The std of n normal draws has standard error std / sqrt(2 n).
      self.assertLess(abs(part.std() / std - 1), 4 / np.sqrt(2 * part.size))

  @parameterized.parameters(*STRUCTURES)
  def test_one_draw_serves_all_examples_of_a_step_and_no_other(self, structure):
    examples, directions = problem()
    same = jax.tree.map(lambda x: np.stack([x[0]] * 3), examples)
    batch = Data(
      same | dict(y=np.ones(3), m2=np.ones(3), weight=np.full(3, 1 / 3)),
      {"directions": directions},
    )
    (params, heads, _), _ = outputs(structure)
    net = net_of(structure)

    def at(t):
      key = prng.root_key(3)
      state = {"heads": heads, "act_key": key, "act_noise": jnp.array(0.3)}
      xi = network.act_noise(net, state, t)
      return (
        network.make_loss(net)(params, state, batch, t)[0],
        net.output(params, heads, same, directions, xi),
        (xi, net.noise(prng.step_key(key, t))),
      )

    with jax.enable_x64(True):
      (first, *_), (second, f, (xi, unit)) = jax.device_get(
        [jax.jit(at)(t) for t in (0, 1)]
      )
    np.testing.assert_allclose(f, f[0], rtol=1e-14)
    # Labels are 1: the loss the step takes is that of these very outputs.
    self.assertAlmostEqual(float(second), np.logaddexp(0, -f[0]), delta=1e-14)
    self.assertNotAlmostEqual(float(first), float(second), places=4)
    for got, draw in zip(*map(jax.tree.leaves, (xi, unit)), strict=True):
      np.testing.assert_allclose(got, 0.3 * draw, rtol=1e-14)


class MitigationTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.task = testing.make_task(
      small.config(
        **{"optim.algorithm": "small_noise", "lemmas.measure": "none"}
      )
    )
    cls.path = small.run(cls.task, 1)

  def step(self, threshold):
    """One step from the start, annealing at this loss."""
    with jax.enable_x64(True):
      data = small.first_seed(self.task.data)
      start = self.path.states[0]
      opt_state = optax.tree.set(
        start.opt_state, threshold=jnp.array(threshold)
      )
      return jax.jit(self.task.step)(start._replace(opt_state=opt_state), data)

  def test_the_noisy_loss_decides_and_evaluations_are_without_noise(self):
    state, sums = self.step(-np.inf)
    noisy = float(sums["loss"])
    at_start = self.path.logged[0]
    quiet = at_start.sums["train_loss/all"] / at_start.counts["train_loss/all"]
    self.assertGreater(abs(noisy - quiet), 1e-3)
    level = float(state.model_state["act_noise"])
    self.assertAlmostEqual(level, 0.1)
    for threshold, closes in ((noisy + 1e-9, True), (noisy - 1e-9, False)):
      state, _ = self.step(threshold)
      annealed = int(self.task.events(state)["anneal"]) == 0
      self.assertEqual(annealed, closes)
      # Gone from the next step on, for good.
      self.assertAlmostEqual(
        float(state.model_state["act_noise"]), 0.0 if closes else level
      )
    state = self.path.states[0]
    with jax.enable_x64(True):
      louder = state.model_state | {"act_noise": jnp.array(7.0)}
    still = self.path.evaluate(state._replace(model_state=louder))
    # Up to rounding, where XLA has made another program of it.
    same = functools.partial(np.testing.assert_allclose, rtol=1e-14)
    jax.tree.map(same, still.sums, at_start.sums)


if __name__ == "__main__":
  absltest.main()
