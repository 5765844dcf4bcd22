"""The vision track's front door: its Task, and what main asks of a track."""

import jax
import jax.numpy as jnp
import numpy as np

from lro_jax.core import metrics, optim, prng
from lro_jax.core.prng import Stream
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.core.task import NOT_YET, Data, Measurements, Task, TrainState
from lro_jax.vision import data as data_lib
from lro_jax.vision import (
  evaluation,
  fields,
  nets,
  patched,
  patches,
  settings,
  training,
)
from lro_jax.vision import sets as sets_lib

SCHEMA = fields.SCHEMA
# A net of this size fills the device: every seed is a run of its own.
SEEDS_APART = True
MEMORY_FIELDS = (
  "train.batch_size, eval.batch_size or model.widen_factor, set model.dtype to"
  " bfloat16"
)

validate, check_data = settings.validate, settings.check_data
steps_per_epoch = settings.steps_per_epoch


def schedule_fields(config: ConfigDict) -> tuple[str, ...]:
  """Fields that a branch of a run may have otherwise. Ours; `core.branch`."""
  del config
  return ("optim", "act_noise", "train.max")


def annealed_at(config: ConfigDict, step: int) -> dict:
  """Overrides with which a branch at `step` anneals there. Ours.

  By the run's own factors: what it lowers later, or has lowered.

  Args:
    config: of the run it comes from.
    step: where it begins.

  Raises:
    UserError: the run has no factor to anneal by.
  """
  sections = [
    name
    for name in ("optim", "act_noise")
    if config[name].anneal_factor != 1 and config[name].anneal_at
  ]
  if not sections:
    raise UserError(
      "Got a run that lowers neither rate nor noise: branch from an arm that"
      " anneals, or set branch_from in a config with arms of your own."
    )
  return {name: {"anneal_at": (f"{step} steps",)} for name in sections}


def num_devices(config: ConfigDict) -> int:
  """Devices the config asks for; 0 stands for all there are. Ours."""
  return config.train.num_devices


def describe(config: ConfigDict, *, whole: bool) -> str:
  """What to print before a run: net, data, schedule. Ours."""
  images = settings.images_of(config)
  image = images.x_train.shape[1:]
  net = settings.net_of(config, images.num_classes)
  split = settings.split_of(config, images)
  name = nets.label(net)
  if not whole:
    return name
  epoch = settings.steps_of(config, len(split.train_index))
  drops = settings.plan(config, steps_per_epoch=epoch).milestones
  lowered = (
    "rate or noise lowered after epoch "
    + ", ".join(f"{step / epoch:g}" for step in drops)
    if drops
    else "nothing annealed"
  )
  return (
    f"{name}, {settings.num_parameters(net, image):,} parameters,"
    f" {config.model.dtype}; {images.label}: {len(split.train_index):,}"
    f" training and {len(split.test_index):,} test images, {epoch} steps an"
    f" epoch; {lowered}."
  )


def make(config: ConfigDict, *, axis_name: str | None) -> Task:
  """The Task of a run. Section 6, Appendix H.

  Args:
    config: a valid config of one seed.
    axis_name: name of the device axis, None on one device.

  Returns:
    The Task, its data in memory, its evaluation sets drawn.

  Raises:
    UserError: data or patches that are missing or do not fit.
  """
  (seed,) = config.seeds
  images = settings.images_of(config)
  split = settings.split_of(config, images)
  mean, std = settings.statistics(config, images, split)
  plan = settings.plan(
    config, steps_per_epoch=settings.steps_of(config, len(split.train_index))
  )
  p = config.patches
  setup = training.Setup(
    net=settings.net_of(config, images.num_classes),
    image=images.x_train.shape[1:],
    num_train=len(split.train_index),
    batch_size=config.train.batch_size,
    mean=mean,
    std=std,
    dtype=jnp.dtype(config.model.dtype),
    patch=training.PatchRule(
      p.rule, p.patch_only_probability, p.coefficient_bound
    )
    if p.enabled
    else None,
    noise_std=plan.noise_std,
    noise_shape=config.act_noise.shape,
    noisy=config.act_noise.std > 0,
    axis_name=axis_name,
  )

  def arrays(x, y, index):
    return x[index], y[index].astype(np.int32), np.asarray(index)

  train = arrays(images.x_train, images.y_train, split.train_index)
  test = arrays(images.x_test, images.y_test, split.test_index)
  scored = slice(config.eval.num_train)
  facts, files, bank = {}, {}, None
  member = test_member = None
  if p.enabled:
    bank, member = patched.bank_of(config, images, split)
    test_member = patched.members(
      config,
      total=len(images.x_test),
      index=split.test_index,
      stream=Stream.EVAL,
    )
  sets = sets_lib.make(
    seed=seed,
    num_classes=images.num_classes,
    test=test,
    train=tuple(x[scored] for x in train),
    validation=arrays(images.x_train, images.y_train, split.validation_index),
    num_probe=config.eval.num_probe,
    test_member=test_member,
    train_member=member[scored] if p.enabled else None,
    patch=setup.patch,
  )
  shared = {
    "images": train[0],
    "label": train[1],
    "index": train[2].astype(np.int32),
    "order": training.orders(
      seed, num_epochs=plan.num_epochs, num_train=setup.num_train
    ),
  }
  if p.enabled:
    shared |= {"member": member, "bank": bank}
    sha = patches.digest(bank, member, train[2])
    facts["patches"] = f"sha256 {sha}"
    files[patches.FILE] = metrics.npz(
      bank._asdict()
      | patched.figure_4(
        bank,
        *(x[: patched.NUM_FIGURE_4] for x in test[:2]),
        mean=mean,
        std=std,
        rule=p.rule,
      )
      | {
        "corner": np.array(patches.corner(*setup.image[:2], p.size)),
        "membership": member,
        "index": train[2].astype(np.int32),
        "mean": np.float32(mean),
        "std": np.float32(std),
      }
    )
  milestones = plan.milestones
  marks = {"anneal": milestones[0]} if milestones else {}
  facts |= {
    "data": f"{images.label}, sha256 {data_lib.digest(images, split)}",
    "dataset": images.label,
    "num_classes": images.num_classes,
    "steps_per_epoch": plan.steps_per_epoch,
    "num_parameters": settings.num_parameters(setup.net, setup.image),
    "milestones": milestones,
    "expected_events": list(marks),
    "setting": {
      "net": nets.label(setup.net),
      "train_images": setup.num_train,
      "test_images": len(split.test_index),
      "validation_images": len(split.validation_index),
      "pixel_mean": ", ".join(f"{x:.1f}" for x in mean),
      "pixel_std": ", ".join(f"{x:.1f}" for x in std),
      "batch_size": setup.batch_size,
      "epochs": plan.max_steps / plan.steps_per_epoch,
      "dtype": config.model.dtype,
    },
  }
  return Task(
    seeds=(seed,),
    # One seed: the [s] axis of every leaf has length 1.
    data=_one_seed(Data({}, shared)),
    eval_data=_one_seed(_eval_data(config, sets, bank)),
    **_functions(config, setup, plan, sets.groups),
    marks=marks,
    x64=False,
    # XLA's CPU gradient convolutions crawl inside a loop.
    device_loop=jax.default_backend() != "cpu",
    facts=facts,
    files=files,
  )


