"""One command does an experiment; a mistake costs one sentence and no work."""

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import jax
from absl.testing import absltest, parameterized

from configs import theory as theory_config
from lro_jax import main
from lro_jax.core import loop, metrics
from lro_jax.core.config import UserError
from lro_jax.report import collect, figures
from lro_jax.theory import data as data_lib
from tests import testing

ROOT = pathlib.Path(__file__).parent.parent
PRESETS = ("default", "limit", "network", "split", "paper")

# As small as a run of two arms can be, whatever the presets say.
TINY = {
  "shrink.max_seeds": 1,
  "shrink.data.dim": 12,
  "shrink.data.num_train": 32,
  "shrink.data.num_test": 8,
  "shrink.model.num_hidden": 8,
  "shrink.model.num_hidden_v": 8,
  "shrink.train.max": "3 steps",
  "train.num_devices": 1,
  "data.p0": 0.2,
  "data.q0": 0.2,
}


def setUpModule():
  # Compiling is nearly all that such small runs cost.
  jax.config.update("jax_disable_most_optimizations", True)


def tearDownModule():
  jax.config.update("jax_disable_most_optimizations", False)


def experiment(preset, fields=None, *, smoke=True):
  """A preset with fields set by dotted name, right or wrong."""
  config = theory_config.get_config(preset)
  config.smoke = smoke
  with config.unlocked(), config.ignore_type():
    testing.set_fields(config, fields or {})
  return config


