r"""Speed: what a step costs, by part, beside a named baseline in the same run.

  python -m lro_jax.bench --config=configs/theory.py:network
  python -m lro_jax.bench --config=configs/theory.py:limit

For an actual net, two rows: the config's own size, and d=400, N=200, m=16384.
Baselines are `theory.reference`, Eq. (3.1) written plainly in NumPy: once in
all d coordinates, as the paper has it, and once in the same reduced basis that
the engine uses, which shows how much is structure and how much is compilation.
Both draw their noise with NumPy's own generator.

For the limit engine: its cost per step against N, and the N at which that is
the cost of one step of an actual net of m = 65536 at the config's own N.

A time is the median over repeats of a warm call; `--out` keeps them.
"""

import pathlib
from typing import Any

from absl import flags

from lro_jax import bench_theory
from lro_jax.core import cli, folders, metrics
from lro_jax.core import config as config_lib
from lro_jax.core.schema import ConfigDict
from lro_jax.theory import settings
from lro_jax.theory import task as theory


def run(config: ConfigDict) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours."""
  out: dict[str, Any] = {"versions": folders.versions(), "network": []}
  engines = {r.config.engine for r in config_lib.expand(config, theory.SCHEMA)}
  if settings.NETWORK in engines:
    for sizes, steps_per_call in (({}, 200), (bench_theory.STANDARD, 10)):
      row = bench_theory.network_row(
        bench_theory.run_config(config, settings.NETWORK, **sizes),
        steps_per_call=steps_per_call,
      )
      out["network"].append(row)
      print(
        f"network d={row['dim']} N={row['num_train']} W {row['rows_w']} rows,"
        f" V {row['rows_v']} rows: {row['steps_per_second']:.1f} steps/s\n"
        f"  forward/backward {row['share_forward_backward']:.0%}, noise"
        f" {row['share_noise']:.0%}, rest {row['share_rest']:.0%} (update,"
        " decomposition, per-seed stop)\n"
        f"  forward/backward at {row['forward_backward_gflops']:.0f} GFLOP/s, a"
        " large matrix product here at"
        f" {row['matrix_product_gflops']:.0f}\n"
        f"  plain NumPy, all d coordinates: {row['numpy_steps_per_second']:.1f}"
        f" steps/s, ratio {row['ratio_to_numpy']:.1f}\n"
        "  plain NumPy, same reduced basis:"
        f" {row['numpy_same_basis_steps_per_second']:.1f} steps/s, ratio"
        f" {row['ratio_to_numpy_same_basis']:.1f}",
        flush=True,
      )
  if settings.LIMIT in engines:
    out |= bench_theory.limit_table(config)
  return out


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
