"""The regime report: which conditions hold, and by what factor."""

from absl.testing import absltest

from configs import theory as theory_config
from lro_jax.theory import regime, settings
from tests import testing


class ReportTest(absltest.TestCase):
  def test_report_turns_with_the_numbers(self):
    config = testing.run_config(theory_config.get_config("network"), {})
    s = settings.resolve(config)

    def holds(setting, word, rows=10):
      found = [
        c
        for c in regime.report(
          setting, engine="network", rows_w=rows, rows_v=rows
        )
        if word in c.statement
      ]
      self.assertLen(found, 1)
      self.assertEqual(found[0].holds, found[0].factor >= 1 - 1e-9)
      return found[0].holds

    self.assertTrue(holds(s, "noise variance"))
    self.assertFalse(
      holds(s._replace(noise_std=2 * s.noise_std), "noise variance")
    )
    self.assertFalse(holds(s, "width of V"))
    self.assertTrue(holds(s, "width of V", rows=10**30))
    self.assertTrue(holds(s._replace(r=1e-3), "Q suppressed"))
    self.assertFalse(holds(s._replace(r=0.5), "Q suppressed"))
    self.assertFalse(holds(s._replace(weight_decay=0.5), "P not crushed"))

  def test_one_line_counts_and_names_what_fails(self):
    config = testing.run_config(theory_config.get_config("network"), {})
    found = regime.report(
      settings.resolve(config), engine="network", rows_w=10, rows_v=10
    )
    text = regime.one_line(found)
    held = sum(c.holds for c in found)
    self.assertStartsWith(text, f"{held} of {len(found)} hold")
    self.assertEqual(text.count("not: "), len(found) - held)
    self.assertIn("not: width of V", text)


if __name__ == "__main__":
  absltest.main()
