"""Claims as tables: for the terminal, a page, one claim in full, the README."""

import collections

from lro_jax.report import claim_readings, claims, claims_file
from lro_jax.report.claims import (
  AGREES,
  DIFFERS,
  NOT_REPRODUCED,
  NOT_RUN,
  OPEN,
  REPRODUCED,
  UNDECIDED,
  Verdict,
)
from lro_jax.report.claims_file import Claims
from lro_jax.report.collect import Experiment
from lro_jax.report.formats import NOTHING
from lro_jax.report.tables import Table

HEADER = ["", "paper", "ours", "seeds", "verdict", "source"]
REMARK = (
  "Mean over seeds, 95% interval in brackets; times: first / second, by seed or"
  " from the earliest to the latest. Only a run of the claim's own setting"
  " counts; 'reduced' is what a run of another says, smaller or outside a"
  " theorem's hypotheses. python -m lro_jax.report --claims=ID says all of one."
)


def by_section(verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
  """Verdicts in the paper's order of sections. Ours."""
  out: dict[str, list[Verdict]] = {}
  for section in sorted({v.claim.section for v in verdicts}):
    out[section] = [v for v in verdicts if v.claim.section == section]
  return out


def count(verdicts: list[Verdict]) -> str:
  """The summary line. Ours."""
  num = collections.Counter(v.verdict for v in verdicts)
  of_reduced = collections.Counter(v.reduced for v in verdicts if v.reduced)
  parts = [f"{num[v]} {v}" for v in (REPRODUCED, NOT_REPRODUCED, UNDECIDED)]
  parts.append(f"{num[NOT_RUN]} {NOT_RUN} in their own setting")
  text = f"{len(verdicts)} claims: {', '.join(parts)}"
  if of_reduced:
    num_reduced = of_reduced.total()
    text += (
      f" ({num_reduced} of these have a reduced run:"
      f" {of_reduced[AGREES]} agree, {of_reduced[DIFFERS]} differ,"
      f" {of_reduced[OPEN]} undecided)"
    )
  return f"{text}."


def said(verdict: Verdict) -> str:
  """The verdict's words. Ours."""
  if verdict.reduced:
    return f"{verdict.verdict}; reduced: {verdict.reduced}"
  return verdict.verdict


def _texts(verdict: Verdict) -> list[str]:
  """What is shown of one, without its label."""
  found = verdict.evidence
  ours = (
    NOTHING if found is None else claim_readings.text(verdict.claim.read, found)
  )
  seeds = str(verdict.num_seeds) if found is not None else NOTHING
  source = verdict.source or NOTHING
  return [verdict.claim.paper, ours, seeds, said(verdict), source]


def table(verdicts: list[Verdict]) -> Table:
  """All of them, grouped by section. Ours."""
  lines = []
  for section, of_section in by_section(verdicts).items():
    lines.append([section, *[""] * (len(HEADER) - 1)])
    lines += [[f"  {v.claim.id}", *_texts(v)] for v in of_section]
  notes = [count(verdicts), REMARK]
  return Table("", "The paper's claims", HEADER, lines, notes)


def of_experiment(experiment: Experiment, rows: list[dict]) -> Table | None:
  """The claims that a workdir's runs speak of, None if of none. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.

  Raises:
    UserError: see `claims_file.load`.
  """
  # Most workdirs of one's own have no claim, and need no summary.
  if not claims.run_of(experiment.record["command"]):
    return None
  source = claims.of_workdir(experiment, rows)
  verdicts = claims.evaluate(claims_file.load(), [source])
  spoken = [v for v in verdicts if v.source]
  if not spoken:
    return None
  return table([v._replace(source=v.hardware) for v in spoken])._replace(
    header=[*HEADER[:-1], "on"]
  )


def in_full(verdict: Verdict, known: Claims) -> str:
  """Everything about one claim, a line each. Ours.

  Args:
    verdict: what the runs say of it.
    known: the claims, for its setting.
  """
  claim = verdict.claim
  rule = {k: v for k, v in claim.rule.items() if k != "name"}
  numbers = ", ".join(f"{name} {value}" for name, value in rule.items())
  _, ours, seeds, words, source = _texts(verdict)
  lines = {
    "claim": claim.id,
    "in the paper": f"{claim.section}, {claim.where}",
    "says": claim.says,
    "paper": claim.paper,
    "read": ", ".join(f"{k} {v}" for k, v in claim.read.items()),
    "rule": f"{claim.rule['name']} {numbers}".strip(),
    "command": known.settings[claim.setting].command,
    "what differs": claim.differs or NOTHING,
    "ours": ours,
    "seeds": seeds,
    "verdict": words,
    "why": verdict.why or NOTHING,
    "source": source,
    "hardware": verdict.hardware or NOTHING,
  }
  width = max(map(len, lines))
  return "\n".join(f"{name.ljust(width)}  {v}" for name, v in lines.items())


def as_markdown(verdicts: list[Verdict]) -> str:
  """The README's table, with the summary line. Ours.

  Args:
    verdicts: of the committed result files, to which the table links.
  """
  header = ["claim", "says", *HEADER[1:], "on"]
  rows = [header, ["---"] * len(header)]
  for section, of_section in by_section(verdicts).items():
    rows.append([f"**{section}**", *[""] * (len(header) - 1)])
    for v in of_section:
      where = f"{v.claim.says} ({v.claim.where})"
      *texts, source = _texts(v)
      if v.source:
        source = f"[{source}](lro_jax/results/{source})"
      texts = [f"`{v.claim.id}`", where, *texts, source, v.hardware or NOTHING]
      rows.append([text.replace("|", "\\|") for text in texts])
  lines = ["| " + " | ".join(row) + " |" for row in rows]
  return f"{count(verdicts)}\n\n" + "\n".join(lines)
