"""The closing table says what the rows say, and what they lack."""

import html.parser
import pathlib

from absl.testing import absltest, parameterized

from lro_jax.report import collect, elements, tables, theory_view
from tests.report.fake import run_log, seed_end

# Every arm has seeds 0 and 1. With two seeds the half-width of the interval is
# 12.7062 |a - b| / 2.
LARGE = {0: 0.10, 1: 0.12}
SMALL = {0: 0.20, 1: 0.26}


def tidy(arm, metric, values, *, cell="base", phase="end"):
  return [
    {
      "arm": arm,
      "cell": cell,
      "seed": seed,
      "phase": phase,
      "metric": metric,
      "value": value,
    }
    for seed, value in values.items()
  ]


def build(runs, rows):
  return tables.build(
    collect.Experiment(pathlib.Path("."), {}, list(runs)),
    rows,
    theory_view.ROWS,
  )


def line_of(table, label):
  """The only line of a table that has this label."""
  found = [line for line in table.lines if line[0].strip() == label]
  if len(found) != 1:
    raise AssertionError(f"{len(found)} lines {label!r} in {table.lines}")
  return found[0][1:]


STOPPED = seed_end(anneal=5, stop=9)
ARMS = (run_log("large"), run_log("small"))
P_ONLY, Q_ONLY = "test_error/p_only", "test_error/q_only"


class BuildTest(parameterized.TestCase):
  def test_arms_stand_side_by_side_with_paired_difference(self):
    rows = tidy("large", P_ONLY, LARGE) + tidy("small", P_ONLY, SMALL)
    (table,) = build(ARMS, rows)
    self.assertEqual(table.header, ["", "large", "small", "small - large"])
    self.assertEqual(
      line_of(table, "test error, P-only"),
      [
        # 11 -+ 12.7062, 23 -+ 3 x 12.7062, 12 -+ 2 x 12.7062
        "11.00% [-1.71%, 23.71%]",
        "23.00% [-15.12%, 61.12%]",
        "12.00% [-13.41%, 37.41%]",
      ],
    )

  def test_difference_is_of_the_seeds_both_arms_have(self):
    rows = tidy("large", P_ONLY, LARGE | {2: 0.9})
    rows += tidy("small", P_ONLY, SMALL | {3: 0.8})
    (table,) = build(ARMS, rows)
    self.assertEqual(
      line_of(table, "test error, P-only")[2], "12.00% [-13.41%, 37.41%]"
    )

  def test_what_is_missing_is_a_dash(self):
    rows = tidy("large", P_ONLY, LARGE) + tidy("small", P_ONLY, {0: None})
    (table,) = build(ARMS, rows)
    self.assertEqual(line_of(table, "test error, P-only")[1:], ["-", "-"])

  def test_arms_without_a_common_seed_have_no_difference(self):
    rows = tidy("large", P_ONLY, {0: 0.1}) + tidy("small", P_ONLY, {1: 0.2})
    (table,) = build(ARMS, rows)
    self.assertEqual(
      line_of(table, "test error, P-only"),
      ["10.00% (1 seed)", "20.00% (1 seed)", "-"],
    )

  def test_a_row_no_arm_has_is_left_out(self):
    (table,) = build(ARMS, tidy("large", P_ONLY, LARGE))
    self.assertLen(table.lines, 1)

  def test_phases_are_not_mixed(self):
    rows = tidy("large", Q_ONLY, {0: 0.5}, phase="anneal")
    rows += tidy("large", Q_ONLY, {0: 0.01})
    rows += tidy("large", "step", {0: 1234}, phase="anneal")
    rows += tidy("large", "step", {0: 56789})
    (table,) = build(ARMS[:1], rows)
    self.assertEqual(
      [line[:2] for line in table.lines],
      [
        ["annealed at step", "1,234 (1 seed)"],
        ["  test error, Q-only", "50.00% (1 seed)"],
        ["ended at step", "56,789 (1 seed)"],
        ["  test error, Q-only", "1.00% (1 seed)"],
      ],
    )

  def test_every_further_arm_is_compared_with_the_first(self):
    runs = [run_log()._replace(arm=arm) for arm in ("large", "small", "noise")]
    rows = [
      row
      for arm, value in (("large", 0.1), ("small", 0.3), ("noise", 0.15))
      for row in tidy(arm, P_ONLY, {0: value})
    ]
    (table,) = build(runs, rows)
    self.assertEqual(
      table.header[1:],
      ["large", "small", "noise", "small - large", "noise - large"],
    )
    self.assertEqual(
      line_of(table, "test error, P-only")[3:],
      ["20.00% (1 seed)", "5.00% (1 seed)"],
    )

  def test_every_cell_has_its_own_table_and_numbers(self):
    runs = [run_log("large", cell=c) for c in ("engine=b", "engine=a")]
    rows = tidy("large", P_ONLY, {0: 0.1}, cell="engine=a")
    rows += tidy("large", P_ONLY, {0: 0.2}, cell="engine=b")
    built = build(runs, rows)
    self.assertEqual(
      [t.title.split()[0] for t in built], ["engine=b", "engine=a"]
    )
    self.assertEqual(
      [line_of(t, "test error, P-only")[0] for t in built],
      ["20.00% (1 seed)", "10.00% (1 seed)"],
    )
    self.assertEqual(
      build(runs[:1], rows)[0].title, "engine=b (2 paired seeds)"
    )

  def test_title_counts_the_seeds(self):
    one = run_log("large", seeds={"7": STOPPED})
    self.assertEqual(build([one], [])[0].title, "base (1 seed)")


