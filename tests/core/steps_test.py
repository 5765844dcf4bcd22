"""The device loop: exact events, one compilation, any number of devices."""

import functools

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.bench import hlo
from lro_jax.core import placement, steps
from lro_jax.core.schema import UserError
from tests import testing

NETWORK = {
  "engine": "network",
  "seeds": (0, 1, 2),
  "max_seeds": 0,
  "data.dim": 12,
  "data.num_train": 22,  # not divisible by 4 devices
  "data.num_test": 13,
  "data.q_norm": 2.0,
  "data.r": 0.3,
  "model.num_hidden": 256,
  "model.num_hidden_v": 256,
  "model.init_std": 0.05,
  "optim.large_learning_rate": 3.0,
  "optim.small_learning_rate": 1.5,
  "optim.weight_decay": 0.003,
  "optim.anneal_excess": 0.35,
  "optim.stop_loss": 0.36,
  "train.max": "100 steps",
}
LIMIT = NETWORK | {
  "engine": "limit",
  "data.dim": 150,
  "limit.stride": 3,
  "optim.large_learning_rate": 14.0,
  "optim.small_learning_rate": 12.0,
  "optim.weight_decay": 5e-4,
  "optim.stop_loss": 0.37,
}


def config(fields):
  return testing.run_config(theory_config.get_config("network"), fields)


@functools.cache
def prepared(engine):
  """The Task of NETWORK or LIMIT, and its entry points, compiled once."""
  task = testing.make_task(config({"network": NETWORK, "limit": LIMIT}[engine]))
  return task, steps.compile_task(task, 1)


def advance(task, compiled, chunk, until=100):
  """Runs to a step in chunks; the last reading and the carry."""
  with jax.enable_x64(task.x64):
    carry, at = compiled.init(), 0
    while at < until:
      at = min(until, at + chunk)
      carry, _ = compiled.advance(carry, at, False)
    reading = compiled.fetch(compiled.evaluate(carry))
    return reading, compiled.fetch(carry)


def assert_trees_equal(a, b, tolerance=0.0):
  """Equal up to a tolerance, relative above 1 and absolute below."""
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


class EventsTest(parameterized.TestCase):
  @parameterized.parameters("network", "limit")
  def test_steps_per_call_changes_nothing(self, engine):
    reading, carry = advance(*prepared(engine), 100)
    # Each seed annealed and stopped at a step of its own, inside the run.
    for name in ("anneal", "stop"):
      at = reading.events[name]
      self.assertTrue(((at > 0) & (at < 100)).all(), f"{name} {at}")
      self.assertGreater(len(set(at.tolist())), 1)
    for chunk in (1, 7):
      other_reading, other_carry = advance(*prepared(engine), chunk)
      assert_trees_equal(other_reading, reading)
      assert_trees_equal(other_carry, carry)

  # As many roundings as steps, in float32 and in float64.
  @parameterized.parameters(("network", 100 * 2**-24), ("limit", 100 * 2**-53))
  def test_without_the_device_loop_all_is_the_same(self, engine, tolerance):
    task, compiled = prepared(engine)
    alone = task._replace(device_loop=False)
    reading, carry = advance(alone, steps.compile_task(alone, 1), 100)
    looped, looped_carry = advance(task, compiled, 100)
    # The same arithmetic, compiled twice: no event moves.
    for name, at in looped.events.items():
      np.testing.assert_array_equal(reading.events[name], at, err_msg=name)
    assert_trees_equal(reading, looped, tolerance)
    assert_trees_equal(carry, looped_carry, tolerance)

  @parameterized.parameters("network", "limit")
  def test_a_seed_that_stopped_no_longer_changes(self, engine):
    reading, late = advance(*prepared(engine), 100)
    first = int(reading.events["stop"].min())
    seed = int(reading.events["stop"].argmin())
    _, early = advance(*prepared(engine), 100, until=first + 1)
    self.assertEqual(early.state.step[seed], first)
    assert_trees_equal(
      jax.tree.map(lambda x: x[seed], early.state),
      jax.tree.map(lambda x: x[seed], late.state),
    )

  @parameterized.parameters("network", "limit")
  def test_metrics_at_an_event_are_those_of_the_state_it_was_seen_in(
    self, engine
  ):
    reading, _ = advance(*prepared(engine), 100)
    for name in ("anneal", "stop"):
      for seed, at in enumerate(reading.events[name]):
        if engine == "limit" and at % 3:
          continue  # inside a stride: no run ends there
        before, _ = advance(*prepared(engine), 100, until=int(at))
        self.assertEqual(before.step[seed], at)
        for metric, values in before.now.sums.items():
          self.assertAlmostEqual(
            float(reading.at_events[name].sums[metric][seed]),
            float(values[seed]),
            # float32 sums of at most 22 terms, compiled twice.
            delta=1e-5,
          )

  def test_what_a_state_keeps_of_itself_is_of_the_event(self):
    task = testing.make_task(config(NETWORK | {"lemmas.measure": "B.3 output"}))
    compiled = steps.compile_task(task, 1)
    reading, late = advance(task, compiled, 100)
    kept = late.state.probe.at_anneal.params
    for seed, at in enumerate(reading.events["anneal"]):
      _, then = advance(task, compiled, 100, until=int(at))
      for ours, theirs in zip(kept, then.state.params, strict=True):
        np.testing.assert_array_equal(ours[seed], theirs[seed])

  def test_the_loss_at_an_event_is_the_first_at_its_threshold(self):
    task, compiled = prepared("network")
    with jax.enable_x64(task.x64):
      carry, losses = compiled.init(), []
      for until in range(1, 101):
        now = compiled.fetch(compiled.evaluate(carry)).now
        losses.append(now.sums["train_loss/all"] / now.counts["train_loss/all"])
        carry, _ = compiled.advance(carry, until, True)
      events = compiled.fetch(compiled.evaluate(carry)).events
    losses = np.array(losses)
    for seed in range(3):
      threshold = float(task.data.shared["schedule"].anneal_threshold[seed])
      for name, bound in (("anneal", threshold), ("stop", 0.36)):
        at = events[name][seed]
        # The loss in the step and in the evaluation differ by rounding.
        self.assertLessEqual(losses[at, seed], bound + 1e-6)
        self.assertGreater(losses[:at, seed].min(), bound - 1e-6)


