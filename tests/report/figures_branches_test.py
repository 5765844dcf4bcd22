"""Branches are drawn where they were annealed, at what they ended with."""

import csv
import io

from absl.testing import absltest

from lro_jax.core import branch as branch_lib
from lro_jax.report import branches, figures, figures_branches
from tests.report import fake

P, Q = "test_error/p_only", "test_error/q_only"


def branch(
  arm,
  at,
  fields=None,
  *,
  anneals=True,
  begins=True,
  of="runs/of@9/large",
  shift=0.0,
):
  """Seeds 0 and 1; errors of the end tell step and seed."""
  rows = []
  for seed in (0, 1):
    end = {P: at / 100 + seed / 1000 + shift, Q: 0.5}
    rows += [
      fake.row(0, seed, **{P: 0.5, Q: 0.5}),
      fake.row(at, seed, "anneal" if anneals else None, **{P: 0.4, Q: 0.5}),
      fake.row(90, seed, **end),
    ]
  run = fake.run_log(
    arm, rows=rows, seeds={str(s): fake.seed_end() for s in (0, 1)}
  )
  begin = {"branch_from": f"{of}@{at}"} if begins else {}
  changed = {
    section: run.config[section] | values
    for section, values in (fields or {}).items()
  }
  return run._replace(config=run.config | begin | changed)


def the_figure(*runs):
  """The only figure, or None."""
  found = figures.draw(
    list(runs), lambda runs: figures_branches.draw(runs, "theory")
  )
  if not found:
    return None
  (figure,) = found
  return figure


def rows_of(figure):
  """Rows of its CSV."""
  return list(csv.DictReader(io.StringIO(figure.csv)))


def ends(figure, *keys):
  """Ends by what tells a curve's points apart, the last the step."""
  keys = (*(keys or ["seed"]), "annealed at step")
  return {
    tuple(row[key] for key in keys): float(row[P])
    for row in rows_of(figure)
    if row.get(P)
  }


class BranchesTest(absltest.TestCase):
  def test_ends_stand_at_the_steps_of_annealing(self):
    figure = the_figure(
      branch("annealed_30", 30),
      branch("annealed_10", 10),
      branch("continued", 10, anneals=False),
    )
    self.assertEqual(
      ends(figure),
      {
        ("0", "10"): 0.1,
        ("0", "30"): 0.3,
        ("1", "10"): 0.101,
        ("1", "30"): 0.301,
        ("mean", "10"): 0.1005,
        ("mean", "30"): 0.3005,
      },
    )
    levels = [
      row[f"{P}, continued"] for row in rows_of(figure) if not row.get(P)
    ]
    self.assertIn("0.1005", levels)

  def test_where_every_seed_diverged_there_is_a_figure_without_a_curve(self):
    run = branch("annealed_10", 10)
    seeds = {str(s): fake.seed_end("diverged") for s in (0, 1)}
    figure = the_figure(run._replace(record=run.record | {"seeds": seeds}))
    self.assertEmpty(rows_of(figure))
    self.assertIn("seed 0 of annealed_10 (diverged)", figure.caption)

  def test_a_seed_that_had_stopped_before_is_left_out_and_named(self):
    runs = [branch("annealed_10", 10), branch("annealed_30", 30)]
    # At step 20 seed 1 was done: the later branch had nothing to anneal there.
    rows = [r for r in runs[1].rows if (r["seed"], r["event"]) != (1, "anneal")]
    rows = [r for r in rows if r["seed"] == 0 or r["step"] == 0]
    rows.append(fake.row(20, 1, "stop", **{P: 0.7, Q: 0.5}))
    figure = the_figure(runs[0], runs[1]._replace(rows=rows))
    self.assertEqual(
      ends(figure),
      {
        ("0", "10"): 0.1,
        ("0", "30"): 0.3,
        ("1", "10"): 0.101,
        # Over the one seed that both branches have.
        ("mean", "10"): 0.1,
        ("mean", "30"): 0.3,
      },
    )
    self.assertIn("seed 1 of annealed_30 (stopped at step 20)", figure.caption)

  def test_one_in_which_all_had_stopped_takes_no_mean_from_the_others(self):
    runs = [branch(f"annealed_{at}", at) for at in (10, 20, 30)]
    stops = [fake.row(5, k, "stop", **{P: 0.7, Q: 0.5}) for k in (0, 1)]
    rows = [r for r in runs[1].rows if r["step"] == 0] + stops
    got = ends(the_figure(runs[0], runs[1]._replace(rows=rows), runs[2]))
    self.assertContainsSubset({("mean", "10"), ("mean", "30")}, set(got))
    self.assertNotIn(("mean", "20"), got)

  def test_branches_of_two_runs_are_two_curves(self):
    figure = the_figure(
      branch("large_10", 10),
      branch("large_30", 30),
      branch("small_30", 30, of="runs/of@9/small/"),
      branch("small_60", 60, of="runs/of@9/small"),
    )
    found = ends(figure, "of", "seed")
    self.assertEqual(
      {key[:2] for key in found},
      {(o, s) for o in ("large", "small") for s in ("0", "1", "mean")},
    )
    self.assertEqual(
      {key[2] for key in found if key[:2] == ("small", "0")}, {"30", "60"}
    )
    self.assertIn("a curve for each", figure.caption)

  def test_the_same_step_twice_hides_no_branch(self):
    other = {"optim": {"weight_decay": 0.5}}
    again = branch("again_30", 30)
    figure = the_figure(
      branch("annealed_10", 10),
      branch("decayed_10", 10, other, shift=0.2),
      branch("decayed_30", 30, other, shift=0.2),
      branch("annealed_30", 30),
      # Not even one that differs in nothing.
      again._replace(rows=branch("again_30", 30, shift=0.4).rows),
    )
    found = ends(figure, "of", "seed")
    curve = {
      key[0]: sorted(v for k, v in found.items() if k[:2] == (key[0], "0"))
      for key in found
    }
    self.assertEqual(
      curve,
      {
        "annealed_10 to annealed_30": [0.1, 0.3],
        "decayed_10 to decayed_30": [0.3, 0.5],
        "again_30": [0.7],
      },
    )

  def test_what_moves_no_number_parts_no_curve(self):
    for name in branch_lib.FREE:
      self.assertIn(name, branches.ALONG)
    (curve,) = branches.curves(
      [
        branch("annealed_10", 10, {"checkpoint": {"minutes": 1.0}}),
        branch("annealed_30", 30, {"optim": {"anneal_latest": 30}}),
      ]
    )
    self.assertLen(curve.branches, 2)

  def test_what_is_no_branch_or_anneals_elsewhere_makes_no_curve(self):
    self.assertIsNone(the_figure(branch("large", 10, begins=False)))
    self.assertIsNone(the_figure(branch("continued", 10, anneals=False)))


if __name__ == "__main__":
  absltest.main()
