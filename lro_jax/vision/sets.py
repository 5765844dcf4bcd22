"""What a net is scored on: many sets, one list of jobs.

A job is an image, what its recipe makes of it, and the group its score counts
in. All sets are jobs of one list, so the forward pass is compiled once, and the
list is split over devices like any examples. The sets are drawn once per seed,
from the EVAL stream, where the authors draw content anew at each evaluation:

  clean               test images                       (authors: val_clean)
  mixed               as in training, of a fixed draw   (authors: val_mixed)
  patch_only          no image, z + c zeta_y, as training has it
  patch_only_authors  no image; as the authors scored it, 80% of them at full
                      strength, z +- zeta_y (TransformOnlyDataset)
  own_patch, other_patch   cue conflict (ours): the image with the patch of its
                      own class, and with that of another class drawn fairly
  validation          held-out training images, clean
  train/...           training examples by what is made of them
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import prng
from lro_jax.core.task import Array
from lro_jax.vision import patches
from lro_jax.vision.patches import Recipe
from lro_jax.vision.training import PatchRule

OTHER_PATCH = "other_patch"
VALIDATION = "validation"
TRAIN = ("train/clean", "train/mixed", "train/patch_only")
# Sets with draws of their own; a name's place is part of every result.
DRAWN = ("mixed", "patch_only", "patch_only_authors", "own", "other", "train")


class Jobs(NamedTuple):
  """One entry per image to be scored, [j].

  Attributes:
    position: which of the evaluation images.
    label: its class.
    group: index into `groups`.
    weight: 1; 0 for padding.
    recipe: what is made of the image.
  """

  position: Array
  label: Array
  group: Array
  weight: Array
  recipe: Recipe


class Sets(NamedTuple):
  """All that is scored.

  Attributes:
    images: uint8 [N, h, w, ch].
    jobs: Jobs, [j].
    groups: name of each group.
  """

  images: np.ndarray
  jobs: Jobs
  groups: tuple[str, ...]


class _Part(NamedTuple):
  """Images of one kind, where they begin among all, and their keys."""

  images: np.ndarray
  label: np.ndarray
  index: np.ndarray
  member: np.ndarray
  start: int

  def first(self, num: int) -> "_Part":
    return self._replace(
      label=self.label[:num], index=self.index[:num], member=self.member[:num]
    )


def _another_class(keys: Array, label: Array, num_classes: int) -> Array:
  """A class other than `label`, all equally likely, [n]."""
  shift = jax.vmap(lambda k: jax.random.randint(k, (), 1, num_classes))(keys)
  return (label + shift) % num_classes


def make(
  *,
  seed: int,
  num_classes: int,
  test: tuple[np.ndarray, np.ndarray, np.ndarray],
  train: tuple[np.ndarray, np.ndarray, np.ndarray],
  validation: tuple[np.ndarray, np.ndarray, np.ndarray],
  num_probe: int,
  test_member: np.ndarray | None = None,
  train_member: np.ndarray | None = None,
  patch: PatchRule | None = None,
) -> Sets:
  """Draws every evaluation set. H.2; authors' code: data_util.py.

  Args:
    seed: the run's seed.
    num_classes: of the dataset.
    test: images uint8 [n, h, w, ch], labels [n], places in the dataset [n].
    train: likewise, of the training examples that are scored.
    validation: likewise; may be empty.
    num_probe: how many test images the patch-only and conflict sets use.
    test_member: which test images the mixed set puts a patch on, [n].
    train_member: which of `train` carry one in training, [n].
    patch: how patches are put on, None without patches.
  """
  stream = prng.stream_key(prng.root_key(seed), prng.Stream.EVAL)
  images, parts = [], []
  for (x, label, index), member in (
    (test, test_member),
    (train, train_member),
    (validation, None),
  ):
    start = sum(map(len, images))
    images.append(x)
    parts.append(_Part(x, label, index, member, start))
  test, train, validation = (
    p._replace(member=np.zeros(len(p.label), bool)) if p.member is None else p
    for p in parts
  )
  found: list[tuple[str, _Part, Recipe]] = []

  def keys(name, part):
    # A stream of its own for each set, a key for each example.
    key = prng.step_key(stream, DRAWN.index(name))
    return jax.vmap(lambda i: prng.step_key(key, i))(jnp.asarray(part.index))

  def drawn(name, part, member, **how):
    return patches.sample_recipe(
      keys(name, part),
      jnp.asarray(part.label),
      jnp.asarray(member),
      coefficient_bound=patch.coefficient_bound,
      **{"patch_only_probability": patch.patch_only_probability} | how,
    )

  def add(name, part, recipe):
    found.append((name, part, jax.tree.map(np.asarray, recipe)))

  add("clean", test, patches.clean(jnp.asarray(test.label)))
  if len(validation.label):
    add(VALIDATION, validation, patches.clean(jnp.asarray(validation.label)))
  if patch is None:
    add(TRAIN[0], train, patches.clean(jnp.asarray(train.label)))
  else:
    add("mixed", test, drawn("mixed", test, test.member))
    probe = test.first(num_probe)
    every = np.ones(len(probe.label), bool)
    alone = {"patch_only_probability": 1.0}
    add("patch_only", probe, drawn("patch_only", probe, every, **alone))
    strong = alone | {"strong_alone": 1 - patch.patch_only_probability}
    add(
      "patch_only_authors",
      probe,
      drawn("patch_only_authors", probe, every, **strong),
    )
    never = {"patch_only_probability": 0.0}
    own = drawn("own", probe, every, **never)
    add("own_patch", probe, own)
    other = _another_class(
      keys("other", probe), jnp.asarray(probe.label), num_classes
    )
    add(OTHER_PATCH, probe, own._replace(patch_class=other))
    add(TRAIN[0], train, drawn("train", train, train.member))
  groups = [name for name, *_ in found]
  if patch is not None:
    groups += TRAIN[1:]
  jobs = []
  for name, part, recipe in found:
    n = len(part.label)
    group = np.full(n, groups.index(name), np.int32)
    if name == TRAIN[0]:
      kind = np.where(recipe.present, np.where(recipe.keep, 1, 2), 0)
      group = (group + kind).astype(np.int32)
    jobs.append(
      Jobs(
        np.arange(part.start, part.start + n, dtype=np.int32),
        part.label.astype(np.int32),
        group,
        np.ones(n, np.float32),
        recipe,
      )
    )
  together = jax.tree.map(lambda *xs: np.concatenate(xs), *jobs)
  return Sets(np.concatenate(images), together, tuple(groups))
