"""The theorem in a run of today's code: minutes, so `-m slow` asks for it."""

import math
import pathlib
import tempfile

import pytest
from absl.testing import absltest

from configs import patches as patches_config
from configs import theory as theory_config
from lro_jax import main
from lro_jax.core.schema import UserError
from lro_jax.report import collect, intervals
from lro_jax.vision import task as vision
from tests import testing

LOG2 = math.log(2)


@pytest.mark.slow
class PhenomenonTest(absltest.TestCase):
  def test_large_rate_learns_p_first_small_rate_errs_more_on_p(self):
    config = theory_config.get_config("limit")
    folder = self.enterContext(tempfile.TemporaryDirectory())
    workdir = pathlib.Path(folder)
    with testing.no_figures():
      main.run_all(config, workdir)
    rows = collect.tidy(collect.load(workdir))

    def of(arm, phase, metric):
      found = collect.values(
        rows, arm=arm, cell="base", phase=phase, metric=metric
      )
      self.assertLen(found, len(config.seeds))
      return found

    for value in of("large", "anneal", collect.LOWEST).values():
      self.assertGreater(value, 0.75 * LOG2)
    for value in of("large", "anneal", "train_loss/m1").values():
      self.assertLess(value, LOG2 / 2)
    for arm in ("large", "small"):
      for value in of(arm, "end", "test_error/q_only").values():
        self.assertLess(value, 0.01)
    gap = intervals.paired(
      of("small", "end", "test_error/p_only"),
      of("large", "end", "test_error/p_only"),
    )
    self.assertGreater(gap.low, 0)

  def test_small_rate_takes_the_patch_first_large_rate_when_annealed(self):
    config = patches_config.get_config("cpu")
    config.seeds = (0,)
    try:
      vision.check_data(main.expand(config)[0].config, 1)
    except UserError as error:
      self.skipTest(str(error))
    workdir = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    with testing.no_figures():
      main.run_all(config, workdir)
    runs = {run.arm: run for run in collect.load(workdir).runs}

    def at(arm, metric, epoch):
      run = runs[arm]
      steps, values = run.curve(metric, 0)
      step = epoch * run.record["facts"]["steps_per_epoch"]
      return values[steps == step][-1]

    # Chance is 10%; of 400 images, four standard errors above it are 16%.
    for arm in ("large", "small_noise"):
      self.assertLess(at(arm, "accuracy/patch_only", 9), 0.16)
    self.assertGreater(at("small", "accuracy/patch_only", 9), 0.16)
    clean = {arm: at(arm, "accuracy/clean", 15) for arm in runs}
    self.assertGreater(clean["large"], clean["small"])


if __name__ == "__main__":
  absltest.main()