class NotesTest(parameterized.TestCase):
  def notes(self, run):
    return build([run], [])[0].notes

  def test_stopped_seeds_need_no_note(self):
    self.assertEmpty(self.notes(ARMS[0]))

  def test_a_run_under_way_is_named(self):
    (note,) = self.notes(run_log("large", status="running"))
    self.assertStartsWith(note, "large: not finished")

  @parameterized.parameters(
    ("large", {}, "the annealing and stopping loss"),
    ("large", {"anneal": 5}, "the stopping loss"),
    ("small", {}, "the stopping loss"),
  )
  def test_max_steps_is_named_with_the_loss_never_reached(
    self, arm, events, words
  ):
    seeds = {"0": seed_end("max_steps", **events), "1": STOPPED}
    (note,) = self.notes(run_log(arm, seeds=seeds))
    self.assertStartsWith(note, f"{arm}: 1 of 2 seeds reached max_steps")
    self.assertIn(f"before {words};", note)

  @parameterized.parameters(
    (seed_end("stopped", stop=3),), (seed_end("diverged", diverge=3),)
  )
  def test_the_loss_never_reached_is_that_of_the_seeds_at_max_steps(
    self, other
  ):
    # The seed at max_steps annealed; the other, which ended, never did.
    seeds = {"0": seed_end("max_steps", anneal=5), "1": other}
    notes = self.notes(run_log("large", seeds=seeds))
    self.assertIn("max_steps before the stopping loss;", notes[0])

  def test_every_fate_of_every_arm_has_its_note(self):
    mixed = {
      "0": seed_end("max_steps"),
      "1": seed_end("diverged", diverge=3),
      "2": STOPPED,
    }
    runs = [
      run_log("large", seeds=mixed),
      run_log("small", status="running", seeds=mixed),
    ]
    notes = build(runs, [])[0].notes
    self.assertLen(notes, 3)
    for note, words in zip(
      notes, ("max_steps", "diverged", "not finished"), strict=True
    ):
      self.assertIn(words, note)


class CellText(html.parser.HTMLParser):
  """Text of every table cell, row by row."""

  def __init__(self, page):
    super().__init__()
    self.rows = []
    self._inside = False
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    if tag == "tr" or tag == "thead":
      self.rows.append([])
    if tag in ("td", "th"):
      self.rows[-1].append("")
      self._inside = True

  def handle_endtag(self, tag):
    if tag in ("td", "th"):
      self._inside = False

  def handle_data(self, data):
    if self._inside:
      self.rows[-1][-1] += data


class ShowTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    rows = tidy("large", P_ONLY, LARGE) + tidy("small", P_ONLY, SMALL)
    rows += tidy("large", "step", {0: 1000, 1: 3000}, phase="anneal")
    runs = [ARMS[0], run_log("small", seeds={"0": seed_end("max_steps")})]
    (self.table,) = build(runs, rows)

  def test_terminal_holds_title_header_lines_and_notes(self):
    text = tables.as_text(self.table)
    for part in (self.table.title, *self.table.header, *self.table.notes):
      self.assertIn(part, text)
    for line in self.table.lines:
      self.assertLen([t for t in text.splitlines() if t.startswith(line[0])], 1)
      for part in line:
        self.assertIn(part, text)

  def test_terminal_columns_end_at_the_same_place(self):
    lines = tables.as_text(self.table).splitlines()
    lines = lines[2 : -len(self.table.notes)]
    body = [line for line in lines if set(line) != {"-"}]
    self.assertLen(body, 1 + len(self.table.lines))
    self.assertLen({len(line) for line in body}, 1)

  def test_page_holds_the_same_cells(self):
    page = elements.table(self.table)
    rows = [row for row in CellText(page).rows if row]
    self.assertEqual(rows[0], self.table.header)
    self.assertEqual(
      rows[1:], [[x.strip() for x in line] for line in self.table.lines]
    )
    for note in self.table.notes:
      self.assertIn(note, page)

  def test_page_escapes_names(self):
    hostile = self.table._replace(
      header=["", "<i>arm</i>"],
      lines=[["a & b", "<b>1</b>"]],
      notes=["<u>note</u>"],
    )
    page = elements.table(hostile)
    for tag in ("<i>", "<b>", "<u>"):
      self.assertNotIn(tag, page)
    self.assertEqual(
      [row for row in CellText(page).rows if row],
      [["", "<i>arm</i>"], ["a & b", "<b>1</b>"]],
    )


if __name__ == "__main__":
  absltest.main()
