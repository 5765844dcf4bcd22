"""Runs to their end: kills, damage, other configs, divergence."""

import functools
import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.core import cadence, checkpoint, folders, metrics
from lro_jax.core.schema import UserError
from tests import testing
from tests.core.steps_test import LIMIT, NETWORK

ROOT = pathlib.Path(__file__).parents[2]
ENGINES = {"network": NETWORK, "limit": LIMIT}


def config(fields, **more):
  return testing.run_config(
    theory_config.get_config("network"),
    fields | {"checkpoint.minutes": 0.0, "eval.per_decade": 8} | more,
  )


class Interrupted(Exception):
  """Stands for a process that disappears right after a save."""


def folder():
  return pathlib.Path(tempfile.mkdtemp()) / "run"


@functools.cache
def at_once(engine, devices=1):
  """Folder, record and metric rows of an uninterrupted run; only to read."""
  where = folder()
  return where, *testing.run(config(ENGINES[engine]), where, devices=devices)


class EvalStepsTest(absltest.TestCase):
  def test_starts_at_zero_ends_at_the_end_and_is_dense_early(self):
    got = cadence.eval_steps(1000, per_decade=4, every=250)
    self.assertEqual(got, sorted(set(got)))
    self.assertEqual((got[0], got[1], got[-1]), (0, 1, 1000))
    for step in (10, 100, 250, 500, 750):
      self.assertIn(step, got)
    ratios = np.diff(np.log10([s for s in got if 20 <= s <= 200]))
    self.assertLess(ratios.max(), 0.3)

  def test_no_step_lies_beyond_the_end(self):
    for end in (1, 2, 3, 9, 10, 11, 999):
      self.assertEqual(
        cadence.eval_steps(end, per_decade=7, every=None)[-1], end
      )


class ResumeTest(parameterized.TestCase):
  @parameterized.product(engine=("network", "limit"), after=(0, 3, 8))
  def test_continued_equals_uninterrupted_bit_for_bit(self, engine, after):
    cfg = config(ENGINES[engine])
    whole, record, _ = at_once(engine)
    cut = folder()

    def stop(index):
      if index >= after:
        raise Interrupted

    with self.assertRaises(Interrupted):
      testing.run(cfg, cut, after_save=stop)
    # What a kill may leave behind: rows past the checkpoint, a torn line.
    with open(cut / metrics.METRICS, "ab") as f:
      f.write(b'{"step": 99, "seed": 0, "event": null}\n{"step": 1')
    again, _ = testing.run(cfg, cut)
    self.assertEqual(again["resumed"], 1)
    self.assertEqual(
      (cut / metrics.METRICS).read_bytes(),
      (whole / metrics.METRICS).read_bytes(),
    )
    self.assertEqual(again["state_digest"], record["state_digest"])
    self.assertEqual(again["seeds"], record["seeds"])

  def test_continued_on_four_devices_equals_uninterrupted(self):
    cfg = config(NETWORK)
    _, record, _ = at_once("network", devices=4)
    cut = folder()

    def stop(index):
      if index >= 5:
        raise Interrupted

    with self.assertRaises(Interrupted):
      testing.run(cfg, cut, devices=4, after_save=stop)
    again, _ = testing.run(cfg, cut, devices=4)
    self.assertEqual(again["state_digest"], record["state_digest"])

  def test_a_damaged_last_checkpoint_costs_time_not_results(self):
    cfg = config(NETWORK)
    _, record, _ = at_once("network")
    cut = folder()

    def stop(index):
      if index >= 6:
        raise Interrupted

    with self.assertRaises(Interrupted):
      testing.run(cfg, cut, after_save=stop)
    newest = max(
      (p for p in (cut / checkpoint.FOLDER).iterdir() if p.name.isdigit()),
      key=lambda p: int(p.name),
    )
    # All of its data: orbax keeps copies, and does not read every file.
    for path in (newest / "state").rglob("*"):
      if path.is_file():
        path.write_bytes(path.read_bytes()[:-40])
    with self.assertLogs("absl", "WARNING") as log:
      again, _ = testing.run(cfg, cut)
    self.assertIn("cannot be used", "".join(log.output))
    self.assertEqual(again["state_digest"], record["state_digest"])


# A save costs more than all else of so small a run.
NO_SAVES = {"checkpoint.minutes": 1000.0}


class LogTest(absltest.TestCase):
  def test_every_event_has_one_row_at_its_own_step(self):
    _, record, rows = at_once("network")
    for seed, end in record["seeds"].items():
      mine = [r for r in rows if r["seed"] == int(seed)]
      events = {r["event"]: r["step"] for r in mine if r["event"]}
      self.assertEqual(events, end["events"])
      self.assertEqual(end["status"], "stopped")
      self.assertEqual(mine[-1]["event"], "stop")
      self.assertEqual(
        [r["step"] for r in mine], sorted(r["step"] for r in mine)
      )

  def test_steps_per_call_does_not_change_what_is_logged(self):
    texts = set()
    for chunk in (1, 7, 100):
      where = folder()
      chunked = {"train.steps_per_call": chunk} | NO_SAVES
      testing.run(config(NETWORK, **chunked), where)
      texts.add((where / metrics.METRICS).read_bytes())
    self.assertLen(texts, 1)

  def test_a_threshold_never_reached_is_a_status(self):
    where = folder()
    record, rows = testing.run(
      config(NETWORK, **{"optim.stop_loss": 0.0} | NO_SAVES), where
    )
    for end in record["seeds"].values():
      self.assertEqual((end["status"], end["step"]), ("max_steps", 100))
    self.assertEqual(rows[-1]["step"], 100)


class ClaimTest(absltest.TestCase):
  def test_another_config_is_refused_with_the_fields_named(self):
    where = folder()
    folders.claim(where, config(NETWORK))
    folders.claim(where, config(NETWORK))
    with self.assertRaisesRegex(UserError, "data.dim: 13 now, 12 there"):
      folders.claim(where, config(NETWORK, **{"data.dim": 13}))

  def test_an_unwritable_workdir_is_one_sentence(self):
    blocked = pathlib.Path(tempfile.mkdtemp()) / "file"
    blocked.write_text("")
    with self.assertRaisesRegex(UserError, "choose a --workdir"):
      folders.claim(blocked / "run", config(NETWORK))

  def test_config_json_holds_every_field(self):
    where = folder()
    cfg = config(NETWORK)
    folders.claim(where, cfg)
    stored = json.loads((where / metrics.CONFIG).read_text())
    self.assertEqual(stored, metrics.plain(cfg.to_dict()))


if __name__ == "__main__":
  absltest.main()
