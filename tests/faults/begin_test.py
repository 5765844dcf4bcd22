"""What a mutated config is planned to, begins, or is refused in one sentence.

At smoke size: the data are looked at and drawn, and the Task is made.
"""

import random

import pytest
from absl.testing import absltest, parameterized

from lro_jax import main, plans
from lro_jax.core import placement
from lro_jax.core.schema import UserError, flatten
from tests import testing
from tests.faults import configs_test, mutations

# Each instrument is compiled.
FEW = {"lemmas": {"measure": "4.2"}}
# File, preset, fields that save seconds, so many mutations; so many if slow.
CONFIGS = (
  ("configs/theory.py", "limit", FEW, 3, 60),
  ("configs/theory.py", "network", FEW, 10, 60),
  ("configs/patches.py", "smoke", {}, 1, 15),
)
# Larger ones run out of memory or time, each in its own way.
LARGEST = {
  "data.dim": 100,
  "data.num_train": 1000,
  "data.num_test": 1000,
  "data.num_validation": 1000,
  "model.num_hidden": 1000,
  "model.num_hidden_v": 1000,
  "model.widen_factor": 2,
  "model.depth": 16,
  "eval.num_train": 1000,
  "eval.num_probe": 1000,
}
# Whose value no Task reads.
IDLE = ("name", "checkpoint.", "arms.", "exponents", "grid")


def is_small(config) -> bool:
  """Whether its Task is made in seconds."""
  fields = flatten(config)
  return len(config.seeds) <= 8 and all(
    fields[name] <= most for name, most in LARGEST.items() if name in fields
  )


def begun(run):
  """The Task of a run, after all that main does before it trains."""
  track = plans.track_of(run.config)
  devices = placement.num_devices(track.num_devices(run.config))
  track.check_data(run.config, devices)
  track.describe(run.config, whole=True)
  return track.make(run.config, axis_name=placement.axis_name(devices))


class BeginTestCase(testing.Figures, parameterized.TestCase):
  def planned(self, fields, count, seed):
    """(mutation, first run) of some that are planned, all of them different."""
    known = {str(main.plan(mutations.ConfigDict(fields))[0][0].config)}
    every = mutations.every(fields)
    random.Random(str(seed)).shuffle(every)
    for mutation in every:
      if ".".join(map(str, mutation.path)).startswith(IDLE):
        continue
      try:
        runs, _ = main.plan(mutations.mutated(fields, mutation))
      except UserError:
        continue
      if is_small(runs[0].config) and str(runs[0].config) not in known:
        known.add(str(runs[0].config))
        yield mutation, runs[0]
        count -= 1
      if not count:
        return

  def check(self, file, preset, few, count):
    """Asserts that so many planned mutations begin, or are refused."""
    fields = mutations.get(file, preset) | {"smoke": True} | few
    made = refused = 0
    wrong = []
    for mutation, run in self.planned(fields, count, (file, preset)):
      try:
        self.assertNotEmpty(begun(run).facts)
        made += 1
      except UserError as error:
        refused += 1
        names = mutations.names_of(mutation)
        text = configs_test.wrong_words(str(error), names)
        if text:
          wrong.append(f"{mutation.what}: {text}")
      except Exception as error:  # any other kind is what is looked for
        kind = type(error).__name__
        wrong.append(f"{mutation.what}: {kind}: {str(error)[:300]}")
    self.figure(
      f"{file}:{preset}: {count} planned mutations begun, {made} made a Task,"
      f" {refused} refused in one sentence, {len(wrong)} otherwise"
    )
    self.assertEmpty(wrong[:20])
    self.assertEqual(made + refused, count)
    self.assertGreater(made, count / 3)


class SomeBeginTest(BeginTestCase):
  @parameterized.parameters(*CONFIGS)
  def test_what_is_planned_begins_or_is_refused(
    self, file, preset, few, count, _
  ):
    self.check(file, preset, few, count)


@pytest.mark.slow
class MoreBeginTest(BeginTestCase):
  @parameterized.parameters(*CONFIGS)
  def test_what_is_planned_begins_or_is_refused(
    self, file, preset, few, _, count
  ):
    self.check(file, preset, few, count)


if __name__ == "__main__":
  absltest.main()
