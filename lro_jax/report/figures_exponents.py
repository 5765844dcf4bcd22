"""The figure of claimed and measured exponents: a panel for every entry."""

import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np

from lro_jax.report import drawn, exponents, figures, quantities
from lro_jax.report.exponents import Finding

COLUMNS = 3
# Characters in a line of a title and of an axis.
WIDTH = 46
# So many cells at most have their own marks on the axis of x.
MOST_MARKS = 6
# A curve over a wider range than this has logarithmic axes.
WIDE = 10.0


def _is_wide(values: np.ndarray) -> bool:
  return bool(len(values) and values.min() > 0) and bool(
    values.max() >= WIDE * values.min()
  )


def _line(ax, at: tuple[float, float], x: np.ndarray, power: float, **kw):
  """x to a power through a point."""
  ax.plot(x, at[1] * (x / at[0]) ** power, **kw)


def _powers(ax, finding: Finding, x: np.ndarray, y: np.ndarray) -> None:
  """The fit, and what is claimed, through the geometric mean of the points."""
  entry, found = finding.entry, finding.exponent
  at = (float(np.exp(np.log(x).mean())), float(np.exp(np.log(y).mean())))
  ends = np.array([x.min(), x.max()])
  if found.num:
    label = f"measured {found.mean:.3f}"
    if not math.isnan(found.low):
      label += f" [{found.low:.3f}, {found.high:.3f}]"
    _line(ax, at, ends, found.mean, color=figures.BLUE, lw=1.2, label=label)
  for name, color, ls, word in (
    ("claimed", figures.INK, figures.DASHED, "claimed"),
    ("ours", figures.RED, figures.DOTTED, "ours"),
  ):
    power = entry.get(name)
    if power is not None:
      label = f"{word} {power:.4g}"
      if name == "claimed" and entry["relation"] == exponents.AT_MOST:
        label += " (bound)"
      _line(ax, at, ends, power, color=color, ls=ls, lw=1.2, label=label)
  ax.set_xscale("log")
  ax.set_yscale("log")
  if len(x) <= MOST_MARKS:
    ax.set_xticks(x, [f"{value:.3g}" for value in x])
    ax.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
  ax.legend(fontsize=7, loc="best")


def _panel(ax, finding: Finding) -> None:
  entry = finding.entry
  ax.set_title(
    textwrap.fill(f"{entry['title']} ({entry['source']})", WIDTH),
    fontsize=8,
    loc="left",
  )
  ax.set_xlabel(textwrap.fill(quantities.words(entry["x"]), WIDTH), fontsize=7)
  ax.set_ylabel(
    textwrap.fill(quantities.words(entry["y"]), WIDTH),
    fontsize=7,
    linespacing=1.4,
  )
  ax.tick_params(which="both", labelsize=7)
  if not finding.points:
    ax.text(0.5, 0.5, "no cell yet", transform=ax.transAxes, ha="center")
    return
  x = np.array([point.x for point in finding.points])
  y = np.array([point.y.mean for point in finding.points])
  # Without an interval a bar has no length.
  bars = np.nan_to_num(
    [
      [p.y.mean - p.y.low for p in finding.points],
      [p.y.high - p.y.mean for p in finding.points],
    ]
  )
  ax.errorbar(
    x,
    y,
    bars,
    color=figures.BLUE,
    fmt="o-" if finding.is_curve else "o",
    ms=3.5,
    lw=1.1,
    capsize=2,
  )
  if not finding.is_curve:
    _powers(ax, finding, x, y)
    return
  if _is_wide(x):
    ax.set_xscale("log")
  if _is_wide(y):
    ax.set_yscale("log")


def _rows(found: list[Finding]) -> drawn.Rows:
  """Every point, and of each entry the powers that are drawn."""
  out: drawn.Rows = []
  for finding in found:
    entry, fitted = finding.entry, finding.exponent
    named = {"entry": entry["title"], "source": entry["source"]}
    for point in finding.points:
      mean, low, high, num = point.y
      row = {"cell": point.cell, "x": point.x, "y": mean, "low": low}
      out.append(named | row | {"high": high, "seeds": num})
    if not finding.is_curve and fitted.num:
      powers = {
        "measured power": fitted.mean,
        "claimed power": entry["claimed"],
      }
      out.append(named | powers | {"our power": entry.get("ours")})
  return out


def draw(found: list[Finding]) -> list[figures.Figure]:
  """One figure, a panel for each finding; none without findings. Ours.

  Args:
    found: what the cells say of every entry.
  """
  if not found:
    return []
  columns = min(COLUMNS, len(found))
  rows = math.ceil(len(found) / columns)
  fig, axes = plt.subplots(
    rows,
    columns,
    figsize=(3.7 * columns, 3.0 * rows),
    squeeze=False,
    layout="constrained",
  )
  fig.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
  for ax, finding in zip(axes.flat, found, strict=False):
    _panel(ax, finding)
  for ax in axes.flat[len(found) :]:
    ax.set_visible(False)
  return [
    figures.finish(
      fig,
      "exponents",
      "A point for each cell: mean over seeds (geometric where a power is"
      " fitted) with its 95% t interval from three seeds on. Solid: least"
      " squares; dashed: the paper's power, dotted: ours, through the points'"
      " geometric mean.",
      _rows(found),
    )
  ]
