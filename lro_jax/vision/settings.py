"""What a vision config comes to: steps, schedules, images, net."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import optax

from lro_jax.core import cadence, schedules, schema
from lro_jax.core.schema import ConfigDict, UserError, shown
from lro_jax.vision import data, fields, nets, patched, patches
from lro_jax.vision.images import Images


class Plan(NamedTuple):
  """A run's durations in steps, and what follows a schedule.

  Attributes:
    steps_per_epoch: the short last batch included.
    max_steps: last step.
    rate_drops: updates after which the learning rate is lower, increasing.
    noise_drops: likewise of the activation noise.
    learning_rate: schedule of the step.
    noise_std: schedule of the step.
  """

  steps_per_epoch: int
  max_steps: int
  rate_drops: tuple[int, ...]
  noise_drops: tuple[int, ...]
  learning_rate: optax.Schedule
  noise_std: optax.Schedule

  @property
  def num_epochs(self) -> int:
    """Epochs begun. Ours."""
    return math.ceil(self.max_steps / self.steps_per_epoch)

  @property
  def milestones(self) -> list[int]:
    """Steps at which rate or noise is lowered, increasing. H.1, H.2."""
    return sorted({*self.rate_drops, *self.noise_drops})


def plan(config: ConfigDict, *, steps_per_epoch: int) -> Plan:
  """The run's durations in steps, and its schedules. H.1, H.2.

  Args:
    config: fields that hold against `fields.SCHEMA`.
    steps_per_epoch: steps in one epoch.

  Raises:
    UserError: the run ends before a milestone.
  """

  def steps(value, field):
    return schema.to_steps(value, steps_per_epoch=steps_per_epoch, field=field)

  end = steps(config.train.max, "train.max")
  cadence.check(config, steps_per_epoch=steps_per_epoch)
  for field, values in (
    ("optim.anneal_at", config.optim.anneal_at),
    ("act_noise.anneal_at", config.act_noise.anneal_at),
  ):
    for value in values:
      if steps(value, field) >= end:
        raise UserError(
          f"Got {field} {value!r}, but the run ends after {config.train.max}:"
          f" raise train.max, or take it out of {field}."
        )
  noise = config.act_noise
  per_epoch = noise.decay_every == fields.PER_EPOCH
  rate_drops, noise_drops = (
    tuple(sorted(steps(value, "anneal_at") for value in values))
    for values in (config.optim.anneal_at, noise.anneal_at)
  )
  return Plan(
    steps_per_epoch,
    end,
    rate_drops,
    noise_drops if noise.std else (),
    schedules.stepwise(
      config.optim.learning_rate,
      factor=config.optim.anneal_factor,
      boundaries=rate_drops,
    ),
    schedules.stepwise(
      noise.std,
      factor=noise.anneal_factor,
      boundaries=noise_drops,
      decay=noise.decay,
      decay_steps=steps_per_epoch if per_epoch else 1,
    ),
  )


def validate(config: ConfigDict) -> None:
  """Refuses what the rules of single fields cannot see. Ours.

  Touches no device and reads no data.

  Args:
    config: a run's config that holds against `fields.SCHEMA`.

  Raises:
    UserError: fields that do not fit together.
  """
  _check_net(config)
  optim = config.optim
  if optim.learning_rate * optim.weight_decay >= 1:
    raise UserError(
      f"Got optim.learning_rate {optim.learning_rate:g} and optim.weight_decay"
      f" {optim.weight_decay:g}: their product must be below 1; lower either."
    )
  if optim.nesterov and not optim.momentum:
    raise UserError(
      "Got optim.nesterov with optim.momentum 0: give a momentum, or set"
      " optim.nesterov to False."
    )
  if len(config.data.mean) != len(config.data.std):
    raise UserError(
      f"Got data.mean {config.data.mean} and data.std {config.data.std}: give"
      " both one number for each channel, or () for those of the images."
    )
  _check_split(config, config.train.num_devices)
  _check_sources(config)
  durations = (
    config.train.max,
    *config.optim.anneal_at,
    *config.act_noise.anneal_at,
  )
  if config.data.num_train:
    plan(config, steps_per_epoch=steps_of(config, config.data.num_train))
  elif all("epoch" in duration for duration in durations):
    # An epoch's length is not known before the images are; any will do here.
    plan(config, steps_per_epoch=100)


def _check_net(config: ConfigDict) -> None:
  # Of any number of classes: how many there are only the images know.
  net = nets.make(config.model, 2)
  if config.act_noise.std:
    nets.sites(net, (32, 32, 3))


def _check_sources(config: ConfigDict) -> None:
  source, bank = config.data.source, config.patches.bank
  data.reader(source)
  # A source of a user's own may keep its files there.
  reads_no_folder = source == data.SYNTHETIC or source not in data.SOURCES
  if reads_no_folder and config.data.dir:
    raise UserError(
      f"Got data.dir {shown(config.data.dir)} with data.source {shown(source)}:"
      f" the folder is that of {data.CIFAR10}; leave it empty."
    )
  if bank and not config.patches.enabled:
    raise UserError(
      f"Got patches.bank {shown(bank)} while patches.enabled is False: set it"
      " to True, or leave the bank empty."
    )


def _check_split(config: ConfigDict, devices: int) -> None:
  size = config.train.batch_size
  if devices and size % devices:
    # Of a billion devices asked for, no more than the batch has can divide it.
    most = min(devices, size + 1)
    raise UserError(
      f"Got train.batch_size {size} for {devices} devices: it must divide by"
      " them; change it, or set train.num_devices to one of"
      f" {', '.join(str(k) for k in range(1, most) if size % k == 0)}."
    )


def steps_of(config: ConfigDict, num_train: int) -> int:
  """Steps of an epoch of so many examples. Authors' code: train_model."""
  return -(-num_train // config.train.batch_size)


def images_of(config: ConfigDict) -> Images:
  """The run's images, read once per process. Ours.

  Raises:
    UserError: they are not there, or not as they must be.
  """
  return data.read(config.data.source, config.data.dir)


def split_of(config: ConfigDict, images: Images) -> data.Split:
  """Which images train, validate and test. Ours.

  Raises:
    UserError: more are asked for than there are.
  """
  (seed,) = config.seeds
  return data.split(
    images,
    seed=seed,
    num_train=config.data.num_train,
    num_validation=config.data.num_validation,
    num_test=config.data.num_test,
  )


def statistics(
  config: ConfigDict, images: Images, split: data.Split
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and deviation of the pixels, per channel: given, or measured. H.

  Args:
    config: a run's config.
    images: its images.
    split: which of them train.
  """
  if config.data.mean:
    return tuple(config.data.mean), tuple(config.data.std)
  return data.statistics(images.x_train[split.train_index])


def steps_per_epoch(config: ConfigDict) -> int:
  """Steps of an epoch of this run; reads its images. Ours."""
  split = split_of(config, images_of(config))
  return steps_of(config, len(split.train_index))


def check_data(config: ConfigDict, devices: int) -> None:
  """Reads the run's images, and refuses what does not fit them. Ours.

  Args:
    config: a valid config.
    devices: how many it will run on.

  Raises:
    UserError: images missing or of the wrong kind, too few of them, a patch
      larger than they are, a run shorter than its milestones.
  """
  images = images_of(config)
  height, width, channels = images.x_train.shape[1:]
  split = split_of(config, images)
  _check_split(config, devices)
  if config.train.batch_size > len(split.train_index):
    raise UserError(
      f"Got train.batch_size {config.train.batch_size} for"
      f" {len(split.train_index)} training images: a batch may hold at most all"
      " of them."
    )
  if len(config.data.mean) not in (0, 1, channels):
    raise UserError(
      f"Got data.mean {config.data.mean} for images of {channels} channels:"
      " give one number, one for each channel, or () for the images' own."
    )
  if not all(statistics(config, images, split)[1]):
    raise UserError(
      "Got data.std () for training images with a constant channel: give"
      " data.mean and data.std as numbers."
    )
  plan(config, steps_per_epoch=steps_per_epoch(config))
  if config.patches.enabled:
    patches.corner(height, width, config.patches.size)
    if images.num_classes < 2:
      raise UserError(
        "Got images of one class: patches tell classes apart, so there must be"
        " two or more."
      )
    if config.patches.bank:
      patched.load(config, images, split)


def net_of(config: ConfigDict, num_classes: int) -> nn.Module:
  """The run's net. Section 6."""
  return nets.make(config.model, num_classes)


def num_parameters(net: nn.Module, image: tuple[int, int, int]) -> int:
  """How many numbers are trained. Touches no device. Ours.

  Args:
    net: the net.
    image: height, width, channels.
  """
  params, _ = jax.eval_shape(lambda: nets.init(jax.random.key(0), net, image))
  return sum(x.size for x in jax.tree.leaves(params))
