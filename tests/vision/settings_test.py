"""A config that cannot run is refused in one sentence, before any training."""

import math

from absl.testing import absltest, parameterized

from configs import cifar10, patches
from lro_jax import main
from lro_jax.vision import settings, wide_resnet
from lro_jax.vision import task as vision
from tests import testing
from tests.vision import small


def expand(fields):
  return lambda: main.expand(small.experiment(fields))


class FieldsTest(parameterized.TestCase):
  @parameterized.parameters(
    ("model.depth", 12, ("model.depth 12", "6n + 4")),
    ("model.depth", "16", ("model.depth", "integer")),
    ("model.widen_factor", 0, ("model.widen_factor", ">= 1")),
    ("model.dtype", "float16", ("model.dtype", "bfloat16")),
    ("data.source", "cifar100", ("data.source", "cifar10", ".npz")),
    ("data.std", (63.0, 0.0, 66.7), ("data.std", "(0, 255]")),
    ("data.std", (63.0,), ("data.mean", "data.std", "each channel")),
    ("patches.rule", "multiply", ("patches.rule", "'replace', 'add'")),
    ("patches.split", "half", ("patches.split", "'bernoulli', 'exact'")),
    ("patches.probability", 1.5, ("patches.probability", "[0, 1]")),
    ("patches.z_std", math.nan, ("patches.z_std", "number")),
    ("act_noise.shape", "layer", ("act_noise.shape", "'shared'")),
    ("optim.anneal_at", ("29",), ("optim.anneal_at", "durations")),
    ("optim.anneal_at", "29 epochs", ("optim.anneal_at", "tuple")),
    ("optim.momentum", 1.0, ("optim.momentum", "[0, 1)")),
    ("optim.momentum", 0.0, ("optim.nesterov", "momentum 0")),
    ("optim.weight_decay", 40.0, ("optim.weight_decay", "below 1")),
    ("train.batch_size", 0, ("train.batch_size", ">= 1")),
    ("train.max", "60", ("train.max", "duration")),
    ("eval.every", "sometimes", ("eval.every", "never")),
    ("eval.num_probe", -1, ("eval.num_probe", ">= 1")),
    ("model.deph", 16, ("model.deph", "did you mean 'model.depth'")),
  )
  def test_one_sentence_names_field_and_what_is_allowed(
    self, name, value, words
  ):
    testing.refusal(self, expand({name: value}), *words)

  def test_a_batch_that_devices_cannot_share_is_refused(self):
    text = testing.refusal(
      self,
      expand({"train.batch_size": 30, "train.num_devices": 4}),
      "train.batch_size 30",
      "4 devices",
    )
    self.assertIn("1, 2, 3", text)

  def test_a_run_shorter_than_its_milestone_is_refused(self):
    for preset in (patches, cifar10):
      config = preset.get_config("authors")
      config.train.max = "29 epochs"
      testing.refusal(
        self,
        lambda config=config: main.expand(config),
        "29 epochs",
        "train.max",
      )

  def test_a_patch_bank_without_patches_is_refused(self):
    testing.refusal(
      self,
      expand({"patches.bank": "patches.npz", "patches.enabled": False}),
      "patches.bank",
      "patches.enabled",
    )


class DataTest(parameterized.TestCase):
  @parameterized.parameters(
    ({"patches.size": 33}, ("patches.size 33", "32 x 32")),
    ({"data.num_train": 5000}, ("data.num_train",)),
    ({"data.num_test": 5000}, ("data.num_test",)),
    ({"data.num_validation": 512}, ("data.num_validation",)),
    ({"patches.bank": "missing.npz"}, ("patches.bank missing.npz",)),
    ({"data.source": "missing.npz"}, ("missing.npz",)),
  )
  def test_what_does_not_fit_the_images_is_refused(self, fields, words):
    config = small.run_config(fields=fields)
    vision.validate(config)
    testing.refusal(self, lambda: vision.check_data(config, 1), *words)

  def test_the_devices_there_are_must_share_the_batch(self):
    config = small.run_config(fields={"train.num_devices": 0})
    vision.check_data(config, 4)
    testing.refusal(
      self, lambda: vision.check_data(config, 3), "3 devices", "batch_size 16"
    )


class PlanTest(absltest.TestCase):
  def test_an_epoch_has_the_short_batch(self):
    config = small.run_config()
    self.assertEqual(settings.steps_of(config, 60), 4)
    self.assertEqual(settings.steps_of(config, 64), 4)
    self.assertEqual(settings.steps_of(config, 65), 5)
    full = main.expand(patches.get_config("authors"))[0].config
    self.assertEqual(settings.steps_of(full, 50_000), 391)

  def test_milestones_are_of_rate_and_noise_together(self):
    config = small.run_config("small_noise")
    config.optim.anneal_at = ("4 steps", "2 epochs")
    plan = settings.plan(config, steps_per_epoch=4)
    self.assertEqual(plan.milestones, [4, 8, 9])
    quiet = small.run_config("small")
    quiet.act_noise.anneal_at = ("5 steps",)
    self.assertEqual(settings.plan(quiet, steps_per_epoch=4).milestones, [])

  def test_presets_expand_on_any_machine(self):
    for module in (patches, cifar10):
      for preset in ("authors", "paper", "cpu", "smoke"):
        runs = main.expand(module.get_config(preset))
        self.assertEqual(
          {run.arm for run in runs}, {"large", "small", "small_noise"}
        )
    runs = main.expand(cifar10.get_config("control"))
    self.assertEqual(
      {(run.arm, run.cell, run.seed) for run in runs},
      {
        (arm, f"num_train={n}", 0)
        for arm in ("large", "small")
        for n in (10000, 50000)
      },
    )

  def test_parameters_are_counted_without_a_device(self):
    net = wide_resnet.WideResNet(16, 10, 10)
    self.assertEqual(settings.num_parameters(net, (32, 32, 3)), 17_116_634)


if __name__ == "__main__":
  absltest.main()
