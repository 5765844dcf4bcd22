"""A net of a user's own does what the loop asks of a WideResNet."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from lro_jax.core.schema import ConfigDict
from lro_jax.vision import nets, settings
from lro_jax.vision import noise as noise_lib
from tests import testing
from tests.vision import small

IMAGE = (8, 8, 3)


class Linear(nn.Module):
  """No BatchNorm, no place for noise, no initialisation of its own."""

  num_classes: int

  @nn.compact
  def __call__(self, x, how, noise=None):
    del how, noise
    return nn.Dense(self.num_classes)(x.reshape(len(x), -1))


class NetsTest(parameterized.TestCase):
  def test_a_net_without_batch_norm_has_no_statistics(self):
    net = Linear(4)
    params, stats = nets.init(jax.random.key(0), net, IMAGE)
    self.assertEmpty(stats)
    x = jnp.ones((2, *IMAGE))
    for train in (True, False):
      logits, moved = nets.apply(net, params, stats, x, train=train)
      self.assertEqual(logits.shape, (2, 4))
      self.assertEmpty(moved)
    self.assertEqual(settings.num_parameters(net, IMAGE), 8 * 8 * 3 * 4 + 4)

  def test_the_same_key_gives_the_same_weights(self):
    net = Linear(4)
    first, second, other = (
      jax.tree.leaves(nets.init(jax.random.key(k), net, IMAGE))
      for k in (0, 0, 1)
    )
    for a, b in zip(first, second, strict=True):
      np.testing.assert_array_equal(a, b)
    self.assertTrue(
      any((a != b).any() for a, b in zip(first, other, strict=True))
    )

  def test_a_net_that_names_no_sites_is_refused_noise(self):
    testing.refusal(
      self,
      lambda: noise_lib.sample(jax.random.key(0), Linear(4), IMAGE, std=1.0),
      *("act_noise.std", "Linear", "sites"),
    )

  def test_a_config_names_a_net_that_is_there(self):
    config = small.run_config(fields={"model.net": "wide_resnett"})
    testing.refusal(
      self,
      lambda: settings.validate(config),
      *("model.net", "did you mean 'wide_resnet'"),
    )

  def test_the_default_is_the_papers_net(self):
    model = ConfigDict(dict(net="wide_resnet", depth=16, widen_factor=10))
    net = nets.make(model, 10)
    self.assertEqual(nets.label(net), "WRN-16-10")
    self.assertLen(nets.sites(net, IMAGE), 13)


if __name__ == "__main__":
  absltest.main()
