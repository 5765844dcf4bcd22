"""Scores of a net on all sets at once: one forward pass over a list of jobs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lro_jax.core.task import Array, Data, Measurements, Tree
from lro_jax.vision import batch_norm, nets, patches
from lro_jax.vision import data as data_lib
from lro_jax.vision.sets import OTHER_PATCH, TRAIN, Jobs
from lro_jax.vision.training import Setup


def _chunks(jobs: Jobs, size: int) -> Jobs:
  """The jobs as [chunks, size], padded with weight 0."""
  pad = -len(jobs.weight) % size
  return jax.tree.map(lambda x: jnp.pad(x, (0, pad)).reshape(-1, size), jobs)


def _inputs(setup: Setup, shared: dict[str, Tree], jobs: Jobs) -> Array:
  """The images that jobs stand for, [n, h, w, ch]."""
  image = shared["images"][jobs.position]
  x = data_lib.normalize(image, setup.mean, setup.std)
  if setup.patch is None:
    return x
  return patches.render(shared["bank"], x, jobs.recipe, rule=setup.patch.rule)


def score(
  setup: Setup,
  groups: tuple[str, ...],
  params: Tree,
  batch_stats: Tree,
  data: Data,
  *,
  chunk: int,
) -> Measurements:
  """Right answers and cross-entropies by group, without noise. Section 6.

  Args:
    setup: the run's.
    groups: names, as in `sets.Sets`.
    params: weights.
    batch_stats: BatchNorm statistics.
    data: examples the Jobs of this device, [j]; shared has images and bank.
    chunk: how many images pass at once.

  Returns:
    Sums `accuracy/<set>` and `loss/<set>`, `train_accuracy/<kind>` and
    `train_loss/<kind>` with kind 'all' besides, and `conflict/patch`, the share
    of `other_patch` answered with the patch's class.
  """

  def one(jobs):
    logits, _ = nets.apply(
      setup.net,
      params,
      batch_stats,
      _inputs(setup, data.shared, jobs),
      train=False,
      dtype=setup.dtype,
    )
    answer = jnp.argmax(logits, -1)
    entropy = optax.softmax_cross_entropy_with_integer_labels(
      logits, jobs.label
    )
    member = jobs.weight[:, None] * jax.nn.one_hot(jobs.group, len(groups))
    return {
      "count": member,
      "accuracy": member * (answer == jobs.label)[:, None],
      # A padded image may give no number at all, and 0 * nan is nan.
      "loss": jnp.where(member > 0, member * entropy[:, None], 0.0),
      "patch": member * (answer == jobs.recipe.patch_class)[:, None],
    }

  chunks = _chunks(data.examples, chunk)
  out = jax.lax.map(one, chunks)
  total = {name: jnp.sum(x, (0, 1)) for name, x in out.items()}
  sums, counts = {}, {}
  for i, group in enumerate(groups):
    prefix = "train_" if group in TRAIN else ""
    for kind in ("accuracy", "loss"):
      name = f"{prefix}{kind}/{group.removeprefix('train/')}"
      sums[name], counts[name] = total[kind][i], total["count"][i]
    if group == OTHER_PATCH:
      sums["conflict/patch"] = total["patch"][i]
      counts["conflict/patch"] = total["count"][i]
  trained = np.array([i for i, name in enumerate(groups) if name in TRAIN])
  for kind in ("accuracy", "loss"):
    sums[f"train_{kind}/all"] = total[kind][trained].sum()
    counts[f"train_{kind}/all"] = total["count"][trained].sum()
  return Measurements(sums, counts, {})


def reestimate(
  setup: Setup, params: Tree, batch_stats: Tree, data: Data
) -> Tree:
  """BatchNorm statistics of training examples without noise. Ledger item 22.

  Ours: a net trained under noise is else scored with statistics gathered under
  it. The examples are those of groups train/...; each batch of them counts by
  its size. On several devices the same examples fall into other batches, so
  that the variances within them differ a little.

  Args:
    setup: the run's.
    params: weights.
    batch_stats: statistics that only give the tree.
    data: as in `score`, of training jobs only.

  Returns:
    Statistics in the place of `batch_stats`.
  """
  zeros = jax.tree.map(jnp.zeros_like, batch_stats)

  def one(jobs):
    # From zeros, one batch moves the statistics to (1 - MOMENTUM) of its own.
    _, moved = nets.apply(
      setup.net,
      params,
      zeros,
      _inputs(setup, data.shared, jobs),
      train=True,
      dtype=setup.dtype,
      weight=jobs.weight,
      axis_name=setup.axis_name,
    )
    count = jnp.sum(jobs.weight)
    if setup.axis_name is not None:
      count = jax.lax.psum(count, setup.axis_name)
    own = jax.tree.map(lambda x: x / (1 - batch_norm.MOMENTUM), moved)
    return count, own

  counts, found = jax.lax.map(one, _chunks(data.examples, _share(setup)))
  share = counts / jnp.sum(counts)
  return jax.tree.map(lambda x: jnp.tensordot(share, x, 1), found)


def _share(setup: Setup) -> int:
  if setup.axis_name is None:
    return setup.batch_size
  return setup.batch_size // jax.lax.axis_size(setup.axis_name)
