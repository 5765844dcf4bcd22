"""The patch rule by its properties."""

import functools
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from lro_jax.vision import patches, training
from tests import testing

SIZE, CLASSES = 7, 10
ALPHA, BETA, SIGMA = 1.75, 0.1, 1.25
INSIDE = np.s_[:, 12:19, 12:19]  # rows and columns 12 to 18 (ledger item 5)


@functools.cache
def bank():
  return patches.sample_bank(
    jax.random.key(0),
    size=SIZE,
    channels=3,
    num_classes=CLASSES,
    z_std=SIGMA,
    zeta_bound=BETA,
  )


def images(n, size=32):
  return np.random.default_rng(0).normal(size=(n, size, size, 3)).astype("f")


@functools.cache
def drawn(n=20_000, epoch=0, seed=0, probability=0.8):
  """Recipe, labels and membership of n examples in an epoch."""
  uniform = np.random.default_rng(1).uniform(size=n)
  member = patches.membership(uniform, probability, patches.BERNOULLI)
  label = np.arange(n) % CLASSES
  keys = training.example_keys(jax.random.key(seed), epoch, jnp.arange(n))
  recipe = patches.sample_recipe(
    keys,
    jnp.asarray(label),
    jnp.asarray(member),
    patch_only_probability=0.2,
    coefficient_bound=ALPHA,
  )
  return jax.tree.map(np.asarray, recipe), label, member


def recipe_of(n, *, keep, present, coefficient, patch_class):
  return patches.Recipe(
    jnp.full(n, keep),
    jnp.full(n, present),
    jnp.full(n, coefficient, jnp.float32),
    jnp.full(n, patch_class),
  )


class RenderTest(parameterized.TestCase):
  @parameterized.parameters(patches.REPLACE, patches.ADD)
  def test_pixels_outside_the_patch_are_the_images_own(self, rule):
    x = images(3)
    recipe = recipe_of(
      3, keep=True, present=True, coefficient=1.0, patch_class=4
    )
    out = np.array(patches.render(bank(), x, recipe, rule=rule))
    self.assertFalse((out[INSIDE] == x[INSIDE]).any())
    out[INSIDE] = x[INSIDE]
    np.testing.assert_array_equal(out, x)

  def test_an_image_without_patch_is_untouched(self):
    x = images(3)
    label = jnp.array([0, 3, 9])
    out = patches.render(bank(), x, patches.clean(label), rule="add")
    np.testing.assert_array_equal(out, x)

  @parameterized.parameters(patches.REPLACE, patches.ADD)
  def test_patch_only_is_zero_outside_and_the_same_by_both_rules(self, rule):
    recipe = recipe_of(
      2, keep=False, present=True, coefficient=0.7, patch_class=2
    )
    out = np.array(patches.render(bank(), images(2), recipe, rule=rule))
    for content in out[INSIDE]:
      np.testing.assert_allclose(
        content, bank().z + 0.7 * bank().zeta[2], rtol=0, atol=1e-6
      )
    out[INSIDE] = 0
    self.assertFalse(out.any())

  @parameterized.product(sign=(1.0, -1.0), label=(0, 9))
  def test_mixed_content_is_exactly_z_plus_or_minus_zeta(self, sign, label):
    x = images(1)
    recipe = recipe_of(
      1, keep=True, present=True, coefficient=sign, patch_class=label
    )
    expected = bank().z + sign * bank().zeta[label]
    replaced = patches.render(bank(), x, recipe, rule="replace")
    np.testing.assert_array_equal(replaced[INSIDE][0], expected)
    added = patches.render(bank(), x, recipe, rule="add")
    np.testing.assert_array_equal(added[INSIDE][0], expected + x[INSIDE][0])

  @parameterized.parameters((32, 12), (28, 10), (33, 13), (7, 0))
  def test_the_corner_is_the_authors(self, side, expected):
    self.assertEqual(int(side / 2 - SIZE / 2), expected)  # their formula
    self.assertEqual(patches.corner(side, side, SIZE), (expected, expected))

  def test_a_patch_larger_than_the_image_is_refused(self):
    testing.refusal(
      self, lambda: patches.corner(5, 9, SIZE), "patches.size 7", "5 x 9"
    )


