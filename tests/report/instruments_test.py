"""Each instrument is read where its statement speaks, beside its bound."""

import math
import pathlib

from absl.testing import absltest, parameterized

from lro_jax.report import (
  collect,
  elements,
  instruments,
  intervals,
  summary,
)
from tests.report import fake
from tests.report.fake import instrument, reading
from tests.report.tables_test import line_of

# Values over a bound of 1: annealed at step 3, stopped at step 6.
VALUES = {0: 0.5, 1: 5.0, 2: 0.125, 3: 2.0, 4: 0.25, 5: 7.0, 6: 3.0}
EVENTS = {3: "anneal", 6: "stop"}


def run_of(
  rows=None, *, arm="large", listed=None, cell="base", values=VALUES, **kwargs
):
  rows = rows or [
    reading(t, 0, EVENTS.get(t), value=value) for t, value in values.items()
  ]
  like = arm if arm in fake.P_ONLY else "small"
  listed = [instrument()] if listed is None else listed
  facts = fake.with_instruments(like, listed)
  seeds = {str(row["seed"]): fake.seed_end() for row in rows}
  return fake.run_log(
    arm, rows=rows, facts=facts, seeds=seeds, cell=cell, **kwargs
  )


class ReadingTest(parameterized.TestCase):
  @parameterized.parameters(
    ("at most", "before", 5.0),
    ("at most", "annealing", 2.0),
    ("at most", "after", 7.0),
    ("at most", "end", 3.0),
    ("at most", "whole", 7.0),
    ("at least", "before", 0.125),
    ("at least", "annealing", 2.0),
    ("at least", "after", 0.25),
    ("at least", "end", 3.0),
    ("at least", "whole", 0.125),
    # |log| of 1/8 is more than that of 5, that of 7 more than of 1/4.
    ("equal", "before", 0.125),
    ("equal", "after", 7.0),
    ("equal", "whole", 0.125),
    ("equal", "end", 3.0),
  )
  def test_the_worst_ratio_of_its_phase_is_read(self, kind, phase, expected):
    found = instruments.reading(run_of(), instrument(kind=kind, phase=phase), 0)
    self.assertEqual(found.ratio, expected)

  def test_worst_is_by_ratio_and_value_and_bound_are_of_that_step(self):
    rows = [
      reading(0, 0, value=8.0, bound=16.0),
      reading(1, 0, value=6.0, bound=2.0),
      reading(2, 0, value=9.0, bound=9.0),
    ]
    found = instruments.reading(run_of(rows), instrument(), 0)
    self.assertEqual(found, (6.0, 2.0, 3.0))

  @parameterized.parameters(("before", 9.0), ("after", 2.0))
  def test_the_state_that_is_annealed_is_of_the_time_before(
    self, phase, expected
  ):
    run = run_of(
      [
        reading(0, 0, value=1.0),
        reading(3, 0, "anneal", value=9.0),
        reading(4, 0, value=2.0),
      ]
    )
    found = instruments.reading(run, instrument(phase=phase), 0)
    self.assertEqual(found.ratio, expected)

  @parameterized.parameters(
    ("before", 7.0), ("whole", 7.0), ("annealing", None), ("after", None)
  )
  def test_without_annealing_all_is_before_it(self, phase, expected):
    rows = [reading(t, 0, value=value) for t, value in VALUES.items()]
    found = instruments.reading(run_of(rows), instrument(phase=phase), 0)
    self.assertEqual(found and found.ratio, expected)

  @parameterized.parameters("before", "annealing", "after", "end", "whole")
  def test_null_or_missing_values_are_no_readings(self, phase):
    spec = instrument(phase=phase)
    rows = [reading(t, 0, EVENTS.get(t), value=None) for t in VALUES]
    self.assertIsNone(instruments.reading(run_of(rows), spec, 0))
    rows = [fake.row(t, 0, EVENTS.get(t)) for t in VALUES]
    self.assertIsNone(instruments.reading(run_of(rows), spec, 0))

  @parameterized.parameters(None, 0.0)
  def test_without_a_bound_there_is_a_value_and_no_ratio(self, bound):
    rows = [reading(0, 0, value=4.0), reading(1, 0, value=5.0, bound=bound)]
    run = run_of(rows)
    found = instruments.reading(run, instrument(phase="end"), 0)
    self.assertEqual(found.value, 5.0)
    self.assertTrue(math.isnan(found.ratio))
    found = instruments.reading(run, instrument(phase="whole"), 0)
    self.assertEqual(found, (4.0, 1.0, 4.0))

  def test_zero_is_further_from_equal_than_anything(self):
    rows = [reading(t, 0, value=v) for t, v in enumerate((1e9, 0.0, 1e-9))]
    found = instruments.reading(run_of(rows), instrument(kind="equal"), 0)
    self.assertEqual(found.ratio, 0.0)

  def test_numbers_of_a_diverged_net_are_not_read(self):
    rows = [reading(0, 0, value=2.0), reading(1, 0, "diverge", value=9.0)]
    run = run_of(rows)
    found = instruments.reading(run, instrument(phase="whole"), 0)
    self.assertEqual(found.ratio, 2.0)
    self.assertIsNone(instruments.reading(run, instrument(phase="end"), 0))

  def test_mean_and_interval_are_over_the_seeds_that_have_it(self):
    rows = [reading(0, 5, value=8.0, bound=2.0)]
    rows += [reading(0, 6, value=3.0, bound=3.0)]
    rows += [reading(0, 7, value=None)]
    found = instruments.measured(run_of(rows), instrument())
    self.assertEqual((found.value.mean, found.bound.mean), (5.5, 2.5))
    self.assertEqual(found.ratio, intervals.interval([4.0, 1.0]))


