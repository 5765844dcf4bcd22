"""A bad config, workdir or device count costs one sentence and no work."""

import errno
import fnmatch
import pathlib
import tempfile
from unittest import mock

import jax
from absl.testing import absltest, parameterized

from configs import theory_scaling as scaling_config
from lro_jax import main, runs
from lro_jax.core import folders, loop, metrics
from lro_jax.core.schema import flatten
from tests import testing
from tests.vision import small

PRESETS = (
  "default",
  "limit",
  "network",
  "split",
  "conv",
  "structures",
  "paper",
  "sweep",
  "convergence",
)


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


MEASURED = {"arm": "large", "phase": "end", "metric": "step"}
EXPONENT = {
  "title": "steps",
  "source": "ours",
  "x": {"field": "data.dim"},
  "y": MEASURED,
  "cells": "*",
  "kind": "curve",
}


def no_device():
  return testing.forbidden(
    jax, "local_devices", "local_device_count", "default_backend", "device_put"
  )


class RefusedTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder) / "runs"

  def refused(self, config, *words, **kwargs):
    return testing.refusal(
      self, lambda: main.run_all(config, self.workdir, **kwargs), *words
    )


class RefusedConfigTest(RefusedTestCase):
  """Refused before a device is touched or a file is made."""

  @parameterized.named_parameters(
    ("kappa", {"data.kappa": 0.0}, ("data.kappa", "0.0", "(0, 1]")),
    ("p0_q0", {"data.p0": 0.75, "data.q0": 0.5}, ("0.75 + 0.5", "at most 1")),
    ("r", {"data.r": -0.125}, ("data.r", "-0.125", "[0")),
    (
      "rate_times_decay",
      {"optim.large_learning_rate": 0.5, "optim.weight_decay": 2.0},
      ("0.5 x 2", ">= 1", "lower"),
    ),
    (
      "small_above_large",
      {"optim.large_learning_rate": 0.5, "optim.small_learning_rate": 0.75},
      ("0.75", "0.5", "must not exceed"),
    ),
    (
      "field_of_arm",
      {"arms.large.optim.noise_stdd": 0.5},
      ("'large'", "'optim.noise_stdd'", "mean 'optim.noise_std'", "name one"),
    ),
    (
      "field_of_base",
      {"data.num_trian": 5},
      ("'data.num_trian'", "did you mean 'data.num_train'"),
    ),
    (
      "field_of_grid",
      {"grid.size": {"field": "data.dimm", "values": (4, 8)}},
      ("size=4", "'data.dimm'", "did you mean 'data.dim'"),
    ),
    ("last_arm", {"arms.small.data": {"r": -1.0}}, ("data.r", "-1.0")),
    ("track", {"track": "vizion"}, ("track", "'vizion'", "theory")),
    ("odd_width", {"model.num_hidden": 63}, ("63", "even")),
    (
      "limit_on_several_devices",
      {"train.num_devices": 2},
      ("num_devices 2", "limit engine", "set 0 or 1"),
    ),
    (
      "noise_without_noise",
      {"optim.stationary": "init_std"},
      ("init_std 0", "noise_std 0", "noise_std > 0"),
    ),
    (
      "noise_given_and_solved_for",
      {"optim.noise_std": 0.5},
      ("noise_std 0.5", "optim.stationary", "none"),
    ),
    (
      "more_examples_than_fit",
      {"data.scaling": "assumption_3_3", "data.kappa": 1e-3},
      ("600000000", "1000000", "data.kappa"),
    ),
    (
      "longer_than_a_counter",
      {"train.max": "3000000000 steps"},
      ("3000000000 steps", "2147483647"),
    ),
    (
      "patches_that_do_not_divide",
      {"model.structure": "conv", "model.num_strides": 7},
      ("num_strides 7", "data.dim 600", "divisor"),
    ),
    (
      "channels_that_do_not_divide",
      {"model.structure": "conv", "model.num_strides": 3},
      ("num_strides 3", "num_hidden 16384", "multiple"),
    ),
    (
      "z_on_one_coordinate",
      {"model.structure": "conv", "model.num_strides": 600},
      ("num_strides 600", "two", "lower num_strides"),
    ),
    (
      "limit_without_split",
      {"model.structure": "general"},
      ("'general'", "limit engine", "engine 'network'"),
    ),
    (
      "noisy_patches_in_the_limit",
      {"model.structure": "conv"},
      ("'small_noise'", "'conv'", "limit engine", "'split'"),
    ),
    (
      "reduced_basis_without_split",
      {"model.structure": "general", "engine": "network"},
      ("'reduced'", "'general'", "set 'full'"),
    ),
    (
      "width_of_v_without_split",
      {
        "model.structure": "general",
        "engine": "network",
        "model.basis": "full",
        "model.num_hidden_v": 64,
      },
      ("num_hidden_v 64", "'general'", "set 0"),
    ),
    (
      "unknown_instrument",
      {"lemmas.measure": "4.2,B.44"},
      ("'B.44'", "did you mean", "none"),
    ),
    (
      "instrument_that_the_engine_has_not",
      {"lemmas.measure": "A.8 flips W"},
      ("'A.8 flips W'", "'limit'", "4.2"),
    ),
    (
      "instrument_that_the_structure_has_not",
      {"lemmas.measure": "F.3", "engine": "network"},
      ("'F.3'", "'split'"),
    ),
    (
      "limit_obtuse_angle",
      {"data.r": 1.5},
      ("data.r 1.5", "limit engine", "at most 1"),
    ),
    (
      "tiny_kappa",
      {"data.scaling": "assumption_3_3", "data.kappa": 1e-300},
      ("training examples", "at most 1000000", "data.kappa"),
    ),
    (
      "section_that_is_a_number",
      {"data": 3},
      ("'data' is 3", "a section", "data.dim"),
    ),
    ("tiny_norm", {"data.q_norm": 5e-324}, ("data.q_norm 4.9", "1e-38")),
    ("tiny_std", {"model.init_std": 1e-200}, ("model.init_std 1e-200",)),
    ("arms_that_are_none", {"arms": 3}, ("'arms' is 3", "a section")),
    (
      "arm_that_is_a_number",
      {"arms.large": 3},
      ("'large' is 3", "a section"),
    ),
    ("arm_elsewhere", {"arms": {"/up": {}}}, ("'/up'", "slashes")),
    ("arm_named_report", {"arms": {"report": {}}}, ("'report'", "folder")),
    (
      "exponent_of_no_field",
      {"exponents.e": EXPONENT | {"x": {"field": "data.dimm"}}},
      ("exponents.e.x.field", "data.dimm", "did you mean 'data.dim'"),
    ),
    (
      "exponent_with_a_field_too_many",
      {"exponents.e": EXPONENT | {"claimd": 1.0}},
      ("exponents.e.claimd", "did you mean 'claimed'"),
    ),
    (
      "exponent_of_no_phase",
      {"exponents.e": EXPONENT | {"y": MEASURED | {"phase": "start"}}},
      ("exponents.e.y.phase", "'start'", "'end'"),
    ),
    ("limit_no_angle", {"data.r": 0.0}, ("data.r 0", "limit engine", "r > 0")),
  )
  def test_refused_in_one_sentence(self, fields, words):
    config = testing.experiment("limit", fields, smoke=False)
    with no_device():
      self.refused(config, *words)
    self.assertFalse(self.workdir.exists())

  @parameterized.parameters("medium/*", "larg/base", "large")
  def test_only_that_fits_no_run_lists_the_runs(self, only):
    with no_device():
      self.refused(
        testing.experiment("limit"),
        f"--only={only}",
        "large/base",
        "small/base",
        only=only,
      )
    self.assertFalse(self.workdir.exists())

  @parameterized.product(preset=PRESETS, smoke=(False, True))
  def test_every_preset_is_valid_and_has_both_algorithms(self, preset, smoke):
    with no_device():
      runs = main.expand(testing.experiment(preset, smoke=smoke))
    arms = {run.arm for run in runs}
    self.assertEqual(arms - {"small_noise"}, {"large", "small"})

  @parameterized.parameters(
    "steps", "kappa", "plateau", "rates", "anneal", "instruments"
  )
  def test_every_scaling_grid_is_valid_and_names_cells_that_it_has(self, name):
    config = scaling_config.get_config(name)
    with no_device():
      runs = main.expand(config)
    cells = {run.cell for run in runs}
    for entry in config.exponents.values():
      fitted = fnmatch.filter(cells, entry.cells)
      self.assertGreaterEqual(len(fitted), 3, entry.title)
      if "field" in entry.x:
        values = {
          flatten(run.config)[entry.x.field]
          for run in runs
          if run.cell in fitted
        }
        self.assertGreaterEqual(len(values), 3, entry.title)


