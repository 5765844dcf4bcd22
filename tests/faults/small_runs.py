"""Runs of both tracks, a second or two long, that save often."""

from typing import NamedTuple


class Small(NamedTuple):
  """One arm of an experiment: its name, folder and command line."""

  name: str
  folder: str
  arguments: tuple[str, ...]


_THEORY = (
  "--config.smoke",
  "--only=large/base",
  "--config.shrink.train.max=24 steps",
  "--config.eval.every=7 steps",
  "--config.train.steps_per_call=2",
  "--config.checkpoint.minutes=0",
  # Those that a state carries along, so that they are resumed too.
  "--config.lemmas.measure=4.3 norm,5.2,B.6",
)
NETWORK = Small(
  "network", "large/base", ("--config=configs/theory.py:network", *_THEORY)
)
LIMIT = Small(
  "limit", "large/base", ("--config=configs/theory.py:limit", *_THEORY)
)
IMAGES = Small(
  "images",
  "small_noise/base/seed_0",
  (
    "--config=configs/patches.py:smoke",
    "--only=small_noise/base/seed_0",
    "--config.checkpoint.minutes=0",
  ),
)
ALL = {small.name: small for small in (NETWORK, LIMIT, IMAGES)}
