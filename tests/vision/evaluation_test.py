"""Scores are those of a plain pass over each set, whatever the chunks."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl.testing import absltest, parameterized

from lro_jax.core import steps
from lro_jax.core.task import Data
from lro_jax.vision import (
  data,
  evaluation,
  nets,
  patches,
  training,
  wide_resnet,
)
from lro_jax.vision import sets as sets_lib
from tests.vision import small

NET = wide_resnet.WideResNet(10, 1, 10)
PATCH = training.PatchRule("replace", 0.2, 1.75)
NUM_TEST, NUM_TRAIN, NUM_PROBE, CLASSES = 40, 24, 15, 10


def setup(patch=PATCH):
  return training.Setup(
    net=NET,
    image=(32, 32, 3),
    num_train=NUM_TRAIN,
    batch_size=8,
    mean=(120.0,),
    std=(60.0,),
    dtype=jnp.float32,
    patch=patch,
    noise_std=lambda step: 0.0,
    noise_shape="shared",
    noisy=False,
    axis_name=None,
  )


def part(seed, n):
  draw = np.random.default_rng(seed)
  return (
    draw.integers(0, 256, (n, 32, 32, 3), np.uint8),
    draw.integers(0, CLASSES, n, np.int32),
    draw.permutation(1000)[:n],
  )


TEST, TRAIN, HELD = part(0, NUM_TEST), part(1, NUM_TRAIN), part(2, 6)
TEST_MEMBER = np.arange(NUM_TEST) % 5 > 0
TRAIN_MEMBER = np.arange(NUM_TRAIN) % 4 > 0


@functools.cache
def sets(patch=PATCH, seed=0):
  return sets_lib.make(
    seed=seed,
    num_classes=CLASSES,
    test=TEST,
    train=TRAIN,
    validation=HELD,
    num_probe=NUM_PROBE,
    test_member=TEST_MEMBER if patch else None,
    train_member=TRAIN_MEMBER if patch else None,
    patch=patch,
  )


@functools.cache
def bank():
  return patches.sample_bank(
    jax.random.key(0),
    size=7,
    channels=3,
    num_classes=CLASSES,
    z_std=1.25,
    zeta_bound=1.0,
  )


@functools.cache
def weights():
  init = jax.jit(lambda key: wide_resnet.init(key, NET, (32, 32, 3)))
  params, stats = init(jax.random.key(2))
  # Far from the start, so that answers differ.
  params["kernel"] = 5 * params["kernel"]
  return params, stats


def shared():
  return {"images": jnp.asarray(sets().images), "bank": bank()}


def score(chunk, jobs=None, patch=PATCH):
  found = sets(patch)

  @jax.jit
  def run(params, stats, jobs, shared):
    return evaluation.score(
      setup(patch),
      found.groups,
      params,
      stats,
      Data(jobs, shared),
      chunk=chunk,
    )

  return run(*weights(), jobs or found.jobs, shared())


@functools.cache
def scored_by_seven():
  return score(7)


def group(name, patch=PATCH):
  """The jobs of one group."""
  found = sets(patch)
  here = found.jobs.group == found.groups.index(name)
  return jax.tree.map(lambda x: x[here], found.jobs)


class SetsTest(parameterized.TestCase):
  def test_every_set_has_its_size(self):
    sizes = {name: len(group(name).label) for name in sets().groups}
    trained = {k: sizes.pop(k) for k in sets_lib.TRAIN}
    self.assertEqual(
      sizes,
      {"clean": NUM_TEST, "mixed": NUM_TEST, "validation": 6}
      | {
        k: NUM_PROBE for k in ("patch_only", "patch_only_authors", "own_patch")
      }
      | {"other_patch": NUM_PROBE},
    )
    self.assertEqual(sum(trained.values()), NUM_TRAIN)
    self.assertEqual(trained["train/clean"], (~TRAIN_MEMBER).sum())

  def test_a_job_has_the_label_of_its_image(self):
    images = np.concatenate([TEST[0], TRAIN[0], HELD[0]])
    labels = np.concatenate([TEST[1], TRAIN[1], HELD[1]])
    np.testing.assert_array_equal(sets().images, images)
    np.testing.assert_array_equal(
      sets().jobs.label, labels[sets().jobs.position]
    )

  def test_what_is_made_of_each_set(self):
    for name in ("clean", "validation", "train/clean"):
      self.assertFalse(group(name).recipe.present.any(), name)
      self.assertTrue(group(name).recipe.keep.all(), name)
    for name in ("patch_only", "patch_only_authors", "train/patch_only"):
      self.assertTrue(group(name).recipe.present.all(), name)
      self.assertFalse(group(name).recipe.keep.any(), name)
    for name in ("own_patch", "other_patch", "train/mixed"):
      self.assertTrue(group(name).recipe.present.all(), name)
      self.assertTrue(group(name).recipe.keep.all(), name)
    np.testing.assert_array_equal(group("mixed").recipe.present, TEST_MEMBER)

  def test_conflict_pairs_differ_in_the_patchs_class_alone(self):
    own, other = group("own_patch"), group("other_patch")
    np.testing.assert_array_equal(own.position, other.position)
    np.testing.assert_array_equal(own.recipe.patch_class, own.label)
    self.assertFalse((other.recipe.patch_class == other.label).any())
    np.testing.assert_array_equal(
      own.recipe.coefficient, other.recipe.coefficient
    )
    self.assertEqual(set(np.abs(own.recipe.coefficient)), {1.0})

  def test_another_class_is_drawn_fairly(self):
    n = 9000
    keys = jax.random.split(jax.random.key(0), n)
    label = jnp.full(n, 3)
    other = sets_lib._another_class(keys, label, CLASSES)
    count = np.bincount(other, minlength=CLASSES)
    self.assertEqual(count[3], 0)
    share = 1 / (CLASSES - 1)
    error = 4 * np.sqrt(n * share * (1 - share))
    np.testing.assert_allclose(np.delete(count, 3), n * share, atol=error)

  def test_sets_are_of_the_seed_and_apart(self):
    chex.assert_trees_all_equal(sets().jobs, sets.__wrapped__().jobs)
    other = sets(seed=1)
    self.assertFalse(
      (other.jobs.recipe.coefficient == sets().jobs.recipe.coefficient).all()
    )
    self.assertFalse(
      (
        group("patch_only").recipe.coefficient
        == group("patch_only_authors").recipe.coefficient
      ).all()
    )


class ScoreTest(parameterized.TestCase):
  def test_scores_are_those_of_one_pass_over_each_set(self):
    out = scored_by_seven()

    @jax.jit
    def plain(weights, images, jobs):
      x = (images.astype(jnp.float32) - 120) / 60
      x = patches.render(bank(), x, jobs.recipe, rule="replace")
      logits, _ = nets.apply(NET, *weights, x, train=False)
      entropy = optax.softmax_cross_entropy_with_integer_labels(
        logits, jobs.label
      )
      return jnp.argmax(logits, -1), entropy

    # All images in one pass, told apart afterwards: one shape to compile.
    every = sets().jobs
    answers, entropies = jax.device_get(
      plain(weights(), sets().images[every.position], every)
    )
    for index, name in enumerate(sets().groups):
      jobs, here = group(name), every.group == index
      answer, entropy = answers[here], entropies[here]
      prefix = "train_" if name.startswith("train/") else ""
      short = name.removeprefix("train/")
      for kind, expected in (
        ("accuracy", (answer == jobs.label).mean()),
        ("loss", entropy.mean()),
      ):
        key = f"{prefix}{kind}/{short}"
        got = out.sums[key] / out.counts[key]
        self.assertAlmostEqual(float(got), float(expected), delta=1e-5, msg=key)
      if name == "other_patch":
        key = "conflict/patch"
        self.assertAlmostEqual(
          float(out.sums[key] / out.counts[key]),
          float((answer == jobs.recipe.patch_class).mean()),
          delta=1e-6,
        )

  def test_all_training_examples_are_the_sum_of_their_kinds(self):
    out = scored_by_seven()
    for kind in ("accuracy", "loss"):
      for part in (out.sums, out.counts):
        names = [f"train_{kind}/{k}" for k in ("clean", "mixed", "patch_only")]
        self.assertAlmostEqual(
          float(part[f"train_{kind}/all"]),
          float(sum(part[name] for name in names)),
          delta=1e-4,
        )
    self.assertEqual(out.counts["train_loss/all"], NUM_TRAIN)

  @parameterized.parameters(1, 16, 1000)
  def test_the_chunk_changes_nothing(self, chunk):
    # Sums of up to 40 entropies of float32.
    chex.assert_trees_all_close(
      score(chunk), scored_by_seven(), rtol=1e-5, atol=1e-4
    )

  def test_padding_counts_for_nothing(self):
    padded = jax.tree.map(lambda x: np.pad(x, (0, 9)), sets().jobs)
    chex.assert_trees_all_close(
      score(7, padded), scored_by_seven(), rtol=1e-5, atol=1e-4
    )

  def test_without_patches_there_are_the_clean_sets_alone(self):
    out = score(20, patch=None)
    self.assertEqual(
      {name.split("/", 1)[1] for name in out.sums},
      {"clean", "validation", "all"},
    )


class ReestimateTest(absltest.TestCase):
  def test_one_batch_gives_its_own_moments(self):
    jobs = jax.tree.map(
      lambda *x: jnp.concatenate(x)[:8],
      *(group(name) for name in sets_lib.TRAIN),
    )
    params, stats = weights()
    got = evaluation.reestimate(setup(), params, stats, Data(jobs, shared()))
    x = data.normalize(shared()["images"][jobs.position], (120.0,), (60.0,))
    x = patches.render(bank(), x, jobs.recipe, rule="replace")
    # The first layer's own moments, by hand.
    first = wide_resnet._Conv(16, 3, 1).apply({"params": params["conv"]}, x)
    count = first.size // 16
    np.testing.assert_allclose(
      got["group1_block1"]["bn1"]["mean"],
      first.mean((0, 1, 2)),
      rtol=1e-4,
      atol=1e-5,
    )
    np.testing.assert_allclose(
      got["group1_block1"]["bn1"]["var"],
      first.var((0, 1, 2)) * count / (count - 1),
      rtol=1e-4,
    )

  def test_statistics_gathered_before_do_not_matter(self):
    jobs = jax.tree.map(jnp.asarray, group("train/mixed"))
    params, stats = weights()
    other = jax.tree.map(lambda x: x + 3.0, stats)
    run = jax.jit(
      lambda s: evaluation.reestimate(setup(), params, s, Data(jobs, shared()))
    )
    results = [run(s) for s in (stats, other)]
    chex.assert_trees_all_equal(*results)

  def test_a_run_is_scored_with_them_where_asked(self):
    fields = {"eval.reestimate_batch_norm": True}
    gathered = small.task("small_noise")
    anew = small.make_task(small.run_config("small_noise", fields))
    found = []
    for task in (gathered, anew):
      # A new net's statistics are those of no batch.
      compiled = steps.compile_task(task, 1)
      reading = compiled.evaluate(compiled.init())
      found.append(compiled.fetch(reading).now.sums)
    self.assertNotAlmostEqual(
      float(found[0]["loss/clean"][0]),
      float(found[1]["loss/clean"][0]),
      delta=1e-3,
    )


if __name__ == "__main__":
  absltest.main()
