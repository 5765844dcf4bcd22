"""The one line in which pandas reads a run's logs, as the pages have it.

pandas comes with the extra `colab`; without it these are skipped.
"""

import contextlib
import pathlib
import re
import tempfile

import numpy as np
import pytest
from absl.testing import absltest, parameterized

from lro_jax.core import metrics
from tests.report import fake

pandas = pytest.importorskip("pandas")

ROOT = pathlib.Path(__file__).parent.parent
LINE = re.compile(r'pandas\.read_json\("([^"]+)", lines=True\)')


class PandasTest(parameterized.TestCase):
  @parameterized.parameters("README.md", "lro_jax/RUNNING.md")
  def test_the_pages_line_reads_every_row(self, page):
    (line,) = LINE.finditer((ROOT / page).read_text())
    rows = [
      # A phase's event, a loss of 17 digits, and one that is no number.
      fake.row(0, 3, loss=0.1 + 0.2, accuracy=1.0),
      fake.row(10**9, 3, "anneal", loss=2**-40 / 3, accuracy=0.5),
      fake.row(10**9 + 1, 3, "diverge", loss=float("nan"), accuracy=0.5),
    ]
    with (
      tempfile.TemporaryDirectory() as folder,
      contextlib.chdir(folder),
    ):
      path = pathlib.Path(line[1])
      path.parent.mkdir(parents=True)
      fake.write_rows(path.parent, metrics.plain(rows))
      self.assertEqual(path.name, metrics.METRICS)
      frame = eval(line[0], {"pandas": pandas})
    self.assertEqual(list(frame.columns), list(rows[0]))
    self.assertEqual(list(frame["step"]), [row["step"] for row in rows])
    self.assertTrue(pandas.api.types.is_integer_dtype(frame["seed"]))
    self.assertEqual(list(frame["event"][1:]), ["anneal", "diverge"])
    self.assertTrue(pandas.isna(frame["event"][0]))
    # pandas reads a decimal as a float a few units of the last place beside it.
    np.testing.assert_allclose(
      frame["loss"], [row["loss"] for row in rows], rtol=1e-15
    )


if __name__ == "__main__":
  absltest.main()
