"""What a config of the vision track may say, and what it comes to in steps."""

import math
from typing import NamedTuple

import jax
import optax

from lro_jax.core import schedules, schema
from lro_jax.core.schema import (
  ConfigDict,
  Rule,
  UserError,
  choice,
  integer,
  real,
)
from lro_jax.vision import data, patches, sources, wide_resnet

DTYPES = ("float32", "bfloat16")
PER_STEP, PER_EPOCH = "step", "epoch"


def _is_duration(value) -> bool:
  return schema.duration().accepts(value)


def _durations() -> Rule:
  return Rule(
    "a tuple of durations such as ('29 epochs',), or ()",
    lambda v: isinstance(v, tuple) and all(_is_duration(x) for x in v),
  )


def _per_channel(low: float) -> Rule:
  return Rule(
    f"a tuple of numbers > {low:g}, one for each channel",
    lambda v: (
      isinstance(v, tuple)
      and len(v) in (1, 3)
      and all(schema.is_real(x) and x > low for x in v)
    ),
  )


def _name() -> Rule:
  return Rule("a string, or ''", lambda v: isinstance(v, str))


def _yes_or_no() -> Rule:
  return Rule("True or False", lambda v: isinstance(v, bool))


SCHEMA = {
  "name": schema.text(),
  "track": choice("vision"),
  "seeds": schema.seeds_rule(),
  "data.source": Rule(
    f"{sources.CIFAR10!r}, {sources.SYNTHETIC!r}, or a path that ends in .npz",
    lambda v: (
      isinstance(v, str)
      and (v in (sources.CIFAR10, sources.SYNTHETIC) or v.endswith(".npz"))
    ),
  ),
  "data.dir": _name(),
  "data.num_train": integer(0),
  "data.num_validation": integer(0),
  "data.num_test": integer(0),
  "data.mean": _per_channel(-1.0),
  "data.std": _per_channel(0.0),
  "patches.enabled": _yes_or_no(),
  "patches.size": integer(1),
  "patches.z_std": real(0),
  "patches.zeta_bound": real(0),
  "patches.coefficient_bound": real(0),
  "patches.probability": real(0, 1),
  "patches.split": choice(patches.BERNOULLI, patches.EXACT),
  "patches.patch_only_probability": real(0, 1),
  "patches.rule": choice(patches.REPLACE, patches.ADD),
  "patches.bank": _name(),
  "model.depth": integer(1),
  "model.widen_factor": integer(1),
  "model.dtype": choice(*DTYPES),
  "optim.learning_rate": real(0, open_low=True),
  "optim.anneal_factor": real(0, 1, open_low=True),
  "optim.anneal_at": _durations(),
  "optim.momentum": real(0, 1, open_high=True),
  "optim.nesterov": _yes_or_no(),
  "optim.weight_decay": real(0),
  "optim.grad_noise_std": real(0),
  "act_noise.std": real(0),
  "act_noise.shape": choice(
    wide_resnet.SHARED, wide_resnet.CHANNEL, wide_resnet.EXAMPLE
  ),
  "act_noise.anneal_factor": real(0, 1),
  "act_noise.anneal_at": _durations(),
  "act_noise.decay": real(0, 1, open_low=True),
  "act_noise.decay_every": choice(PER_STEP, PER_EPOCH),
  "train.max": schema.duration(),
  "train.batch_size": integer(1, 2**20),
  "train.steps_per_call": integer(1),
  "train.num_devices": integer(0),
  "eval.per_decade": integer(0, 1000),
  "eval.every": Rule(
    "a duration such as '1 epochs', or 'never'",
    lambda v: v == "never" or _is_duration(v),
  ),
  "eval.batch_size": integer(1),
  "eval.num_train": integer(1),
  "eval.num_probe": integer(1),
  "eval.reestimate_batch_norm": _yes_or_no(),
  "checkpoint.minutes": real(0),
  "checkpoint.keep": integer(1),
}


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
    """Epochs begun."""
    return math.ceil(self.max_steps / self.steps_per_epoch)

  @property
  def milestones(self) -> list[int]:
    """Steps at which rate or noise is lowered, increasing."""
    return sorted({*self.rate_drops, *self.noise_drops})