def snapshot(folder):
  """Bytes and time of last change of every file of a folder."""
  return {
    path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


@contextlib.contextmanager
def no_device():
  """Fails whatever asks for a device, draws or compiles."""
  names = (
    "local_devices",
    "devices",
    "local_device_count",
    "device_count",
    "default_backend",
    "device_put",
    "jit",
    "pmap",
  )
  with contextlib.ExitStack() as stack:
    for name in names:
      error = AssertionError(f"jax.{name} was called")
      stack.enter_context(mock.patch.object(jax, name, side_effect=error))
    yield


def fake_run(task, config, folder, *, name, **unused):
  """Stands for `loop.run` where only what comes out matters."""
  writer = metrics.MetricsWriter(folder / metrics.METRICS)
  for seed in task.seeds:
    values = {"test_error/p_only": 0.1}
    writer.write(step=3, seed=seed, event=None, values=values)
  writer.close()
  end = {"status": "stopped", "step": 3, "events": {"stop": 3}}
  metrics.write_json(
    folder / metrics.RUN,
    {
      "name": name,
      "status": loop.DONE,
      "facts": task.facts,
      "versions": {},
      "wall_seconds": 0.0,
      "seeds": {str(seed): end for seed in task.seeds},
    },
  )


def without_figures():
  return mock.patch.object(figures, "draw", return_value=[])


class MainTestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.workdir = pathlib.Path(folder) / "runs"

  def run_all(self, config, workdir=None, **kwargs):
    """What `run_all` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      main.run_all(config, workdir or self.workdir, **kwargs)
    return printed.getvalue()

  def refusal(self, call, *words):
    """Text of the one UserError of a call: one line that holds the words."""
    with self.assertRaises(UserError) as caught:
      call()
    text = str(caught.exception)
    self.assertNotIn("\n", text)
    for word in words:
      self.assertIn(word, text)
    return text

  def record(self, name):
    return metrics.read_json(self.workdir / name / metrics.RUN)


class PresetsTest(MainTestCase):
  """Every preset at smoke size, each distinct experiment run once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.done = {}

  def finished(self, preset):
    """Folder of a preset's finished smoke run."""
    config = experiment(preset)
    key = json.dumps(metrics.plain(config.to_dict()), sort_keys=True)
    if key not in self.done:
      folder = self.root / str(len(self.done))
      # Drawn from the logs of both engines once.
      drawn = preset == "default"
      with contextlib.nullcontext() if drawn else without_figures():
        self.run_all(config, folder)
      self.done[key] = folder
    return self.done[key]

  @parameterized.parameters(*PRESETS)
  def test_preset_trains_every_run_and_reports(self, preset):
    workdir = self.finished(preset)
    runs = main.expand(experiment(preset))
    self.assertEqual({run.arm for run in runs}, {"large", "small"})
    rows = metrics.read_json(workdir / "report" / "results.json")
    self.assertEqual(rows, collect.tidy(collect.load(workdir)))
    page = (workdir / "report" / "index.html").read_text()
    self.assertIn("A smoke run", page)
    for run in runs:
      self.assertEqual(
        metrics.read_json(workdir / run.name / metrics.RUN)["status"], "done"
      )
      for word in (run.arm, run.cell):
        self.assertIn(word, page)
      num_seeds = run.config.max_seeds
      for metric in (
        "step",
        "train_loss/all",
        "train_loss/m1",
        "train_loss/q_only",
        "test_error/p_only",
        "test_error/all",
        "second_difference",
      ):
        values = collect.values(
          rows, arm=run.arm, cell=run.cell, phase="end", metric=metric
        )
        self.assertEqual(
          set(values), set(run.config.seeds[:num_seeds]), (run.name, metric)
        )
        self.assertTrue(all(map(math.isfinite, values.values())))

  def test_default_stands_both_engines_side_by_side(self):
    engines = {run.config.engine for run in main.expand(experiment("default"))}
    self.assertEqual(engines, {"limit", "network"})

  def test_same_command_again_leaves_finished_runs_untouched(self):
    workdir = self.finished("limit")
    runs = main.expand(experiment("limit"))
    names = [run.name for run in runs]
    files = (metrics.METRICS, metrics.RUN)

    def state():
      folders = {name: snapshot(workdir / name) for name in names}
      return {
        (name, str(path)): content
        for name, found in folders.items()
        for path, content in found.items()
        if path.name in files
      }

    before = state()
    self.assertLen(before, len(names) * len(files))
    report = workdir / "report" / "index.html"
    report.unlink()
    with without_figures(), mock.patch.object(
      loop, "run", side_effect=AssertionError("a finished run was run")
    ):
      self.run_all(experiment("limit"), workdir)
    self.assertEqual(state(), before)
    self.assertTrue(report.exists())


class OnlyTest(MainTestCase):
  def test_only_runs_what_fits_and_the_whole_command_completes_it(self):
    config = experiment("limit", TINY)
    small = self.workdir / "small" / "base"
    with without_figures(), mock.patch.object(loop, "run", fake_run):
      printed = self.run_all(config, only="small/*")
      self.assertEqual(self.record("small/base")["status"], "done")
      self.assertFalse((self.workdir / "large").exists())
      # Half of an experiment is no report: another host may be at the rest.
      self.assertFalse((self.workdir / "report").exists())
      self.assertNotIn("Report", printed)
      before = snapshot(small)
      printed = self.run_all(config)
    for name in (metrics.METRICS, metrics.RUN):
      path = pathlib.Path(name)
      self.assertEqual(snapshot(small)[path], before[path])
    self.assertEqual(self.record("large/base")["status"], "done")
    self.assertIn("Report", printed)

  def test_disjoint_only_commands_complete_the_report(self):
    config = experiment("limit", TINY)
    with without_figures(), mock.patch.object(loop, "run", fake_run):
      self.run_all(config, only="large/*")
      self.assertFalse((self.workdir / "report").exists())
      self.run_all(config, only="small/*")
    rows = metrics.read_json(self.workdir / "report" / "results.json")
    self.assertEqual({row["arm"] for row in rows}, {"large", "small"})


class RefusedConfigTest(MainTestCase):
  """Refused by `expand`: no device is touched, no file is made."""

  @parameterized.named_parameters(
    ("kappa_zero", {"data.kappa": 0.0}, ("data.kappa", "0.0", "(0, 1]")),
    ("kappa_below", {"data.kappa": -2.5}, ("data.kappa", "-2.5", "(0, 1]")),
    ("p0_q0", {"data.p0": 0.75, "data.q0": 0.5}, ("0.75 + 0.5", "at most 1")),
    ("r", {"data.r": -0.125}, ("data.r", "-0.125", "[0")),
    (
      "rate_times_decay",
      {
        "optim.large_learning_rate": 0.5,
        "optim.weight_decay": 2.0,
        "optim.stationary": "none",
      },
      ("0.5 x 2", ">= 1", "lower"),
    ),
    (
      "rate_times_decay_solved",
      {
        "optim.large_learning_rate": 0.5,
        "optim.weight_decay": 3.0,
        "optim.stationary": "noise_std",
      },
      ("0.5 x 3", ">= 1", "lower"),
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
      "field_of_grid",
      {"grid.size": {"field": "data.dimm", "values": (4, 8)}},
      ("size=4", "'data.dimm'", "did you mean 'data.dim'"),
    ),
    (
      "field_of_grid_overrides",
      {"grid.size": {"big": {"data": {"dimm": 4}}}},
      ("size=big", "'data.dimm'", "did you mean 'data.dim'"),
    ),
    (
      "field_of_base",
      {"data.num_trian": 5},
      ("'data.num_trian'", "did you mean 'data.num_train'"),
    ),
    ("grid_axis", {"grid.size": 7}, ("'size'", "7", "{field, values}")),
    (
      "grid_value",
      {"grid.size": {"field": "data.dim", "values": (4, "many")}},
      ("data.dim", "'many'", "an integer >= 2"),
    ),
    ("text_for_integer", {"data.dim": "40"}, ("data.dim", "'40'", "integer")),
    ("real_for_integer", {"data.dim": 40.5}, ("data.dim", "40.5", "integer")),
    (
      "bool_for_real",
      {"arms.large.data": {"r": True}},
      ("data.r", "True", "a number"),
    ),
    ("nan", {"data.r": math.nan}, ("data.r", "nan", "a number")),
    ("duration", {"train.max": "10"}, ("train.max", "'10'", "'5000 steps'")),
    ("seeds", {"seeds": (0, 0)}, ("seeds", "(0, 0)", "distinct integers")),
    ("engine", {"engine": "net"}, ("engine", "'net'", "'limit', 'network'")),
    ("track", {"track": "vizion"}, ("track", "'vizion'", "theory")),
    ("smoke", {"smoke": "maybe"}, ("smoke", "'maybe'", "True/False")),
    ("no_arms", {"arms": {}}, ("arms", "at least one")),
    (
      "odd_num_hidden",
      {"engine": "network", "model.num_hidden": 63},
      ("63", "even"),
    ),
    (
      "odd_num_hidden_v",
      {"engine": "network", "model.num_hidden_v": 31},
      ("31", "even"),
    ),
    (
      "limit_on_several_devices",
      {"engine": "limit", "train.num_devices": 2},
      ("num_devices 2", "limit engine", "set 0 or 1"),
    ),
    (
      "limit_without_angle",
      {"engine": "limit", "data.r": 0.0},
      ("data.r 0", "limit engine", "r > 0"),
    ),
  )
  def test_refused_in_one_sentence(self, fields, words):
    config = experiment("split", fields, smoke=False)
    with no_device():
      text = self.refusal(lambda: main.expand(config), *words)
      again = self.refusal(lambda: main.run_all(config, self.workdir), *words)
    self.assertEqual(text, again)
    self.assertFalse(self.workdir.exists())

  def test_kappa_is_refused_where_it_is_read(self):
    config = experiment("paper", {"data.kappa": 0.0}, smoke=False)
    with no_device():
      self.refusal(lambda: main.expand(config), "data.kappa", "0.0", "(0, 1]")

  def test_a_missing_field_is_named(self):
    config = experiment("split")
    del config.data.r
    with no_device():
      self.refusal(lambda: main.expand(config), "'data.r' is missing", "number")

  def test_every_run_is_checked_before_the_first_begins(self):
    config = experiment("split", {"arms.small.data": {"r": -1.0}})
    with no_device():
      self.refusal(lambda: main.run_all(config, self.workdir), "-1.0", "data.r")
    self.assertFalse(self.workdir.exists())

  @parameterized.parameters("medium/*", "larg/base", "large")
  def test_only_that_fits_no_run_lists_the_runs(self, only):
    config = experiment("split")
    with no_device():
      self.refusal(
        lambda: main.run_all(config, self.workdir, only=only),
        f"--only={only}",
        "large/base",
        "small/base",
      )
    self.assertFalse(self.workdir.exists())

  def test_unknown_preset_lists_the_presets(self):
    with self.assertRaises(ValueError) as caught:
      theory_config.get_config("defualt")
    for word in ("'defualt'", *PRESETS):
      self.assertIn(word, str(caught.exception))


class RefusedWorkdirTest(MainTestCase):
  def test_workdir_of_another_config_names_field_and_both_values(self):
    config = experiment("split", {"data.r": 0.0625})
    for run in main.expand(experiment("split", {"data.r": 0.125})):
      loop.claim(loop.run_folder(self.workdir, run), run.config)
    before = snapshot(self.workdir)
    with no_device():
      text = self.refusal(
        lambda: main.run_all(config, self.workdir),
        str(self.workdir / "large" / "base"),
        "data.r: 0.0625 now, 0.125 there",
        "--workdir",
      )
    self.assertNotIn("data.dim", text)
    self.assertEqual(snapshot(self.workdir), before)

  def test_workdir_of_another_config_keeps_the_finished_run(self):
    with without_figures(), mock.patch.object(loop, "run", fake_run):
      self.run_all(experiment("limit", TINY))
    before = snapshot(self.workdir)
    self.assertIn(pathlib.Path("large/base/metrics.jsonl"), before)
    other = experiment("limit", TINY | {"optim.stop_loss": 0.0625})
    with no_device():
      self.refusal(
        lambda: main.run_all(other, self.workdir), "optim.stop_loss: 0.0625"
      )
    self.assertEqual(snapshot(self.workdir), before)

  # The tests may run as root, whom permission bits do not stop.
  @parameterized.parameters("", "below")
  def test_workdir_that_is_a_file_is_named(self, below):
    self.workdir.write_text("not a folder")
    config = experiment("split")
    with no_device():
      self.refusal(
        lambda: main.run_all(config, self.workdir / below),
        f"Cannot write {self.workdir}",
        "--workdir you may write to",
      )
    self.assertEqual(self.workdir.read_text(), "not a folder")

  def test_workdir_that_cannot_be_written_is_named(self):
    if not pathlib.Path("/proc/self").exists():
      self.skipTest("no /proc here")
    config = experiment("split")
    with no_device():
      self.refusal(
        lambda: main.run_all(config, pathlib.Path("/proc/lro_jax")),
        "Cannot write /proc/lro_jax",
        "--workdir you may write to",
      )


class RefusedLaterTest(MainTestCase):
  """Refused only once the data is drawn, or the devices are counted."""

  def assert_can_be_mended(self, config):
    """The mended command is not refused the folders of the bad one."""
    for run in main.expand(config):
      loop.claim(loop.run_folder(self.workdir, run), run.config)

  @parameterized.product(
    engine=("limit", "network"),
    what=(("data.p0", "No P-only", "p0 0,"), ("data.q0", "No Q-only", "q0 0:")),
  )
  def test_no_example_of_one_kind_is_refused_before_training(
    self, engine, what
  ):
    field, kind, value = what
    config = experiment(engine, TINY | {field: 0.0})
    self.assertLen(main.expand(config), 2)
    untrained = mock.patch.object(
      loop, "run", side_effect=AssertionError("it was trained")
    )
    with untrained:
      self.refusal(
        lambda: main.run_all(config, self.workdir),
        f"{kind} example",
        "seed 0",
        "num_train 32",
        value,
        "raise num_train",
      )
    self.assertEmpty(list(self.workdir.rglob(metrics.METRICS)))
    self.assert_can_be_mended(experiment(engine, TINY))

  def test_no_example_of_one_kind_names_the_seed_that_has_none(self):
    # Of four examples none is P-only for 41% of all seeds.
    sizes = {"shrink.data.num_train": 4, "shrink.max_seeds": 0}
    config = experiment("limit", TINY | sizes | {"seeds": tuple(range(8))})
    drawn = {}
    for seed in range(8):
      try:
        data_lib.sample_problem(
          (seed,),
          dim=12,
          num_train=4,
          num_test=8,
          p0=0.2,
          q0=0.2,
          r=0.03,
          q_norm=1.0,
        )
        drawn[seed] = True
      except UserError as error:
        drawn[seed] = "P-only" not in str(error)
    first = min(seed for seed, has_p in drawn.items() if not has_p)
    self.assertTrue(any(drawn.values()))
    self.refusal(
      lambda: main.run_all(config, self.workdir),
      f"No P-only example was drawn for seed {first} ",
    )

  def test_a_bad_arm_loses_nothing_of_the_good_one(self):
    # Arms run in the order of the alphabet.
    good = TINY | {"arms": {"a_good": {"max_seeds": 1}}}
    bad = good | {"arms": good["arms"] | {"bare": {"data": {"p0": 0.0}}}}
    self.refusal(
      lambda: self.run_all(experiment("limit", bad)), "No P-only example"
    )
    self.assertEqual(self.record("a_good/base")["status"], "done")
    before = snapshot(self.workdir / "a_good")
    with without_figures(), mock.patch.object(
      loop, "run", side_effect=AssertionError("it was trained again")
    ):
      self.run_all(experiment("limit", good))
    after = snapshot(self.workdir / "a_good")
    path = pathlib.Path("base") / metrics.METRICS
    self.assertEqual(after[path], before[path])

  def test_more_devices_than_there_are_is_refused_before_training(self):
    there = jax.local_device_count()
    config = experiment("network", TINY | {"train.num_devices": there + 5})
    with mock.patch.object(
      data_lib, "sample_problem", side_effect=AssertionError("data was drawn")
    ):
      self.refusal(
        lambda: main.run_all(config, self.workdir),
        f"num_devices {there + 5}",
        f"at most {there}",
      )
    self.assert_can_be_mended(experiment("network", TINY))


class EndsTest(MainTestCase):
  """How a seed ends is in run.json, in the table and on the page."""

  def row_of(self, printed, label):
    (line,) = [
      line for line in printed.splitlines() if line.strip().startswith(label)
    ]
    return line

  def test_a_loss_never_reached_ends_at_max_steps_and_says_so(self):
    config = experiment(
      "limit", TINY | {"optim.anneal_excess": 0.0, "optim.stop_loss": 0.0}
    )
    with without_figures():
      printed = self.run_all(config)
    for name in ("large/base", "small/base"):
      record = self.record(name)
      self.assertEqual(record["status"], "done")
      self.assertEqual(
        record["seeds"],
        {"0": {"status": "max_steps", "step": 3, "events": {}}},
      )
    notes = (
      "large: 1 of 1 seeds reached max_steps before the annealing and stopping"
      " loss",
      "small: 1 of 1 seeds reached max_steps before the stopping loss",
    )
    page = (self.workdir / "report" / "index.html").read_text()
    for note in notes:
      self.assertIn(note, printed)
      self.assertIn(note, page)
    self.assertIn("3 (1 seed)", self.row_of(printed, "ended at step"))

  def test_a_diverged_seed_is_a_result_and_the_others_go_on(self):
    # After one update of this size the outputs of seed 0 pass float32's
    # largest number, 3.4e38; those of seed 5 stay below until 2e38.
    rate = 1.5e38
    config = experiment(
      "network",
      {
        "seeds": (0, 5),
        "train.num_devices": 1,
        "shrink.max_seeds": 0,
        "shrink.data": dict(dim=24, num_train=32, num_test=64),
        "shrink.model": dict(num_hidden=64, num_hidden_v=64),
        "shrink.train.max": "12 steps",
        "data.p0": 0.2,
        "data.q0": 0.2,
        "data.r": 0.03,
        "data.q_norm": 20.0,
        "model.basis": "reduced",
        "model.init_std": 0.01,
        "model.dtype": "float32",
        "optim.stationary": "none",
        "optim.noise_std": 0.0,
        "optim.weight_decay": 0.1 / rate,
        "optim.large_learning_rate": rate,
        "optim.small_learning_rate": 0.0025,
        "optim.anneal_excess": 0.12,
        "optim.stop_loss": 0.15,
      },
    )
    with self.assertLogs("absl", "ERROR") as logged:
      printed = self.run_all(config)
    (message,) = logged.output
    for word in ("seed 0", "step 1 ", "1.5e+38"):
      self.assertIn(word, message)

    record = self.record("large/base")
    self.assertEqual(record["status"], "done")
    seeds = record["seeds"]
    self.assertEqual(
      seeds["0"], {"status": "diverged", "step": 1, "events": {"diverge": 1}}
    )
    # The other seed of the same arm annealed and went on to the end.
    self.assertEqual(seeds["5"]["status"], "max_steps")
    self.assertEqual(seeds["5"]["step"], 12)
    self.assertEqual(list(seeds["5"]["events"]), ["anneal"])
    rows = metrics.read_metrics(self.workdir / "large/base" / metrics.METRICS)
    self.assertEqual(
      [r["step"] for r in rows if r["event"] == "diverge" and not r["seed"]],
      [1],
    )
    self.assertEqual(max(r["step"] for r in rows if r["seed"] == 0), 1)

    # The other arm is whole.
    self.assertEqual(
      {s["status"] for s in self.record("small/base")["seeds"].values()},
      {"max_steps"},
    )
    note = "large: 1 of 2 seeds diverged"
    self.assertIn(note, printed)
    page = (self.workdir / "report" / "index.html").read_text()
    self.assertIn(note, page)
    results = metrics.read_json(self.workdir / "report" / "results.json")
    found = collect.values(
      results, arm="small", cell="base", phase="end", metric="train_loss/all"
    )
    self.assertEqual(set(found), {0, 5})


@dataclasses.dataclass
class Ended:
  status: int
  errors: str
  workdir_made: bool


class CommandLineTest(parameterized.TestCase):
  """Mistakes at the command line, as a person meets them."""

  LIMIT = "--config=configs/theory.py:limit"
  COMMANDS = {
    "preset": ["--config=configs/theory.py:defualt"],
    "field": [LIMIT, "--config.data.dimm=3"],
    "type": [LIMIT, "--config.data.dim=abc"],
    "kappa": [LIMIT, "--config.data.kappa=-0.5"],
    "config_file": ["--config=configs/theori.py"],
    "no_workdir": [LIMIT],
  }

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    folder = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )

    def command(name):
      workdir = folder / name
      flag = [] if name == "no_workdir" else [f"--workdir={workdir}"]
      done = subprocess.run(
        [sys.executable, "-m", "lro_jax.main", *cls.COMMANDS[name], *flag],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
      )
      return Ended(done.returncode, done.stderr, workdir.exists())

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
      cls.ended = dict(
        zip(cls.COMMANDS, pool.map(command, cls.COMMANDS), strict=True)
      )

  @parameterized.parameters(
    ("preset", "'defualt'", *PRESETS),
    ("field", "dimm", "dim"),
    ("type", "data.dim", "abc", "integer"),
    ("kappa", "data.kappa", "-0.5", "(0, 1]"),
    ("config_file", "configs/theori.py"),
    ("no_workdir", "--workdir"),
  )
  def test_a_mistake_is_one_sentence(self, name, *words):
    ended = self.ended[name]
    self.assertGreater(ended.status, 0)
    self.assertFalse(ended.workdir_made)
    self.assertNotIn("Traceback", ended.errors)
    # absl's pointer to --help is welcome.
    lines = [
      line.strip()
      for line in ended.errors.splitlines()
      if line.strip() and not line.startswith("Pass --helpshort")
    ]
    self.assertLen(lines, 1, ended.errors)
    (line,) = lines
    self.assertLessEqual(len(line), 300)
    # No exception's repr, no Python.
    for remnant in ("\\n", "\\'", "\"'", "int()", "Error('"):
      self.assertNotIn(remnant, line)
    for word in words:
      self.assertIn(word, line)


if __name__ == "__main__":
  absltest.main()
