"""Theorem B.2 and Lemmas G.1, G.2 as properties."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
import scipy.stats
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from lro_jax.core import prng
from lro_jax.theory import toolbox

DIM, BATCH, TASKS, STEPS, PATHS = 5, 3, 7, 4000, 32


def logistic(x, z, solution):
  """Mean logistic loss of a classifier that agrees with z* on every x."""
  labels = jnp.sign(x @ solution)
  return jax.nn.softplus(-labels * (x @ z)).mean()


def smooth_distance(x, z, solution):
  """Mean of sqrt(1 + <x, z - z*>^2) - 1: z* solves all of them exactly."""
  return (jnp.sqrt(1 + (x @ (z - solution)) ** 2) - 1).mean()


LOSSES = {"logistic": logistic, "smooth_distance": smooth_distance}


def unit(v):
  return v / jnp.linalg.norm(v, axis=-1, keepdims=True)


def tasks(key, radius):
  """z_0, z* unit inputs [TASKS, BATCH, d] off z*'s boundary."""
  keys = jax.random.split(key, 3)
  way = unit(jax.random.normal(keys[0], (DIM,)))
  solution = radius / 2 * way
  x = jax.random.normal(keys[1], (TASKS, BATCH, DIM))
  x = unit(x + 1.5 * jnp.sign(x @ way)[..., None] * way)
  # On the sphere around z*, more on the far side than not.
  back = unit(jax.random.normal(keys[2], (DIM,)) - 2 * way)
  return solution + radius * back, solution, x


def random_descent(seed, *, loss):
  """A path with the premises met, by random shares of what they allow."""
  start_key, number_key = jax.random.split(prng.root_key(seed))
  shares = jax.random.uniform(number_key, (3,))
  radius, rate_share = 2 * 30 ** shares[0], 0.5 + 0.5 * shares[1]
  decay_share = shares[2]
  start, solution, x = tasks(start_key, radius)
  # eta T > R^2 / mu with eta = share mu / (100 L^2), nearly, and L = 1.
  excess = 1.02 * radius * jnp.sqrt(100 / (STEPS * rate_share))
  decay = decay_share * excess / (100 * radius**2)
  rate = rate_share * excess / (100 * ((decay * radius) ** 2 + 1))
  values = jax.vmap(lambda x: loss(x, solution, solution))(x)
  return toolbox.descend(
    lambda t, z: loss(x[t % TASKS], z, solution),
    start,
    solution,
    num_steps=STEPS,
    rate=rate,
    weight_decay=decay,
    radius=radius,
    lipschitz=1.0,
    solution_value=values.max(),
    excess=excess,
  )


# On a line: z_0 = 0, z* = 1.
GOOD = dict(
  num_steps=1200,
  rate=2.9e-3,
  weight_decay=1e-3,
  radius=1.0,
  lipschitz=1.0,
  solution_value=0.0,
  excess=0.3,
)


def around(place, width=1e-3):
  """Smoothed |z - place|."""
  return lambda t, z: jnp.sqrt(((z - place) ** 2).sum() + width**2) - width


def dent(t, z):
  """Not convex: flat but for a dent at 1."""
  return 1 - jnp.exp(-8 * ((z - 1) ** 2).sum())


def there_and_back(t, z):
  """Each function has a solution, no two in turn the same one."""
  return around(jnp.where(t % 2 == 0, 1.0, -1.0))(t, z)


# What the functions are, what differs from GOOD, which premise that breaks.
BREAKS = {
  "rate_too_large": (around(1.0), dict(rate=1.5), "rate_is_small"),
  "decay_too_large": (
    around(1.0, 0.25),
    dict(weight_decay=2.0, rate=5.9e-4, num_steps=6000),
    "decay_is_small",
  ),
  "time_too_short": (around(1.0), dict(num_steps=200), "time_is_long"),
  "start_too_far": (around(1.0), dict(start=40.0), "solution_is_near"),
  "no_common_solution": (there_and_back, dict(), "solution_is_common"),
  "gradient_longer_than_said": (
    lambda t, z: 900 * around(1.0)(t, z),
    dict(),
    "gradients_are_bounded",
  ),
  "not_convex": (
    dent,
    dict(lipschitz=2.43, rate=5e-4, num_steps=7000),
    "path_is_convex",
  ),
}


