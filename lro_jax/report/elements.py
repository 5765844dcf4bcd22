"""What a page is made of, as HTML: tables, figures, paragraphs, facts.

Everything is inside the page, and what is wider than a narrow screen moves in a
box of its own, by keyboard too.
"""

import base64
import html
import re
import urllib.parse

from lro_jax.report import theme
from lro_jax.report.figures import Figure
from lro_jax.report.tables import Table


def paragraphs(sentences: list[str], kind: str = "") -> str:
  """A paragraph for each sentence that says something. Ours."""
  opening = f"<p class={kind}>" if kind else "<p>"
  return "".join(f"{opening}{html.escape(s)}</p>" for s in sentences if s)


def facts(lines: dict[str, str], caption: str) -> str:
  """Names and values, as a table; what has no value is left out. Ours."""
  body = "".join(
    f"<tr><th scope=row>{html.escape(name)}</th><td>{html.escape(value)}</td>"
    "</tr>"
    for name, value in lines.items()
    if value
  )
  return (
    f"<table class=facts><caption class=unseen>{html.escape(caption)}"
    f"</caption><tbody>{body}</tbody></table>"
  )


def _is_worded(column: list[str]) -> bool:
  """Whether a column is of words, which start at the left and may wrap."""
  texts = [text for text in column if text.strip("- ")]
  found = [text for text in texts if re.match("[A-Za-z][A-Za-z ]", text)]
  return 2 * len(found) > len(texts)


def table(shown: Table, *, caption: str = "", level: str = "") -> str:
  """A table for the page, in a box of its own where it is wide. Ours.

  Args:
    shown: the table.
    caption: what stands above it; by default its title.
    level: 'h3' if the caption is a heading, 'unseen' if one above says it.
  """
  worded = [
    _is_worded([texts[i] for texts in shown.lines])
    for i in range(len(shown.header))
  ]

  def cell(text, i, tag="td", attributes=""):
    # What stands in parentheses stands back.
    kind = "soft" if text.startswith("(") else ""
    kind = " words" if worded[i] else kind
    kind = f' class="{kind.strip()}"' if kind else ""
    return f"<{tag}{attributes}{kind}>{html.escape(text.strip())}</{tag}>"

  def line(texts):
    inner = " class=inner" if texts[0].startswith(" ") else ""
    head = "" if inner else " class=head"
    label = f"<th scope=row{inner}>{html.escape(texts[0].strip())}</th>"
    others = "".join(cell(x, i) for i, x in enumerate(texts) if i)
    return f"<tr{head}>{label}{others}</tr>"

  columns = "".join(
    cell(text, i, "th", " scope=col")
    for i, text in enumerate(shown.header)
    if i
  )
  corner = html.escape(shown.header[0])
  first = f"<th scope=col>{corner}</th>" if corner else "<td></td>"
  words = html.escape(caption or shown.title)
  named = f"<{level}>{words}</{level}>" if level == "h3" else words
  unseen = " class=unseen" if level == "unseen" else ""
  rows = "\n".join(line(texts) for texts in shown.lines)
  remarks = "".join(f"<p class=note>{html.escape(n)}</p>" for n in shown.notes)
  return (
    f'<div class=scroll tabindex=0 role=group aria-label="Table: {words}">'
    f"<table><caption{unseen}><div>{named}</div></caption>"
    f"<thead><tr>{first}{columns}</tr></thead><tbody>\n{rows}\n</tbody></table></div>{remarks}"
  )


def _size(svg: bytes) -> str:
  """Width and height as attributes: the page then does not jump."""
  found = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
  if not found:
    return ""
  # CSS has 96 pixels to the inch, and 72 points.
  width, height = (round(float(x) * 96 / 72) for x in found.groups())
  return f" width={width} height={height}"


def figure(drawn: Figure) -> str:
  """A figure for the page: its image, and its data behind a link. Ours."""
  image = base64.b64encode(theme.themed(drawn.svg)).decode()
  caption, stem = html.escape(drawn.caption), html.escape(drawn.stem)
  first = html.escape(drawn.caption.split(". ")[0].rstrip("."))
  data = urllib.parse.quote(drawn.csv, safe=",./:;()+-=*")
  return (
    f'<figure id="figure-{stem}"><div class=scroll tabindex=0 role=group'
    f' aria-label="Figure {stem}"><img alt="{first}"{_size(drawn.svg)}'
    f' src="data:image/svg+xml;base64,{image}"></div>'
    f"<figcaption>{caption} <span class=files>"
    f'<a download="{stem}.csv" href="data:text/csv;charset=utf-8,{data}">'
    f"Data as CSV<span class=unseen> of {stem}</span></a>; beside this page:"
    f" figures/{stem}.png, .svg, .csv</span></figcaption></figure>"
  )
