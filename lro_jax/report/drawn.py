"""What a figure shows, as a table: read off the drawing itself, kept as CSV.

A row for each arm, seed and step (or whatever a line is told apart by), a
column for each curve; what is marked at a step has 1 there, and a level that is
the same at every step a row without any. Numbers have six digits.
"""

import csv
import io
import json
from typing import Any

Rows = list[dict[str, Any]]

LINE, MARK, LEVEL = "line", "mark", "level"
# The x of an axis without a name.
UNNAMED = "x"


def _named(kind: str, column: str, keys: dict[str, Any]) -> str:
  # An artist has one field for words of ours; `read` empties it again.
  return json.dumps([kind, column, {k: str(v) for k, v in keys.items()}])


def line(ax, x, y, column: str, keys: dict[str, Any] | None = None, **look):
  """Draws a curve that has a column of its own. Ours.

  Args:
    ax: axes.
    x: [t].
    y: [t].
    column: the curve's name among those of the figure.
    keys: what tells its rows from others', as arm and seed.
    **look: as of `Axes.plot`.
  """
  return ax.plot(x, y, gid=_named(LINE, column, keys or {}), **look)


def mark(
  ax, at: float, column: str, keys: dict[str, Any] | None = None, **look
):
  """Draws a vertical line at a step. Ours."""
  ax.axvline(at, gid=_named(MARK, column, keys or {}), **look)


def level(ax, height: float, column: str, **look) -> None:
  """Draws a horizontal line at a height. Ours."""
  ax.axhline(height, gid=_named(LEVEL, column, {}), **look)


def read(fig) -> Rows:
  """The rows of all that was drawn by the functions above. Ours.

  Args:
    fig: a drawing; the names that it carried are taken from it.
  """
  names = [ax.get_xlabel() for ax in fig.axes]
  x_name = next((name for name in names if name), UNNAMED)
  rows: dict[tuple, dict[str, Any]] = {}
  for artist in [one for ax in fig.axes for one in ax.lines]:
    if artist.get_gid() is None:
      continue
    kind, column, keys = json.loads(artist.get_gid())
    artist.set_gid(None)
    points = list(zip(*artist.get_data(orig=True), strict=True))
    if kind == MARK:
      points = [(points[0][0], 1)]
    elif kind == LEVEL:
      points = [("", points[0][1])]
    for x, y in points:
      at = (*keys.items(), x)
      rows.setdefault(at, keys | {x_name: x})[column] = y
  return list(rows.values())


def _text(value: Any) -> str:
  if isinstance(value, str):
    return value
  # A curve has no point where its value is no number.
  return "" if value is None or value != value else f"{value:.6g}"


def as_csv(rows: Rows) -> str:
  """Rows as CSV, the columns in the order in which they first appear. Ours.

  Args:
    rows: each with some of the columns; what it lacks is empty.
  """
  header = list(dict.fromkeys(name for row in rows for name in row))
  made = io.StringIO()
  writer = csv.writer(made, lineterminator="\n")
  writer.writerow(header)
  for row in rows:
    writer.writerow([_text(row.get(name)) for name in header])
  return made.getvalue()
