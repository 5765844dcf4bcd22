"""The theorem in a run of today's code: minutes, so `-m slow` asks for it."""

import math
import pathlib
import tempfile

import pytest
from absl.testing import absltest

from configs import theory as theory_config
from lro_jax import main
from lro_jax.report import collect, intervals
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


if __name__ == "__main__":
  absltest.main()