class CompilationTest(parameterized.TestCase):
  @parameterized.parameters((NETWORK, 1), (NETWORK, 4), (LIMIT, 1))
  def test_the_step_is_traced_once_for_all_lengths(self, fields, devices):
    task = testing.make_task(config(fields), devices=devices)
    chex.clear_trace_counter()  # it counts by the name of the function
    task = task._replace(step=chex.assert_max_traces(task.step, n=1))
    with jax.enable_x64(task.x64):
      compiled = steps.compile_task(task, devices)
      carry = compiled.init()
      for until, fresh in ((1, True), (8, False), (60, True), (100, False)):
        carry, _ = compiled.advance(carry, until, fresh)
      jax.block_until_ready(carry.num_steps)

  def test_no_weights_are_copied_at_every_step(self):
    task, compiled = prepared("network")
    with jax.enable_x64(task.x64):
      carry = compiled.init()
      text = compiled.lower(carry)["call"].compile().as_text()
    instructions = hlo.read(text)
    loops = {
      body: x.computation
      for x in instructions.values()
      if x.opcode == "while"
      for body in x.calls
    }
    innermost = set(loops) - set(loops.values())
    least = min(x.size for x in jax.tree.leaves(carry.state.params))
    standing = [x for x in instructions.values() if x.computation in innermost]
    # The step is there, and moves the weights there.
    self.assertTrue(
      any(x.opcode == "fusion" and x.size >= least for x in standing)
    )
    copied = [
      name
      for name, x in instructions.items()
      # Of XLA's own: others are of a source, as of a transpose.
      if x.opcode == "copy" and not x.op_name and x.size >= least
      if x.computation in innermost
    ]
    self.assertEmpty(copied)


class DevicesTest(parameterized.TestCase):
  def test_events_fall_on_the_same_steps_on_one_and_four_devices(self):
    one, _ = advance(*prepared("network"), 100)
    task = testing.make_task(config(NETWORK), devices=4)
    four, _ = advance(task, steps.compile_task(task, 4), 100)
    for name in ("anneal", "stop"):
      self.assertTrue((one.events[name] > 0).all())
      np.testing.assert_array_equal(one.events[name], four.events[name])

  def test_one_and_four_devices_agree_after_100_steps(self):
    cfg = config(
      NETWORK | {"optim.stop_loss": 0.0, "lemmas.measure": "4.3 norm,5.2,B.6"}
    )
    (one_reading, one), (four_reading, four) = (
      advance(task, steps.compile_task(task, k), 100)
      for k in (1, 4)
      for task in [testing.make_task(cfg, devices=k)]
    )
    self.assertTrue((one_reading.step == 100).all())
    for a, b in zip(
      jax.tree.leaves(one.state), jax.tree.leaves(four.state), strict=True
    ):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    for kind in ("sums", "counts", "values"):
      ours, theirs = (getattr(r.now, kind) for r in (one_reading, four_reading))
      for metric in ours:
        # Sums of up to 22 losses, each from weights 1e-5 apart.
        np.testing.assert_allclose(
          ours[metric], theirs[metric], rtol=1e-4, atol=1e-4, err_msg=metric
        )

  def test_a_round_trip_over_devices_keeps_the_state(self):
    task = testing.make_task(config(NETWORK), devices=4)
    compiled = steps.compile_task(task, 4)
    carry, _ = compiled.advance(compiled.init(), 5, True)
    saved = compiled.fetch(carry)
    again = compiled.fetch(compiled.put(saved))
    assert_trees_equal(saved, again)

  def test_more_devices_than_there_are_is_refused(self):
    with self.assertRaisesRegex(UserError, "has 4"):
      placement.num_devices(5)
    self.assertEqual(placement.num_devices(0), 4)

  def test_padding_examples_counts_for_nothing(self):
    task = testing.make_task(config(NETWORK))
    split = placement.split_examples(task.data, 4)
    self.assertEqual(split.examples["y"].shape, (4, 3, 6))
    self.assertEqual((split.examples["weight"] > 0).sum(), 3 * 22)
    self.assertAlmostEqual(float(split.examples["weight"].sum()), 3, places=5)


if __name__ == "__main__":
  absltest.main()
