"""Schemas: what is accepted, what is refused and in which words."""

import itertools
import math

from absl.testing import absltest, parameterized
from hypothesis import example, given
from hypothesis import strategies as st

from lro_jax.core import schema
from lro_jax.core.schema import ConfigDict, UserError

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

FIELDS = {
  "name": "test",
  "seeds": (0, 1),
  "data": {"dim": 10, "kappa": 0.5},
  "optim": {"algorithm": "large", "rate": 0.1},
  "train": {"max": "100 steps"},
}


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
  @given(st.integers(1, 2**31 - 2), st.integers(1, 10**4))
  def test_steps_are_steps_whatever_an_epoch_is(self, number, per_epoch):
    for text in (f"{number} steps", f" {number}step "):
      self.assertTrue(schema.duration().accepts(text))
      got = schema.to_steps(text, steps_per_epoch=per_epoch)
      self.assertEqual(got, number)

  @given(st.decimals("0.01", 1000, places=2), st.integers(1, 10**4))
  def test_epochs_are_the_nearest_whole_number_of_steps(self, epochs, each):
    got = schema.to_steps(f"{epochs} epochs", steps_per_epoch=each)
    self.assertGreaterEqual(got, 1)
    if got > 1:
      # 1e-9: the product is taken in double precision.
      self.assertLessEqual(abs(got - float(epochs) * each), 0.5 + 1e-9)

  def test_no_duration_is_shorter_than_one_step(self):
    self.assertEqual(schema.to_steps("0.001 epochs", steps_per_epoch=3), 1)

  @parameterized.parameters("0 steps", "2147483647 steps", "1073741824 epochs")
  def test_what_a_counter_cannot_hold_is_refused(self, text):
    with self.assertRaisesRegex(UserError, "above 0 and below 2147483647") as e:
      schema.to_steps(text, steps_per_epoch=2)
    self.assertIn(repr(text), str(e.exception))

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
    fields = ConfigDict(FIELDS)
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


if __name__ == "__main__":
  absltest.main()
