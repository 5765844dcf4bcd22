"""Batches and loss of the image experiments.

The training images stay on the device, whole on every device; a step reads its
share of the batch out of them by the epoch's order, and draws there what the
patch makes of each. Every draw is keyed by the example's place in the dataset
and by the epoch, so that it is the same on any number of devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from lro_jax.core import prng
from lro_jax.core.task import Array, Data, Tree
from lro_jax.vision import data, nets, patches
from lro_jax.vision import noise as noise_lib


class PatchRule(NamedTuple):
  """How patches are put on; see `patches`."""

  rule: str
  patch_only_probability: float
  coefficient_bound: float


class Setup(NamedTuple):
  """What training and evaluation share.

  Attributes:
    net: the net, see `nets`.
    image: height, width, channels.
    num_train: n.
    batch_size: of all devices together.
    mean: of the pixels, per channel.
    std: of the pixels, per channel.
    dtype: of the activations.
    patch: how patches are put on, None where there are none.
    noise_std: activation noise of the next update: schedule of the step.
    noise_shape: see `noise.sample`.
    noisy: whether any activation noise is ever drawn.
    axis_name: name of the device axis, or None.
  """

  net: nn.Module
  image: tuple[int, int, int]
  num_train: int
  batch_size: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: Any
  patch: PatchRule | None
  noise_std: Callable[[Array], Array]
  noise_shape: str
  noisy: bool
  axis_name: str | None

  @property
  def steps_per_epoch(self) -> int:
    """Steps of an epoch, the short last batch included. Ours."""
    return -(-self.num_train // self.batch_size)


def orders(seed: int, *, num_epochs: int, num_train: int) -> np.ndarray:
  """The order of the examples in each epoch, int32 [epochs, n]. Ours.

  Args:
    seed: the run's seed.
    num_epochs: how many epochs.
    num_train: n.
  """
  stream = prng.stream_key(prng.root_key(seed), prng.Stream.ORDER)
  return np.asarray(
    jax.vmap(
      lambda epoch: jax.random.permutation(
        prng.step_key(stream, epoch), num_train
      )
    )(jnp.arange(num_epochs)),
    np.int32,
  )


def example_keys(stream: Array, epoch: Array, index: Array) -> Array:
  """The key of each example in an epoch, [n]. Ours.

  Args:
    stream: key of the AUGMENT stream, [].
    epoch: epochs done, [].
    index: places in the dataset, [n].
  """
  epoch_key = prng.step_key(stream, epoch)
  return jax.vmap(lambda i: prng.step_key(epoch_key, i))(index)


def batch_at(setup: Setup, data: Data, step: Array) -> Data:
  """This device's share of a step's batch. Authors' code: train_model.

  Args:
    setup: the run's.
    data: `examples` empty; `shared` has images uint8 [n, h, w, ch], label,
      index and member [n], order [epochs, n], and the bank.
    step: updates done, [].

  Returns:
    Data with examples image, label, index, member, counts (0 past the end of
    the epoch) and weight (counts over the batch's examples), [batch / k].
  """
  shared = data.shared
  epoch, within = jnp.divmod(step, setup.steps_per_epoch)
  size, start = setup.batch_size, within * setup.batch_size
  if setup.axis_name is not None:
    size //= jax.lax.axis_size(setup.axis_name)
    start += size * jax.lax.axis_index(setup.axis_name)
  place = start + jnp.arange(size)
  counts = (place < setup.num_train).astype(jnp.float32)
  place = jnp.minimum(place, setup.num_train - 1)
  position = shared["order"][epoch, place]
  num = jnp.minimum(
    setup.batch_size, setup.num_train - within * setup.batch_size
  )
  names = {"images": "image", "label": "label", "index": "index"}
  if setup.patch is not None:
    names["member"] = "member"
  examples = {new: shared[old][position] for old, new in names.items()}
  examples |= {"counts": counts, "weight": counts / num}
  return Data(examples, {"epoch": epoch, "bank": shared.get("bank")})


def make_loss(setup: Setup) -> Callable[..., tuple[Array, tuple[Tree, dict]]]:
  """Cross-entropy of the batch, as `core.optim.gradient_step` asks. Section 6.

  Args:
    setup: the run's.

  Returns:
    (params, model_state, batch, step) -> (loss, (model_state, sums)); the loss
    and the sums 'loss' and 'accuracy' are this device's share of the mean.
  """

  def loss(params, model_state, batch: Data, step):
    ex = batch.examples
    x = data.normalize(ex["image"], setup.mean, setup.std)
    if setup.patch is not None:
      keys = example_keys(
        model_state["augment_key"], batch.shared["epoch"], ex["index"]
      )
      recipe = patches.sample_recipe(
        keys,
        ex["label"],
        ex["member"],
        patch_only_probability=setup.patch.patch_only_probability,
        coefficient_bound=setup.patch.coefficient_bound,
      )
      bank = batch.shared["bank"]
      x = patches.render(bank, x, recipe, rule=setup.patch.rule)
    noise = None
    if setup.noisy:
      noise = noise_lib.sample(
        prng.step_key(model_state["noise_key"], step),
        setup.net,
        setup.image,
        std=setup.noise_std(step),
        shape=setup.noise_shape,
        index=ex["index"],
      )
    logits, stats = nets.apply(
      setup.net,
      params,
      model_state["batch_stats"],
      x,
      train=True,
      dtype=setup.dtype,
      weight=ex["counts"],
      noise=noise,
      axis_name=setup.axis_name,
    )
    entropy = optax.softmax_cross_entropy_with_integer_labels(
      logits, ex["label"]
    )
    right = jnp.argmax(logits, -1) == ex["label"]
    # XLA's maximum on a CPU, and so ReLU, may turn a NaN into 0: activations
    # that overflow then show in the statistics, not in the loss.
    sound = jnp.array([jnp.isfinite(x).all() for x in jax.tree.leaves(stats)])
    value = jnp.sum(ex["weight"] * entropy)
    value = jnp.where(sound.all(), value, jnp.nan)
    sums = {"loss": value, "accuracy": jnp.sum(ex["weight"] * right)}
    return value, (model_state | {"batch_stats": stats}, sums)

  return loss
