"""Which instruments there are, who may ask for which, and what is logged."""

import functools
import math
import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.task import NOT_YET
from lro_jax.theory import instruments
from tests import testing
from tests.theory import small

NETWORK, LIMIT = "network", "limit"
EVERYWHERE = (
  (LIMIT, "split"),
  (LIMIT, "conv"),
  (NETWORK, "split"),
  (NETWORK, "conv"),
  (NETWORK, "general"),
)
NUM_STEPS = 12


def names_of(chosen):
  return [i.name for i in chosen]


def config(engine, structure, measure="all"):
  fields = {
    "engine": engine,
    "model.structure": structure,
    "lemmas.measure": measure,
    # The loss on M2 falls to it within the steps.
    "optim.stop_loss": 0.45,
  }
  if engine == LIMIT:
    # Above 8 the kernel's series would have to reach farther.
    fields |= {"data.dim": 100, "optim.weight_decay": 0.001}
  if structure != "split":
    fields |= {"model.num_hidden": 64, "model.num_hidden_v": 0}
  return small.config(**fields)


@functools.cache
def run(engine, structure, measure="all"):
  task = testing.make_task(config(engine, structure, measure))
  return small.run(task, NUM_STEPS)


def logged(of_run, name):
  """A metric at every step, [steps]."""
  return np.array([m.values[name] for m in of_run.logged])


class ChoiceTest(parameterized.TestCase):
  def test_no_two_instruments_share_a_name(self):
    for i in instruments.CATALOGUE.entries():
      testing.refusal(self, lambda i=i: instruments.add(i), repr(i.name))

  @parameterized.parameters(*EVERYWHERE)
  def test_all_is_what_there_is_and_none_is_nothing(self, engine, structure):
    there = instruments.available(engine, structure)
    self.assertNotEmpty(there)
    self.assertEqual(instruments.choose("all", engine, structure), there)
    self.assertEmpty(instruments.choose("none", engine, structure))

  def test_names_are_taken_in_the_catalogues_order_without_spaces(self):
    chosen = instruments.choose("B.4 ,4.2,  A.7 law V", NETWORK, "split")
    self.assertEqual(names_of(chosen), ["4.2", "A.7 law V", "B.4"])

  def test_an_unknown_name_is_refused_with_the_nearest(self):
    testing.refusal(
      self,
      lambda: instruments.choose("4.2, 5.3 alfa", NETWORK, "split"),
      *("lemmas.measure", "'5.3 alfa'", "did you mean '5.3 alpha'"),
    )

  @parameterized.parameters(
    ("A.2 W", LIMIT, "split"),
    ("F.3", NETWORK, "split"),
    ("B.6", NETWORK, "general"),
    ("D.3 reach", LIMIT, "conv"),
  )
  def test_one_that_is_not_there_is_refused_with_those_that_are(
    self, name, engine, structure
  ):
    text = testing.refusal(
      self,
      lambda: instruments.choose(f"B.4,{name}", engine, structure),
      *(repr(name), repr(engine), repr(structure), "4.1 steps"),
    )
    self.assertNotIn(name, text.split("choose out of")[1])

  def test_a_run_carries_what_its_instruments_need_and_nothing_else(self):
    for measure, carries in (
      ("4.2, B.4", set()),
      ("5.2", {"from_m2"}),
      ("5.2, B.6, 4.3 norm", {"from_m2", "from_start", "moved"}),
    ):
      chosen = instruments.choose(measure, NETWORK, "split")
      self.assertSetEqual(set(instruments.carried(chosen)), carries)


class PhaseTest(parameterized.TestCase):
  def silent(self, annealed_at):
    """Names whose value or bound is null, at this latch."""
    with jax.enable_x64(True):
      reading = small.reading(annealed_at=annealed_at)
      found = jax.jit(
        lambda x: instruments.measure(
          instruments.CATALOGUE.entries(), x, small.setting()
        )
      )(reading)
    names = {}
    for key, value in found.items():
      kind, name = key.split("/", 1)
      names.setdefault(name, {})[kind] = math.isnan(value)
    self.assertCountEqual(names, list(instruments.CATALOGUE))
    for of_kind in names.values():
      self.assertCountEqual(of_kind, ("lemma", "bound"))
    return {n for n, of_kind in names.items() if of_kind["bound"]}, {
      n for n, of_kind in names.items() if of_kind["lemma"]
    }

  def test_a_statement_is_null_outside_of_its_phase(self):
    by_phase = {}
    for i in instruments.CATALOGUE.entries():
      by_phase.setdefault(i.phase, set()).add(i.name)
    # 4.3 counts from annealing: its values, not its bounds, are null before.
    before = self.silent(NOT_YET)
    self.assertSetEqual(before[0], by_phase["after"])
    self.assertSetEqual(
      before[1], by_phase["after"] | {"4.3 steps", "4.3 norm"}
    )
    after = self.silent(30)
    for found in after:
      self.assertSetEqual(found, by_phase["before"] | by_phase["annealing"])
    # The lemma's own words.
    self.assertIn("4.2", by_phase["before"])
    self.assertIn("4.1 norm", by_phase["annealing"])
    self.assertIn("B.3 output", by_phase["after"])


class RunTest(parameterized.TestCase):
  @parameterized.parameters(*EVERYWHERE)
  def test_every_instrument_there_is_speaks_in_a_run_that_anneals(
    self, engine, structure
  ):
    path = run(engine, structure)
    annealed = int(path.task.events(path.states[-1])["anneal"])
    self.assertBetween(annealed, 1, NUM_STEPS - 1)
    silent = []
    for i in instruments.available(engine, structure):
      value, bound = (logged(path, f"{k}/{i.name}") for k in ("lemma", "bound"))
      if not np.isfinite(value[np.isfinite(bound)]).any():
        silent.append(i.name)
    self.assertEmpty(silent)
    found = {n for n in path.logged[0].values if n.startswith("lemma/")}
    self.assertLen(found, len(instruments.available(engine, structure)))

  # Each has something else carried along for it.
  @parameterized.parameters(
    (NETWORK, "4.3 norm"),
    (NETWORK, "5.3 fit"),
    (NETWORK, "B.6"),
    (LIMIT, "4.3 norm"),
  )
  def test_a_value_does_not_depend_on_what_else_is_asked_for(
    self, engine, name
  ):
    among_all, alone = run(engine, "split"), run(engine, "split", name)
    mine = {f"lemma/{name}", f"bound/{name}"}
    found = {n for n in alone.logged[0].values if n[:6] in ("lemma/", "bound/")}
    self.assertSetEqual(found, mine)
    for key in mine:
      # Compiled another way, double precision.
      np.testing.assert_allclose(
        logged(alone, key), logged(among_all, key), rtol=1e-9, atol=1e-11
      )

  def test_the_record_describes_every_instrument_that_is_logged(self):
    cfg = config(NETWORK, "split", "B.4, 4.2")
    cfg.train.max = "2 steps"
    with tempfile.TemporaryDirectory() as folder:
      record, rows = testing.run(cfg, pathlib.Path(folder))
    facts = {i["name"]: i for i in record["facts"]["instruments"]}
    self.assertEqual(list(facts), ["4.2", "B.4"])
    self.assertEqual(facts["B.4"]["kind"], "at least")
    self.assertIn("||grad L||^2", facts["B.4"]["statement"])
    self.assertNotEmpty(rows)
    for row in rows:
      for kind in ("lemma", "bound"):
        got = {n.split("/", 1)[1] for n in row if n.startswith(f"{kind}/")}
        self.assertSetEqual(got, set(facts))


if __name__ == "__main__":
  absltest.main()
