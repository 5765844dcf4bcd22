"""Profiles: the time that has passed is shared out, all of it and once."""

import hypothesis
import jax
import jax.numpy as jnp
from absl.testing import absltest, parameterized
from hypothesis import strategies as st

from lro_jax.bench import hlo, timeline
from lro_jax.bench.timeline import Event


class BusyTest(parameterized.TestCase):
  def test_of_nested_events_the_inner_one_counts(self):
    got = timeline.busy(
      [Event("outer", "a", 0.0, 4.0), Event("inner", "a", 1.0, 3.0)]
    )
    self.assertEqual(got.seconds, {"outer": 2.0, "inner": 2.0})
    self.assertEqual(got.gaps, 0.0)

  def test_two_lines_share_and_a_gap_is_nobodys(self):
    events = [
      Event("x", "a", 0.0, 4.0),
      Event("y", "b", 2.0, 4.0),
      Event("x", "a", 5.0, 6.0),
    ]
    got = timeline.busy(events)
    self.assertEqual(got.seconds, {"x": 4.0, "y": 1.0})
    self.assertEqual(got.count, {"x": 2, "y": 1})
    self.assertEqual(got.gaps, 1.0)

  def test_a_loop_has_nothing_while_its_body_works_elsewhere(self):
    events = [Event("while", "a", 0.0, 4.0), Event("body", "b", 1.0, 4.0)]
    got = timeline.busy(events, control=["while"])
    self.assertEqual(got.seconds, {"while": 1.0, "body": 3.0})

  @hypothesis.given(
    st.lists(
      st.tuples(
        st.sampled_from("xyz"),
        st.sampled_from("ab"),
        st.integers(0, 50),
        st.integers(1, 20),
      ),
      min_size=1,
      max_size=20,
    )
  )
  def test_operations_and_gaps_add_up_to_the_whole(self, drawn):
    # Whatever overlaps: a profile's events need not be nested properly.
    events = [Event(n, line, at, at + took) for n, line, at, took in drawn]
    got = timeline.busy(events)
    whole = max(e.end for e in events) - min(e.begin for e in events)
    self.assertAlmostEqual(sum(got.seconds.values()) + got.gaps, whole, 6)
    self.assertGreaterEqual(min(got.seconds.values(), default=0.0), 0.0)


class ProfileTest(absltest.TestCase):
  def test_parts_and_kinds_add_up_to_the_call(self):
    def loss(w, x):
      return jnp.sum(jnp.tanh(x @ w))

    x = jnp.ones((256, 256))
    compiled = jax.jit(jax.grad(loss)).lower(x, x).compile()
    got = timeline.profile(
      lambda: jax.block_until_ready(compiled(x, x)),
      compiled.as_text(),
      calls=2,
      seconds=0.25,
    )
    self.assertAlmostEqual(sum(got.by_part.values()), 0.25)
    self.assertAlmostEqual(sum(got.by_kind.values()), 0.25)
    self.assertContainsSubset({timeline.GAPS}, got.by_part)
    self.assertTrue({hlo.FORWARD, hlo.BACKWARD} & set(got.by_part))


if __name__ == "__main__":
  absltest.main()