class BankTest(absltest.TestCase):
  def test_law_of_z_and_zeta(self):
    big = patches.sample_bank(
      jax.random.key(2),
      size=40,
      channels=3,
      num_classes=10,
      z_std=SIGMA,
      zeta_bound=BETA,
    )
    z, zeta = np.ravel(big.z), np.ravel(big.zeta)
    error = 4 / np.sqrt(2 * z.size)
    self.assertAlmostEqual(z.std() / SIGMA, 1, delta=error)
    self.assertLessEqual(np.abs(zeta).max(), BETA)
    # Standard deviation of a uniform square is 2/sqrt(5) of its mean.
    self.assertAlmostEqual(
      np.mean(zeta**2) / (BETA**2 / 3), 1, delta=4 * 2 / np.sqrt(5 * zeta.size)
    )
    self.assertLess(abs(zeta.mean()), 4 * BETA / np.sqrt(3 * zeta.size))

  def test_classes_differ(self):
    self.assertGreater(np.abs(bank().zeta[0] - bank().zeta[1]).min(), 0)


class RecipeTest(parameterized.TestCase):
  def test_fractions_are_20_16_64(self):
    recipe, _, _ = drawn()
    n = len(recipe.keep)
    for got, share in (
      (~recipe.present, 0.2),
      (recipe.present & ~recipe.keep, 0.16),
      (recipe.present & recipe.keep, 0.64),
    ):
      error = 4 * np.sqrt(share * (1 - share) / n)
      self.assertAlmostEqual(got.mean(), share, delta=error)

  def test_patch_only_coefficient_is_uniform(self):
    recipe, _, _ = drawn()
    c = np.sort(recipe.coefficient[recipe.present & ~recipe.keep]) / ALPHA
    self.assertLess(np.abs(c).max(), 1)
    # Kolmogorov-Smirnov distance; it passes 1.95 / sqrt(n) once in 1,000.
    ranks = (np.arange(c.size) + 0.5) / c.size
    self.assertLess(np.abs((c + 1) / 2 - ranks).max(), 1.95 / np.sqrt(c.size))

  def test_mixed_coefficient_is_a_fair_sign(self):
    recipe, _, _ = drawn()
    c = recipe.coefficient[recipe.present & recipe.keep]
    self.assertEqual(set(np.unique(c)), {-1.0, 1.0})
    self.assertLess(abs(c.mean()), 4 / np.sqrt(c.size))

  def test_the_patch_is_the_labels(self):
    recipe, label, _ = drawn()
    np.testing.assert_array_equal(recipe.patch_class, label)

  def test_membership_stays_and_draws_change_over_epochs(self):
    first, _, member = drawn(epoch=0)
    second, _, _ = drawn(epoch=1)
    np.testing.assert_array_equal(first.present, member)
    np.testing.assert_array_equal(second.present, member)
    both = first.present & first.keep & second.keep
    signs = first.coefficient[both] * second.coefficient[both]
    # Independent fair signs agree half of the time.
    self.assertLess(abs(signs.mean()), 4 / np.sqrt(both.sum()))
    alone = ~first.keep[member] & ~second.keep[member]
    error = 4 * np.sqrt(0.04 * 0.96 / member.sum())
    self.assertAlmostEqual(alone.mean(), 0.04, delta=error)

  def test_an_examples_draw_follows_its_index_not_its_place(self):
    recipe, label, member = drawn()
    some = np.array([17, 4, 19_999])
    keys = training.example_keys(jax.random.key(0), 0, jnp.asarray(some))
    again = patches.sample_recipe(
      keys,
      jnp.asarray(label[some]),
      jnp.asarray(member[some]),
      patch_only_probability=0.2,
      coefficient_bound=ALPHA,
    )
    for ours, theirs in zip(recipe, again, strict=True):
      np.testing.assert_array_equal(ours[some], theirs)

  def test_the_authors_patch_only_set_is_mostly_at_full_strength(self):
    n = 4000
    recipe = patches.sample_recipe(
      jax.random.split(jax.random.key(3), n),
      jnp.zeros(n, int),
      jnp.ones(n, bool),
      patch_only_probability=1.0,
      coefficient_bound=ALPHA,
      strong_alone=0.8,
    )
    self.assertFalse(recipe.keep.any())
    strong = np.abs(recipe.coefficient) == 1
    error = 4 * np.sqrt(0.8 * 0.2 / n)
    self.assertAlmostEqual(strong.mean(), 0.8, delta=error)


