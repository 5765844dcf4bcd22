"""A run's state between processes: told once, refused by name, kept aside."""

import errno
import os
import pathlib
import tempfile
import time
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax.core import checkpoint, interrupt, metrics, saving
from tests import testing
from tests.core.steps_test import LIMIT, NETWORK

ENGINES = {"network": NETWORK, "limit": LIMIT}
# Measured at its first and last step alone, saved after every call.
SELDOM = {
  "checkpoint.minutes": 0.0,
  "eval.per_decade": 0,
  "train.steps_per_call": 9,
}


class Interrupted(Exception):
  """Stands for a process that disappears right after a save."""


def config(fields, **more):
  return testing.run_config(
    theory_config.get_config("network"), fields | SELDOM | more
  )


def folder():
  return pathlib.Path(tempfile.mkdtemp()) / "run"


def stop_at(step):
  """Interrupts after the save of a step."""

  def after_save(at):
    if at >= step:
      raise Interrupted

  return after_save


class BetweenEvaluationsTest(parameterized.TestCase):
  @parameterized.parameters("network", "limit")
  def test_an_event_between_two_evaluations_is_told_once(self, engine):
    cfg = config(ENGINES[engine])
    whole = folder()
    record, rows = testing.run(cfg, whole)
    at = {event: row["step"] for row in rows if (event := row["event"])}
    self.assertGreater(at["anneal"], 0)
    cut = folder()
    # A process for every other call: some end with an event not told yet.
    for step in range(9, 100, 18):
      try:
        testing.run(cfg, cut, after_save=stop_at(step))
      except Interrupted:
        pass
    again, _ = testing.run(cfg, cut)
    self.assertEqual(
      (cut / metrics.METRICS).read_bytes(),
      (whole / metrics.METRICS).read_bytes(),
    )
    self.assertEqual(again["state_digest"], record["state_digest"])
    self.assertGreater(again["resumed"], 2)

  def test_told_to_end_it_sends_no_further_call(self):
    where, asked, saved = folder(), [], []

    def told():
      asked.append(None)
      return len(asked) > 5

    with self.assertRaises(interrupt.InterruptedRun):
      testing.run(
        config(NETWORK), where, told_to_end=told, after_save=saved.append
      )
    # The sixth question is that before the call to step 18.
    self.assertEqual(saved, [0, 9, 18])

  def test_a_clock_set_back_changes_nothing(self):
    cfg = config(NETWORK)
    whole, cut = folder(), folder()
    record, _ = testing.run(cfg, whole)
    now = iter(range(10**9, 0, -3600))
    with mock.patch.object(time, "time", lambda: float(next(now))):
      try:
        testing.run(cfg, cut, after_save=stop_at(27))
      except Interrupted:
        pass
      again, _ = testing.run(cfg, cut)
    self.assertEqual(again["state_digest"], record["state_digest"])
    self.assertGreaterEqual(again["wall_seconds"], 0)


class RefusalTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.config, cls.folder = config(NETWORK), folder()
    cls.task = testing.make_task(cls.config)
    cls.like = [np.zeros(3, np.float32), np.zeros((), np.int32)]
    cls.folder.mkdir(parents=True)
    (cls.folder / metrics.METRICS).write_bytes(b"{}\n" * 9)
    with cls.saver() as saver:
      for at in (1, 2):
        tree = [np.full(3, at, np.float32), np.int32(at)]
        saver.save(tree, saving.Position(at=at, metrics_offset=9 * at))

  @classmethod
  def saver(cls, cfg=None, task=None, where=None):
    return saving.Saver(
      where or cls.folder,
      cfg or cls.config,
      task or cls.task,
      devices=1,
      steps_per_epoch=1,
    )

  def refused(self, *words, like=None, **kwargs):
    with self.saver(**kwargs) as saver:
      testing.refusal(self, lambda: saver.restore(like or self.like), *words)
    # Nothing is put aside: it can still be continued by what it belongs to.
    with self.saver() as saver:
      self.assertEqual(saver.restore(self.like)[1].at, 2)

  def test_another_config(self):
    other = config(NETWORK, **{"data.r": 0.7})
    self.refused("data.r: 0.7 now, 0.3 there", cfg=other)

  def test_other_data(self):
    facts = self.task.facts | {"data": "sha256 of others"}
    self.refused(
      "sha256 of others", "data", task=self.task._replace(facts=facts)
    )

  def test_another_format(self):
    with mock.patch.object(saving, "FORMAT", 99), self.saver() as saver:
      testing.refusal(
        self, lambda: saver.restore(self.like), "format 3", "reads 99"
      )

  def test_other_arrays(self):
    like = [*self.like, np.zeros(2)]
    self.refused("other arrays", "float64(2,)", "jax", like=like)

  def test_other_versions_are_told(self):
    with self.saver() as saver:
      saver._about["versions"]["jax"] = "99.0"
      with self.assertLogs("absl", "WARNING") as log:
        saver.restore(self.like)
    self.assertIn("jax 99.0", "".join(log.output))

  def test_rows_that_are_lost_cost_the_checkpoints_that_knew_them(self):
    where = folder()
    where.mkdir(parents=True)
    (where / metrics.METRICS).write_bytes(b"{}\n" * 4)
    with self.saver(where=where) as saver:
      for at in (1, 2):
        tree = [np.full(3, at, np.float32), np.int32(at)]
        saver.save(tree, saving.Position(at=at, metrics_offset=9 * at))
    with self.saver(where=where) as saver:
      with self.assertLogs("absl", "WARNING") as log:
        self.assertEqual(saver.restore(self.like)[1].at, 1)
    self.assertIn("lost rows", "".join(log.output))

  def test_what_a_read_fails_for_costs_no_checkpoint(self):
    read = checkpoint.Checkpoints.read
    for error in (
      OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
      ValueError(f"tensorstore: {os.strerror(errno.EIO)}"),
      MemoryError(),
    ):

      def fails(*args, error=error, **kwargs):
        raise error

      checkpoint.Checkpoints.read = fails
      try:
        with self.saver() as saver:
          testing.refusal(
            self, lambda: saver.restore(self.like), "nothing is lost"
          )
      finally:
        checkpoint.Checkpoints.read = read
    with self.saver() as saver:
      self.assertEqual(saver.restore(self.like)[1].at, 2)

  def test_a_schedule_of_another_version(self):
    with saving.Saver(
      self.folder,
      self.config,
      self.task,
      devices=1,
      steps_per_epoch=1,
      schedule=(0, 5),
    ) as saver:
      testing.refusal(
        self, lambda: saver.restore(self.like), "measures at other steps"
      )

  def test_where_all_is_damaged_the_rows_are_kept_aside(self):
    where = folder()
    with self.saver(where=where) as saver:
      saver.save(self.like, saving.Position(at=1))
    (where / metrics.METRICS).write_bytes(b"{}\n")
    for path in (where / checkpoint.FOLDER).rglob("*"):
      if path.is_file():
        path.write_bytes(b"")
    with self.saver(where=where) as saver:
      with self.assertLogs("absl", "WARNING"):
        self.assertIsNone(saver.restore(self.like))
    kept = where / f"damaged_{metrics.METRICS}_1"
    self.assertEqual(kept.read_bytes(), b"{}\n")


class DueTest(absltest.TestCase):
  def test_steps_and_minutes(self):
    cfg = config(
      NETWORK, **{"checkpoint.minutes": 60.0, "checkpoint.every": "20 steps"}
    )
    task = testing.make_task(cfg)
    with saving.Saver(
      folder(), cfg, task, devices=1, steps_per_epoch=1
    ) as saver:
      self.assertFalse(saver.due(19))
      self.assertTrue(saver.due(20))
      saver.save([np.zeros(1)], saving.Position(at=20))
      self.assertFalse(saver.due(39))
      self.assertTrue(saver.due(40))
      later = time.monotonic() + 3601
      with mock.patch.object(time, "monotonic", lambda: later):
        self.assertTrue(saver.due(21))


if __name__ == "__main__":
  absltest.main()