def plan(config: ConfigDict, *, steps_per_epoch: int) -> Plan:
  """The run's durations in steps, and its schedules. H.1, H.2.

  Args:
    config: fields that hold against `SCHEMA`.
    steps_per_epoch: steps in one epoch.

  Raises:
    UserError: the run ends before a milestone.
  """

  def steps(value):
    return schema.to_steps(value, steps_per_epoch=steps_per_epoch)

  end = steps(config.train.max)
  for field, values in (
    ("optim.anneal_at", config.optim.anneal_at),
    ("act_noise.anneal_at", config.act_noise.anneal_at),
  ):
    for value in values:
      if steps(value) >= end:
        raise UserError(
          f"Got {field} {value!r}, but the run ends after {config.train.max}:"
          f" raise train.max, or take it out of {field}."
        )
  noise = config.act_noise
  rate_drops = tuple(sorted(map(steps, config.optim.anneal_at)))
  noise_drops = tuple(sorted(map(steps, noise.anneal_at)))
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
      decay_steps=steps_per_epoch if noise.decay_every == PER_EPOCH else 1,
    ),
  )


def validate(config: ConfigDict) -> None:
  """Refuses what the rules of single fields cannot see. Ours.

  Touches no device and reads no data.

  Args:
    config: a run's config that holds against `SCHEMA`.

  Raises:
    UserError: fields that do not fit together.
  """
  wide_resnet.num_blocks(config.model.depth)
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
      " both one number for each channel."
    )
  _check_split(config, config.train.num_devices)
  _check_probe_fields(config)
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


def _check_probe_fields(config: ConfigDict) -> None:
  source, bank = config.data.source, config.patches.bank
  if source == sources.SYNTHETIC and config.data.dir:
    raise UserError(
      f"Got data.dir {config.data.dir} for synthetic images: leave it empty."
    )
  if bank and not config.patches.enabled:
    raise UserError(
      f"Got patches.bank {bank} while patches.enabled is False: set it to True,"
      " or leave the bank empty."
    )


def _check_split(config: ConfigDict, devices: int) -> None:
  size = config.train.batch_size
  if devices and size % devices:
    raise UserError(
      f"Got train.batch_size {size} for {devices} devices: it must divide by"
      " them; change it, or set train.num_devices to one of"
      f" {', '.join(str(k) for k in range(1, devices) if size % k == 0)}."
    )


def steps_of(config: ConfigDict, num_train: int) -> int:
  """Steps of an epoch of so many examples. Authors' code: train_model."""
  return -(-num_train // config.train.batch_size)


def images_of(config: ConfigDict) -> sources.Images:
  """The run's images, read once per process. Ours.

  Raises:
    UserError: they are not there, or not as they must be.
  """
  return sources.read(config.data.source, config.data.dir)


def split_of(config: ConfigDict, images: sources.Images) -> data.Split:
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
  split_of(config, images)
  _check_split(config, devices)
  if len(config.data.mean) not in (1, channels):
    raise UserError(
      f"Got data.mean {config.data.mean} for images of {channels} channels:"
      " give one number, or one for each channel."
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
      patches.load(
        config.patches.bank,
        size=config.patches.size,
        channels=channels,
        num_classes=images.num_classes,
      )


def net_of(config: ConfigDict, num_classes: int) -> wide_resnet.WideResNet:
  """The run's net. Section 6."""
  return wide_resnet.WideResNet(
    config.model.depth, config.model.widen_factor, num_classes
  )


def num_parameters(
  net: wide_resnet.WideResNet, image: tuple[int, int, int]
) -> int:
  """How many numbers are trained. Touches no device. Ours."""
  params, _ = jax.eval_shape(
    lambda: wide_resnet.init(jax.random.key(0), net, image)
  )
  return sum(x.size for x in jax.tree.leaves(params))