class RefusedWorkdirTest(RefusedTestCase):
  def test_another_config_is_refused_by_field_and_nothing_changes(self):
    made_by = testing.experiment("limit", {"data.r": 0.125})
    for run in main.expand(made_by):
      folders.claim(folders.run_folder(self.workdir, run), run.config)
    with no_device():
      text = self.refused(
        testing.experiment("limit", {"data.r": 0.0625}),
        str(self.workdir / "large" / "base"),
        "data.r: 0.0625 now, 0.125 there",
        "--workdir",
      )
    self.assertNotIn("data.dim", text)
    for run in main.expand(made_by):
      folders.claim(folders.run_folder(self.workdir, run), run.config)

  def test_an_experiment_may_grow_but_not_lose_cells_or_arms(self):
    def grid(*values):
      axis = {"field": "data.r", "values": values}
      return testing.experiment("limit", testing.TINY | {"grid.r": axis})

    ended = runs.Ended({}, [])
    self.enterContext(
      mock.patch.object(runs, "_run_chosen", return_value=ended)
    )
    self.enterContext(mock.patch.object(runs.page, "write"))
    main.run_all(grid(0.125, 0.25), self.workdir)
    for config in (grid(0.25, 0.5), testing.experiment("limit", testing.TINY)):
      self.refused(config, "the cells r=0.125", "--workdir")
    one_arm = grid(0.125, 0.25)
    with one_arm.unlocked():
      del one_arm.arms["small"]
    self.refused(one_arm, "the arms small", "--workdir")
    main.run_all(grid(0.125, 0.25, 0.5), self.workdir)
    record = metrics.read_json(self.workdir / "experiment.json")
    self.assertEqual(record["cells"], ["r=0.125", "r=0.25", "r=0.5"])

  def test_a_workdir_that_may_not_even_be_looked_into_is_named(self):
    # Too long a name fails on every system, whoever runs the test.
    self.workdir = self.workdir / ("x" * 300)
    with no_device():
      self.refused(testing.experiment("limit"), "Cannot write", "--workdir")

  def test_a_disk_that_fills_up_while_claiming_is_named(self):
    write = metrics.write_json

    def full(path, value):
      if path.name == "experiment.json":
        raise OSError(errno.ENOSPC, "No space left on device")
      write(path, value)

    with mock.patch.object(metrics, "write_json", full):
      self.refused(
        testing.experiment("limit"), "No space left", "room on its disk"
      )

  # The tests may run as root, whom permission bits do not stop.
  def test_a_workdir_that_cannot_be_written_is_named(self):
    self.workdir.write_text("not a folder")
    with no_device():
      self.refused(
        testing.experiment("limit"),
        f"Cannot write {self.workdir}",
        "--workdir you may write to",
      )


