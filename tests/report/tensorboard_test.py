"""Events that are written are read back, and hold what the logs hold."""

import pathlib
import struct
import sys
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest
from tensorboardX.proto import event_pb2

from lro_jax.report import collect, tensorboard
from tests import testing
from tests.report import fake, fake_vision

# A record: length in bytes, its checksum, the bytes, their checksum.
LENGTH, CHECKSUM = 8, 4


def read_events(folder):
  """[(step, {tag: value})] of the one file of events in a folder."""
  (path,) = folder.glob("*tfevents*")
  content, at, out = path.read_bytes(), 0, []
  while at < len(content):
    (size,) = struct.unpack_from("<Q", content, at)
    start = at + LENGTH + CHECKSUM
    event = event_pb2.Event.FromString(content[start : start + size])
    at = start + size + CHECKSUM
    values = {v.tag: v.simple_value for v in event.summary.value}
    if values:
      out.append((event.step, values))
  return out


class TensorboardTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(folder)
    self.workdir, self.logdir = self.folder / "runs", self.folder / "events"

  def write(self):
    return tensorboard.write(collect.load(self.workdir), self.logdir)

  def test_every_number_of_the_logs_is_there_once(self):
    fake.write_workdir(self.workdir)
    self.assertIn("8 seeds", self.write())
    for run in collect.load(self.workdir).runs:
      for seed in run.seeds:
        found = read_events(self.logdir / run.arm / run.cell / f"seed_{seed}")
        rows = [row for row in run.rows if row["seed"] == seed]
        self.assertEqual([step for step, _ in found], [r["step"] for r in rows])
        for (_, values), row in zip(found, rows, strict=True):
          wanted = {k: v for k, v in row.items() if "/" in k}
          wanted["second_difference"] = row["second_difference"]
          if row["event"]:
            wanted[f"event/{row['event']}"] = 1.0
          self.assertEqual(values.keys(), wanted.keys())
          for name, value in wanted.items():
            # Events hold float32.
            self.assertEqual(values[name], np.float32(value))

  def test_seeds_of_images_have_their_own(self):
    fake_vision.write_workdir(self.workdir)
    self.write()
    for arm in fake_vision.ARMS:
      for seed in fake_vision.SEEDS:
        found = read_events(self.logdir / arm / "base" / f"seed_{seed}")
        rows = fake_vision.seed_rows(arm, seed)
        self.assertEqual(
          [values["accuracy/clean"] for _, values in found],
          [np.float32(row["accuracy/clean"]) for row in rows],
        )

  def test_what_is_not_finite_is_left_out(self):
    row = fake.row(3, 0, "diverge", a=None, b=float("inf"), c=2)
    self.assertEqual(tensorboard.scalars(row), {"c": 2.0, "event/diverge": 1.0})

  def test_again_it_replaces_its_own_and_nothing_else(self):
    fake.write_workdir(self.workdir)
    self.write()
    other = self.logdir / "large" / "base" / "seed_0" / "mine.txt"
    other.write_text("kept")
    self.write()
    self.assertLen(read_events(other.parent), 3)
    self.assertEqual(other.read_text(), "kept")

  def test_without_the_package_it_is_one_sentence(self):
    fake.write_workdir(self.workdir)
    with mock.patch.dict(sys.modules, {"tensorboardX": None}):
      testing.refusal(self, self.write, "tensorboardX", "[tensorboard]")
    self.assertFalse(self.logdir.exists())

  def test_a_folder_that_cannot_be_written_is_one_sentence(self):
    fake.write_workdir(self.workdir)
    self.logdir.write_text("in the way")
    testing.refusal(self, self.write, str(self.logdir), "can be written")

  def test_the_command_writes_events_and_nothing_else(self):
    fake.write_workdir(self.workdir)
    (done,) = testing.run_commands(
      (
        "lro_jax.report",
        f"--workdir={self.workdir}",
        f"--tensorboard={self.logdir}",
      )
    )
    self.assertEqual(done.status, 0, done.errors)
    self.assertIn(f"--logdir={self.logdir}", done.output)
    self.assertFalse((self.workdir / "report").exists())
    self.assertLen(list(self.logdir.rglob("*tfevents*")), 8)


if __name__ == "__main__":
  absltest.main()
