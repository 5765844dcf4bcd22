"""Large against small learning rate on CIFAR-10 with a memorisable patch.

Reproduces Figure 3 and Table 2 (Li, Wei and Ma, 2019; Section 6, H.2): the
small rate takes the patch first, the large rate and the small rate under
activation noise only when they are annealed.

  python -m lro_jax.main --config=configs/patches.py --workdir=runs/patches

Presets, after a colon (`--config=configs/patches.py:cpu`):
  authors   as the authors' code has it: one seed (--config.seeds=0,1,2), three
            arms, 60 epochs of WRN-16-10; for a GPU or TPU
  paper     as the paper's text has it; main's --diff=authors,paper lists where
            the two differ
  cpu       a reduced net and 10,000 images, for two cores; 3 seeds
  smoke     seconds, on synthetic images, to test the machinery
"""

from configs import common, vision

ConfigDict = common.ConfigDict


def authors():
  """Table 2 as the authors' code runs it."""
  c = vision.base("patches")
  c.patches.enabled = True
  c.train.max = "60 epochs"  # paper, H.2
  c.arms = ConfigDict(
    {
      "large": {
        "optim": {
          "learning_rate": 0.1,  # paper, H.2
          "anneal_factor": 0.04,  # authors: lr_decay_early; 0.1 to 0.004
          "anneal_at": ("29 epochs",),  # authors: from the start of epoch 30
        }
      },
      "small": {"optim": {"learning_rate": 0.004}},  # paper, H.2
      "small_noise": {
        "optim": {"learning_rate": 0.004},  # paper, H.2
        "act_noise": {
          "std": 0.4,  # paper, H.2
          "anneal_factor": 1e-5,  # paper, H.2: 0.4 to 4e-6
          "anneal_at": ("29 epochs",),  # authors: from the start of epoch 30
        },
      },
    }
  )
  return c


def paper():
  """Table 2 as the paper's text has it."""
  c = authors()
  c.patches.split = "exact"  # H.2: 40,000 of 50,000
  c.patches.rule = "add"  # H.2: z +- zeta is added
  c.arms.small_noise.act_noise.anneal_at = ("30 epochs",)  # H.2: after the 30th
  return c


def cpu():
  """The same three arms, of a size for two cores; every number here is ours."""
  c = authors()
  c.name = "patches_cpu"
  c.seeds = (0, 1, 2)
  c.data.update(num_train=10000, num_test=1500)
  # A wider zeta and twice the large rate: so few and small steps must find the
  # patch at the small rate, and not find it at the large one.
  c.patches.zeta_bound = 0.3
  c.model.update(depth=10, widen_factor=1, dtype="float32")
  c.train.update(max="15 epochs", batch_size=32, steps_per_call=50)
  c.eval.update(per_decade=4, batch_size=250, num_train=600, num_probe=400)
  at = ("9 epochs",)
  c.arms.large.optim.update(learning_rate=0.2, anneal_factor=0.05, anneal_at=at)
  c.arms.small.optim.learning_rate = 0.01
  c.arms.small_noise.optim.learning_rate = 0.01
  c.arms.small_noise.act_noise.anneal_at = at
  return c


def get_config(arg=""):
  """The experiment, as data."""
  return common.pick(
    dict(
      authors=authors,
      paper=paper,
      cpu=cpu,
      smoke=lambda: vision.smoke(authors()),
    ),
    arg,
  )