class DescentTest(parameterized.TestCase):
  @parameterized.parameters(*LOSSES)
  def test_conclusions_follow_from_the_premises(self, loss):
    with jax.enable_x64(True):
      out = jax.jit(
        jax.vmap(lambda seed: random_descent(seed, loss=LOSSES[loss]))
      )(np.arange(PATHS, dtype=np.uint32))
      out = jax.tree.map(np.asarray, out)
    for name, holds in out.premises._asdict().items():
      self.assertTrue(holds.all(), name)
    self.assertTrue(out.reached.all())
    self.assertTrue(out.stayed_near.all())
    # Not for nothing: most paths had to move to get there.
    self.assertGreater((out.first > 0).mean(), 0.5)

  def test_premises_met_on_a_line(self):
    with jax.enable_x64(True):
      out = toolbox.descend(around(1.0), jnp.zeros(1), jnp.ones(1), **GOOD)
    self.assertTrue(all(out.premises), out.premises)
    self.assertTrue(out.reached & out.stayed_near)
    # |z - 1| <= mu from 1 at speed eta, decay but a little against it.
    self.assertAlmostEqual(int(out.first) * GOOD["rate"], 0.7, delta=0.01)

  @parameterized.named_parameters((k, *v) for k, v in BREAKS.items())
  def test_without_one_premise_a_conclusion_fails(self, value_at, change, bad):
    start = change.get("start", 0.0)
    numbers = GOOD | {k: v for k, v in change.items() if k != "start"}
    with jax.enable_x64(True):
      out = toolbox.descend(
        value_at, jnp.full(1, start), jnp.ones(1), **numbers
      )
    failed = {k for k, v in out.premises._asdict().items() if not v}
    self.assertEqual(failed, {bad})
    self.assertFalse(out.reached & out.stayed_near)

  def test_a_start_that_is_good_enough_ends_it_where_decay_explodes(self):
    # mu >= L R, so t* = 0; a later t* would have left the ball.
    with jax.enable_x64(True):
      out = toolbox.descend(
        lambda t, z: 0.0 * z.sum(),  # K = 0
        jnp.full(1, 2.0),
        jnp.ones(1),
        num_steps=10,
        rate=1e5,
        weight_decay=1e-4,
        radius=2.0,
        lipschitz=0.0,
        solution_value=0.0,
        excess=0.5,
      )
      out = jax.tree.map(np.asarray, out)
    self.assertTrue(all(out.premises), out.premises)
    self.assertEqual(int(out.first), 0)
    self.assertTrue(out.stayed_near)
    self.assertGreater(out.distances[1], 2.0)

  def test_path_is_that_of_a_plain_loop(self):
    with jax.enable_x64(True):
      start, solution, x = tasks(prng.root_key(3), 2.0)
      eta, lam = 0.3, 0.05
      out = toolbox.descend(
        lambda t, z: smooth_distance(x[t % TASKS], z, solution),
        start,
        solution,
        num_steps=20,
        rate=eta,
        weight_decay=lam,
        radius=3.0,
        lipschitz=1.0,
        solution_value=0.0,
        excess=0.02,
      )
      z, x, solution = map(np.asarray, (start, x, solution))
      values, distances = [], []
      for t in range(20):
        gap = x[t % TASKS] @ (z - solution)
        values.append(np.mean(np.sqrt(1 + gap**2) - 1))
        distances.append(np.linalg.norm(z - solution))
        grad = (gap / np.sqrt(1 + gap**2)) @ x[t % TASKS] / BATCH
        z = (1 - eta * lam) * z - eta * grad
      np.testing.assert_allclose(out.values, values, rtol=1e-12)
      np.testing.assert_allclose(out.distances, distances, rtol=1e-12)
      hits = np.flatnonzero(np.array(values) <= 0.02)
      self.assertEqual(int(out.first), hits[0] if hits.size else 20)
      self.assertEqual(out.reached, hits.size > 0)


GAMMA = st.floats(-4.0, 4.0)
WEIGHT = st.floats(1e-3, 0.999)


def by_bayes(low, high, gamma2, b):
  """Pr[low <= X1 <= high | a X1 + b X2 = gamma2] by quadrature of the joint."""
  a = np.sqrt(1 - b**2)
  density = scipy.stats.norm.pdf

  def joint(x):
    return density(x) * density((gamma2 - a * x) / b) / b / density(gamma2)

  nodes = np.linspace(max(low, -12.0), min(high, 12.0), 40001)
  return scipy.integrate.simpson(joint(nodes), x=nodes)


