"""The claims' entries are complete, and a mistake in one is one sentence."""

import importlib
import pathlib
import re
import tempfile

from absl.testing import absltest, parameterized

from lro_jax import main
from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import claim_readings, claims, claims_file, paper
from lro_jax.report.claim_rules import RULES
from tests.report import fake_vision

KNOWN = claims_file.load()
ARMS = ("large", "small", "small_noise")


def config_of(run):
  file, _, preset = run.partition(":")
  module = importlib.import_module(f"configs.{file.removesuffix('.py')}")
  return module.get_config(preset)


def metrics_of(reading):
  """The metrics that a reading names."""
  own = [reading[k] for k in ("metric", "learned") if k in reading]
  inner = [metrics_of(v) for v in reading.values() if isinstance(v, dict)]
  return sum(inner, own)


class FileTest(parameterized.TestCase):
  """The two files as they stand."""

  def test_commands_and_runs_name_configs_and_presets_that_exist(self):
    for name, setting in KNOWN.settings.items():
      run = claims.run_of(setting.command)
      self.assertIn(run, setting.runs, name)
      for one in setting.runs:
        fields = {
          field
          for made in main.expand(config_of(one))
          for field in _flat(made.config.to_dict())
        }
        for field, value in setting.needs.items():
          names = list(value) if isinstance(value, dict) else [field]
          for needed in names:
            self.assertIn(needed, fields, f"{name}: {one}")

  @parameterized.parameters(
    *(
      name
      for name, s in KNOWN.settings.items()
      if s.original and not name.startswith("control")
    )
  )
  def test_what_a_setting_of_images_needs_is_what_its_config_has(self, name):
    setting = KNOWN.settings[name]
    for one in setting.runs:
      for run in main.expand(config_of(one)):
        fields = _flat(metrics.plain(run.config.to_dict()))
        needs = dict(setting.needs)
        own = {arm: needs.pop(arm, {}) for arm in ARMS}
        for field, value in (needs | own[run.arm]).items():
          self.assertEqual(fields[field], value, f"{one} {run.arm} {field}")

  def test_arms_and_cells_are_the_configs(self):
    for claim in KNOWN.claims:
      setting = KNOWN.settings[claim.setting]
      runs = main.expand(config_of(claims.run_of(setting.command)))
      arms = {run.arm for run in runs}
      self.assertLessEqual(claim_readings.arms(claim.read), arms, claim.id)

  def test_metrics_are_those_that_the_tracks_log(self):
    rows = fake_vision.seed_rows("large", 0)
    saved = metrics.read_json(claims.RESULTS / "theory_limit.json")
    theory = set(saved["cells"][0]["metrics"])
    logged = {name for row in rows for name in row}
    logged |= {name.split("/", 1)[1] for name in theory}
    for claim in KNOWN.claims:
      for metric in metrics_of(claim.read):
        self.assertIn(metric, logged, claim.id)

  def test_exponents_are_those_of_their_config(self):
    for claim in KNOWN.claims:
      if claim.read["kind"] == "exponents":
        run = claims.run_of(KNOWN.settings[claim.setting].command)
        names = set(config_of(run).exponents)
        self.assertLessEqual(set(claim.read["names"]), names, claim.id)

  def test_a_number_and_the_paper_value_beside_it_are_the_same(self):
    seen = 0
    for claim in KNOWN.claims:
      found = re.fullmatch(r"([+-]?[\d.]+)%", claim.paper)
      if found:
        seen += 1
        number = float(found.group(1)) / 100
        self.assertAlmostEqual(claim.rule["centre"], number, msg=claim.id)
    self.assertGreater(seen, 15)

  def test_the_tables_of_the_paper_are_here_as_in_the_report(self):
    for name in ("cifar10", "patches", "cifar10_control"):
      for entry in paper.SOURCES[name].entries:
        own = [
          claim
          for claim in KNOWN.claims
          if claim.rule["name"] == "within"
          and claim.read["kind"] == "value"
          and (claim.read["arm"], claim.read["metric"])
          == (entry.arm, entry.metric)
          and claim.rule["centre"] == entry.accuracy
        ]
        self.assertNotEmpty(own, f"{name} {entry}")

  def test_every_text_is_there_and_short(self):
    for claim in KNOWN.claims:
      for text in (claim.section, claim.where, claim.says, claim.paper):
        self.assertTrue(text.strip(), claim.id)
        self.assertLess(len(text), 130, claim.id)


def _flat(fields, prefix=""):
  out = {}
  for name, value in fields.items():
    if isinstance(value, dict):
      out |= _flat(value, f"{prefix}{name}.")
    else:
      out[prefix + name] = value
  return out


CLAIM = """
[settings.one]
runs = ["theory.py"]
command = "python -m lro_jax.main --config=configs/theory.py"
seeds = 3
needs = {}

[[claims]]
id = "one"
section = "1"
where = "text"
says = "something"
paper = "1"
setting = "one"
read = { kind = "value", arm = "large", phase = "end", metric = "loss" }
rule = { name = "above", limit = 0.0 }
"""


class MistakesTest(parameterized.TestCase):
  def load(self, text):
    with tempfile.TemporaryDirectory() as name:
      path = pathlib.Path(name) / "claims.toml"
      path.write_text(text)
      return claims_file.load((path,))

  def test_the_example_is_right(self):
    self.assertEqual(self.load(CLAIM).claims[0].id, "one")

  @parameterized.parameters(
    ('says = "something"\n', "", "lacks says"),
    ('says = "something"', 'says = "a"\nsay = "b"', "unknown say"),
    ('says = "something"', "says = 3", "says 3"),
    ("seeds = 3\n", "", "lacks seeds"),
    ("seeds = 3", 'seeds = "3"', "of type int"),
    ('name = "above"', 'name = "abov"', "the rule 'abov'"),
    ("limit = 0.0", "limit = 0.0, tolerance = 1.0", "unknown tolerance"),
    (", limit = 0.0", "", "lacks limit"),
    ('kind = "value"', 'kind = "valu"', "reads 'valu'"),
    ('arm = "large", ', "", "lacks arm"),
    ('setting = "one"', 'setting = "two"', "the setting 'two'"),
    ('name = "above", limit = 0.0', 'name = "order"', "cannot decide"),
    ("[[claims]]", "[[claims]", "cannot be read as TOML"),
  )
  def test_an_entry_that_is_not_complete_is_one_sentence(self, old, new, says):
    self.assertIn(old, CLAIM)
    with self.assertRaisesRegex(UserError, says) as caught:
      self.load(CLAIM.replace(old, new, 1))
    self.assertNotIn("\n", str(caught.exception).strip())

  def test_two_claims_of_one_id_are_refused(self):
    again = CLAIM[CLAIM.index("[[claims]]") :]
    with self.assertRaisesRegex(UserError, "Two claims have the id 'one'"):
      self.load(CLAIM + again)

  def test_every_rule_is_used(self):
    used = {claim.rule["name"] for claim in KNOWN.claims}
    self.assertEqual(used, set(RULES))


if __name__ == "__main__":
  absltest.main()
