r"""Runs an experiment: every arm, cell and seed of a config, then the report.

  python -m lro_jax.main --config=configs/theory.py --workdir=runs/theory

Any field can be set from the command line: `--config.data.dim=200`,
`--config.seeds=0,1,2`. Finished runs are skipped and partial ones continued, so
the same command repeated completes the work; `--only` picks runs by name.
"""

import math
import pathlib
import re
import sys

from absl import flags
from ml_collections import config_flags

from lro_jax import branching, presets
from lro_jax.core import cli, hosts
from lro_jax.core.schema import ConfigDict, UserError
from lro_jax.plans import expand, plan
from lro_jax.runs import run_all


def main() -> None:
  """Entry point: the flags, and what they ask for. Ours."""
  config = cli.config_flag()
  workdir = flags.DEFINE_string(
    "workdir", None, "Folder that receives runs and report; made if missing."
  )
  only = flags.DEFINE_string(
    "only",
    "*",
    "Which runs to do, a pattern over arm/cell, with images arm/cell/seed_k:"
    " 'large/*', '*/seed_1'. Several hosts with disjoint patterns share one"
    " experiment.",
  )

  diff = flags.DEFINE_string(
    "diff",
    None,
    "Two presets, authors,paper: prints the fields in which they differ, of"
    " every config or of that of --config, and runs nothing.",
  )

  branch_from = flags.DEFINE_string(
    "branch_from",
    None,
    "RUN@STEP: every run of --config begins where RUN was at STEP, a step of"
    " which it saved a checkpoint. Without --config RUN@STEP,STEP...: RUN as it"
    " went on, and annealed at each STEP, as"
    " --config=configs/branch.py:RUN@STEP,STEP..., which takes overrides.",
  )

  distributed = flags.DEFINE_bool(
    "distributed",
    False,
    "Run over all devices of all hosts, started alike, where TPU pod, Slurm or"
    " Open MPI says which hosts there are.",
  )
  coordinator = flags.DEFINE_string(
    "coordinator",
    None,
    "The same elsewhere: host:port of process 0, with --num_processes and"
    " --process_id.",
  )
  num_processes = flags.DEFINE_integer(
    "num_processes", None, "How many hosts there are.", lower_bound=1
  )
  process_id = flags.DEFINE_integer(
    "process_id", None, "Which of them this is, from 0.", lower_bound=0
  )
  host_timeout = flags.DEFINE_integer(
    "host_timeout",
    100,
    "After so many seconds a host that does not answer is given up.",
    lower_bound=1,
  )
  minutes = flags.DEFINE_float(
    "minutes",
    math.inf,
    "After so many minutes the run under way saves its state and the process"
    " ends with status 75, as if it were told to: for machines lent by the"
    " slice of time. The same command goes on.",
    lower_bound=0,
  )
  cli.cache_flag()

  def run():
    if diff.value:
      file = config.value and config_flags.get_config_filename(
        flags.FLAGS["config"]
      )
      print(presets.diff(presets.pair(diff.value), expand, file))
      return
    if config.value is None:
      experiment = branching.experiment(branch_from.value)
    else:
      experiment = ConfigDict(config.value)
      if branch_from.value:
        experiment.branch_from = branch_from.value
    one = experiment, pathlib.Path(workdir.value)
    how = {"only": only.value, "seconds": 60 * minutes.value}
    explicit = (coordinator.value, num_processes.value, process_id.value)
    given = [x is not None for x in explicit]
    if any(given) and not all(given):
      raise UserError(
        "Got some of --coordinator, --num_processes and --process_id: give all"
        " three, or --distributed alone where the hosts know each other."
      )
    if coordinator.value and not re.fullmatch(r".+:[0-9]+", coordinator.value):
      raise UserError(
        f"Got --coordinator={coordinator.value}: write host:port, as in"
        " 10.0.0.1:1234."
      )
    if not (distributed.value or all(given)):
      run_all(*one, **how)
      return
    plan(one[0])  # what is wrong with the config, before the hosts meet
    status = hosts.guard()
    if status is not None:
      sys.exit(status)
    with hosts.leaving_at_once():
      hosts.start(*explicit, timeout=host_timeout.value)
      run_all(*one, **how)

  cli.run(
    run,
    required=("config", "workdir"),
    example="python -m lro_jax.main --config=configs/theory.py"
    " --workdir=FOLDER",
    instead={"diff": ("config", "workdir"), "branch_from": ("config",)},
  )


if __name__ == "__main__":
  main()