class ConditioningTest(parameterized.TestCase):
  @given(gamma1=GAMMA, gamma2=GAMMA, b=st.floats(0.01, 0.999))
  def test_closed_forms_are_what_bayes_gives(self, gamma1, gamma2, b):
    with jax.enable_x64(True):
      shift = toolbox.conditioning_shift(gamma1, gamma2, b).measured
      near = toolbox.conditional_mass_near_zero(gamma1, gamma2, b).measured
    expected = abs(
      by_bayes(gamma1, 12.0, gamma2, b) - by_bayes(gamma1, 12.0, 0.0, b)
    )
    self.assertAlmostEqual(float(shift), expected, delta=1e-7)
    width = max(gamma1, 0.0)
    expected = by_bayes(-width, width, gamma2, b) if width else 0.0
    self.assertAlmostEqual(float(near), expected, delta=1e-7)

  @parameterized.parameters((0.5, 0.7, 0.6), (-0.4, 1.0, 0.3), (1.0, -0.5, 0.9))
  def test_closed_forms_against_draws(self, gamma1, gamma2, b):
    x1, x2 = np.random.default_rng(0).standard_normal((2, 2_000_000))
    total = np.sqrt(1 - b**2) * x1 + b * x2

    # In a window of half width h instead of at a point: a bias of about h^2.
    def share(event, at, h=0.03):
      kept = event[np.abs(total - at) < h]
      return kept.mean(), kept.var() / kept.size

    (there, error), (here, other) = (
      share(x1 >= gamma1, at) for at in (gamma2, 0.0)
    )
    shift = float(toolbox.conditioning_shift(gamma1, gamma2, b).measured)
    self.assertLess(
      abs(abs(there - here) - shift), 4 * np.sqrt(error + other) + 1e-3
    )
    width = abs(gamma1)
    near, error = share(np.abs(x1) <= width, gamma2)
    got = float(toolbox.conditional_mass_near_zero(width, gamma2, b).measured)
    self.assertLess(abs(near - got), 4 * np.sqrt(error) + 1e-3)

  def test_law_against_draws(self):
    b, gamma2 = 0.6, 1.0
    x1, x2 = np.random.default_rng(1).standard_normal((2, 2_000_000))
    kept = x1[np.abs(0.8 * x1 + b * x2 - gamma2) < 0.03]
    mean, std = toolbox.conditional_law(b, gamma2)
    self.assertLess(abs(kept.mean() - mean), 4 * b / np.sqrt(kept.size) + 1e-3)
    self.assertLess(
      abs(kept.std() - std), 4 * b / np.sqrt(2 * kept.size) + 1e-3
    )

  @given(gamma1=GAMMA, gamma2=GAMMA, b=WEIGHT)
  def test_bounds_hold_with_the_density_s_maximum_as_constant(
    self, gamma1, gamma2, b
  ):
    with jax.enable_x64(True):
      shift = toolbox.conditioning_shift(gamma1, gamma2, b)
      near = toolbox.conditional_mass_near_zero(gamma1, gamma2, b)
    for measured, bound in (shift, near):
      self.assertLessEqual(float(measured), float(bound) * (1 + 1e-9) + 1e-15)
      self.assertGreaterEqual(float(measured), 0.0)
    # The bounds themselves, as the proof has them.
    a = np.sqrt((1 - b) * (1 + b))
    c = scipy.stats.norm.pdf(0)
    np.testing.assert_allclose(shift.bound, c * a * abs(gamma2) / b, rtol=1e-6)
    np.testing.assert_allclose(near.bound, 2 * c * abs(gamma1) / b, rtol=1e-6)

  def test_constants_are_the_smallest(self):
    with jax.enable_x64(True):
      shift = toolbox.conditioning_shift(0.0, 0.01, 0.5)
      near = toolbox.conditional_mass_near_zero(0.01, 0.0, 0.5)
    for measured, bound in (shift, near):
      self.assertGreater(float(measured / bound), 0.999)

  def test_far_tail_is_not_lost(self):
    with jax.enable_x64(True):
      got = toolbox.conditioning_shift(9.0, 0.5, 0.9).measured
      mean = np.sqrt(1 - 0.81) * 0.5
      sf = scipy.stats.norm.sf
      expected = sf((9 - mean) / 0.9) - sf(9 / 0.9)
      np.testing.assert_allclose(got, expected, rtol=1e-9, atol=0)


def gaussian(seed, dim, columns):
  rng = np.random.default_rng(seed)
  w_star = rng.normal(size=dim)
  return w_star / np.linalg.norm(w_star), rng.normal(
    size=(dim, columns)
  ) / np.sqrt(dim)


def of_examples(w_star, m1):
  """beta of (C.2): each column's label, the sign of its noise along w*."""
  return np.sign(m1.T @ w_star) / np.sqrt(len(w_star))


def independent(w_star, m1):
  return np.full(m1.shape[1], m1.shape[1] ** -0.5)