class TableTest(parameterized.TestCase):
  def test_arms_stand_side_by_side_in_the_order_of_the_list(self):
    listed = [instrument("B", phase="end"), instrument("A", phase="end")]
    rows = [
      reading(0, s, name="B", value=4.0 + s, bound=2.0)
      | reading(0, s, name="A", value=1.0)
      for s in (0, 1)
    ]
    runs = [run_of(rows, listed=listed, arm=a) for a in ("large", "other")]
    table = instruments.table(runs)
    self.assertEqual([line[0].strip() for line in table.lines], ["B", "A"])
    self.assertEqual(
      table.header[1:6],
      ["where", "claim", "large", "large: bound", "large: ratio"],
    )
    # 2.25 -+ 12.7062 / 4
    self.assertEqual(
      line_of(table, "B")[:5],
      ["end", "at most", "4.5", "2", "2.25 [-0.927, 5.43]"],
    )

  def test_seeds_without_a_reading_are_counted(self):
    rows = [reading(0, s, value=2.0 if s else None) for s in (0, 1, 2)]
    table = instruments.table([run_of(rows)])
    self.assertEqual(line_of(table, "4.2")[4], "2 [2, 2] (2 seeds)")

  @parameterized.parameters(
    ("large", "large", False),
    ("small", "large", True),
    ("small_noise", "large", False),
    ("large", "small", True),
    ("small", "small", False),
    ("small_noise", "small", True),
    ("large", "both", False),
    ("small", "both", False),
    ("small_noise", "both", False),
  )
  def test_arms_that_a_statement_is_not_of_stand_back(
    self, arm, algorithm, back
  ):
    spec = instrument(algorithm=algorithm, phase="end")
    table = instruments.table([run_of(arm=arm, listed=[spec])])
    texts = line_of(table, "4.2")[2:]
    plain = ["3", "1", "3 (1 seed)"]
    self.assertEqual(texts, [f"({t})" for t in plain] if back else plain)
    html = elements.table(table)
    self.assertEqual(html.count('<td class="soft">'), 3 if back else 0)
    self.assertEqual("<td>3</td>" in html, not back)

  def test_what_an_arm_lacks_is_a_dash_without_parentheses(self):
    spec = instrument(algorithm="small", phase="after")
    rows = [reading(0, 0, value=1.0)]
    table = instruments.table([run_of(rows, listed=[spec])])
    self.assertEqual(line_of(table, "4.2")[2:], ["-", "-", "-"])

  @parameterized.parameters("missing", "empty", "null")
  def test_runs_without_instruments_have_no_table(self, how):
    run = run_of(listed=[])
    if how == "missing":
      del run.record["facts"]["instruments"]
    if how == "null":
      run.record["facts"]["instruments"] = None
    self.assertIsNone(instruments.table([run]))
    experiment = collect.Experiment(pathlib.Path("."), {}, [run] * 2)
    self.assertIsNone(instruments.over_cells(experiment))
    self.assertEmpty(instruments.statements([run]))

  def test_statements_say_source_and_time(self):
    self.assertEqual(
      instruments.statements([run_of()]),
      ["4.2: a of 4.2 <= b (Lemma 4.2; before annealing)"],
    )


