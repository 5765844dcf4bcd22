"""The check of pages in a browser sees what it is to see.

  python -m pytest -n 0 -m slow tests/browser_test.py

needs Chromium (on the PATH, or as CHROMIUM) and is skipped without.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from absl.testing import absltest, parameterized

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "lro_jax" / "results"
HEAD = (
  "<!doctype html><meta name=viewport content='width=device-width'>"
  "<style>body { background: white } @media (prefers-color-scheme: dark)"
  " { body { background: black } }</style><link rel=icon href='data:,'>"
)


def look(body):
  """Looks at a page with this body: status, what is printed, pictures."""
  with tempfile.TemporaryDirectory() as folder:
    page = pathlib.Path(folder, "page.html")
    page.write_text(HEAD + body)
    shots = pathlib.Path(folder, "shots")
    program = ROOT / ".ci" / "look.py"
    done = subprocess.run(
      [sys.executable, program, f"--out={shots}", f"it={page}"],
      capture_output=True,
      text=True,
    )
    found = {path.name: path.read_bytes() for path in shots.glob("*")}
    if folder in done.stdout:
      raise AssertionError(f"a path of this machine in {done.stdout}")
  return done.returncode, done.stdout + done.stderr, found


@pytest.mark.slow
@pytest.mark.skipif(
  not (os.environ.get("CHROMIUM") or shutil.which("chromium")),
  reason="no Chromium: set CHROMIUM to have pages opened.",
)
class LookTest(parameterized.TestCase):
  def test_a_quiet_page_passes_in_both_schemes(self):
    # What scrolls by itself is as wide as it likes.
    status, said, found = look(
      "<div style='overflow: auto'><p style='width: 3000px'>Wide.</p></div>"
      "<details><summary>More</summary><p>Text</p></details>"
    )
    self.assertEqual(status, 0, said)
    self.assertLen(found, 8)
    for picture in found.values():
      self.assertStartsWith(picture, b"\x89PNG")
    for width in (390, 1280):
      for scheme, colour in (("light", "255, 255, 255"), ("dark", "0, 0, 0")):
        self.assertRegex(
          said,
          rf"{width} px, {scheme}: 0 console messages, 0 requests, overflow 0"
          rf" px, height \d+ px, background rgb\({colour}\)",
        )

  @parameterized.parameters(
    ("<script>console.log('a word')</script>", "log: a word"),
    ("<script>throw new Error('no')</script>", "thrown: Error: no"),
    (
      "<script>setTimeout(() => Promise.reject(Error('late')), 9)</script>",
      "thrown: Error: late",
    ),
    ("<img src='other.png'>", "other.png"),
    ("<img src='http://localhost:9/a.png'>", "http://localhost:9/a.png"),
    # Asked for only once a reader gets there, or unfolds it.
    (
      "<p style='height: 9000px'><img loading=lazy src='http://localhost:9/b'>",
      "http://localhost:9/b",
    ),
    (
      "<details><p style='width: 600px'>Wide.</p></details>",
      "390 px, dark: 0 console messages, 0 requests, overflow 218 px",
    ),
  )
  def test_what_is_wrong_is_seen(self, body, word):
    status, said, _ = look(body)
    self.assertEqual(status, 1, said)
    self.assertIn(word, said)

  def test_a_browser_that_is_none_is_said_so(self):
    with pytest.MonkeyPatch.context() as patch:
      patch.setenv("CHROMIUM", "/bin/false")
      status, said, _ = look("")
    self.assertEqual(status, 2)
    self.assertIn("$CHROMIUM", said)
    self.assertNotIn("Traceback", said)


if __name__ == "__main__":
  absltest.main()
