"""Exponents: how measured quantities move over the cells, beside the claims.

experiment.json names under `exponents` what is fitted: a quantity y against x
over some cells, and with which power of x the paper says that y moves. Fitted
is log y on log x by least squares, both means over the seeds that every cell
has, that is y's geometric mean. Entries of kind 'curve' are only drawn.
"""

import fnmatch
import math
from typing import Any, NamedTuple

import numpy as np

from lro_jax.report import intervals, quantities, verdicts
from lro_jax.report.collect import Experiment
from lro_jax.report.formats import NOTHING, real, show
from lro_jax.report.intervals import FEWEST, Interval
from lro_jax.report.quantities import Entry
from lro_jax.report.tables import Table
from lro_jax.report.verdicts import AT_MOST, EQUAL, ROUNDING

TITLE = "Exponents: claimed and measured"
METHOD = (
  "Least squares of log y on log x over cells, geometric means over seeds; in"
  " brackets the 95% bootstrap interval over paired seeds, which is too narrow"
  " where they are few (normal noise: of 4 it holds the truth in 79% of cases,"
  " of 8 in 89%). A bound is tight if the interval holds its exponent."
)


class Point(NamedTuple):
  """One cell: x, and y with its interval over seeds, if they are enough."""

  cell: str
  x: float
  y: Interval


class Finding(NamedTuple):
  """What the cells say of one entry.

  Attributes:
    entry: as in experiment.json.
    points: the cells used, by x; geometric means where there is a fit.
    exponent: slope of log y on log x, its bootstrap interval, its seeds.
    constant: y over x to the power of the law, if the entry has a constant.
    left_out: why a cell is not used.
  """

  entry: Entry
  points: list[Point]
  exponent: Interval
  constant: Interval
  left_out: dict[str, str]

  @property
  def is_curve(self) -> bool:
    """Whether it is drawn only."""
    return self.entry["kind"] == "curve"

  @property
  def verdict(self) -> str:
    """What the interval says of the claim, and of our own law."""
    e, found = self.entry, self.exponent
    said = verdicts.verdict(
      e.get("claimed"), found, e["relation"], e.get("towards")
    )
    ours = verdicts.verdict(e.get("ours"), found, EQUAL)
    if ours != NOTHING:
      said = f"ours {ours}" if said == NOTHING else f"{said}; ours {ours}"
    return said


def findings(
  experiment: Experiment, rows: list[dict[str, Any]]
) -> list[Finding]:
  """What the cells say of every entry of the experiment. Ours.

  Args:
    experiment: a loaded workdir; its record may have no entries.
    rows: its tidy rows.

  Raises:
    UserError: an entry says nothing that could be fitted.
  """
  entries = experiment.record.get("exponents") or []
  lookup = quantities.lookup(experiment, rows) if entries else {}
  return [_finding(entry, experiment, lookup) for entry in entries]


def _finding(
  entry: Entry, experiment: Experiment, lookup: quantities.Lookup
) -> Finding:
  verdicts.check(entry)
  cells: dict[str, dict[int, tuple[float, float]]] = {}
  infeasible = experiment.record.get("infeasible") or {}
  left_out = dict.fromkeys(
    fnmatch.filter(infeasible, entry["cells"]), "infeasible"
  )
  names = [c for c in experiment.record["cells"] if c not in infeasible]
  for cell in fnmatch.filter(names, entry["cells"]):
    runs = {run.arm: run for run in experiment.runs if run.cell == cell}
    found = quantities.of_cell(entry, lookup, runs)
    if isinstance(found, str):
      left_out[cell] = found
    else:
      cells[cell] = found
  if entry["kind"] == "curve":
    none = intervals.interval([])
    points = [
      _point(cell, np.array(list(found.values())))
      for cell, found in cells.items()
    ]
    return Finding(entry, _by_x(points), none, none, left_out)
  return _fit(entry, cells, left_out)


def _point(cell: str, pairs: np.ndarray) -> Point:
  """Means over seeds of x and y, [s, 2]."""
  x, y = pairs.T
  found = intervals.interval(list(y))
  if len(y) < FEWEST:
    found = found._replace(low=math.nan, high=math.nan)
  return Point(cell, float(x.mean()), found)


def _by_x(points: list[Point]) -> list[Point]:
  return sorted(points, key=lambda point: point.x)


def _slope(logs: np.ndarray) -> np.ndarray:
  """Least squares of log y on log x. [..., 2, cells] -> [...]."""
  x, y = np.moveaxis(logs - logs.mean(axis=-1, keepdims=True), -2, 0)
  return (x * y).sum(axis=-1) / (x * x).sum(axis=-1)


