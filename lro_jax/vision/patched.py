"""The patches of one run: drawn or loaded, whose they are, and its file."""

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import prng
from lro_jax.core.prng import Stream
from lro_jax.core.schema import ConfigDict
from lro_jax.vision import data as data_lib
from lro_jax.vision import patches
from lro_jax.vision.data import BANK_TAG, MEMBER_TAG, Split
from lro_jax.vision.images import Images
from lro_jax.vision.patches import Bank

NUM_FIGURE_4 = 6


def members(
  config: ConfigDict, *, total: int, index: np.ndarray, stream: Stream
) -> np.ndarray:
  """Which examples carry the patch, bool [n]. H.2.

  Args:
    config: a run's config, of one seed.
    total: examples of the dataset; a draw is made for each, so that with split
      'bernoulli' a subset keeps the members it has.
    index: places in the dataset, [n].
    stream: DATA for training examples, EVAL for test images.
  """
  (seed,) = config.seeds
  key = prng.stream_key(prng.root_key(seed), stream)
  key = jax.random.fold_in(key, MEMBER_TAG)
  uniform = np.asarray(jax.random.uniform(key, (total,)))[index]
  p = config.patches
  return patches.membership(uniform, p.probability, p.split)


def load(
  config: ConfigDict, images: Images, split: Split
) -> tuple[Bank, np.ndarray]:
  """The saved patches that a config names, and whose they are, [n]. Ours.

  Raises:
    UserError: see `patches.load`.
  """
  bank, member, _ = patches.load(
    config.patches.bank,
    size=config.patches.size,
    channels=images.x_train.shape[-1],
    num_classes=images.num_classes,
    needed=split.train_index,
  )
  return bank, member


def bank_of(
  config: ConfigDict, images: Images, split: Split
) -> tuple[Bank, np.ndarray]:
  """The run's patches, and which training examples carry one, [n]. H.2."""
  p = config.patches
  if p.bank:
    return load(config, images, split)
  (seed,) = config.seeds
  key = prng.stream_key(prng.root_key(seed), Stream.DATA)
  bank = patches.sample_bank(
    jax.random.fold_in(key, BANK_TAG),
    size=p.size,
    channels=images.x_train.shape[-1],
    num_classes=images.num_classes,
    z_std=p.z_std,
    zeta_bound=p.zeta_bound,
  )
  member = members(
    config,
    total=len(images.x_train),
    index=split.train_index,
    stream=Stream.DATA,
  )
  return Bank(*(np.asarray(x) for x in bank)), member


def figure_4(
  bank: Bank,
  image: np.ndarray,
  label: np.ndarray,
  *,
  mean: tuple[float, ...],
  std: tuple[float, ...],
  rule: str,
) -> dict[str, np.ndarray]:
  """Images with and without their patch, in pixel units, unclipped. Figure 4.

  Args:
    bank: the patches.
    image: uint8 [m, h, w, ch].
    label: their classes, [m].
    mean: of the pixels.
    std: of the pixels.
    rule: see `patches.render`.

  Returns:
    What a run's patches.npz has of them, by name: `figure_4` float32
    [m, kinds, h, w, ch], `figure_4_kinds` [kinds], `figure_4_labels` [m].
  """
  x = data_lib.normalize(jnp.asarray(image), mean, std)
  yes, one = jnp.ones(len(label), bool), jnp.ones(len(label))
  kinds = {
    "clean": patches.clean(jnp.asarray(label)),
    "mixed, z + zeta": patches.Recipe(yes, yes, one, label),
    "mixed, z - zeta": patches.Recipe(yes, yes, -one, label),
    "patch only, z + zeta": patches.Recipe(~yes, yes, one, label),
  }
  made = [
    patches.render(bank, x, recipe, rule=rule) for recipe in kinds.values()
  ]
  pixels = np.stack(made, 1) * np.float32(std) + np.float32(mean)
  return {
    "figure_4": pixels.astype(np.float32),
    "figure_4_kinds": np.array(list(kinds)),
    "figure_4_labels": label,
  }
