"""The page of `lro_jax/bench_results`: its tables, from its files alone.

What has no file has no table.
"""

import json
import pathlib
from collections.abc import Callable
from typing import Any

from lro_jax.bench import theory
from lro_jax.bench.results import FOLDER
from lro_jax.report import markdown

Record = dict[str, Any]
# Smaller parts of a step are one line.
SMALL = 0.005


def _ms(seconds: float) -> str:
  return f"{1e3 * seconds:.4g} ms"


def _ratio(x: float) -> str:
  return f"{x:.2f}"


def main_command(name: str, found: Record) -> str:
  """The main command, then and now. Ours; a file's name and record."""
  rows = [
    [
      f"[{name}]({name}.json)",
      what,
      ", ".join(f"{s:.1f} s" for s in found["before"][what]),
      ", ".join(f"{s:.1f} s" for s in found["after"][what]),
      _ratio(found["ratio"][what]),
    ]
    for what in ("wall", "processor")
  ]
  return markdown.table(["file", "", "before", "now", "ratio"], rows)


def compared(name: str, found: Record) -> str:
  """Every config, then and now. Ours; a file's name and record."""
  del name
  columns = {"step": "a step", "evaluation": "an evaluation"}
  columns["first_call"] = "compiling and the first call"
  rows = [
    [f"`{row['config']}`", row["of"]]
    + [
      f"{_ms(row[c]['before'])} to {_ms(row[c]['after'])},"
      f" **{row[c]['ratio']:.2f}**"
      for c in columns
    ]
    for row in found["compared"]
  ]
  return markdown.table(["config", "of", *columns.values()], rows)


def nets(name: str, found: Record) -> str:
  """An image net beside its peers. Ours; a file's name and record."""
  head = [
    "file",
    "net",
    "batch",
    "images/s",
    "share of a matrix product",
    "peak memory",
  ]
  row = [
    f"[{name}]({name}.json)",
    f"{found['net']}, {found['dtype']}",
    str(found["batch_size"]),
    f"{found['images_per_second']:.1f}",
    f"{found['share_of_matrix_product']:.0%}",
    f"{found['peak_bytes'] / 2**30:.2f} GiB",
  ]
  for peer in found.get("peers", ()):
    head += [peer["peer"], "ratio"]
    row += [f"{peer['images_per_second']:.1f} images/s", _ratio(peer["ratio"])]
  return markdown.table(head, [row])


def networks(name: str, found: Record) -> str:
  """The network engine beside NumPy. Ours; a file's name and record."""
  head = [
    "file",
    "size",
    "steps/s",
    "forward/backward",
    "noise",
    "rest",
    "plain NumPy",
    "ratio",
    "NumPy, same basis",
    "ratio",
  ]
  rows = [
    [
      f"[{name}]({name}.json)",
      f"d={row['dim']}, N={row['num_train']}, W {row['rows_w']:,} x V"
      f" {row['rows_v']:,} rows",
      f"{row['steps_per_second']:.1f}",
      f"{row['share_forward_backward']:.0%}",
      f"{row['share_noise']:.0%}",
      f"{row['share_rest']:.0%}",
      f"{row['numpy_steps_per_second']:.1f}",
      _ratio(row["ratio_to_numpy"]),
      f"{row['numpy_same_basis_steps_per_second']:.1f}",
      _ratio(row["ratio_to_numpy_same_basis"]),
    ]
    for row in found["network"]
  ]
  return markdown.table(head, rows)


def limits(name: str, found: Record) -> str:
  """A step of the limit engine by N. Ours; a file's name and record."""
  rows = [
    [f"[{name}]({name}.json)", f"N={row['num_train']:,}", _ms(row["seconds"])]
    for row in found["limit"]
  ]
  return markdown.table(["file", "size", "a step"], rows)


def instruments(name: str, found: Record) -> str:
  """What measuring all adds to a run. Ours; a file's name and record."""
  rows = [
    [f"[{name}]({name}.json)", f"{engine}, {when} annealing"]
    + [f"{x[k]:.2f} s" for k in ("none", "all")]
    + [f"{x['added']:+.0%}"]
    for engine, both in found["instruments"].items()
    for when, x in both.items()
  ]
  head = ["file", f"{theory.INSTRUMENT_STEPS:,} steps", "none", "all", "added"]
  return markdown.table(head, rows)


