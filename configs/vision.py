"""What configs/cifar10.py and configs/patches.py share."""

from configs import common

ConfigDict = common.ConfigDict

# Of CIFAR-10's pixels, per channel; authors: data_util.py (paper, H).
MEAN = (125.3, 123.0, 113.9)
STD = (63.0, 62.1, 66.7)


def base(name):
  """A WideResNet16 on all of CIFAR-10, as the authors train it."""
  c = common.base(name, "vision")
  c.data = ConfigDict(
    dict(
      source="cifar10",  # or FILE.npz: one's own images; or synthetic
      dir="",  # of tensorflow-datasets; '': its default, or TFDS_DATA_DIR
      num_train=0,  # 0: all
      num_validation=0,  # held out of training; the authors hold out none
      num_test=0,  # 0: all
      mean=MEAN,  # (): of the training images
      std=STD,
    )
  )
  c.patches = ConfigDict(
    dict(
      enabled=False,
      size=7,  # paper, Section 6
      z_std=1.25,  # paper, H.2: sigma_z
      zeta_bound=0.1,  # paper, H.2: beta
      coefficient_bound=1.75,  # paper, H.2: alpha
      probability=0.8,  # paper, H.2: of carrying a patch at all
      patch_only_probability=0.2,  # paper, H.2: of a patch without its image
      split="bernoulli",  # authors: FixedAugmentDataset; the text: exact
      rule="replace",  # authors: PatchAugmentFixed; the text: add
      bank="",  # a patches.npz to take patches and membership from
    )
  )
  c.model = ConfigDict(
    dict(
      net="wide_resnet",  # or one's own: lro_jax/EXTENDING.md
      depth=16,  # paper, Section 6
      widen_factor=10,  # authors: WideResNet.__init__
      # Authors; or bfloat16 activations. What a GPU or TPU makes of float32
      # products is jax_default_matmul_precision (TF32, bfloat16 passes).
      dtype="float32",
    )
  )
  c.optim = ConfigDict(
    dict(
      learning_rate=0.1,
      anneal_factor=1.0,
      anneal_at=(),
      momentum=0.9,  # authors: create_optimizer
      nesterov=True,  # authors: create_optimizer
      weight_decay=5e-4,  # authors: create_optimizer; on all parameters
      grad_noise_std=0.0,
    )
  )
  c.act_noise = ConfigDict(
    dict(
      std=0.0,
      shape="shared",  # paper, H.1: one map for all examples and channels
      anneal_factor=1.0,
      anneal_at=(),
      decay=1.0,
      decay_every="epoch",
    )
  )
  c.train.batch_size = 128  # authors; of all devices together
  c.train.steps_per_call = 400  # ours: about an epoch
  c.eval = ConfigDict(
    dict(
      per_decade=6,  # log-spaced while denser than `every`
      every="1 epochs",
      batch_size=500,
      num_train=2000,  # training examples that are scored
      num_probe=1000,  # of patch-only and conflict sets; authors: 1000
      reestimate_batch_norm=False,  # statistics without noise before scoring
    )
  )
  c.checkpoint.minutes = 5.0
  c.seeds = (0,)  # ours; authors: 2, one trial
  c.shrink = ConfigDict(
    dict(
      data=dict(source="synthetic", dir="", num_train=60, num_test=20),
      model=dict(depth=10, widen_factor=1, dtype="float32"),
      optim=dict(anneal_at=()),
      act_noise=dict(anneal_at=()),
      train=dict(max="4 steps", batch_size=16),
      eval=dict(per_decade=1, batch_size=20, num_train=20, num_probe=10),
    )
  )
  return c


def smoke(experiment):
  """An experiment in seconds, on synthetic images; its numbers mean nothing."""
  experiment.smoke = True
  return experiment
