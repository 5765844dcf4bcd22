"""Configs: what is accepted, what is refused and in which words, expansion."""

import itertools
import math

import ml_collections
from absl.testing import absltest, parameterized
from hypothesis import example, given
from hypothesis import strategies as st

from lro_jax.core import config as config_lib
from lro_jax.core import schema
from lro_jax.core.schema import UserError

ConfigDict = ml_collections.ConfigDict
finite = st.floats(allow_nan=False, allow_infinity=False)

SCHEMA = {
  "name": schema.text(),
  "seeds": schema.seeds_rule(),
  "data.dim": schema.integer(2, 1000),
  "data.kappa": schema.real(0, 1, open_low=True),
  "optim.algorithm": schema.choice("large", "small"),
  "optim.rate": schema.real(0, open_low=True),
  "train.max": schema.duration(),
}


def base(**more):
  """A valid experiment of one arm."""
  return ConfigDict(
    {
      "name": "test",
      "seeds": (0, 1),
      "data": {"dim": 10, "kappa": 0.5},
      "optim": {"algorithm": "large", "rate": 0.1},
      "train": {"max": "100 steps"},
      "arms": {"one": {}},
      "grid": {},
      "shrink": {},
      "smoke": False,
    }
    | more
  )


def expand(**more):
  return config_lib.expand(base(**more), SCHEMA)


class RulesTest(parameterized.TestCase):
  @given(value=finite, low=finite, high=finite)
  @example(value=1.0, low=1.0, high=2.0)
  @example(value=2.0, low=1.0, high=2.0)
  @example(value=1.0, low=1.0, high=1.0)
  def test_bounds_are_inside_unless_open(self, value, low, high):
    for open_low, open_high in itertools.product((False, True), repeat=2):
      rule = schema.real(low, high, open_low=open_low, open_high=open_high)
      expected = low <= value <= high
      if open_low:
        expected = expected and value != low
      if open_high:
        expected = expected and value != high
      self.assertEqual(rule.accepts(value), expected)
      words = rule.allowed
      self.assertIn(f"{'(' if open_low else '['}{low:g}, ", words)
      self.assertEndsWith(words, f"{high:g}{')' if open_high else ']'}")

  @parameterized.parameters(
    math.nan, math.inf, -math.inf, True, False, "1", None, ((1.0,),), 10**400
  )
  def test_a_real_is_a_finite_number(self, value):
    self.assertFalse(schema.real().accepts(value))

  @given(st.integers(), st.integers(-5, 5), st.integers(0, 9) | st.none())
  @example(1, 0, 0)
  def test_integers_have_closed_bounds(self, value, low, width):
    high = None if width is None else low + width
    rule = schema.integer(low, high)
    inside = value >= low and (high is None or value <= high)
    self.assertEqual(rule.accepts(value), inside)
    self.assertFalse(rule.accepts(float(low)))
    self.assertIn(str(low), rule.allowed)
    # A bound of 0 is a bound.
    self.assertEqual("<=" in rule.allowed, high is not None)

  @parameterized.parameters(True, False, 1.0, "1", None, math.nan)
  def test_an_integer_is_nothing_else(self, value):
    self.assertFalse(schema.integer(0, 5).accepts(value))

  def test_a_choice_is_of_value_and_type(self):
    rule = schema.choice("none", 1, True)
    for value in ("none", 1, True):
      self.assertTrue(rule.accepts(value))
      self.assertIn(repr(value), rule.allowed)
    for value in ("None", 1.0, False, 0, None, ("none",)):
      self.assertFalse(rule.accepts(value), value)

  @parameterized.parameters("", None, 3, (("a",),))
  def test_a_text_is_not_empty(self, value):
    self.assertFalse(schema.text().accepts(value))
    self.assertTrue(schema.text().accepts("a"))

  @given(st.lists(st.integers(-2, 2**31 + 2) | st.integers(0, 3), max_size=4))
  @example([2**31 - 1])
  @example([2**31])
  def test_seeds_are_distinct_and_fit_into_31_bits(self, seeds):
    expected = (
      bool(seeds)
      and len(set(seeds)) == len(seeds)
      and all(0 <= s < 2**31 for s in seeds)
    )
    self.assertEqual(schema.seeds_rule().accepts(tuple(seeds)), expected)

  @parameterized.parameters(([0, 1],), (0,), ((0, 1.0),), ((False,),), ("01",))
  def test_seeds_are_a_tuple_of_integers(self, value):
    self.assertFalse(schema.seeds_rule().accepts(value))


