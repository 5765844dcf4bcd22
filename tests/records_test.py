"""What the committed records of .ci hold: of a commit, of all, and all good."""

import pathlib
import re

from absl.testing import absltest

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "lro_jax" / "results"
CLEAN_COMMIT = re.compile(r"^\d{4}-\d\d-\d\d, commit [0-9a-f]{12}, ", re.M)


def record(name):
  return (RESULTS / name).read_text()


class RecordsTest(absltest.TestCase):
  def test_every_notebook_passed_in_a_fresh_environment(self):
    text = record("notebooks.txt")
    self.assertRegex(text, CLEAN_COMMIT)
    for path in (ROOT / "colabs").glob("*.ipynb"):
      self.assertRegex(text, rf"(?m)^{path.name}, smoke: \d+ s, passed$")
    self.assertRegex(text, r"(?m)^pandas reads the logs: passed$")
    self.assertNotIn("failed", text)

  def test_every_page_was_quiet_and_fitted_in_a_browser(self):
    text = record("browser.txt")
    self.assertRegex(text, CLEAN_COMMIT)
    self.assertIn(", Chrome ", text)
    for name in ("theory", "images"):
      _, of_page = text.split(f"\n{name}: one file of ")
      for width in (390, 1280):
        for scheme in ("light", "dark"):
          self.assertRegex(
            of_page,
            rf"^[\d,]+ bytes\n(?:  .*\n)*  {width} px, {scheme}: 0 console"
            r" messages, 0 requests, overflow 0 px, height [\d,]+ px",
          )
    self.assertEndsWith(text, "\nall good\n")

  def test_records_name_no_machine(self):
    for path in RESULTS.glob("*.txt"):
      self.assertNotRegex(path.read_text(), r"/(tmp|root|home|work|Users)\b")


if __name__ == "__main__":
  absltest.main()
