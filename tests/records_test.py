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

  def test_records_name_no_machine(self):
    for path in RESULTS.glob("*.txt"):
      self.assertNotRegex(path.read_text(), r"/(tmp|root|home|work|Users)\b")


if __name__ == "__main__":
  absltest.main()
