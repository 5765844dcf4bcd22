r"""Speed: what a step costs, by part, beside a named baseline in the same run.

  python -m lro_jax.bench --config=configs/theory.py:network
  python -m lro_jax.bench --config=configs/theory.py:limit
  python -m lro_jax.bench --config=configs/patches.py

For an actual net, two rows: the config's own size, and d=400, N=200, m=16384.
Baselines are `theory.reference`, Eq. (3.1) written plainly in NumPy: once in
all d coordinates, as the paper has it, and once in the same reduced basis that
the engine uses, which shows how much is structure and how much is compilation.
Both draw their noise with NumPy's own generator.

For the limit engine: its cost per step against N, and the N at which that is
the cost of one step of an actual net of m = 65536 at the config's own N.

For an image experiment: images per second of a training step, FLOPs per image
and their share of what the device makes of one large matrix product, peak
memory, and on a CPU the same net in PyTorch where that is installed.

A time is the median over repeats of a warm call; `--out` keeps them.
"""

import pathlib
from typing import Any

from absl import flags

from lro_jax.bench import theory, vision
from lro_jax.core import cli, folders, metrics
from lro_jax.core.schema import ConfigDict
from lro_jax.main import track_of

TRACKS = {"theory": theory, "vision": vision}


def run(config: ConfigDict) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours.

  Raises:
    UserError: no track of that name, or a bad field.
  """
  track_of(config)
  return {"versions": folders.versions()} | TRACKS[config.track].run(config)


def main() -> None:
  """Entry point. Ours."""
  config = cli.config_flag()
  out = flags.DEFINE_string("out", None, "JSON file for the numbers, or none.")

  def bench():
    result = run(ConfigDict(config.value))
    if out.value:
      metrics.write_json(pathlib.Path(out.value), result)

  cli.run(
    bench,
    required=("config",),
    example="python -m lro_jax.bench --config=configs/theory.py:network",
  )


if __name__ == "__main__":
  main()
