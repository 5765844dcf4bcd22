"""The bench's other commands: prediction, before and after, files."""

import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized
from flax import linen

from lro_jax import main
from lro_jax.bench import __main__ as bench
from lro_jax.bench import compare, predict, results, step
from lro_jax.bench import vision as bench_vision
from lro_jax.core import cli, interrupt
from lro_jax.core.schema import UserError
from lro_jax.vision import nets, settings, wide_resnet
from tests import testing
from tests.vision import small

NET, IMAGE = wide_resnet.WideResNet(16, 10, 10), (32, 32, 3)


def at(chips):
  num = settings.num_parameters(NET, IMAGE)
  return predict.predict(NET, IMAGE, num_parameters=num, batch=128, chips=chips)


class PredictionTest(absltest.TestCase):
  def test_its_convolutions_are_all_of_the_nets_flops_and_weights(self):
    found = predict.convolutions(NET, IMAGE)
    macs = sum(a * b * c * d for a, b, c, d in found) + 640 * 10
    self.assertEqual(2 * macs, wide_resnet.forward_flops(NET, IMAGE))
    weights = sum(b * c * d for _, b, c, d in found)
    # The others are BatchNorm's and the last layer's.
    num = settings.num_parameters(NET, IMAGE)
    self.assertBetween(num - weights, 640 * 10, 0.002 * num)

  def test_chips_divide_compute_but_not_the_all_reduce(self):
    one, four, sixteen = at(1), at(4), at(16)
    self.assertAlmostEqual(one["compute"] / four["compute"], 4)
    self.assertEqual(one["all_reduce"], 0)
    self.assertGreater(sixteen["all_reduce"], four["all_reduce"])
    self.assertLess(sixteen["step_at_worst"], four["step_at_best"])
    for found in (one, four, sixteen):
      self.assertLessEqual(found["step_at_best"], found["step_at_worst"])

  def test_no_faster_than_the_peak_allows(self):
    flops = 3 * wide_resnet.forward_flops(NET, IMAGE) * 128
    self.assertGreater(at(4)["compute"], flops / (4 * predict.V4.flops))


class BeforeAfterTest(parameterized.TestCase):
  def test_a_ratio_is_of_medians_and_the_checkouts_take_turns(self):
    there = pathlib.Path(compare.HERE)
    costs, asked = iter([4.0, 1.0, 6.0, 2.0, 90.0, 3.0]), []

    def child(name, checkout="after"):
      asked.append(checkout)
      cost = next(costs)
      return {"net": {k: cost for k in ("step", "evaluation", "first_call")}}

    with mock.patch.object(compare, "in_child", child):
      found = compare.run(str(there), configs=("a config",))
    self.assertEqual(asked, [there, "after"] * 3)
    (row,) = found["compared"]
    self.assertEqual(row["step"], {"before": 6.0, "after": 2.0, "ratio": 3.0})

  def test_what_is_no_checkout_is_refused(self):
    with self.assertRaisesRegex(UserError, "--before=.*name the folder"):
      compare.run(self.enterContext(tempfile.TemporaryDirectory()))

  @parameterized.parameters(*compare.CONFIGS)
  def test_every_config_has_runs_that_neither_anneal_nor_stop(self, name):
    runs = step.runs_of(name)
    self.assertNotEmpty(runs)
    for run in runs.values():
      self.assertEqual(run.seeds, (0,))
      self.assertFalse(run.optim.get("anneal_at", ()))
      self.assertFalse(run.optim.get("stop_loss", 0.0))


class FlagsTest(parameterized.TestCase):
  OTHERS = ("config", "baseline", "profile", "whole", "turns")

  def check(self, **given):
    """Checks a command line with these flags."""
    config = given.get("config")
    no = dict.fromkeys((*bench.ALONE, *self.OTHERS))
    bench.check_flags(no | given | {"config": config and small.experiment()})

  @parameterized.parameters(
    {"config": True},
    {"config": True, "baseline": True, "profile": True},
    {"config": True, "seeds": 3},
    {"predict": True},
    {"before": "there"},
    {"before": "there", "whole": True},
    {"scaling": True},
    {"tables": True},
  )
  def test_what_goes_together_does(self, **given):
    self.check(**given)

  @parameterized.parameters(
    ("--predict and --scaling", {"predict": True, "scaling": True}),
    ("--before and --seeds", {"before": "there", "seeds": 3}),
    ("--scaling and --tables", {"scaling": True, "tables": True}),
    ("--config with --predict", {"predict": True, "config": True}),
    ("--profile with --scaling", {"scaling": True, "profile": True}),
    ("--whole without --before", {"scaling": True, "whole": True}),
    ("--turns without --before", {"scaling": True, "turns": 2}),
    (
      "--baseline with --seeds",
      {"seeds": 3, "config": True, "baseline": True},
    ),
  )
  def test_what_does_not_is_refused(self, words, given):
    testing.refusal(self, lambda: self.check(**given), words)

  def test_seeds_are_counted_of_images_only(self):
    given = dict.fromkeys((*bench.ALONE, *self.OTHERS))
    given |= {"seeds": 3, "config": testing.experiment("network")}
    testing.refusal(
      self, lambda: bench.check_flags(given), "--seeds", "'theory'", "'vision'"
    )


class OtherNet(linen.Module):
  """A net that is no WideResNet."""

  num_classes: int

  @linen.compact
  def __call__(self, x, how, noise=None):
    return linen.Dense(self.num_classes)(x.reshape(len(x), -1))


class PeerTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    # No work is to start before what cannot be is refused.
    costs = {"seconds": 0.5, "compile_seconds": 3.0}
    self.timed = self.enterContext(
      mock.patch.object(bench_vision, "seconds_per_step", return_value=costs)
    )
    self.enterContext(
      mock.patch.dict(
        nets.NETS._entries, other=lambda model, num_classes: OtherNet(10)
      )
    )

  def test_another_net_has_no_peer(self):
    config = small.experiment({"model.net": "other"})
    testing.refusal(
      self,
      lambda: bench_vision.run(config, baseline=True),
      *("--baseline", "model.net 'other'", "'wide_resnet'", "leave"),
    )
    self.timed.assert_not_called()

  def test_another_net_is_timed_without_a_peer(self):
    out = bench_vision.run(small.experiment({"model.net": "other"}))
    self.assertEqual(out["net"], "OtherNet")
    self.assertEqual(out["images_per_second"], 16 / 0.5)
    self.assertNotIn("forward_flops_per_image", out)

  def test_the_peer_has_no_noise(self):
    config = small.experiment({"act_noise.std": 0.4})
    testing.refusal(
      self,
      lambda: bench_vision.run(config, baseline=True),
      *("--baseline", "act_noise.std 0.4", "leave"),
    )
    self.timed.assert_not_called()


class FilesTest(absltest.TestCase):
  def test_a_record_says_what_it_depends_on(self):
    path = (
      pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "a.json"
    )
    found = results.record("a", {"x": 1})
    self.assertEqual(results.write(path, found), path)
    for name in ("date", "command", "versions", "hardware", "x"):
      self.assertIn(name, found)
    self.assertIn("commit", found["versions"])

  def test_a_bare_name_goes_to_the_packages_folder(self):
    with (
      mock.patch.object(results.metrics, "write_json") as write,
      mock.patch.object(pathlib.Path, "mkdir"),
    ):
      path = results.write("patches_cpu", {})
    self.assertEqual(path, results.FOLDER / "patches_cpu.json")
    write.assert_called_once()


class LimitTest(absltest.TestCase):
  def test_time_is_up_only_after_the_limit(self):
    now = 100.0
    with mock.patch.object(interrupt.time, "monotonic", lambda: now):
      with interrupt.Watch(60.0) as watch, interrupt.Watch() as endless:
        self.assertFalse(watch.asked)
        now = 159.9
        self.assertFalse(watch.asked)
        now = 160.0
        self.assertTrue(watch.asked)
        self.assertFalse(endless.asked)

  def test_a_process_without_time_begins_no_run(self):
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    config = testing.experiment("network", testing.TINY)
    with self.assertRaisesRegex(interrupt.InterruptedRun, "before run"):
      main.run_all(config, folder, seconds=0.0)
    self.assertEmpty(list(folder.rglob("metrics.jsonl")))


def given(folder):
  """As if the flag had been given."""
  return mock.patch.object(
    cli.flags, "FLAGS", {cli.CACHE: mock.Mock(value=folder)}
  )


class WholeTest(absltest.TestCase):
  """The main command of two checkouts, by children that are not there."""

  def ran(self, stderr="", returncode=0):
    def child(command, *, env, cwd, **unused):
      self.children.append((cwd, env))
      return mock.Mock(returncode=returncode, stderr=stderr)

    # Squares: every turn takes longer than the one before.
    used = (mock.Mock(children_user=n**2, children_system=0) for n in range(99))
    self.children = []
    set_ = {"JAX_COMPILATION_CACHE_DIR": "somewhere"}
    with (
      mock.patch.object(compare.subprocess, "run", child),
      mock.patch.object(compare.os, "times", lambda: next(used)),
      mock.patch.dict(compare.os.environ, set_),
    ):
      return compare.whole(str(compare.HERE), turns=2)

  def test_each_checkout_runs_its_own_code_and_compiles_for_itself(self):
    got = self.ran()
    self.assertLen(got["before"]["wall"], 2)
    # Squares of 0 to 7 by pairs; before and after take turns.
    self.assertEqual(got["before"]["processor"], [1, 9])
    self.assertEqual(got["after"]["processor"], [5, 13])
    self.assertAlmostEqual(got["ratio"]["processor"], 5 / 9)
    for place, env in self.children:
      self.assertEqual(env["PYTHONPATH"], str(place))
      self.assertNotIn("JAX_COMPILATION_CACHE_DIR", env)

  def test_a_command_that_fails_is_one_sentence_with_its_last_words(self):
    call = lambda: self.ran("Trace\nError: no room", returncode=1)  # noqa: E731
    testing.refusal(self, call, "failed", "Error: no room")


class CacheTest(absltest.TestCase):
  def test_the_folder_is_made_and_named_to_jax(self):
    folder = self.enterContext(tempfile.TemporaryDirectory()) + "/cache"
    with (
      given(folder),
      mock.patch.object(cli.jax.config, "update") as update,
    ):
      cli._keep_what_is_compiled()
    self.assertTrue(pathlib.Path(folder).is_dir())
    update.assert_called_once_with("jax_compilation_cache_dir", folder)

  def test_a_folder_that_cannot_be_made_is_refused(self):
    with given(f"{__file__}/cache"):
      with self.assertRaisesRegex(UserError, "may write to"):
        cli._keep_what_is_compiled()


if __name__ == "__main__":
  absltest.main()
