"""The patch: a memorisable pattern in the middle of some images.

Paper: Section 6 and H.2; authors' code: data_util.py. Letters of H.2:

  z        what all patches share, N(0, sigma_z^2) per pixel and channel
  zeta_y   what tells class y, uniform in [-beta, beta] per pixel and channel
  alpha    patch-only images carry z + c zeta_y, c uniform in [-alpha, alpha)

All of it is in normalised units: pixels after mean and deviation are taken out.
What becomes of one image is a `Recipe`; training draws one for each example and
epoch, evaluation sets are lists of them.
"""

import hashlib
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.core.task import Array

REPLACE, ADD = "replace", "add"
BERNOULLI, EXACT = "bernoulli", "exact"
FILE = "patches.npz"


class Bank(NamedTuple):
  """The patches of one seed: z [p, p, ch] and zeta [c, p, p, ch]."""

  z: Array
  zeta: Array


class Recipe(NamedTuple):
  """What to make of images, one entry each, [n].

  Attributes:
    keep: whether the image itself stays; otherwise zeros, the mean colour.
    present: whether there is a patch.
    coefficient: of zeta.
    patch_class: whose zeta.
  """

  keep: Array
  present: Array
  coefficient: Array
  patch_class: Array


def sample_bank(
  key: Array,
  *,
  size: int,
  channels: int,
  num_classes: int,
  z_std: float,
  zeta_bound: float,
) -> Bank:
  """Draws z and every zeta. H.2; authors' code: PatchAugmentFixed.

  Args:
    key: key of the draw, [].
    size: side p of the patch, in pixels.
    channels: ch.
    num_classes: c.
    z_std: sigma_z, in normalised units.
    zeta_bound: beta, in normalised units.
  """
  z_key, zeta_key = jax.random.split(key)
  shape = (size, size, channels)
  return Bank(
    z_std * jax.random.normal(z_key, shape),
    jax.random.uniform(
      zeta_key, (num_classes, *shape), minval=-zeta_bound, maxval=zeta_bound
    ),
  )


def corner(height: int, width: int, size: int) -> tuple[int, int]:
  """Row and column where the patch begins. Authors' code: int(16 - 7/2).

  Raises:
    UserError: the patch is larger than the image.
  """
  if size > min(height, width):
    raise UserError(
      f"Got patches.size {size} for images of {height} x {width} pixels: the"
      f" patch must fit, so at most {min(height, width)}."
    )
  return (height - size) // 2, (width - size) // 2


def membership(
  uniform: np.ndarray, probability: float, split: str
) -> np.ndarray:
  """Which examples carry the patch, bool [n]; the same in all epochs. H.2.

  Args:
    uniform: a draw from (0, 1) per example, [n].
    probability: share of examples with a patch.
    split: 'bernoulli' decides for each example alone (authors' code,
      FixedAugmentDataset), 'exact' takes that share to the nearest example
      (the paper's text: 40,000 of 50,000).
  """
  if split == BERNOULLI:
    return np.asarray(uniform < probability)
  member = np.zeros(len(uniform), bool)
  count = round(probability * len(uniform))
  member[np.argsort(uniform, kind="stable")[:count]] = True
  return member


def clean(label: Array) -> Recipe:
  """Images as they are, [n]; labels [n]. H.2."""
  yes = jnp.ones(label.shape, bool)
  return Recipe(yes, ~yes, jnp.zeros(label.shape), label)


def sample_recipe(
  keys: Array,
  label: Array,
  member: Array,
  *,
  patch_only_probability: float,
  coefficient_bound: float,
  strong_alone: float = 0.0,
) -> Recipe:
  """Draws what an epoch makes of each example. H.2; authors' PatchAugmentFixed.

  A member shows its patch alone, z + c zeta_y with c uniform in [-alpha,
  alpha), or otherwise with the image, z +- zeta_y with a fair sign.

  Args:
    keys: a key per example, [n].
    label: class y of each, [n].
    member: whether it carries the patch, [n].
    patch_only_probability: of the patch alone.
    coefficient_bound: alpha.
    strong_alone: share of patch-only images that carry z +- zeta_y all the
      same, as in the authors' patch-only score (TransformOnlyDataset).

  Returns:
    The recipe, [n].
  """
  draw = jax.vmap(lambda key: jax.random.uniform(key, (4,)))(keys)
  alone = draw[:, 0] < patch_only_probability
  sign = jnp.where(draw[:, 1] < 0.5, -1.0, 1.0)
  scaled = coefficient_bound * (2 * draw[:, 2] - 1)
  weak = alone & (draw[:, 3] >= strong_alone)
  return Recipe(
    keep=~(member & alone),
    present=member,
    coefficient=jnp.where(weak, scaled, sign),
    patch_class=label,
  )


