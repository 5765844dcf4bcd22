"""The arms of a cell are one program, whatever their rates."""

import jax
from absl.testing import absltest, parameterized

from lro_jax.core import steps
from tests import testing

SIZES = {"lemmas.measure": "all", "seeds": (0, 1)}


def programs(preset: str, arm: str, fields: dict) -> dict[str, str]:
  """What is compiled for an arm, as text."""
  config = testing.experiment(preset, testing.TINY | SIZES)
  task = testing.make_task(
    testing.run_config(config, {"optim.algorithm": arm} | fields)
  )
  with jax.enable_x64(task.x64):
    compiled = steps.compile_task(task, 1)
    lowered = compiled.lower(jax.eval_shape(compiled.init))
  return {name: program.as_text() for name, program in lowered.items()}


class OneProgramTest(parameterized.TestCase):
  @parameterized.parameters("limit", "network")
  def test_arms_with_other_rates_and_annealing_are_the_same_program(
    self, preset
  ):
    large = programs(preset, "large", {})
    self.assertEqual(programs(preset, "small", {}), large)
    later = {"optim.anneal_latest": 7, "optim.anneal_excess": 0.3}
    self.assertEqual(programs(preset, "large", later), large)
    # A constant of the program is told from one of the data.
    other = programs(preset, "large", {"optim.weight_decay": 0.01})
    self.assertNotEqual(other["call"], large["call"])


if __name__ == "__main__":
  absltest.main()
