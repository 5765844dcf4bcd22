"""Branches are drawn where they were annealed, at what they ended with."""

import csv
import io

from absl.testing import absltest

from lro_jax.report import figures, figures_branches
from tests.report import fake

P, Q = "test_error/p_only", "test_error/q_only"


def branch(arm, at, *, anneals=True, begins=True):
  """Seeds 0 and 1; errors of the end tell step and seed."""
  rows = []
  for seed in (0, 1):
    end = {P: at / 100 + seed / 1000, Q: 0.5}
    rows += [
      fake.row(0, seed, **{P: 0.5, Q: 0.5}),
      fake.row(at, seed, "anneal" if anneals else None, **{P: 0.4, Q: 0.5}),
      fake.row(90, seed, **end),
    ]
  run = fake.run_log(
    arm, rows=rows, seeds={str(s): fake.seed_end() for s in (0, 1)}
  )
  begin = {"branch_from": f"runs/of@9/large@{at}"} if begins else {}
  return run._replace(config=run.config | begin)


def drawn(*runs):
  """Rows of the CSV of the only figure, or None."""
  found = figures.draw(
    list(runs), lambda runs: figures_branches.draw(runs, "theory")
  )
  if not found:
    return None
  (figure,) = found
  return list(csv.DictReader(io.StringIO(figure.csv)))


class BranchesTest(absltest.TestCase):
  def test_ends_stand_at_the_steps_of_annealing(self):
    rows = drawn(
      branch("annealed_30", 30),
      branch("annealed_10", 10),
      branch("continued", 10, anneals=False),
    )
    got = {
      (row["seed"], row["annealed at step"]): float(row[P])
      for row in rows
      if row.get(P)
    }
    self.assertEqual(
      got,
      {
        ("0", "10"): 0.1,
        ("0", "30"): 0.3,
        ("1", "10"): 0.101,
        ("1", "30"): 0.301,
        ("mean", "10"): 0.1005,
        ("mean", "30"): 0.3005,
      },
    )
    levels = [row[f"{P}, continued"] for row in rows if not row.get(P)]
    self.assertIn("0.1005", levels)

  def test_where_every_seed_diverged_there_is_a_figure_without_a_curve(self):
    run = branch("annealed_10", 10)
    ends = {str(s): fake.seed_end("diverged") for s in (0, 1)}
    rows = drawn(run._replace(record=run.record | {"seeds": ends}))
    self.assertEmpty(rows)

  def test_what_is_no_branch_or_anneals_elsewhere_makes_no_curve(self):
    self.assertIsNone(drawn(branch("large", 10, begins=False)))
    self.assertIsNone(drawn(branch("continued", 10, anneals=False)))


if __name__ == "__main__":
  absltest.main()