def render(bank: Bank, x: Array, recipe: Recipe, *, rule: str) -> Array:
  """Images after the recipe, float32 [n, h, w, ch]. H.2; PatchAugmentFixed.

  Args:
    bank: the patches.
    x: normalised images, [n, h, w, ch].
    recipe: what to make of each, [n].
    rule: 'replace' puts the patch in the place of its pixels (authors' code),
      'add' adds it to them (the paper's text).
  """
  size = bank.z.shape[0]
  row, column = corner(*x.shape[1:3], size)
  each = lambda a: a[:, None, None, None]  # noqa: E731
  x = jnp.where(each(recipe.keep), x, 0.0)
  zeta = bank.zeta[recipe.patch_class]
  patch = bank.z + each(recipe.coefficient) * zeta
  here = x[:, row : row + size, column : column + size]
  patched = patch + here if rule == ADD else patch
  here = jnp.where(each(recipe.present), patched, here)
  return jax.lax.dynamic_update_slice(x, here, (0, row, column, 0))


def load(
  path: str,
  *,
  size: int,
  channels: int,
  num_classes: int,
  needed: np.ndarray | None = None,
) -> tuple[Bank, np.ndarray, np.ndarray]:
  """A saved bank, and which examples of the dataset carry its patch. Ours.

  Args:
    path: a run's patches.npz, or a file with z, zeta, membership [n] and index
      [n], the places in the dataset that membership speaks of.
    size: side of the patch that the config has.
    channels: of the images.
    num_classes: of the dataset.
    needed: places in the dataset to speak of, [k]; those of the file if None.

  Returns:
    The bank, membership bool [k], index [k].

  Raises:
    UserError: no such file, not such a file, of other sizes, or one that does
      not speak of what is needed.
  """
  try:
    file = metrics.read_npz(pathlib.Path(path))
    names = ("z", "zeta", "membership", "index")
    lacking = [name for name in names if name not in file]
    if lacking:
      raise ValueError(f"it lacks {', '.join(lacking)}")
    z, zeta, member, index = (file[name] for name in names)
  except ValueError as error:
    raise UserError(
      f"Cannot read patches.bank {path} ({error}): name a"
      f" {FILE} from a run's folder, or leave it empty to draw new patches."
    ) from error
  shape = (size, size, channels)
  if z.dtype.kind == zeta.dtype.kind == "f":
    # Before it is held against the rules: a large double is no finite float.
    with np.errstate(over="ignore"):
      z, zeta = z.astype(np.float32), zeta.astype(np.float32)
  good = (
    z.shape == shape
    and zeta.shape == (num_classes, *shape)
    and z.dtype == zeta.dtype == np.float32
    and np.isfinite(z).all()
    and np.isfinite(zeta).all()
    and member.shape == index.shape
    and member.ndim == 1
    and member.dtype == bool
    and index.dtype.kind in "iu"
    and len(np.unique(index)) == len(index)
  )
  if not good:
    raise UserError(
      f"patches.bank {path} has z {z.shape}, zeta {zeta.shape}, membership"
      f" {member.shape} and index {index.shape}: needed are finite z {shape},"
      f" zeta {(num_classes, *shape)}, and membership (bool) and index"
      " (distinct integers) of one length; set patches.size or choose another"
      " file."
    )
  if needed is not None:
    unknown = np.setdiff1d(needed, index)
    if unknown.size:
      raise UserError(
        f"patches.bank {path} says nothing of {unknown.size} of this run's"
        f" training examples (number {unknown[0]} is one): use the"
        " data.num_train and the seed it was saved with."
      )
    order = np.argsort(index)
    member = member[order[np.searchsorted(index, needed, sorter=order)]]
    index = needed
  return Bank(z, zeta), member, index


def digest(bank: Bank, member: np.ndarray, index: np.ndarray) -> str:
  """sha256 of the patches and of which example of which place has one. Ours.

  Args:
    bank: the patches.
    member: which examples carry one, bool [n].
    index: their places in the dataset, [n].
  """
  sha = hashlib.sha256()
  for array, dtype in (
    (bank.z, "<f4"),
    (bank.zeta, "<f4"),
    (member, "u1"),
    (index, "<i8"),
  ):
    array = np.ascontiguousarray(array, dtype)
    sha.update(str(array.shape).encode() + array.tobytes())
  return sha.hexdigest()
