r"""How fast the net approaches its infinite-width limit: a table over widths.

  python -m lro_jax.theory.convergence --config=configs/theory.py:convergence

With --init_stds the table is made for several tau0.

Both engines train on the same problems for a short horizon, noise and decay at
stationarity. For each width the table gives the root mean square over seeds of
the largest distance on the training set, max_i |f_network - f_limit|, of

  signal  N_U(u, Ubar; x), the output of the signal part under the net's own
          patterns: what the limit is a limit of
  whole   f itself. The limit is m -> infinity and *then* tau0 -> 0 (Assumption
          3.2); at a fixed tau0 the noise part's own output, of the order of
          tau0 |x| (Proposition A.4), stays at every width

and the least-squares slope of log distance in log m.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import flags

from lro_jax.core import cli, folders, metrics, steps
from lro_jax.core import config as config_lib
from lro_jax.core.schema import ConfigDict, to_steps
from lro_jax.theory import models, settings
from lro_jax.theory import task as theory


class Outputs(NamedTuple):
  """Outputs on the training examples, [s, N]: whole f, and the signal's."""

  whole: np.ndarray
  signal: np.ndarray


def outputs_after(config: ConfigDict, num_steps: int) -> Outputs:
  """Outputs on the training examples after some steps. Paper: (2.6), (3.4).

  Args:
    config: a run's config.
    num_steps: steps to train.
  """
  task = theory.make(config, axis_name=None)

  def signal(state, data):
    heads, signal = state.model_state["heads"], state.probe.parts.signal
    r = models.two_layer_with_patterns_of(
      state.params.w, heads.w, signal.w, data.examples["x1"]
    )
    g_at = models.two_layer_with_patterns_of(
      state.params.v, heads.v, signal.v, data.shared["directions"]
    )
    ex = data.examples
    return r + models.q_output(g_at, ex["alpha"], ex["direction"])

  is_limit = config.engine == settings.LIMIT
  with jax.enable_x64(task.x64):
    compiled = steps.compile_task(task, 1)
    carry, _ = compiled.advance(compiled.init(), num_steps, True)
    arrays = [
      np.asarray(compiled.apply(fn, carry), np.float64)
      for fn in (task.outputs, task.outputs if is_limit else signal)
    ]
  return Outputs(*arrays)


def rms_distance(a: np.ndarray, b: np.ndarray) -> float:
  """Root mean square over seeds of max over examples |a - b|. [s, N]. Ours."""
  return float(np.sqrt(np.mean(np.max(np.abs(a - b), axis=1) ** 2)))


def slope(widths: Sequence[int], distances: Sequence[float]) -> float:
  """Least-squares slope of log distance in log width. Ours."""
  return float(np.polyfit(np.log(widths), np.log(distances), 1)[0])


def table(
  run: ConfigDict, widths: Sequence[int], init_std: float | None = None
) -> dict[str, Any]:
  """The table over widths, one row per width, and the slopes. Ours.

  Args:
    run: a run's config; trained to its `train.max`.
    widths: m, for W and V alike.
    init_std: tau0, in the place of the config's.

  Returns:
    {"rows": [{"m", "signal", "whole"}], "slope_signal", "slope_whole",
    "init_std", "scale", the mean largest |f_limit|}.
  """
  num_steps = to_steps(run.train.max, steps_per_epoch=1)

  def outputs(**fields):
    this = ConfigDict(run.to_dict())
    this.engine = fields["engine"]
    this.lemmas.measure = "none"
    this.model.init_std = init_std or this.model.init_std
    this.model.num_hidden = fields.get("m", this.model.num_hidden)
    this.model.num_hidden_v = 0
    theory.validate(this)
    return outputs_after(this, num_steps)

  limit = outputs(engine=settings.LIMIT).whole
  rows = []
  for m in widths:
    net = outputs(engine=settings.NETWORK, m=m)
    rows.append(
      {"m": m} | {k: rms_distance(v, limit) for k, v in net._asdict().items()}
    )
    print(
      f"m = 2^{np.log2(m):<4.0f} signal {rows[-1]['signal']:.5f}"
      f"  whole {rows[-1]['whole']:.5f}",
      flush=True,
    )
  return {
    "rows": rows,
    "init_std": init_std or run.model.init_std,
    "scale": float(np.abs(limit).max(1).mean()),
    "config": metrics.plain(run.to_dict()),
    "versions": folders.versions(),
  } | {
    f"slope_{kind}": slope(widths, [row[kind] for row in rows])
    for kind in ("signal", "whole")
  }


def main() -> None:
  """Entry point. Ours."""
  config = cli.config_flag()
  out = flags.DEFINE_string("out", None, "JSON file for the table, or none.")
  widths = flags.DEFINE_list(
    "log2_widths", ["12", "14", "16", "18", "20", "22"], "log2 of m."
  )

  stds = flags.DEFINE_list(
    "init_stds", [], "tau0, several; the config's own where there is none."
  )

  def run():
    first = config_lib.expand(ConfigDict(config.value), theory.SCHEMA)[0]
    tables = []
    for std in [float(s) for s in stds.value] or [first.config.model.init_std]:
      found = table(first.config, [2 ** int(w) for w in widths.value], std)
      tables.append(found)
      print(
        f"tau0 {std:g}: largest |f_limit| {found['scale']:.3f}; slope in log m:"
        f" signal {found['slope_signal']:.2f}, whole {found['slope_whole']:.2f}"
      )
    if out.value:
      result = tables[0] if len(tables) == 1 else {"tables": tables}
      metrics.write_json(pathlib.Path(out.value), result)

  cli.run(
    run,
    required=("config",),
    example="python -m lro_jax.theory.convergence"
    " --config=configs/theory.py:convergence",
  )


if __name__ == "__main__":
  main()
