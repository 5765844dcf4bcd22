"""Files of a run: whole or absent, readable by anybody."""

import json
import math
import os
import pathlib
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from lro_jax.core import metrics
from lro_jax.core.schema import UserError

# Values that JSON gives back as they were.
SCALARS = (
  st.none()
  | st.booleans()
  | st.integers()
  | st.text()
  | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
  SCALARS,
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=12,
)


def path():
  return pathlib.Path(tempfile.mkdtemp()) / "run" / "file.json"


class PlainTest(parameterized.TestCase):
  @parameterized.parameters(
    math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")
  )
  def test_what_json_does_not_know_becomes_null(self, value):
    file = path()
    metrics.write_json(file, {"a": [1.5, {"b": value}], "c": (value,)})
    self.assertEqual(
      metrics.read_json(file), {"a": [1.5, {"b": None}], "c": [None]}
    )

  def test_numpy_becomes_numbers_and_lists(self):
    got = metrics.plain(
      {
        1: np.int32(3),
        "x": np.array([[1.0, np.nan], [np.inf, 2.0]]),
        "b": np.bool_(True),
        "t": (np.float32(0.5), 2),
      }
    )
    self.assertEqual(
      got,
      {"1": 3, "x": [[1.0, None], [None, 2.0]], "b": True, "t": [0.5, 2]},
    )
    self.assertIs(type(got["b"]), bool)


class JsonTest(parameterized.TestCase):
  @given(JSON)
  def test_written_and_read_is_the_same(self, value):
    file = path()
    metrics.write_json(file, value)
    again = metrics.read_json(file)
    self.assertEqual(again, value)
    # 1 == 1.0 == True in Python, not in a config.
    self.assertEqual(
      json.dumps(again, sort_keys=True), json.dumps(value, sort_keys=True)
    )

  def test_the_order_of_keys_does_not_change_the_file(self):
    one, other = path(), path()
    metrics.write_json(one, {"a": 1, "b": {"c": 2, "d": 3}})
    metrics.write_json(other, {"b": {"d": 3, "c": 2}, "a": 1})
    self.assertEqual(one.read_bytes(), other.read_bytes())

  def test_a_write_that_fails_leaves_the_old_file(self):
    file = path()
    metrics.write_json(file, {"status": "running"})
    old = file.read_bytes()
    # Fails in the middle of the text, while syncing, and while replacing.
    with self.assertRaises(TypeError):
      metrics.write_json(file, {"a": list(range(10_000)), "b": object()})
    self.assertEqual(file.read_bytes(), old)
    for name in ("fsync", "replace"):
      with (
        mock.patch.object(os, name, side_effect=OSError("no space left")),
        self.assertRaises(OSError),
      ):
        metrics.write_json(file, {"status": "done"})
      self.assertEqual(file.read_bytes(), old)
    metrics.write_json(file, {"status": "done"})
    self.assertEqual(metrics.read_json(file), {"status": "done"})
    self.assertEqual([p.name for p in file.parent.iterdir()], [file.name])

  @parameterized.parameters(b"", b"{", b'{"a": 1}}', b"\xff\xfe", b"{'a': 1}")
  def test_damage_is_one_sentence_that_names_the_file(self, damaged):
    file = path()
    file.parent.mkdir()
    file.write_bytes(damaged)
    with self.assertRaisesRegex(UserError, "file.json is not .* delete") as e:
      metrics.read_json(file)
    self.assertNotIn("\n", str(e.exception))


def write_rows(writer, steps):
  for step in steps:
    writer.write(
      step=np.int32(step),
      seed=np.int64(step % 2),
      event="anneal" if step == 3 else None,
      values={"train_loss/m1": np.float32(1 / (1 + step)), "bad": math.nan},
    )


class MetricsTest(parameterized.TestCase):
  def test_every_line_is_one_flat_object(self):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      write_rows(writer, range(5))
    lines = file.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    self.assertEqual(rows, metrics.read_metrics(file))
    self.assertEqual([row["step"] for row in rows], list(range(5)))
    for row in rows:
      self.assertEqual(row["seed"], row["step"] % 2)
      self.assertEqual(row["event"], "anneal" if row["step"] == 3 else None)
      self.assertEqual(row["train_loss/m1"], np.float32(1 / (1 + row["step"])))
      self.assertIsNone(row["bad"])
    # Not even a NaN that Python's own reader would let pass.
    self.assertNotIn("NaN", file.read_text())

  def test_a_torn_last_line_is_left_out_wherever_it_was_torn(self):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      write_rows(writer, range(3))
      whole = writer.offset
      write_rows(writer, [3])
    rows, text = metrics.read_metrics(file), file.read_bytes()
    for length in range(whole, len(text)):
      file.write_bytes(text[:length])
      self.assertEqual(metrics.read_metrics(file), rows[:3], length)

  def test_a_missing_file_has_no_rows(self):
    self.assertEqual(metrics.read_metrics(path()), [])

  @parameterized.parameters(b'{"step"', b"\x00\x00", b"\xff", b"")
  def test_damage_before_the_last_line_is_named(self, damaged):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      write_rows(writer, range(2))
    first, second, end = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, damaged, second, end]))
    with self.assertRaisesRegex(UserError, "file.json has a line .* delete"):
      metrics.read_metrics(file)


class WriterTest(parameterized.TestCase):
  def test_the_offset_is_the_length_on_disk(self):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      self.assertEqual(writer.offset, 0)
      for step in range(3):
        write_rows(writer, [step])
        self.assertEqual(writer.offset, file.stat().st_size)

  @parameterized.parameters(0, 1, 2, 4)
  def test_continuing_forgets_what_came_after_the_offset(self, kept):
    whole, cut = path(), path()
    with metrics.MetricsWriter(whole) as writer:
      write_rows(writer, range(6))
    with metrics.MetricsWriter(cut) as writer:
      write_rows(writer, range(kept))
      offset = writer.offset
      write_rows(writer, range(90, 95))
    with open(cut, "ab") as f:
      f.write(b'{"step": 95, "se')
    with metrics.MetricsWriter(cut, offset) as writer:
      self.assertEqual(writer.offset, offset)
      write_rows(writer, range(kept, 6))
    self.assertEqual(cut.read_bytes(), whole.read_bytes())

  def test_a_new_run_starts_an_empty_file(self):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      write_rows(writer, range(6))
    metrics.MetricsWriter(file).close()
    self.assertEqual(file.read_bytes(), b"")

  def test_rows_lost_since_the_checkpoint_are_not_replaced_by_zeros(self):
    file = path()
    with metrics.MetricsWriter(file) as writer:
      write_rows(writer, range(6))
      offset = writer.offset
    shorter = file.read_bytes()[:-7]
    file.write_bytes(shorter)
    with self.assertRaisesRegex(UserError, f"{len(shorter)} bytes.*{offset}"):
      metrics.MetricsWriter(file, offset)
    self.assertEqual(file.read_bytes(), shorter)


if __name__ == "__main__":
  absltest.main()
