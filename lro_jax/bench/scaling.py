"""How a step's cost grows: with width, N, d, seeds, devices.

Devices of a CPU are virtual: they share its cores, and show only what there is
to pay besides, not what more hardware would give.
"""

from typing import Any

from lro_jax.bench import compare
from lro_jax.bench import theory as bench_theory
from lro_jax.core.schema import ConfigDict
from lro_jax.theory import settings

WIDTHS = (2**12, 2**14, 2**16, 2**18)
# Of V alone, beside a W of the run's own width.
WIDTHS_V = (2**15, 2**18, 2**20, 2**21)
EXAMPLES, DIMS = (100, 200, 400, 800), (100, 200, 400, 800)
# The limit's cost is its N^2 pairs, whatever d.
MANY_EXAMPLES = (100, 400, 1600, 10_000)
SEEDS, DEVICES = (1, 2, 4, 8), (1, 2, 4)
DEVICES_OF = "configs/patches.py:cpu"
# Work of about this size is one call of the device.
CALL = 2**22
# So many pairs of examples are as much work as one more unit.
PER_WIDTH = 16


def _table(title: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Prints rows, each with its exponent against the one before."""
  print(title, flush=True)
  for row in rows:
    print(
      "  "
      + ", ".join(f"{k} {v}" for k, v in row.items() if k != "seconds")
      + f": {1e3 * row['seconds']:.3f} ms a step",
      flush=True,
    )
  return rows


def _cost(config: ConfigDict, seeds: int = 1) -> float:
  config.seeds = tuple(range(seeds))
  width = config.model.num_hidden_v or config.model.num_hidden
  pairs = config.data.num_train**2
  size = width if config.engine == settings.NETWORK else pairs // PER_WIDTH
  per_call = max(3, min(200, CALL // (size * seeds)))
  return bench_theory.seconds_per_step(config, steps_per_call=per_call)


def run(network: ConfigDict, limit: ConfigDict) -> dict[str, Any]:
  """Seconds per step of the theory's engines, and of a net by devices. Ours.

  Args:
    network: an experiment with a run of the network engine.
    limit: one with a run of the limit engine.
  """
  net, lim = settings.NETWORK, settings.LIMIT

  def at(config, engine, **sizes):
    return bench_theory.run_config(config, engine, **sizes)

  out = {
    "width": _table(
      "network, width m of both blocks:",
      [
        {"m": m, "seconds": _cost(at(network, net, num_hidden=m))}
        for m in WIDTHS
      ],
    ),
    "width_v": _table(
      "network, width m of V:",
      [
        {"m": m, "seconds": _cost(at(network, net, num_hidden_v=m))}
        for m in WIDTHS_V
      ],
    ),
    "seeds": _table(
      "network, seeds in one program:",
      [
        {"seeds": n, "seconds": _cost(at(network, net), seeds=n)} for n in SEEDS
      ],
    ),
  }
  for name, config, engine, examples in (
    ("network", network, net, EXAMPLES),
    ("limit", limit, lim, MANY_EXAMPLES),
  ):
    own = at(config, engine)
    out[f"{name}_examples"] = _table(
      f"{name}, N at d={own.data.dim}:",
      [
        {"N": n, "seconds": _cost(at(config, engine, num_train=n))}
        for n in examples
      ],
    )
    out[f"{name}_dim"] = _table(
      f"{name}, d at N={own.data.num_train}:",
      [{"d": d, "seconds": _cost(at(config, engine, dim=d))} for d in DIMS],
    )
  rows = []
  for k in DEVICES:
    ((net_name, cost), *_) = compare.in_child(DEVICES_OF, devices=k).items()
    rows.append({"net": net_name, "devices": k, "seconds": cost["step"]})
  out["devices"] = _table("virtual devices of the same cores:", rows)
  return out
