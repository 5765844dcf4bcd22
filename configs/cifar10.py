"""Large against small learning rate on clean CIFAR-10, without augmentation.

Reproduces Figure 1 and Table 1 (Li, Wei and Ma, 2019; Section 6, H.1), and the
clean controls of H.2.

  python -m lro_jax.main --config=configs/cifar10.py --workdir=runs/cifar10

Presets, after a colon (`--config=configs/cifar10.py:control`):
  authors   Table 1 as the authors' code has it: three arms, 200 epochs of
            WRN-16-10; for a GPU or TPU
  paper     as the paper's text has it; main's --diff=authors,paper lists where
            the two differ
  control   H.2: large and small rate of Table 2 on 10,000 and on 50,000 clean
            images
  cpu       a reduced net and 10,000 images, for two cores
  smoke     seconds, on synthetic images, to test the machinery
"""

from configs import common, vision

ConfigDict = common.ConfigDict


def authors():
  """Table 1 as the authors' code runs it."""
  c = vision.base("cifar10")
  c.train.max = "200 epochs"  # paper, H.1
  c.optim.anneal_factor = 0.2  # paper, H.1
  # Paper, H.1: at epochs 60, 120, 150; authors: from their start.
  c.optim.anneal_at = ("59 epochs", "119 epochs", "149 epochs")
  c.arms = ConfigDict(
    {
      "large": {"optim": {"learning_rate": 0.1}},  # paper, H.1
      "small": {"optim": {"learning_rate": 0.01}},  # paper, H.1
      "small_noise": {
        "optim": {"learning_rate": 0.01},  # paper, H.1
        "act_noise": {
          "std": 0.2,  # paper, H.1
          "decay": 0.995,  # paper, H.1
          "decay_every": "epoch",  # authors: act_noise_decay_cont
        },
      },
    }
  )
  return c


def paper():
  """Table 1 as the paper's text has it."""
  c = authors()
  c.arms.small_noise.act_noise.decay_every = "step"  # H.1: every iteration
  return c


def control():
  """H.2's controls: what a fifth of the images, and all, give without patch."""
  c = vision.base("cifar10_control")
  c.train.max = "60 epochs"  # ours: as H.2 has it for the patch runs
  c.arms = ConfigDict(
    {
      "large": {
        "optim": {
          "learning_rate": 0.1,  # paper, H.2
          "anneal_factor": 0.04,  # paper, H.2
          "anneal_at": ("29 epochs",),  # authors: from the start of epoch 30
        }
      },
      "small": {"optim": {"learning_rate": 0.004}},  # paper, H.2
    }
  )
  c.grid.num_train = ConfigDict(
    {"field": "data.num_train", "values": (10000, 50000)}
  )
  return c


def cpu():
  """The three arms at a size for two cores; every number here is ours."""
  c = authors()
  c.name = "cifar10_cpu"
  c.data.update(num_train=10000, num_test=2000)
  c.model.update(depth=10, widen_factor=1, dtype="float32")
  c.train.update(max="15 epochs", batch_size=32, steps_per_call=50)
  c.eval.update(per_decade=4, batch_size=250, num_train=1000)
  c.optim.anneal_at = ("9 epochs",)
  c.optim.anneal_factor = 0.1
  return c


def get_config(arg=""):
  """The experiment, as data."""
  return common.pick(
    dict(
      authors=authors,
      paper=paper,
      control=control,
      cpu=cpu,
      smoke=lambda: vision.smoke(authors()),
    ),
    arg,
  )
