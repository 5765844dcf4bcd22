"""Entries by name: none is replaced, and none is missed without a sentence."""

from absl.testing import absltest

from lro_jax.core.registry import Registry
from tests import testing


class RegistryTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.nets = Registry("model.net", {"wide": 1}, besides="a path")

  def test_what_is_added_is_found_in_order(self):
    self.nets.add("mine", 2)
    self.assertEqual(self.nets.find("mine"), 2)
    self.assertEqual(list(self.nets), ["wide", "mine"])
    self.assertEqual(self.nets.entries(), [1, 2])

  def test_a_name_is_never_given_twice(self):
    testing.refusal(self, lambda: self.nets.add("wide", 2), "'wide'", "there")
    self.assertEqual(self.nets.find("wide"), 1)

  def test_an_unknown_name_is_refused_with_those_that_are_there(self):
    testing.refusal(
      self,
      lambda: self.nets.find("wides"),
      *("model.net", "'wides'", "did you mean 'wide'", "a path"),
    )


if __name__ == "__main__":
  absltest.main()
