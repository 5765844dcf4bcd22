"""The noise before every activation: H.1's strategy for a small rate."""

import functools

import flax.linen as nn
import jax

from lro_jax.core.task import Array
from lro_jax.vision import nets

SHARED, CHANNEL, EXAMPLE = "shared", "channel", "example"


def sample(
  key: Array,
  net: nn.Module,
  image: tuple[int, int, int],
  *,
  std: Array,
  shape: str = SHARED,
  index: Array | None = None,
) -> list[Array]:
  """Gaussian noise for every activation of one step. H.1; (F.1).

  Args:
    key: key of this step, [], the same on all devices.
    net: the net; it must have `sites`.
    image: height, width, channels of the images.
    std: standard deviation, [].
    shape: 'shared' is one map [h, w] for all examples and channels (H.1 and the
      authors' code), 'channel' one [h, w, c] for all examples (one value per
      neuron, as in F.1), 'example' one map [h, w] for each example.
    index: global index of each example, [n]; read by 'example' only, so that a
      draw does not depend on which device makes it.

  Returns:
    A list of arrays that broadcast against [n, h, w, c].
  """
  places = nets.sites(net, image)
  per_site = [
    site.height * site.width * (site.channels if shape == CHANNEL else 1)
    for site in places
  ]
  # One draw, cut up: a draw per shape takes XLA seconds to compile.
  draw = functools.partial(jax.random.normal, shape=(sum(per_site),))
  if shape == EXAMPLE:
    flat = jax.vmap(lambda i: draw(jax.random.fold_in(key, i)))(index)
  else:
    flat = draw(key)[None]
  out, at = [], 0
  for site, size in zip(places, per_site, strict=True):
    channels = site.channels if shape == CHANNEL else 1
    cut = std * flat[:, at : at + size]
    out.append(cut.reshape(-1, site.height, site.width, channels))
    at += size
  return out