def _one_seed(data: Data) -> Data:
  return Data(*jax.tree.map(lambda x: np.asarray(x)[None], tuple(data)))


def _eval_data(config, sets, bank) -> Data:
  shared = {"images": sets.images} | ({"bank": bank} if bank else {})
  examples = {"jobs": sets.jobs}
  if config.eval.reestimate_batch_norm:
    trained = np.isin(
      sets.jobs.group,
      [sets.groups.index(g) for g in sets.groups if g in sets_lib.TRAIN],
    )
    examples["train"] = jax.tree.map(lambda x: x[trained], sets.jobs)
  return Data(examples, shared)


def _functions(config, setup, plan, groups) -> dict:
  """The functions of the Task, by its field names."""
  c = config.optim

  def chain(noise_key):
    return optim.make(
      learning_rate=plan.learning_rate,
      weight_decay=c.weight_decay,
      noise_std=c.grad_noise_std,
      noise_key=noise_key,
      momentum=c.momentum,
      nesterov=c.nesterov,
    )

  def init(root, data):
    del data
    params, batch_stats = nets.init(
      prng.stream_key(root, Stream.INIT), setup.net, setup.image
    )
    never = jnp.full((), NOT_YET, jnp.int32)
    return TrainState(
      step=jnp.zeros((), jnp.int32),
      params=params,
      model_state={
        "batch_stats": batch_stats,
        "augment_key": prng.stream_key(root, Stream.AUGMENT),
        "noise_key": prng.stream_key(root, Stream.ACT_NOISE),
      },
      opt_state=chain(prng.stream_key(root, Stream.GRAD_NOISE)).init(params),
      probe=(),
      stopped_at=never,
      diverged_at=never,
    )

  def evals(state, data) -> Measurements:
    stats = state.model_state["batch_stats"]
    if config.eval.reestimate_batch_norm:
      stats = evaluation.reestimate(
        setup, state.params, stats, Data(data.examples["train"], data.shared)
      )
    out = evaluation.score(
      setup,
      groups,
      state.params,
      stats,
      Data(data.examples["jobs"], data.shared),
      chunk=config.eval.batch_size,
    )
    values = {
      "epoch": state.step / plan.steps_per_epoch,
      "learning_rate": plan.learning_rate(state.step),
      "act_noise_std": plan.noise_std(state.step),
    }
    return out._replace(values=values)

  def outputs(state, data):
    stats = state.model_state["batch_stats"]

    def one(image):
      x = data_lib.normalize(image[None], setup.mean, setup.std)
      return nets.apply(
        setup.net, state.params, stats, x, train=False, dtype=setup.dtype
      )[0][0]

    chunk = config.eval.batch_size
    return jax.lax.map(one, data.shared["images"], batch_size=chunk)

  return {
    "init": init,
    "batches": lambda data, step: training.batch_at(setup, data, step),
    "step": optim.gradient_step(
      training.make_loss(setup),
      optim.moved_by(chain(None)),
      stop_loss=-np.inf,
      axis_name=setup.axis_name,
    ),
    "sums": ("loss", "accuracy"),
    "evals": evals,
    "outputs": outputs,
    "events": lambda state: {"diverge": state.diverged_at},
    "measured": (),
    "remember": lambda state, held: state,
    "learning_rate": lambda state, data: plan.learning_rate(state.step),
  }
