"""The theory track's part of a report: Sections 2 to 4 of the paper."""

import html
import math

from lro_jax.report import figures_theory
from lro_jax.report.answer import Compared
from lro_jax.report.collect import ANNEAL, END, LOWEST, RunLog, values
from lro_jax.report.formats import Row, in_words, loss, percent, real, steps
from lro_jax.report.intervals import interval, paired
from lro_jax.report.tables import Overview
from lro_jax.report.view import Rows, View

ROWS = (
  Row("annealed at step", ANNEAL, "step", steps),
  Row("  loss on M1 (has P)", ANNEAL, "train_loss/m1", loss),
  Row("  loss on Q-only (not M1)", ANNEAL, "train_loss/q_only", loss),
  Row("  lowest loss on Q-only till then", ANNEAL, LOWEST, loss),
  Row("  loss on M2 (has Q)", ANNEAL, "train_loss/m2", loss),
  Row("  loss on P-only (not M2)", ANNEAL, "train_loss/p_only", loss),
  Row("  g(z+zeta)+g(z-zeta)-2g(z)", ANNEAL, "second_difference", real),
  Row("  test error, Q-only", ANNEAL, "test_error/q_only", percent),
  Row("ended at step", END, "step", steps),
  Row("  loss", END, "train_loss/all", loss),
  Row("  loss on M1 (has P)", END, "train_loss/m1", loss),
  Row("  loss of r alone on M1", END, "r_loss/m1", loss),
  Row("  loss on Q-only (not M1)", END, "train_loss/q_only", loss),
  Row("  loss on M2 (has Q)", END, "train_loss/m2", loss),
  Row("  loss on P-only (not M2)", END, "train_loss/p_only", loss),
  Row("  test error, P-only", END, "test_error/p_only", percent),
  Row("  test error, Q-only", END, "test_error/q_only", percent),
  Row("  test error, both", END, "test_error/both", percent),
  Row("  test error, all", END, "test_error/all", percent),
)

P_ONLY = Row("P-only err", END, "test_error/p_only", percent)
OVERVIEW = Overview(
  rows=(
    Row("anneal: M1", ANNEAL, "train_loss/m1", loss),
    Row("anneal: Q-only", ANNEAL, "train_loss/q_only", loss),
    Row("Q-only err", END, "test_error/q_only", percent),
    P_ONLY,
  ),
  compared=P_ONLY,
  legend="anneal: mean loss there; err: mean test error at the end.",
)

QUOTED = (
  "step",
  "train_loss/m1",
  "train_loss/q_only",
  LOWEST,
  "test_error/p_only",
  "test_error/q_only",
  "test_error/both",
  "test_error/all",
)


def answer(rows: Rows, runs: list[RunLog]) -> list[str]:
  """What this cell's numbers say, in up to three sentences. Ours.

  Nothing is said that the rows do not hold: a sentence whose numbers are
  missing is left out.
  """
  arms = [run.arm for run in runs]
  if not {"large", "small"} <= set(arms):
    return []
  cell = runs[0].cell

  def mean(by_seed):
    return interval(list(by_seed.values())).mean

  def of(arm, phase, metric):
    return values(rows, arm=arm, cell=cell, phase=phase, metric=metric)

  out = []
  m1 = of("large", ANNEAL, "train_loss/m1")
  q_only = of("large", ANNEAL, "train_loss/q_only")
  if m1 and q_only:
    log2 = math.log(2)
    out.append(
      "When the large rate was annealed, the loss on examples with P had fallen"
      f" to {mean(m1) / log2:.0%} of log 2,"
      " that on Q-only examples was at"
      f" {mean(q_only) / log2:.0%}."
    )
  else:
    out.append("No seed of the large arm reached the annealing loss.")
  errors = [of(arm, END, "test_error/q_only") for arm in ("large", "small")]
  if all(errors):
    large, small = (mean(e) for e in errors)
    out.append(
      f"At the end {large:.2%} (large) and {small:.2%} (small) of Q-only test"
      " points are misclassified."
    )
  gap = paired(
    of("small", END, "test_error/p_only"), of("large", END, "test_error/p_only")
  )
  if gap.num > 1:
    verdict = (
      "makes more errors on P-only points"
      if gap.low > 0
      else "makes fewer errors on P-only points"
      if gap.high < 0
      else "does not differ clearly on P-only points"
    )
    out.append(
      f"The small rate {verdict}: small minus large is {in_words(gap)}."
    )
  return out


def remark(runs: list[RunLog]) -> str:
  """What a net of this width can and cannot show; '' for the limit. Ours."""
  run = runs[0]
  if run.config.get("engine") != "network":
    return ""
  failing = [
    c
    for c in run.record["facts"]["regime"]
    if c["source"] == "Assumption 3.2" and not c["holds"]
  ]
  hidden = run.config["model"]["num_hidden"]
  hidden_v = run.config["model"]["num_hidden_v"] or hidden
  text = (
    f"This cell trains an actual net: m = {hidden:,} for W, {hidden_v:,} for V."
  )
  if not failing:
    return text + " Every finite-width condition below holds."
  short = "; ".join(
    f"{c['statement']} (needs {_number(c['value'], 2)}, has"
    f" {_number(c['bound'], 2)})"
    for c in failing
  )
  return (
    f"{text} It shows how such a net trains, not what the theorem says:"
    f" {short}. Where a row's signal outgrows its noise, its activation"
    " pattern freezes and the net leaves the regime of Lemma A.8, so when each"
    " pattern is learned, and which arm errs more, are this width's own."
  )


def details(runs: list[RunLog]) -> str:
  """The setting, and the regime's conditions one by one. Ours."""
  facts = runs[0].record["facts"]
  conditions = "".join(
    f"<li{'' if c['holds'] else ' class=fails'}>"
    f"{'holds' if c['holds'] else 'fails'}: {html.escape(c['statement'])}"
    f" <span class=soft>({_number(c['value'], 3)} against"
    f" {_number(c['bound'], 3)}; {html.escape(c['source'])})</span></li>"
    for c in facts["regime"]
  )
  setting = ", ".join(
    f"{name} {_number(value)}"
    for name, value in facts["setting"].items()
    if name not in ("learning_rate", "anneal_factor")
  )
  return (
    f"<details><summary>Setting and regime</summary><p class=soft>"
    f"{html.escape(setting)}</p><ul>{conditions}</ul></details>"
  )


def _number(value, digits: int = 4) -> str:
  """A number, or a word; run.json holds infinity as null."""
  if isinstance(value, str):
    return value
  return f"{value:.{digits}g}" if value is not None else "none"


VIEW = View(
  rows=ROWS,
  overview=OVERVIEW,
  quoted=QUOTED,
  curves=(),
  own=(),
  draw=figures_theory.draw,
  answer=answer,
  remark=remark,
  details=details,
  beside=lambda experiment, rows, runs: None,
  compared=Compared(
    metric="test_error/p_only",
    noun="test error on points with P alone",
    arm="small",
    than="large",
    more="the small rate errs more",
    less="the small rate errs less",
  ),
  learned=("train_loss/p_only", "train_loss/q_only"),
)