class MembershipTest(absltest.TestCase):
  def test_exact_takes_the_share_and_bernoulli_about_it(self):
    uniform = np.random.default_rng(0).uniform(size=5001)
    exact = patches.membership(uniform, 0.8, patches.EXACT)
    self.assertEqual(exact.sum(), round(0.8 * 5001))
    free = patches.membership(uniform, 0.8, patches.BERNOULLI)
    self.assertAlmostEqual(
      free.mean(), 0.8, delta=4 * np.sqrt(0.8 * 0.2 / 5001)
    )

  def test_a_subset_keeps_its_members(self):
    uniform = np.random.default_rng(0).uniform(size=100)
    whole = patches.membership(uniform, 0.8, patches.BERNOULLI)
    part = patches.membership(uniform[:30], 0.8, patches.BERNOULLI)
    np.testing.assert_array_equal(whole[:30], part)


class FileTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.path = str(
      pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "p.npz"
    )
    self.content = {name: np.asarray(x) for name, x in bank()._asdict().items()}
    self.content |= {
      "membership": np.array([True, False]),
      "index": np.array([5, 3]),
    }

  def write(self, **changes):
    pathlib.Path(self.path).write_bytes(metrics.npz(self.content | changes))

  def load(self):
    return patches.load(self.path, size=SIZE, channels=3, num_classes=CLASSES)

  def test_what_was_saved_is_loaded(self):
    self.write()
    loaded, member, index = self.load()
    for ours, theirs in zip(bank(), loaded, strict=True):
      np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(member, [True, False])
    self.assertEqual(
      patches.digest(loaded, member, index),
      patches.digest(bank(), np.array([True, False]), np.array([5, 3])),
    )

  def test_the_digest_sees_patch_membership_and_index(self):
    member, index = np.array([True, False]), np.array([5, 3])
    z = np.array(bank().z)
    z[0, 0, 0] = np.nextafter(z[0, 0, 0], 9)
    digests = {
      patches.digest(bank(), member, index),
      patches.digest(bank()._replace(z=z), member, index),
      patches.digest(bank(), ~member, index),
      patches.digest(bank(), member, index[::-1]),
    }
    self.assertLen(digests, 4)

  @parameterized.parameters(
    ("z", np.zeros((5, 5, 3), np.float32)),
    ("z", np.full((7, 7, 3), np.nan, np.float32)),
    ("z", np.full((7, 7, 3), 1e300)),
    ("z", np.zeros((7, 7, 3), np.int32)),
    ("zeta", np.zeros((9, 7, 7, 3), np.float32)),
    ("membership", np.array([1, 0])),
    ("membership", np.array([True])),
    ("index", np.array([0.5, 1.5])),
    ("index", np.array([5, 5])),
  )
  def test_a_bank_of_another_kind_is_refused(self, name, value):
    self.write(**{name: value})
    testing.refusal(self, self.load, "patches.bank")

  def test_a_missing_damaged_or_pickled_file_is_refused(self):
    testing.refusal(self, self.load, "Cannot read patches.bank")
    self.write()
    data = pathlib.Path(self.path).read_bytes()
    pathlib.Path(self.path).write_bytes(data[: len(data) // 2])
    testing.refusal(self, self.load, "Cannot read patches.bank")
    np.savez(self.path, **self.content | {"z": np.array([object()])})
    testing.refusal(self, self.load, "Cannot read patches.bank")
    del self.content["zeta"]
    self.write()
    testing.refusal(self, self.load, "Cannot read patches.bank", "lacks zeta")

  def test_membership_is_given_for_the_examples_asked_for(self):
    self.write(
      membership=np.array([True, False, True, False]),
      index=np.array([5, 3, 9, 0]),
    )
    load = lambda needed: patches.load(  # noqa: E731
      self.path,
      size=SIZE,
      channels=3,
      num_classes=CLASSES,
      needed=np.array(needed),
    )
    _, member, index = load([9, 0, 5])
    np.testing.assert_array_equal(member, [True, False, True])
    np.testing.assert_array_equal(index, [9, 0, 5])
    testing.refusal(
      self, lambda: load([9, 4]), "says nothing of 1 of", "number 4"
    )


if __name__ == "__main__":
  absltest.main()