class OverCellsTest(absltest.TestCase):
  def runs(self):
    listed = [
      instrument("L", phase="end"),
      instrument("S", algorithm="small", phase="end"),
      instrument("never", algorithm="both", phase="end"),
    ]
    value = 0.0
    for cell in ("r=2", "r=1"):
      for arm in ("large", "small"):
        value += 1
        row = reading(0, 0, name="L", value=value)
        row |= reading(0, 0, name="S", value=10 * value)
        yield run_of([row], arm=arm, cell=cell, listed=listed)

  def test_ratios_stand_by_arm_then_cell_where_the_statement_speaks(self):
    experiment = collect.Experiment(pathlib.Path("."), {}, list(self.runs()))
    table = instruments.over_cells(experiment)
    self.assertEqual(
      table.header[2:],
      ["large, r=2", "large, r=1", "small, r=2", "small, r=1"],
    )
    self.assertEqual(line_of(table, "L")[1:], ["1", "3", "-", "-"])
    self.assertEqual(line_of(table, "S")[1:], ["-", "-", "20", "40"])
    self.assertEqual(line_of(table, "never")[1:], ["-"] * 4)

  def test_a_single_cell_has_no_movement(self):
    runs = list(self.runs())[:2]
    experiment = collect.Experiment(pathlib.Path("."), {}, runs)
    self.assertIsNone(instruments.over_cells(experiment))


class SummaryTest(absltest.TestCase):
  def test_summary_holds_mean_bound_and_ratio_with_its_interval(self):
    rows = [reading(0, s, value=3.0 + s, bound=2.0) for s in (0, 1)]
    listed = [instrument(), instrument("absent")]
    (value, bound, *ratio) = instruments.means(run_of(rows, listed=listed))[
      "4.2"
    ]
    self.assertEqual((value, bound), (3.5, 2.0))
    self.assertEqual(ratio, list(intervals.interval([1.5, 2.0])))

  def test_only_runs_with_instruments_have_any_in_the_summary(self):
    record = {
      "track": "theory",
      "command": "",
      "cells": ["base", "bare"],
    }
    runs = [run_of(), run_of(cell="bare", listed=[])]
    for run in runs:
      run.record.update(versions={}, wall_seconds=1.0)
    experiment = collect.Experiment(pathlib.Path("."), record, runs)
    made = summary.summary(experiment, collect.tidy(experiment))
    with_some, without = made["cells"]
    self.assertEqual(
      with_some["instruments"], {"large": instruments.means(runs[0])}
    )
    self.assertEqual(list(with_some["instruments"]["large"]), ["4.2"])
    self.assertNotIn("instruments", without)
    for key in ("exponents", "infeasible"):
      self.assertNotIn(key, made)


if __name__ == "__main__":
  absltest.main()
