"""What the instruments' tests share: numbers by hand, and a small net."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from configs import theory as theory_config
from lro_jax.core import prng
from lro_jax.core.task import Measurements, Task
from lro_jax.theory import lemmas, settings
from lro_jax.theory.lemmas import Measured
from tests import testing

# With q_norm, num_strides and every share away from 1, so that none drops out.
NUMBERS = dict(
  dim=16,
  num_train=50,
  r=0.25,
  q_norm=2.0,
  init_std=0.1,
  large_learning_rate=0.5,
  small_learning_rate=0.05,
  weight_decay=0.02,
  excess=0.2,
  stop_loss=0.3,
  num_strides=3,
)


def setting(**numbers) -> settings.Setting:
  """The setting of `NUMBERS`."""
  config = testing.run_config(theory_config.get_config("network"), {})
  return settings.resolve(config)._replace(**NUMBERS | numbers)


def reading(**fields) -> lemmas.Reading:
  """A state after annealing, in double precision where that is on."""
  out = lemmas.Reading(
    step=40,
    annealed_at=30,
    rate=0.5,
    p=0.2,
    q=0.3,
    loss=0.4,
    loss_m2=0.25,
    loss_q_only=0.6,
    r_loss_m1=0.35,
    g_at=[-0.5, 0.75, -0.25],
    norm2_w=9.0,
    norm2_v=16.0,
    rho=0.4,
    large_rho_steps=7,
    m2_learned_at=12,
    grad_norm2=0.03,
    wedge_share=0.15,
    moved2=2.5,
    norm2_m2=6.25,
    alpha_norm=1.5,
    alpha_rest=0.8,
    rest2=0.49,
    units=[64.0, 1000.0],
    reach=[1.5, 2.5],
    row_grad=[0.01, 0.02],
    row_signal=[0.3, 0.4],
    noise_std=[0.11, 0.12],
    noise_kurtosis=[-0.3, 0.2],
    noise_entries=[600.0, 2400.0],
    tau=0.125,
    flips=[5.0, 6.0],
    pattern_gap=[0.07, 0.08],
    anneal_flips=[0.1, 0.2],
    anneal_gap=0.9,
    wedge_reach=0.05,
    channels=(Measured(0.1, 0.2), Measured(0.3, 0.4)),
  )
  return jax.tree.map(
    jnp.asarray,
    out._replace(**fields),
    is_leaf=lambda x: isinstance(x, list),
  )


# Anneals at step 5; the loss on M2 falls to stop_loss at 6, rho to 0.1 at 21.
FIELDS = {
  "seeds": (3,),
  "data.dim": 10,
  "data.num_train": 18,
  "data.num_test": 7,
  "data.p0": 0.3,
  "data.q0": 0.3,
  "data.q_norm": 6.0,
  "data.r": 0.8,
  "model.num_hidden": 32,
  "model.num_hidden_v": 40,
  "model.basis": "full",
  "model.init_std": 0.1,
  "model.dtype": "float64",
  "optim.large_learning_rate": 16.0,
  "optim.small_learning_rate": 8.0,
  "optim.weight_decay": 0.003,
  "optim.anneal_excess": 0.1,
  "optim.stop_loss": 0.23,
  "limit.stride": 1,
  "train.max": "24 steps",
}


class Run(NamedTuple):
  """A seed's path.

  Attributes:
    task: it is of.
    states: at steps 0, 1, ...
    logged: what is measured of each.
    evaluate: state -> Measurements.
  """

  task: Task
  states: list
  logged: list[Measurements]
  evaluate: Callable


def config(**fields):
  return testing.run_config(
    theory_config.get_config("network"),
    {"lemmas.measure": "all"} | FIELDS | fields,
  )


def first_seed(tree):
  return jax.tree.map(lambda x: x[0], tree)


def run(task: Task, num_steps: int) -> Run:
  """The first seed's path; a loss at stop_loss does not end it."""
  with jax.enable_x64(task.x64):
    data, eval_data = first_seed((task.data, task.eval_data))
    evals = jax.jit(task.evals)
    state = jax.jit(task.init)(prng.root_key(task.seeds[0]), data)
    states = [state]

    @jax.jit
    def step(state):
      before, after = task.events(state), task.events(task.step(state, data)[0])
      met = {name: after[name] != before[name] for name in task.measured}
      return task.step(task.remember(state, met), data)[0]

    for _ in range(num_steps):
      states.append(step(states[-1]))

    def evaluate(state):
      with jax.enable_x64(task.x64):
        return jax.device_get(evals(state, eval_data))

    return Run(task, states, [evaluate(s) for s in states], evaluate)
