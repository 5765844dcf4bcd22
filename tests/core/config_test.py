"""Configs: expansion into runs, and what sets two of them apart."""

import itertools

from absl.testing import absltest, parameterized
from hypothesis import example, given
from hypothesis import strategies as st

from lro_jax.core import config as config_lib
from lro_jax.core import experiment, schema
from lro_jax.core.schema import ConfigDict, UserError
from tests.core.schema_test import FIELDS, SCHEMA


def base(**more):
  """A valid experiment of one arm."""
  return ConfigDict(
    FIELDS
    | {
      "arms": {"one": {}},
      "grid": {},
      "shrink": {},
      "smoke": False,
    }
    | more
  )


def expand(**more):
  return config_lib.expand(base(**more), SCHEMA)


class ExpandTest(parameterized.TestCase):
  ARMS = {
    "large": {"optim": {"algorithm": "large"}},
    "small": {"optim": {"algorithm": "small", "rate": 0.01}},
  }
  GRID = {
    "dim": {"field": "data.dim", "values": (10, 20, 40)},
    "net": {
      "wide": {"data": {"kappa": 0.1}, "train": {"max": "7 steps"}},
      "slim": {"data": {"kappa": 0.9}},
    },
  }

  def test_runs_are_the_product_of_arms_and_axes(self):
    runs = expand(arms=self.ARMS, grid=self.GRID)
    self.assertLen(runs, 2 * 3 * 2)
    names = [run.name for run in runs]
    self.assertLen(set(names), len(names))
    nets = {"wide": (0.1, "7 steps"), "slim": (0.9, "100 steps")}
    by_name = {run.name: run.config for run in runs}
    for arm, dim, net in itertools.product(
      self.ARMS, self.GRID["dim"]["values"], nets
    ):
      config = by_name[f"{arm}/dim={dim},net={net}"]
      self.assertEqual(config.data.dim, dim)
      self.assertEqual((config.data.kappa, config.train.max), nets[net])
      self.assertEqual(config.optim.algorithm, arm)
      self.assertEqual(config.optim.rate, 0.01 if arm == "small" else 0.1)

  def test_both_forms_of_an_axis_make_the_same_runs(self):
    named = {str(v): {"data.dim": v} for v in (10, 20, 40)}
    short = expand(grid={"dim": self.GRID["dim"]})
    long = [
      experiment.grid_axes({"dim": axis}) for axis in (self.GRID["dim"], named)
    ]
    self.assertEqual(long[0], long[1])
    self.assertEqual([r.config.data.dim for r in short], [10, 20, 40])

  def test_without_a_grid_the_cell_is_base(self):
    (run,) = expand()
    self.assertEqual((run.arm, run.cell, run.name), ("one", "base", "one/base"))

  def test_every_run_is_valid_by_itself_and_holds_no_experiment_field(self):
    for run in expand(arms=self.ARMS, grid=self.GRID):
      self.assertEqual(set(schema.flatten(run.config)), set(SCHEMA))
      schema.check(run.config, SCHEMA)
      with self.assertRaises((KeyError, AttributeError)):
        run.config.new_field = 1

  def test_the_arm_wins_over_the_cell(self):
    (run,) = expand(
      arms={"one": {"data": {"dim": 5}}},
      grid={"dim": {"field": "data.dim", "values": (10,)}},
    )
    self.assertEqual(run.config.data.dim, 5)

  @parameterized.parameters(True, False)
  def test_the_shrink_comes_last_and_only_with_smoke(self, smoke):
    runs = expand(
      arms={"one": {"train": {"max": "50 steps"}}},
      grid={"dim": {"field": "data.dim", "values": (10, 20)}},
      shrink={"data": {"dim": 3}, "train": {"max": "2 steps"}},
      smoke=smoke,
    )
    got = [(run.config.data.dim, run.config.train.max) for run in runs]
    small, full = [(3, "2 steps")] * 2, [(10, "50 steps"), (20, "50 steps")]
    self.assertEqual(got, small if smoke else full)

  def test_the_base_config_is_not_changed(self):
    config = base(arms=self.ARMS, grid=self.GRID, shrink={"data": {"dim": 3}})
    config.smoke = True
    before = config.to_json(sort_keys=True)
    runs = config_lib.expand(config, SCHEMA)
    self.assertEqual(config.to_json(sort_keys=True), before)
    # Nor does one run share its fields with another.
    runs[0].config.data.dim = 999
    self.assertEqual(runs[1].config.data.dim, 3)
    self.assertEqual(config.to_json(sort_keys=True), before)

  @given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=5, unique=True))
  @example([1000000.0, 1000001.0])
  @example([0.1234567, 0.1234568])
  def test_different_values_never_share_a_folder(self, values):
    runs = expand(grid={"r": {"field": "optim.rate", "values": tuple(values)}})
    self.assertLen({run.name for run in runs}, len(values))
    self.assertEqual([run.config.optim.rate for run in runs], values)

  @parameterized.parameters(
    ({"arms": {"bad": {"optim": {"rat": 1.0}}}}, "Arm 'bad'", "'optim.rate'"),
    (
      {"grid": {"d": {"field": "data.dimm", "values": (3,)}}},
      "Grid cell 'd=3'",
      "'data.dim'",
    ),
    (
      {"grid": {"d": {"x": {"data": {"dimm": 3}}}}},
      "Grid cell 'd=x'",
      "'data.dim'",
    ),
    (
      {"shrink": {"train": {"maxx": 3}}, "smoke": True},
      "The smoke shrink",
      "'train.max'",
    ),
  )
  def test_an_unknown_override_is_refused_with_its_origin(
    self, more, origin, near
  ):
    with self.assertRaisesRegex(UserError, f"^{origin} sets .*mean {near}"):
      expand(**more)

  @parameterized.parameters(
    ({"arms": {}}, "'arms' is empty"),
    ({"grid": {"d": {}}}, "axis 'd' is empty"),
    ({"grid": {"d": {"field": "data.dim", "values": ()}}}, "'d' is empty"),
    ({"grid": {"d": (1, 2)}}, r"axis 'd' is \(1, 2\): it must be {field"),
    ({"grid": {"d": {"field": "data.dim", "values": 3}}}, "a tuple of values"),
    (
      {"grid": {"d": {"field": "data.dim", "values": (3, 4, 3)}}},
      "'d' has a value twice",
    ),
    ({"smoke": 1}, "'smoke' is 1"),
    ({"data": 3, "arms": {"a": {"data": {"dim": 4}}}}, "'data.dim' is missing"),
    ({"arms": {"a": {"data": {"dim": "many"}}}}, "'data.dim' is 'many'"),
    (
      {"grid": {"d": {"field": "data.dim", "values": (3, 1)}}},
      "'data.dim' is 1",
    ),
  )
  def test_an_experiment_that_cannot_run_is_refused(self, more, words):
    with self.assertRaisesRegex(UserError, words):
      expand(**more)

  @parameterized.parameters("arms", "grid", "shrink", "smoke")
  def test_every_experiment_field_must_be_there(self, name):
    config = base()
    del config[name]
    with self.assertRaisesRegex(UserError, f"'{name}' is missing"):
      config_lib.expand(config, SCHEMA)


class DifferencesTest(absltest.TestCase):
  def test_names_exactly_the_fields_that_differ(self):
    ours = {"a": 1, "b": {"c": (0, 1), "d": "x", "e": 2.0}}
    theirs = {"a": 1, "b": {"c": [0, 1], "d": "y", "f": 3}}
    self.assertEqual(
      config_lib.differences(ours, theirs),
      [
        "b.d: 'x' now, 'y' there",
        "b.e: 2.0 now, '(none)' there",
        "b.f: '(none)' now, 3 there",
      ],
    )

  @given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 1)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 1)),
  )
  def test_is_empty_only_for_equals(self, ours, theirs):
    got = config_lib.differences(ours, theirs)
    self.assertEqual(not got, ours == theirs)
    back = config_lib.differences(theirs, ours)
    self.assertEqual(len(got), len(back))


if __name__ == "__main__":
  absltest.main()
