"""lro_jax/EXTENDING.md: its files, run by its commands, at smoke size."""

import contextlib
import json
import pathlib
import re
import runpy
import shlex
import tempfile

from absl.testing import absltest

from lro_jax.core import metrics
from tests import testing

PAGE = pathlib.Path(__file__).parent.parent / "lro_jax" / "EXTENDING.md"
LINES = 30
# What is added to a page's command so that it takes seconds, by its workdir.
TINY = (
  "--config.smoke",
  "--config.seeds=0,",
  "--config.shrink.train.max=2 steps",
)
ADDED = {
  "mine": (
    *("--config.shrink.data.source=mine.npz", "--config.model.net=tiny"),
    "--only=small/*",
  ),
  "stripes": (
    *("--config.shrink.data.source=stripes", "--config.model.net=tiny"),
    "--only=small/*",
  ),
  "small_conv": ("--only=small_noise/*",),
  "more_arms": ("--config.model.net=tiny", "--only=small_grad_noise/*"),
  "balance": ("--only=large/*",),
}
# A WideResNet costs half a minute of compiling: where an example is not about
# the net, the least one stands in its place.
TINY_NET = """
from flax import linen
from lro_jax.vision import nets

class Tiny(linen.Module):
  num_classes: int

  @linen.compact
  def __call__(self, x, how, noise=None):
    return linen.Dense(self.num_classes)(x.reshape(len(x), -1))

  def sites(self, image):
    return []

nets.NETS.add("tiny", lambda model, num_classes: Tiny(num_classes))
"""


def files() -> dict[str, str]:
  """The page's Python files by name."""
  block = r"<!-- file: (\S+) -->\n```python\n(.*?)```"
  return dict(re.findall(block, PAGE.read_text(), re.S))


def commands() -> dict[str, list[str]]:
  """The page's commands that train, as words, by the name of their workdir."""
  blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
  found = [shlex.split(line) for text in blocks for line in text.splitlines()]
  return {
    pathlib.Path(words[-1].removeprefix("--workdir=")).name: words
    for words in found
    if words[-1].startswith("--workdir=")
  }


class PageTest(absltest.TestCase):
  def test_every_example_is_short_and_every_command_is_tried(self):
    self.assertLen(files(), PAGE.read_text().count("```python"))
    for name, text in files().items():
      self.assertLess(len(text.splitlines()), LINES, name)
    self.assertCountEqual(commands(), ADDED)

  def test_the_newcomers_path_is_that_of_the_last_walk(self):
    _, rest = PAGE.read_text().split("<!-- newcomer: begin -->\n")
    kept, _ = rest.split("<!-- newcomer: end -->")
    walked = (PAGE.parent / "results" / "newcomer.txt").read_text()
    self.assertEqual(kept, walked, "Put what .ci/newcomer prints in both.")

  def test_the_commands_run_and_what_was_added_is_there(self):
    with tempfile.TemporaryDirectory() as folder:
      home = pathlib.Path(folder)
      for name, text in files().items():
        (home / name).write_text(text)
      with contextlib.chdir(home):
        runpy.run_path("make_npz.py", run_name="__main__")
      there = sorted([*files(), "mine.npz"], key=len, reverse=True)

      def placed(word):
        """A word of a command with the page's files where they lie here."""
        pattern = rf"(?<![\w/])({'|'.join(map(re.escape, there))})$"
        word = re.sub(pattern, lambda m: str(home / m[1]), word)
        return word.replace("--workdir=runs", f"--workdir={home}")

      words = {}
      for name, of_page in commands().items():
        rest = of_page[3:] if of_page[1] == "-m" else of_page[2:]
        program = of_page[2] if of_page[1] == "-m" else of_page[1]
        words[name] = [placed(w) for w in (program, *rest, *TINY, *ADDED[name])]
      ended = testing.run_commands(*words.values(), prelude=TINY_NET)
      for name, end in zip(words, ended, strict=True):
        self.assertEqual(end.status, 0, f"{name}: {end.errors[-2000:]}")

      def record(run):
        return metrics.read_json(home / run / metrics.RUN)["facts"]

      mine = record("mine/small/base/seed_0")
      self.assertEqual(mine["dataset"], "file mine.npz")
      self.assertEqual(mine["num_classes"], 2)
      stripes = record("stripes/small/base/seed_0")
      self.assertEqual(stripes["dataset"], "drawn stripes")
      net = record("small_conv/small_noise/base/seed_0")["setting"]["net"]
      self.assertEqual(net, "SmallConv")
      arm = home / "more_arms/small_grad_noise/base/seed_0"
      config = json.loads((arm / metrics.CONFIG).read_text())
      self.assertEqual(config["optim"]["grad_noise_std"], 0.01)
      rows = metrics.read_metrics(home / "balance/large/base" / metrics.METRICS)
      self.assertGreater(rows[-1]["lemma/balance"], 0)
      self.assertGreater(rows[-1]["bound/balance"], 0)
      # What the report makes its table and figure of.
      listed = record("balance/large/base")["instruments"]
      self.assertCountEqual([i["name"] for i in listed], ["balance", "4.2"])
      experiment = metrics.read_json(home / "stripes/experiment.json")
      self.assertStartsWith(experiment["command"], "python stripes.py --config")


if __name__ == "__main__":
  absltest.main()
