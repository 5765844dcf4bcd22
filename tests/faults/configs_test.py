"""A config with anything wrong in it is run, or refused in one sentence."""

import pathlib
import time

import pytest
from absl.testing import absltest, parameterized

from lro_jax import main, record
from lro_jax.core.schema import UserError
from tests import testing
from tests.faults import mutations

PRESETS = mutations.every_preset()
FILES = sorted({file for file, _ in PRESETS})
PER_PRESET = 40
# Of a message's letters: two of the widest schema's lists of fields.
LONGEST = 3000
# A plan takes milliseconds: so long is a loop over a number of a config.
SECONDS = 20


class Outcome:
  """What became of mutated configs, counted."""

  def __init__(self):
    self.tried = self.accepted = self.refused = 0
    self.wrong = []

  def add(self, preset, fields, mutation):
    """Plans a mutated config, and looks at what comes of it."""
    self.tried += 1
    started = time.monotonic()
    try:
      wrong = self._plan(mutations.mutated(fields, mutation), mutation)
    except Exception as error:  # any other kind is what is looked for
      wrong = f"{type(error).__name__}: {str(error)[:200]}"
    if time.monotonic() - started > SECONDS:
      wrong = f"took {time.monotonic() - started:.0f} s"
    if wrong:
      self.wrong.append(f"{preset}, {mutation.what}: {wrong}")

  def _plan(self, config, mutation):
    try:
      runs, infeasible = main.plan(config)
    except UserError as error:
      wrong = wrong_words(str(error), mutations.names_of(mutation))
      self.refused += not wrong
      return wrong
    # Made before any run is, where nothing catches what goes wrong.
    record.of_experiment(config, runs, infeasible)
    wrong = wrong_folders([run.name for run in runs])
    self.accepted += not wrong
    return wrong

  def text(self):
    """The counts in words."""
    return (
      f"{self.tried} mutated configs tried, {self.accepted} accepted,"
      f" {self.refused} refused in one sentence, {len(self.wrong)} otherwise"
    )


def wrong_words(text, names):
  """What is wrong with a refusal, if anything is."""
  if not text.isprintable() or not text.strip():
    return f"is not one line: {ascii(text)}"
  if len(text) > LONGEST:
    return f"is {len(text)} characters long: {text[:200]}"
  if not any(name in text for name in names):
    return f"names none of {', '.join(names)}: {text[:200]}"
  return None


def wrong_folders(names):
  """What is wrong with the folders of runs, if anything is."""
  top = pathlib.Path("/top")
  for name in names:
    parts = pathlib.Path(name).parts
    whole = "/".join(parts) == name and len(parts) in (2, 3)
    if not whole or ".." in parts or top not in (top / name).parents:
      return f"a run's folder would be {ascii(name)}"
  return None if len(set(names)) == len(names) else "two runs share a folder"


class PlanTestCase(testing.Figures, parameterized.TestCase):
  def check(self, file, chosen):
    """Asserts that of (preset, fields, mutations) all are run or refused."""
    outcome = Outcome()
    for preset, fields, some in chosen:
      for mutation in some:
        outcome.add(preset, fields, mutation)
    self.figure(f"{file}: {outcome.text()}")
    self.assertEmpty(outcome.wrong[:20])
    # A suite that refuses all, or nothing, tests half of what it should.
    self.assertGreater(outcome.accepted, 0)
    self.assertGreater(outcome.refused, outcome.accepted)


class SomeMutationsTest(PlanTestCase):
  @parameterized.parameters(*FILES)
  def test_a_mutated_config_is_planned_or_refused_in_a_sentence(self, file):
    names = [name for of, name in PRESETS if of == file]
    chosen = []
    for name in names:
      fields = mutations.get(file, name)
      some = mutations.sample(fields, PER_PRESET, (file, name))
      chosen.append((name, fields, some))
    self.check(file, chosen)

  def test_every_preset_is_planned_unmutated(self):
    for file, name in PRESETS:
      runs, infeasible = main.plan(
        mutations.ConfigDict(mutations.get(file, name))
      )
      self.assertNotEmpty(runs, f"{file}:{name}")
      self.assertEmpty(infeasible)
      self.assertIsNone(wrong_folders([run.name for run in runs]))

  def test_mutations_are_the_same_every_time(self):
    file, name = PRESETS[0]
    first, again = (
      [
        mutation.what
        for mutation in mutations.sample(mutations.get(file, name), 500, 0)
      ]
      for _ in range(2)
    )
    self.assertEqual(first, again)
    self.assertGreater(len(set(first)), 450)


@pytest.mark.slow
class AllMutationsTest(PlanTestCase):
  @parameterized.parameters(*FILES)
  def test_all_mutations_are_planned_or_refused_in_a_sentence(self, file):
    names = [name for of, name in PRESETS if of == file]
    every = [mutations.get(file, name) for name in names]
    self.check(
      file, zip(names, every, mutations.without_repeats(every), strict=True)
    )


if __name__ == "__main__":
  absltest.main()
