r"""Speed: what a run costs, by part, beside a named baseline in the same run.

  python -m lro_jax.bench --config=configs/theory.py:network --profile
  python -m lro_jax.bench --config=configs/patches.py:cpu --baseline --profile
  python -m lro_jax.bench --scaling
  python -m lro_jax.bench --seeds=3 --config=configs/patches.py:cpu
  python -m lro_jax.bench --before=../lro_jax_before [--whole]
  python -m lro_jax.bench --predict

For every engine of a theory experiment, or the net of an image experiment:
steps or images per second, compile time, peak memory, FLOPs by XLA's count and
by formula, and both as shares of what the same device makes of one large matrix
product and one large copy. `--profile` traces a step and says where its time
goes, and lets a real run of some twenty seconds say whether steps,
evaluations, rows and checkpoints add up to it.

For an actual net of the theory, two rows: the config's own size, and d=400,
N=200, m=16384. Baselines are `theory.reference`, Eq. (3.1) written plainly in
NumPy: once in all d coordinates, as the paper has it, and once in the same
reduced basis that the engine uses. Both draw their noise with NumPy's own
generator. For the limit engine: its cost per step against N, and the N at which
that is the cost of one step of an actual net of m = 65536 at the config's own
N. For images the baseline is PyTorch, eager and compiled, in child processes.

A time is the median over repeats of a warm call. `--out` keeps the numbers: a
file, or a bare name for one under `lro_jax/bench_results`.
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from configs import theory as theory_config
from lro_jax.bench import (
  compare,
  predict,
  programs,
  results,
  scaling,
  seeds,
  tables,
  theory,
  vision,
  whole,
)
from lro_jax.core import cli
from lro_jax.core import config as config_lib
from lro_jax.core.schema import ConfigDict, UserError, shown
from lro_jax.plans import TRACKS, track_of

# Steps of the real run beside its parts take about so many seconds.
WHOLE_SECONDS, LEAST, MOST = 20.0, 4, 1_000_000

# Each measures something of its own, and reads no other flag than these.
ALONE = {
  "predict": (),
  "before": (),
  "scaling": (),
  "seeds": ("config",),
  "tables": (),
}


def check_flags(given: Mapping[str, Any]) -> None:
  """Refuses flags that do not go together. Ours.

  Args:
    given: value by name; of `ALONE`, 'config', 'baseline', 'profile', 'whole'
      and 'turns'.

  Raises:
    UserError: two measurements, a flag that one does not read, or seeds of
      what is no image experiment.
  """
  chosen = [name for name in ALONE if given[name]]
  if len(chosen) > 1:
    raise UserError(
      f"Got --{' and --'.join(chosen)}: each is a measurement by itself; give"
      " one of them."
    )
  for name in chosen:
    for other in ("config", "baseline", "profile"):
      if given[other] and other not in ALONE[name]:
        raise UserError(
          f"Got --{other} with --{name}, which does not read it: leave either"
          " out."
        )
  for name in ("whole", "turns"):
    if given[name] and not given["before"]:
      raise UserError(
        f"Got --{name} without --before: it is about another checkout and this;"
        " name one with --before=FOLDER."
      )
  config = given["config"]
  if given["seeds"] and track_of(config) is not TRACKS["vision"]:
    raise UserError(
      f"Got --seeds with a config of track {shown(config.track)}: it is for"
      " 'vision' alone, as configs/patches.py:cpu; seeds of a theory experiment"
      " already share one program."
    )


def runs_of(config: ConfigDict) -> dict[str, ConfigDict]:
  """What there is to measure: a run of each engine, or of the net. Ours."""
  if config.track == "vision":
    return {"net": vision.run_config(config)}
  track = track_of(config)
  engines = {r.config.engine for r in config_lib.expand(config, track.SCHEMA)}
  return {
    engine: theory.run_config(config, engine) for engine in sorted(engines)
  }


def run(
  config: ConfigDict, *, baseline: bool = False, profile: bool = False
) -> dict[str, Any]:
  """Measures, prints, and returns what it printed. Ours.

  Args:
    config: the experiment.
    baseline: whether to run the peers; those of the theory always run.
    profile: whether to say where a step's time goes.

  Raises:
    UserError: no track of that name, or a bad field.
  """
  track_of(config)
  if config.track == "vision":
    out = vision.run(config, baseline=baseline)
  else:
    out = theory.run(config)
  out["runs"] = {}
  for name, one in runs_of(config).items():
    found = programs.measure(one, profile=profile)
    programs.show(f"{config.name}, {name}", found)
    if profile:
      num = round(WHOLE_SECONDS / found["step_seconds"])
      found["whole"] = whole.compare(one, min(max(num, LEAST), MOST))
    out["runs"][name] = found
  return out


def main() -> None:
  """Entry point. Ours."""
  config = cli.config_flag()
  out = flags.DEFINE_string(
    "out", None, "JSON file for the numbers, or a name under bench_results."
  )
  baseline = flags.DEFINE_bool("baseline", False, "Run PyTorch's net as well.")
  profile = flags.DEFINE_bool("profile", False, "Say where the time goes.")
  num_seeds = flags.DEFINE_integer(
    "seeds",
    0,
    "So many seeds of an image experiment on one device, in four ways.",
    lower_bound=0,
  )
  scaled = flags.DEFINE_bool(
    "scaling", False, "Cost against width, N, d, seeds and virtual devices."
  )
  before = flags.DEFINE_string(
    "before", None, "Folder of another checkout: all configs, then and now."
  )
  whole_command = flags.DEFINE_bool(
    "whole", False, "With --before: the README's main command as a whole."
  )
  turns = flags.DEFINE_integer(
    "turns",
    0,
    "With --before: how often each is measured; 0: as often as usual.",
    lower_bound=0,
  )
  predicted = flags.DEFINE_bool(
    "predict", False, "Predict WRN-16-10 on TPU v4-8 and v4-32. Runs nothing."
  )
  tabled = flags.DEFINE_bool(
    "tables", False, "Print the tables of bench_results. Runs nothing."
  )
  cli.cache_flag()

  def bench():
    given = config.value and ConfigDict(config.value)
    check_flags(
      {
        "config": given,
        "baseline": baseline.value,
        "profile": profile.value,
        "predict": predicted.value,
        "before": before.value,
        "whole": whole_command.value,
        "turns": turns.value,
        "scaling": scaled.value,
        "seeds": num_seeds.value,
        "tables": tabled.value,
      }
    )
    if tabled.value:
      print(tables.as_markdown())
      return
    if predicted.value:
      found = predict.run()
    elif before.value:
      compared = compare.whole if whole_command.value else compare.run
      often = {"turns": turns.value} if turns.value else {}
      found = compared(before.value, **often)
    elif scaled.value:
      found = scaling.run(*[theory_config.get_config("")] * 2)
    elif num_seeds.value:
      found = seeds.run(given, num_seeds.value)
    else:
      found = run(given, baseline=baseline.value, profile=profile.value)
    if out.value:
      name = given.name if given else "all"
      print(results.write(out.value, results.record(name, found)))

  cli.run(
    bench,
    required=("config",),
    example="python -m lro_jax.bench --config=configs/theory.py:network",
    instead={
      name: ("config",) for name in ("predict", "before", "scaling", "tables")
    },
  )


if __name__ == "__main__":
  main()