def _fit(entry: Entry, cells: dict, left_out: dict[str, str]) -> Finding:
  """Exponent, constant and points of cells in which all has a logarithm."""
  law = entry.get("claimed") if entry.get("ours") is None else entry["ours"]
  seeds = sorted(set.intersection(*map(set, cells.values()))) if cells else []
  # Geometric means have logarithms that are means over seeds.
  logs = np.log(
    [[cells[cell][seed] for cell in cells] for seed in seeds]
  ).reshape(len(seeds), len(cells), 2)
  points = []
  for i, cell in enumerate(cells if seeds else ()):
    point = _point(cell, logs[:, i])
    y = Interval(*np.exp(point.y[:3]).tolist(), point.y.num)
    xs = {cells[cell][seed][0] for seed in seeds}
    # What the seeds share comes back without rounding.
    x = math.exp(point.x) if len(xs) > 1 else xs.pop()
    points.append(Point(cell, x, y))
  exponent = constant = intervals.interval([])
  samples = logs.swapaxes(1, 2)
  if points and np.ptp([math.log(point.x) for point in points]) > ROUNDING:
    exponent = intervals.bootstrap(_slope, samples)
  if points and law is not None and entry.get("constant") is not None:
    constant = intervals.bootstrap(
      lambda logs: np.exp((logs[..., 1, :] - law * logs[..., 0, :]).mean(-1)),
      samples,
    )
  return Finding(entry, _by_x(points), exponent, constant, left_out)


def _power(value: float) -> str:
  return f"{value:.3f}"


def _claim(value: float | None) -> str:
  return NOTHING if value is None else f"{value:.4g}"


def table(found: list[Finding]) -> Table | None:
  """Claimed, ours, measured, verdict; None where nothing is fitted. Ours."""
  fits = [finding for finding in found if not finding.is_curve]
  if not fits:
    return None
  has_constant = any(f.entry.get("constant") is not None for f in fits)
  header = ["", "source", "against", "claimed", "ours", "measured", "verdict"]
  header.append("cells x seeds")
  header += ["constant, ours", "constant, measured"] if has_constant else []
  lines = []
  for finding in fits:
    e = finding.entry
    claimed, ours = (_claim(e.get(name)) for name in ("claimed", "ours"))
    if e["relation"] == AT_MOST and claimed != NOTHING:
      claimed += f" (bound, x to {e['towards']})"
    texts = [f"  {e['title']}", e["source"], quantities.words(e["x"])]
    texts += [claimed, ours, show(finding.exponent, _power), finding.verdict]
    texts.append(f"{len(finding.points)} x {finding.exponent.num}")
    if has_constant:
      law = e.get("constant")
      texts.append(NOTHING if law is None else real(law))
      texts.append(show(finding.constant, real))
    lines.append(texts)
  return Table("", TITLE, header, lines, [METHOD, *notes(found)])


def notes(found: list[Finding]) -> list[str]:
  """What could not be fitted or drawn, and why. Ours."""
  fits = [finding for finding in found if not finding.is_curve]
  out = []
  few = [f.entry["title"] for f in fits if 0 < f.exponent.num < FEWEST]
  if few:
    out.append(
      f"Fewer than {FEWEST} seeds are in all cells: without interval or verdict"
      f" are {'; '.join(few)}."
    )
  # What keeps a cell from one entry often keeps it from many.
  titles: dict[str, list[str]] = {}
  for finding in found:
    title = finding.entry["title"]
    if finding.left_out:
      reasons = [f"{cell} ({why})" for cell, why in finding.left_out.items()]
      titles.setdefault("; ".join(reasons), []).append(title)
    if not finding.is_curve and not finding.exponent.num:
      out.append(f"{title}: fewer than two x have a value in a common seed.")
  for reasons, named in titles.items():
    out.append(f"Left out of {'; '.join(named)}: {reasons}.")
  return out


def as_json(finding: Finding) -> dict[str, Any]:
  """A finding in numbers, with the points its panel is drawn from. Ours."""
  keys = ("name", "title", "source", "kind", "relation", "towards", "cells")
  e = finding.entry
  out = {key: e[key] for key in keys if key in e} | {
    "x": quantities.words(e["x"]),
    "y": quantities.words(e["y"]),
    "points": [
      {"cell": p.cell, "x": p.x} | p.y._asdict() for p in finding.points
    ],
    "left_out": finding.left_out,
  }
  if finding.is_curve:
    return out
  return out | {
    "claimed": e.get("claimed"),
    "ours": e.get("ours"),
    "exponent": list(finding.exponent),
    "constant": {"ours": e.get("constant"), "measured": list(finding.constant)},
    "verdict": finding.verdict,
  }