class DurationTest(parameterized.TestCase):
  @given(st.integers(0, 10**9), st.integers(1, 10**4))
  def test_steps_are_steps_whatever_an_epoch_is(self, number, per_epoch):
    for text in (f"{number} steps", f" {number}step "):
      self.assertTrue(schema.duration().accepts(text))
      got = schema.to_steps(text, steps_per_epoch=per_epoch)
      self.assertEqual(got, max(1, number))

  @given(st.decimals(0, 1000, places=2), st.integers(1, 10**4))
  def test_epochs_are_the_nearest_whole_number_of_steps(self, epochs, each):
    got = schema.to_steps(f"{epochs} epochs", steps_per_epoch=each)
    self.assertGreaterEqual(got, 1)
    if got > 1:
      # 1e-9: the product is taken in double precision.
      self.assertLessEqual(abs(got - float(epochs) * each), 0.5 + 1e-9)

  def test_no_duration_is_shorter_than_one_step(self):
    for text in ("0 steps", "0.001 epochs"):
      self.assertEqual(schema.to_steps(text, steps_per_epoch=3), 1)

  @parameterized.parameters(
    "100", "", "steps", "-1 steps", "1e3 steps", "5 minutes", "5 steps 2 epochs"
  )
  def test_a_text_without_number_and_unit_is_refused(self, text):
    self.assertFalse(schema.duration().accepts(text))
    with self.assertRaisesRegex(UserError, "write the unit") as e:
      schema.to_steps(text, steps_per_epoch=1)
    self.assertIn(repr(text), str(e.exception))

  @parameterized.parameters(100, 1.5, None)
  def test_a_bare_number_is_refused(self, value):
    self.assertFalse(schema.duration().accepts(value))
    with self.assertRaisesRegex(UserError, "'5000 steps' or '60 epochs'"):
      schema.to_steps(value, steps_per_epoch=1)


class CheckTest(parameterized.TestCase):
  def refusal(self, change, *words):
    (run,) = expand()
    fields = ConfigDict(run.config.to_dict())
    schema.check(fields, SCHEMA)
    with fields.ignore_type():
      change(fields)
    with self.assertRaises(UserError) as e:
      schema.check(fields, SCHEMA)
    message = str(e.exception)
    self.assertNotIn("\n", message)
    for word in words:
      self.assertIn(word, message)

  @parameterized.parameters(
    ("data.dim", 1, ">= 2 and <= 1000"),
    ("data.dim", 10.5, "an integer"),
    ("data.dim", "ten", "an integer"),
    ("data.kappa", 0.0, "(0, 1]"),
    ("data.kappa", math.nan, "(0, 1]"),
    ("optim.rate", math.inf, "(0, inf]"),
    ("optim.algorithm", "medium", "'large', 'small'"),
    ("seeds", (0, 0), "distinct"),
    ("train.max", "100", "'5000 steps'"),
    ("name", "", "non-empty"),
  )
  def test_a_bad_value_is_named_with_what_is_allowed(
    self, field, value, allowed
  ):
    def change(fields):
      *path, last = field.split(".")
      (fields[path[0]] if path else fields)[last] = value

    self.refusal(change, repr(field), repr(value), allowed)

  def test_an_unknown_field_is_named_with_the_nearest_and_all_others(self):
    def change(fields):
      fields.data.kapa = 0.3

    self.refusal(change, "'data.kapa'", "mean 'data.kappa'", *SCHEMA)

  def test_an_unknown_field_far_from_all_others_suggests_nothing(self):
    self.assertEqual(schema.nearest("zzz", SCHEMA), "")

  def test_a_missing_field_is_named_with_what_it_must_be(self):
    def change(fields):
      del fields.optim["rate"]

    self.refusal(change, "'optim.rate' is missing", "(0, inf]")

  def test_a_number_where_a_group_belongs_is_an_unknown_field(self):
    def change(fields):
      fields.data = 3

    self.refusal(change, "'data'")


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
      config_lib._grid_axes({"dim": axis}) for axis in (self.GRID["dim"], named)
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

  @parameterized.parameters(*config_lib.EXPERIMENT_FIELDS)
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