def scaled(name: str, found: Record) -> str:
  """Cost against sizes. Ours; a file's name and record."""
  del name
  rows = []
  for title, several in found.items():
    if not (isinstance(several, list) and "seconds" in several[0]):
      continue
    texts = []
    for row in several:
      sizes = [v for k, v in row.items() if k not in ("seconds", "net")]
      texts.append(f"{sizes[0]:,}: {_ms(row['seconds'])}")
    rows.append([title.replace("_", ", "), "; ".join(texts)])
  return markdown.table(["against", "a step"], rows)


def shared(name: str, found: Record) -> str:
  """Seeds on one device, by way. Ours; a file's name and record."""
  del name
  rows = [
    [way, _ms(seconds)]
    for way, seconds in found["seconds_per_step_and_seed"].items()
  ]
  head = [f"{found['num_seeds']} seeds", "a step and seed"]
  return markdown.table(head, rows)


def predicted(name: str, found: Record) -> str:
  """Steps that nobody has timed. Ours; a file's name and record."""
  del name
  parts = {
    "compute": "compute",
    "memory": "memory",
    "all_reduce": "all-reduce",
  }
  rows = [
    [chips]
    + [_ms(x[part]) for part in parts]
    + [
      f"{_ms(x['step_at_best'])} to {_ms(x['step_at_worst'])}",
      f"{x['images_per_second_at_worst']:,.0f} to"
      f" {x['images_per_second_at_best']:,.0f}",
    ]
    for chips, x in found["prediction"].items()
  ]
  return markdown.table(["", *parts.values(), "a step", "images/s"], rows)


def profiles(files: dict[str, Record]) -> str:
  """A step of each profiled run by part, and the run it adds up to. Ours.

  Args:
    files: {name: record}.
  """
  head, rows = ["file", "a step", "by part", "sum of parts / a run"], []
  for name, found in files.items():
    for one in found.get("runs", {}).values():
      if "by_part" not in one:
        continue
      step = one["step_seconds"]
      shares = {k: v / step for k, v in one["by_part"].items()}
      named = sorted(shares.items(), key=lambda x: -x[1])
      text = ", ".join(f"{k} {v:.0%}" for k, v in named if v >= SMALL)
      whole = one["whole"]
      rows.append(
        [
          f"[{name}]({name}.json)",
          _ms(step),
          text,
          f"{whole['sum_over_whole']:.0%} of {whole['seconds']:.1f} s,"
          f" {whole['steps']:,} steps",
        ]
      )
  return markdown.table(head, rows)


# By a field that only such records have anything in.
KINDS: dict[str, tuple[str, Callable[[str, Record], str]]] = {
  "main": ("The README's main command, then and now", main_command),
  "compared": ("Every config, then and now", compared),
  "net": ("A training step of the image experiments", nets),
  "network": ("A step of an actual net of the theory", networks),
  "limit": ("A step at infinite width", limits),
  "instruments": ("All instruments in a run, without compiling", instruments),
  "seconds_per_step_and_seed": ("Seeds of an image arm together", shared),
  "width": ("Cost against size", scaled),
  "prediction": (
    "Predicted, not measured: WRN-16-10, batch 128, bfloat16, on TPUs",
    predicted,
  ),
}


def as_markdown(folder: pathlib.Path = FOLDER) -> str:
  """All tables of a folder of records. Ours.

  Args:
    folder: of `results.write`.
  """
  files = {
    path.stem: json.loads(path.read_text())
    for path in sorted(folder.glob("*.json"))
  }
  out = []
  for field, (title, of) in KINDS.items():
    those = [of(name, x) for name, x in files.items() if x.get(field)]
    if those:
      out += [f"**{title}**", *those]
  out += ["**A step by part**", profiles(files)]
  rows = [
    [
      f"[{name}]({name}.json)",
      x["date"],
      x["versions"]["commit"],
      f"{x['hardware']['processor']}, {x['hardware']['cores']} cores",
      f"jax {x['versions']['jax']}, Python {x['versions']['python']}",
    ]
    for name, x in files.items()
  ]
  head = ["file", "date", "commit", "processor", "versions"]
  out += ["**Where and when**", markdown.table(head, rows)]
  return "\n\n".join(out)