def along_w_star(w_star, m1):
  return m1.T @ w_star / np.linalg.norm(m1.T @ w_star)


def of_the_shortest(w_star, m1):
  """M1's last right singular vector, its sign that of M1^T w*."""
  last = np.linalg.svd(m1, full_matrices=False)[2][-1]
  return last * np.sign(last @ m1.T @ w_star)


def cosines(beta, *, dim, columns, seeds=8):
  out = []
  for seed in range(seeds):
    w_star, m1 = gaussian(seed, dim, columns)
    matrix = m1 + np.outer(w_star, beta(w_star, m1))
    with jax.enable_x64(True):
      out.append(float(toolbox.largest_cosine(w_star, matrix)))
  return np.array(out)


class CosineTest(parameterized.TestCase):
  def test_largest_over_all_combinations_of_two_columns(self):
    w_star, m1 = gaussian(0, 3, 2)
    angle = np.linspace(0, 2 * np.pi, 100001)
    mz = m1 @ np.stack([np.cos(angle), np.sin(angle)])
    brute = (w_star @ mz / np.linalg.norm(mz, axis=0)).max()
    got = float(toolbox.largest_cosine(w_star, m1))
    self.assertAlmostEqual(got, brute, places=6)

  def test_no_combination_passes_it_and_the_projection_attains_it(self):
    w_star, m1 = gaussian(1, 12, 5)
    with jax.enable_x64(True):
      got = float(toolbox.largest_cosine(w_star, m1))
    z = np.random.default_rng(2).normal(size=(5, 100000))
    best = np.linalg.lstsq(m1, w_star, rcond=None)[0]
    z = np.concatenate([z, best[:, None]], axis=1)
    ratios = w_star @ m1 @ z / np.linalg.norm(m1 @ z, axis=0)
    self.assertLessEqual(ratios.max(), got + 1e-12)
    self.assertAlmostEqual(ratios[-1], got, places=12)
    self.assertLess(ratios[:-1].max(), got - 1e-6)

  def test_dependent_columns_and_scale_change_nothing(self):
    w_star, m1 = gaussian(3, 10, 4)
    got = toolbox.largest_cosine(w_star, m1)
    more = np.concatenate([1e3 * m1, m1 @ np.ones((4, 3))], axis=1)
    np.testing.assert_allclose(
      toolbox.largest_cosine(w_star, more), got, rtol=1e-4
    )

  @parameterized.product(beta=(of_examples, independent), columns=(20, 50, 80))
  def test_stays_below_nine_tenths_for_the_beta_of_the_use(self, beta, columns):
    self.assertLess(cosines(beta, dim=200, columns=columns).max(), 0.9)

  @parameterized.parameters(of_examples, independent)
  def test_limit_at_half_as_many_columns(self, beta):
    squares = cosines(beta, dim=100, columns=50, seeds=32) ** 2
    c = 0.5
    mean_square = 2 + 2 * np.sqrt(2 / np.pi)
    s = {
      of_examples: c * mean_square / (1 - c),
      independent: (1 + c) / (1 - c),
    }[beta]
    error = squares.std(ddof=1) / np.sqrt(squares.size)
    # 4 standard errors; the bias is O(1/d).
    self.assertLess(abs(squares.mean() - s / (1 + s)), 4 * error)
    self.assertLess(s / (1 + s), 0.81)

  @parameterized.parameters(along_w_star, of_the_shortest)
  def test_a_beta_chosen_after_m1_breaks_the_lemma_at_half(self, beta):
    self.assertGreater(cosines(beta, dim=100, columns=50).mean(), 0.9)
    self.assertLess(cosines(beta, dim=100, columns=5).max(), 0.9)

  @parameterized.parameters(10, 50, 90)
  def test_without_beta_the_mean_square_is_the_share_of_columns(self, columns):
    squares = (
      cosines(lambda w, m1: 0 * m1[0], dim=100, columns=columns, seeds=48) ** 2
    )
    error = squares.std(ddof=1) / np.sqrt(squares.size)
    self.assertLess(abs(squares.mean() - columns / 100), 4 * error)

  def test_as_many_columns_as_rows_reach_w_star(self):
    for beta in (of_examples, independent):
      got = cosines(beta, dim=60, columns=60, seeds=4)
      np.testing.assert_allclose(got, 1.0, rtol=1e-9)
    # Above d/2 and below d it fails as well, without any beta.
    none = cosines(lambda w, m1: 0 * m1[0], dim=100, columns=90)
    self.assertGreater(none.mean(), 0.9)


if __name__ == "__main__":
  absltest.main()
