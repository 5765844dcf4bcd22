"""The colours of page and figures, light and dark: one table for both.

Of curves: Okabe and Ito's, told apart by every kind of colour vision, those of
them that stand out from the background (3 to 1, WCAG 1.4.11), the purple darker
in the light; in the dark their blue is too deep, and their sky blue stands for
it. Figures are drawn in the
light ones; inside the page a figure names them, and the page's scheme decides.
"""

from typing import NamedTuple


class Color(NamedTuple):
  """One colour in both schemes, as #rrggbb."""

  light: str
  dark: str


INK = Color("#1c1c1e", "#ececf0")
PAPER = Color("#ffffff", "#17171a")
SOFT = Color("#5f5f66", "#a8a8b0")
LINE = Color("#d8d8dc", "#3a3a40")
BAND = Color("#f4f4f6", "#232328")
LINK = Color("#005a8f", "#7cc4f0")
GREY = Color("#85858b", "#8c8c94")
GRID = Color("#e6e6e9", "#2d2d33")
BLUE = Color("#0072b2", "#56b4e9")
RED = Color("#d55e00", "#d55e00")
GREEN = Color("#009e73", "#009e73")
PINK = Color("#b0568c", "#cc79a7")

# Of the page, of what is drawn, and of curves alone.
PAGE = {
  "ink": INK,
  "paper": PAPER,
  "soft": SOFT,
  "line": LINE,
  "band": BAND,
  "link": LINK,
}
CURVES = {"ink": INK, "blue": BLUE, "red": RED, "green": GREEN, "pink": PINK}
DRAWN = CURVES | {"paper": PAPER, "grey": GREY, "grid": GRID}


def variables(colors: dict[str, Color]) -> str:
  """CSS that names colours for both schemes. Ours.

  Args:
    colors: name -> colour; `var(--name)` then is that of the reader's scheme.
  """

  def block(scheme):
    listed = "; ".join(
      f"--{name}: {getattr(color, scheme)}" for name, color in colors.items()
    )
    return f":root {{ {listed} }}"

  return (
    f"{block('light')}\n"
    f"@media (prefers-color-scheme: dark) {{ {block('dark')} }}\n"
  )


def themed(svg: bytes) -> bytes:
  """A figure drawn in the light colours, in those of the scheme. Ours.

  Where a viewer knows no schemes it stays as it was drawn.

  Args:
    svg: a whole SVG file.
  """
  text = svg.decode()
  for name, color in DRAWN.items():
    text = text.replace(color.light, f"var(--{name})")
  head, tag, rest = text.partition("<defs>")
  return f"{head}<style>{variables(DRAWN)}</style>{tag}{rest}".encode()
