"""Opens pages in headless Chromium, and says what it saw.

  python .ci/look.py --out=FOLDER [--commit=C] NAME=page.html ...

Each page is opened at every width of `WIDTHS`, light and dark, with all that
can be unfolded open, and scrolled to its end. It must say nothing on the
console, throw nothing, ask for nothing but itself, and be no wider than the
window. Screenshots go to the folder: what a reader sees first, and the whole.
"""

import argparse
import base64
import contextlib
import datetime
import os
import pathlib
import platform
import shutil
import sys
from typing import Any, NamedTuple

from devtools import Chromium, NoAnswer

# Pixels of a phone and of a laptop; height of the window.
WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")
# The tallest picture that it makes, in pixels.
TALLEST = 16000
# Only these the browser asks for without leaving the page.
INSIDE = ("data:", "blob:", "about:")

LOOK = """(async () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  const wait = () => new Promise(done => setTimeout(done, 50));
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
    scrollTo(0, y);
    await wait();
  }
  const root = document.scrollingElement;
  const told = {
    width: root.scrollWidth,
    height: root.scrollHeight,
    background: [document.body, document.documentElement]
      .map(one => getComputedStyle(one).backgroundColor)
      .find(colour => colour != "rgba(0, 0, 0, 0)") ?? "none",
  };
  for (const one of document.querySelectorAll("details")) one.open = false;
  scrollTo(0, 0);
  await wait();
  return told;
})()"""


class Seen(NamedTuple):
  """What one page did at one width, in one scheme.

  Attributes:
    messages: on the console, and errors that nothing caught.
    requests: addresses that it asked for besides its own.
    overflow: pixels by which it is wider than the window.
    height: of the page with all unfolded, in pixels.
    background: its colour, as CSS.
  """

  messages: list[str]
  requests: list[str]
  overflow: int
  height: int
  background: str

  @property
  def is_good(self) -> bool:
    """Whether the page passes."""
    return not self.messages and not self.requests and self.overflow <= 0


def _messages(events: list[dict[str, Any]]) -> list[str]:
  """What was said on the console, thrown, or logged by the browser itself."""
  out = []
  for event in events:
    kind, params = event.get("method"), event.get("params", {})
    if kind == "Runtime.consoleAPICalled":
      words = (str(a.get("value", a.get("type"))) for a in params["args"])
      out.append(f"{params['type']}: {' '.join(words)}")
    elif kind == "Runtime.exceptionThrown":
      details = params["exceptionDetails"]
      thrown = details.get("exception", {}).get("description", "")
      out.append(f"thrown: {thrown or details['text']}")
    elif kind == "Log.entryAdded":
      out.append(f"{params['entry']['level']}: {params['entry']['text']}")
  return out


def _requests(events: list[dict[str, Any]], own: str) -> list[str]:
  asked = [
    e["params"]["request"]["url"]
    for e in events
    if e.get("method") == "Network.requestWillBeSent"
  ]
  asked += [
    e["params"]["url"]
    for e in events
    if e.get("method") == "Network.webSocketCreated"
  ]
  return [u for u in asked if u != own and not u.startswith(INSIDE)]


def look(
  browser: Chromium,
  page: pathlib.Path,
  width: int,
  scheme: str,
  pictures: pathlib.Path,
) -> Seen:
  """Opens a page once, writes its two pictures, and says what it did.

  Args:
    browser: a running one.
    page: the file.
    width: of the window, in pixels.
    scheme: 'light' or 'dark', as the reader's system has it.
    pictures: the files to write, without their endings.
  """
  target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
  session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)[
    "sessionId"
  ]

  def ask(method, **params):
    return browser.ask(method, session, **params)

  for domain in ("Page", "Runtime", "Log", "Network"):
    ask(f"{domain}.enable")
  ask(
    "Emulation.setDeviceMetricsOverride",
    width=width,
    height=WIDTHS[width],
    deviceScaleFactor=1,
    mobile=width < 600,
  )
  feature = {"name": "prefers-color-scheme", "value": scheme}
  ask("Emulation.setEmulatedMedia", features=[feature])
  browser.events.clear()
  own = page.resolve().as_uri()
  ask("Page.navigate", url=own)
  browser.wait_for("Page.loadEventFired")
  answer = ask(
    "Runtime.evaluate", expression=LOOK, awaitPromise=True, returnByValue=True
  )
  if "exceptionDetails" in answer:
    raise SystemExit(f"{page.name} could not be looked at: {answer}")
  told = answer["result"]["value"]

  def picture(path, **how):
    shot = ask("Page.captureScreenshot", format="png", **how)["data"]
    path.write_bytes(base64.b64decode(shot))

  picture(pictures.with_name(f"{pictures.name}.png"))
  folded = ask("Page.getLayoutMetrics")["cssContentSize"]["height"]
  clip = {"x": 0, "y": 0, "width": width, "scale": 1}
  picture(
    pictures.with_name(f"{pictures.name}_whole.png"),
    clip=clip | {"height": min(folded, TALLEST)},
    captureBeyondViewport=True,
  )
  # No path of somebody's machine is told.
  home = own.removesuffix(page.name)
  seen = Seen(
    [text.replace(home, "") for text in _messages(browser.events)],
    [url.replace(home, "") for url in _requests(browser.events, own)],
    told["width"] - width,
    told["height"],
    told["background"],
  )
  browser.ask("Target.closeTarget", targetId=target)
  return seen


def main() -> int:
  """Looks at all pages; prints a line for each; 1 where one is not good."""
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("pages", nargs="+", metavar="NAME=page.html")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--commit", default="unknown")
  args = parser.parse_args()
  program = os.environ.get("CHROMIUM") or shutil.which("chromium")
  if not program:
    print("No chromium here: install it, or set CHROMIUM.", file=sys.stderr)
    return 2
  for page in args.pages:
    if not pathlib.Path(page.partition("=")[2]).is_file():
      print(f"Got {page}: it must be NAME=FILE of a page.", file=sys.stderr)
      return 2
  args.out.mkdir(parents=True, exist_ok=True)
  good = True
  with contextlib.closing(Chromium(program)) as browser:
    version = browser.ask("Browser.getVersion")["product"]
    print(
      f"{datetime.datetime.now(datetime.UTC).date()}, commit {args.commit},"
      f" {version.replace('/', ' ')}, Python {platform.python_version()}"
    )
    for given in args.pages:
      name, _, file = given.partition("=")
      page = pathlib.Path(file)
      print(f"{name}: one file of {page.stat().st_size:,} bytes")
      for width in WIDTHS:
        for scheme in SCHEMES:
          pictures = args.out / f"{name}_{width}_{scheme}"
          seen = look(browser, page, width, scheme, pictures)
          good &= seen.is_good
          print(
            f"  {width} px, {scheme}: {len(seen.messages)} console messages,"
            f" {len(seen.requests)} requests, overflow"
            f" {max(0, seen.overflow)} px, height {seen.height:,} px,"
            f" background {seen.background}"
          )
          for line in (*seen.messages, *seen.requests):
            print(f"    {line}")
  print("all good" if good else "NOT good")
  return 0 if good else 1


if __name__ == "__main__":
  try:
    sys.exit(main())
  except NoAnswer as error:
    print(error, file=sys.stderr)
    sys.exit(2)