class RefusedLaterTest(RefusedTestCase):
  """Refused once data is drawn or devices are counted, before any training."""

  def assert_refused_and_mended(self, preset, fields, *words):
    with testing.forbidden(loop, "run"):
      self.refused(testing.experiment(preset, testing.TINY | fields), *words)
    # The mended command is not refused the folders of the bad one.
    for run in main.expand(testing.experiment(preset, testing.TINY)):
      folders.claim(folders.run_folder(self.workdir, run), run.config)

  @parameterized.parameters(
    ("limit", "data.p0", "No P-only", "p0 0,"),
    ("network", "data.q0", "No Q-only", "q0 0:"),
  )
  def test_no_example_of_one_kind(self, preset, field, *words):
    self.assert_refused_and_mended(
      preset, {field: 0.0}, *words, "seed 0", "num_train 32", "raise num_train"
    )

  def test_a_run_that_would_stop_before_it_anneals(self):
    self.assert_refused_and_mended(
      "limit", {"optim.stop_loss": 0.9}, "stop_loss 0.9", "seed 0", "q log 2"
    )

  def test_inputs_too_near_for_the_power_series(self):
    self.assert_refused_and_mended(
      "limit",
      {"shrink.data": dict(dim=2, num_train=32, num_test=8)},
      "nearly parallel",
      "raise data.dim",
    )

  def test_an_infeasible_cell_is_marked_and_the_rest_runs(self):
    # One refused by its numbers, one by its draw.
    grid = {
      "good": {"data": {"q0": 0.25}},
      "numbers": {"data": {"p0": 0.9, "q0": 0.25}},
      "draw": {"data": {"q0": 0.0}},
    }
    fields = {"seeds": (0,), "lemmas.measure": "none", "grid.kind": grid}
    config = testing.experiment("limit", testing.TINY | fields)
    with testing.no_figures():
      testing.run_all(config, self.workdir)
    record = metrics.read_json(self.workdir / "experiment.json")
    self.assertEqual(set(record["infeasible"]), {"kind=numbers", "kind=draw"})
    self.assertIn("p0 + q0", record["infeasible"]["kind=numbers"])
    self.assertIn("No Q-only", record["infeasible"]["kind=draw"])
    for reason in record["infeasible"].values():
      self.assertNotIn("\n", reason)
    for arm in record["arms"]:
      self.assertTrue(folders.is_done(self.workdir / arm / "kind=good"))
      self.assertFalse((self.workdir / arm / "kind=draw" / "run.json").exists())
    page = (self.workdir / "report" / "index.html").read_text()
    self.assertIn("No Q-only", page)

  def test_a_grid_of_infeasible_cells_is_refused_before_training(self):
    grid = {"field": "data.q0", "values": (1e-6, 0.0)}
    with testing.forbidden(loop, "run"):
      self.refused(
        testing.experiment("limit", testing.TINY | {"grid.q0": grid}),
        "No Q-only",
      )

  def test_more_devices_than_there_are(self):
    there = jax.local_device_count()
    fields = {"train.num_devices": there + 5}
    self.assert_refused_and_mended(
      "network", fields, f"num_devices {there + 5}", f"at most {there}"
    )

  def test_out_of_device_memory_is_one_sentence(self):
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 4 of 3 bytes")
    with mock.patch.object(loop, "run", side_effect=error):
      self.refused(
        testing.experiment("network", testing.TINY), "large/base", "num_hidden"
      )
    error = jax.errors.JaxRuntimeError("INTERNAL: something else")
    with mock.patch.object(loop, "run", side_effect=error):
      with self.assertRaises(jax.errors.JaxRuntimeError):
        main.run_all(testing.experiment("network", testing.TINY), self.workdir)

  def test_out_of_memory_with_images_names_their_fields(self):
    error = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 4 of 3 bytes")
    with mock.patch.object(loop, "run", side_effect=error):
      self.refused(
        small.experiment(), "seed_0", "train.batch_size", "model.dtype"
      )

  @parameterized.parameters(
    ({"patches.size": 33}, "patches.size 33"),
    ({"data.source": "cifar10", "data.dir": "nowhere"}, "is not prepared in"),
    ({"data.source": "nowhere.npz"}, "no such file"),
    ({"train.batch_size": 61}, "train.batch_size 61"),
  )
  def test_images_are_looked_at_before_any_run_begins(self, fields, word):
    with testing.forbidden(loop, "run"):
      self.refused(small.experiment(fields), word)


if __name__ == "__main__":
  absltest.main()
