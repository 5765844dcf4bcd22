r"""What if the rate, or the noise, were annealed here: branches of one run.

First a run that keeps its states, then branches from some of them:

  python -m lro_jax.main --config=configs/patches.py:cpu --only='large/*' \
      --config.checkpoint.every='500 steps' --config.checkpoint.keep=100 \
      --workdir=runs/patches
  python -m lro_jax.main --workdir=runs/branches \
      --branch_from=runs/patches/large/base@500,1000,2000

--branch_from=X is short for --config=configs/branch.py:X. The arms: `continued`
goes on as the run did, `annealed_500` and so on anneal there by the run's own
factor. Schedules can be set as ever, for all arms or one of them:
--config.arms.annealed_500.optim.weight_decay=0. Other arms, both tracks: any
config whose runs set `branch_from`, see lro_jax/core/branch.py.
"""

from lro_jax import branching


def get_config(arg=""):
  """The experiment, as data."""
  return branching.experiment(arg)
