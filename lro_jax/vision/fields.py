"""What each field of a vision config may hold."""

from lro_jax.core import schema
from lro_jax.core.schema import Rule, choice, integer, real
from lro_jax.vision import noise, patches

DTYPES = ("float32", "bfloat16")
# All of them are in memory.
MAX_IMAGES = 10**7
PER_STEP, PER_EPOCH = "step", "epoch"


def _is_duration(value) -> bool:
  return schema.duration().accepts(value)


def _durations() -> Rule:
  return Rule(
    "a tuple of durations such as ('29 epochs',), or ()",
    lambda v: isinstance(v, tuple) and all(_is_duration(x) for x in v),
  )


def _per_channel(rule: Rule) -> Rule:
  return Rule(
    f"() or a tuple of 1 or 3 entries, each {rule.allowed}",
    lambda v: (
      isinstance(v, tuple)
      and len(v) in (0, 1, 3)
      and all(rule.accepts(x) for x in v)
    ),
  )


def _yes_or_no() -> Rule:
  return Rule("True or False", lambda v: isinstance(v, bool))


SCHEMA = {
  "name": schema.text(),
  "track": choice("vision"),
  "branch_from": schema.text(empty=True),
  "seeds": schema.seeds_rule(),
  # Which there are `settings.validate` asks, for a user may add some.
  "data.source": schema.text(),
  "data.dir": schema.text(empty=True),
  "data.num_train": integer(0, MAX_IMAGES),
  "data.num_validation": integer(0, MAX_IMAGES),
  "data.num_test": integer(0, MAX_IMAGES),
  "data.mean": _per_channel(real(0, 255)),
  "data.std": _per_channel(real(0, 255, open_low=True)),
  "patches.enabled": _yes_or_no(),
  "patches.size": integer(1, schema.MAX_STEPS),
  "patches.z_std": real(0, schema.MAX_REAL),
  "patches.zeta_bound": real(0, schema.MAX_REAL),
  "patches.coefficient_bound": real(0, schema.MAX_REAL),
  "patches.probability": real(0, 1),
  "patches.split": choice(patches.BERNOULLI, patches.EXACT),
  "patches.patch_only_probability": real(0, 1),
  "patches.rule": choice(patches.REPLACE, patches.ADD),
  "patches.bank": schema.text(empty=True),
  "model.net": schema.text(),
  "model.depth": integer(1, schema.MAX_STEPS),
  "model.widen_factor": integer(1, schema.MAX_STEPS),
  "model.dtype": choice(*DTYPES),
  "optim.learning_rate": real(0, schema.MAX_REAL, open_low=True),
  "optim.anneal_factor": real(0, 1, open_low=True),
  "optim.anneal_at": _durations(),
  "optim.momentum": real(0, 1, open_high=True),
  "optim.nesterov": _yes_or_no(),
  "optim.weight_decay": real(0, schema.MAX_REAL),
  "optim.grad_noise_std": real(0, schema.MAX_REAL),
  "act_noise.std": real(0, schema.MAX_REAL),
  "act_noise.shape": choice(noise.SHARED, noise.CHANNEL, noise.EXAMPLE),
  "act_noise.anneal_factor": real(0, 1),
  "act_noise.anneal_at": _durations(),
  "act_noise.decay": real(0, 1, open_low=True),
  "act_noise.decay_every": choice(PER_STEP, PER_EPOCH),
  "train.max": schema.duration(),
  "train.batch_size": integer(1, 2**20),
  "train.steps_per_call": integer(1, schema.MAX_STEPS),
  "train.num_devices": integer(0, schema.MAX_STEPS),
  "eval.per_decade": integer(0, 1000),
  "eval.every": schema.duration(never=True),
  "eval.batch_size": integer(1, schema.MAX_STEPS),
  "eval.num_train": integer(1, schema.MAX_STEPS),
  "eval.num_probe": integer(1, schema.MAX_STEPS),
  "eval.reestimate_batch_norm": _yes_or_no(),
  "checkpoint.minutes": real(0, schema.MAX_REAL),
  "checkpoint.every": schema.duration(never=True),
  "checkpoint.keep": integer(1, schema.MAX_STEPS),
}
