"""The patches of one run: drawn or loaded, whose they are, and its file."""

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import prng
from lro_jax.core.prng import Stream
from lro_jax.core.schema import UserError
from lro_jax.vision import data as data_lib
from lro_jax.vision import patches

NUM_FIGURE_4 = 6


def members(config, seed: int, total: int, index, stream: Stream):
  """Which examples of `index` carry the patch, bool [n]."""
  key = jax.random.fold_in(
    prng.stream_key(prng.root_key(seed), stream), MEMBER_TAG
  )
  # Drawn for the whole dataset: a subset keeps what its examples have.
  uniform = np.asarray(jax.random.uniform(key, (total,)))[index]
  return patches.membership(
    uniform, config.patches.probability, config.patches.split
  )


# Far from the tags that other draws of these streams use.
MEMBER_TAG, BANK_TAG = 2**30, 2**30 + 1


def bank_of(config, seed, images, split):
  """Bank, and which training examples carry its patch."""
  channels = images.x_train.shape[-1]
  p = config.patches
  if p.bank:
    bank, saved, index = patches.load(
      p.bank,
      size=p.size,
      channels=channels,
      num_classes=images.num_classes,
    )
    known = dict(zip(index.tolist(), saved.tolist(), strict=True))
    lacking = [i for i in split.train_index.tolist() if i not in known]
    if lacking:
      raise UserError(
        f"patches.bank {p.bank} says nothing of {len(lacking)} of this run's"
        f" training examples (the first is number {lacking[0]}): use the"
        " data.num_train and seeds it was saved with."
      )
    return bank, np.array([known[i] for i in split.train_index.tolist()])
  key = jax.random.fold_in(
    prng.stream_key(prng.root_key(seed), Stream.DATA), BANK_TAG
  )
  bank = patches.sample_bank(
    key,
    size=p.size,
    channels=channels,
    num_classes=images.num_classes,
    z_std=p.z_std,
    zeta_bound=p.zeta_bound,
  )
  total = len(images.x_train)
  return bank, members(config, seed, total, split.train_index, Stream.DATA)


def figure_4(setup, bank, sets) -> dict[str, np.ndarray]:
  """Some test images with and without the patch, in pixel units, unclipped."""
  label = sets.jobs.label[:NUM_FIGURE_4]
  shown = jnp.asarray(sets.images[:NUM_FIGURE_4])
  x = data_lib.normalize(shown, setup.mean, setup.std)
  yes, one = jnp.ones(len(label), bool), jnp.ones(len(label))
  kinds = {
    "clean": patches.clean(jnp.asarray(label)),
    "mixed, z + zeta": patches.Recipe(yes, yes, one, label),
    "mixed, z - zeta": patches.Recipe(yes, yes, -one, label),
    "patch only, z + zeta": patches.Recipe(~yes, yes, one, label),
  }
  made = [
    patches.render(bank, x, recipe, rule=setup.patch.rule)
    for recipe in kinds.values()
  ]
  pixels = np.stack(made, 1) * np.float32(setup.std) + np.float32(setup.mean)
  return {
    "figure_4": pixels.astype(np.float32),
    "figure_4_kinds": np.array(list(kinds)),
    "figure_4_labels": label,
  }
