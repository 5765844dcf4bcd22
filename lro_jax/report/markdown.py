"""Tables of the README, as of saved summaries: lemmas and exponents."""

import math
from typing import Any

from lro_jax.report.formats import NOTHING, real, show
from lro_jax.report.intervals import Interval

# What a reader needs beside a ratio: which side of 1 the statement wants.
SIGNS = {"at most": "<=", "at least": ">=", "equal": "="}


def table(header: list[str], lines: list[list[str]]) -> str:
  """A table in Markdown. Ours.

  Args:
    header: names of the columns.
    lines: texts of each row.
  """
  rows = [header, ["---"] * len(header), *lines]
  return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _interval(numbers: list[float | None]) -> Interval:
  return Interval(*(math.nan if x is None else x for x in numbers))


def exponents(*saved: dict[str, Any]) -> str:
  """Claimed and measured exponents of saved summaries. Ours.

  Args:
    *saved: what `summary.summary` returned, read back from its file.
  """
  lines = []
  for entry in (e for one in saved for e in one["exponents"]):
    if entry["kind"] == "curve":
      continue
    claimed = f"{entry['claimed']:g}"
    if entry["relation"] == "at most":
      claimed += " (bound)"
    ours = NOTHING if entry["ours"] is None else f"{entry['ours']:g}"
    measured = show(_interval(entry["exponent"]), lambda x: f"{x:.2f}")
    lines.append(
      [entry["title"], entry["source"], claimed, ours, measured]
      + [entry["verdict"]]
    )
  return table(["", "source", "claimed", "ours", "measured", "verdict"], lines)


def ratios(saved: dict[str, Any], columns: dict[str, tuple[str, str]]) -> str:
  """Value over bound of every instrument, mean over seeds. Ours.

  Args:
    saved: what `summary.summary` returned, read back from its file.
    columns: {heading: (cell, arm)}; the arm '' is that of each statement.
  """
  cells = {cell["cell"]: cell["instruments"] for cell in saved["cells"]}
  lines = []
  for statement in saved["statements"]:
    name = statement["name"]
    texts = []
    for cell, arm in columns.values():
      own = "small" if statement["algorithm"] == "small" else "large"
      found = cells[cell].get(arm or own, {}).get(name)
      texts.append(
        NOTHING if found is None or found[2] is None else real(found[2])
      )
    if any(text != NOTHING for text in texts):
      sign = SIGNS[statement["kind"]]
      lines.append([name, statement["source"], sign, *texts])
  return table(["", "source", "", *columns], lines)
