"""Every claim of the paper against the runs there are.

Of a claim's runs those count that are of its setting: the run named, all fields
that the setting needs, enough seeds, the original images. A run that is of
another setting - a smaller net, a copy of the images, parameters outside a
theorem's hypotheses - is shown beside a claim that has not been run, and never
counts.
"""

import fnmatch
import json
import pathlib
import re
from typing import Any, NamedTuple

from lro_jax.core import metrics
from lro_jax.core.schema import UserError
from lro_jax.report import claim_readings, summary
from lro_jax.report.claim_readings import Evidence, Json
from lro_jax.report.claim_rules import RULES, Found
from lro_jax.report.claims_file import Claim, Claims, Setting
from lro_jax.report.collect import Experiment

RESULTS = pathlib.Path(__file__).parent.parent / "results"
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
UNDECIDED, NOT_RUN = "undecided", "not run"
# What a run of another setting says, beside 'not run'.
AGREES, DIFFERS, OPEN = "agrees", "differs", "undecided"
# config.smoke shrinks a run to seconds; its numbers mean nothing.
SMOKE = "config.smoke"


class Source(NamedTuple):
  """A summary and the name of what it was read from."""

  name: str
  saved: Json


class Verdict(NamedTuple):
  """What the runs say of a claim.

  Attributes:
    claim: the claim.
    verdict: one of the four words above.
    reduced: what a run of another setting says beside 'not run': one
      of `AGREES`, `DIFFERS`, `OPEN`, or '' without such a run.
    why: the reason.
    evidence: what was read, None if nothing was.
    num_seeds: of how many seeds it is.
    source: file or folder it was read from, '' for none.
    hardware: on which it was run.
  """

  claim: Claim
  verdict: str
  reduced: str = ""
  why: str = ""
  evidence: Evidence | None = None
  num_seeds: int = 0
  source: str = ""
  hardware: str = ""


def committed(folder: pathlib.Path = RESULTS) -> list[Source]:
  """The summaries among the result files, by name. Ours.

  Raises:
    UserError: a file is damaged.
  """
  out = []
  for path in sorted(folder.glob("*.json")):
    try:
      saved = json.loads(path.read_text())
    except ValueError as error:
      raise UserError(
        f"{path} is not readable as JSON ({error}): take it from the"
        " repository again."
      ) from error
    # Benches and other tables have no cells.
    if isinstance(saved, dict) and "cells" in saved:
      out.append(Source(path.name, saved))
  return out


def of_workdir(experiment: Experiment, rows: list[dict[str, Any]]) -> Source:
  """A workdir's runs, summed up as a result file is. Ours.

  Args:
    experiment: a loaded workdir.
    rows: its tidy rows.
  """
  saved = metrics.plain(summary.summary(experiment, rows))
  if experiment.record.get("smoke"):
    saved["command"] += f" --{SMOKE}"
  return Source(str(experiment.workdir), saved)


def run_of(command: str) -> str:
  """'theory.py:limit' of a command line, '' if it names no config. Ours."""
  found = re.search(r"--config[= ](?:\S*/)?(\w+\.py(?::\w+)?)", command)
  return found.group(1) if found else ""


def evaluate(claims: Claims, sources: list[Source]) -> list[Verdict]:
  """What the sources say of every claim, in its order. Ours.

  Args:
    claims: all of them.
    sources: summaries.

  Raises:
    UserError: a summary is damaged.
  """
  return [_verdict(claim, claims.settings, sources) for claim in claims.claims]


def _verdict(
  claim: Claim, settings: dict[str, Setting], sources: list[Source]
) -> Verdict:
  looked_at = [
    _look(claim, settings[name], source, counts=name == claim.setting)
    for name in (claim.setting, *claim.reduced)
    for run in settings[name].runs
    for source in sources
    if run_of(source.saved.get("command", "")) == run
    and SMOKE not in source.saved["command"]
  ]
  found = [one for one in looked_at if one is not None]
  if not found:
    return Verdict(claim, NOT_RUN)
  # Of its own setting first, of several that with most seeds.
  found.sort(key=lambda v: (v.verdict == NOT_RUN, -v.num_seeds))
  first, *others = found
  if first.verdict == NOT_RUN:
    return first
  unlike = [
    f"{other.source}: {other.verdict}"
    for other in others
    if other.verdict not in (NOT_RUN, first.verdict)
  ]
  return first._replace(why="; ".join([first.why, *unlike]))


def _look(
  claim: Claim, setting: Setting, source: Source, *, counts: bool
) -> Verdict | None:
  """What one source says of a claim, None if nothing."""
  try:
    return _of_source(claim, setting, source, counts)
  except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
    raise UserError(
      f"{source.name} is no summary that claims can be read from"
      f" ({type(error).__name__}: {error}): write it again with python -m"
      " lro_jax.report --summary."
    ) from error


def _of_source(
  claim: Claim, setting: Setting, source: Source, counts: bool
) -> Verdict | None:
  saved, what = source.saved, claim.read
  cells = [
    c for c in saved["cells"] if fnmatch.fnmatch(c["cell"], setting.cells)
  ]
  if not cells:
    return None
  unlike = {c["cell"]: _unlike(setting, saved, c) for c in cells}
  least = min(len(reasons) for reasons in unlike.values())
  cells = [c for c in cells if len(unlike[c["cell"]]) == least]
  if what["kind"] not in claim_readings.SEVERAL_CELLS:
    cells = cells[:1]
  why = list(dict.fromkeys(w for c in cells for w in unlike[c["cell"]]))
  counts = counts and not why
  evidence = claim_readings.read(what, saved, cells)
  rule = claim.rule if counts else _of_any_size(claim)
  if evidence is None or rule is None:
    return None
  num = claim_readings.num_seeds(evidence)
  notes = _notes(what, cells)
  if notes:
    found = Found(None, notes[0])
  elif num < setting.seeds:
    found = Found(None, f"{num} of {setting.seeds} seeds")
  else:
    parameters = {k: v for k, v in rule.items() if k != "name"}
    found = RULES[rule["name"]].decide(evidence, **parameters)
  out = Verdict(
    claim,
    {True: REPRODUCED, False: NOT_REPRODUCED, None: UNDECIDED}[found.holds],
    why=found.why,
    evidence=evidence,
    num_seeds=num,
    source=source.name,
    hardware=hardware(saved["versions"]),
  )
  if counts:
    return out
  said = {True: AGREES, False: DIFFERS, None: OPEN}[found.holds]
  run = run_of(saved["command"])
  why = "; ".join([found.why, *(why or [f"the setting is that of {run}"])])
  return out._replace(verdict=NOT_RUN, reduced=said, why=why)


def _of_any_size(claim: Claim) -> Json | None:
  """What of a claim's rule speaks of another setting, None if nothing does."""
  rule = claim.rule
  if rule["name"] == "within" and claim.read["kind"] == "difference":
    name = "above" if rule["centre"] > 0 else "below"
    return {"name": name, "limit": 0.0}
  return rule if RULES[rule["name"]].of_any_size else None


def _unlike(setting: Setting, saved: Json, cell: Json) -> list[str]:
  """What of a cell is not as the setting needs it."""
  config = saved["config"] | cell["config"]
  # Some older files do not say in what their arms differ.
  arms = cell.get("arms", {})
  needs = []
  for name, value in setting.needs.items():
    if not isinstance(value, dict):
      needs.append((name, config, name, value))
    elif name in arms:
      own = config | arms[name]
      needs += [(f"{name}: {k}", own, k, v) for k, v in value.items()]
  out = [
    f"{name} {found.get(field)} for {value}"
    for name, found, field, value in needs
    if found.get(field) != value
  ]
  if any(own.get("branch_from") for own in (config, *arms.values())):
    out.append("a branch of another run")
  data = saved.get("dataset") or ""
  if setting.original and "JPEG" in data:
    out.append("a JPEG copy of the images")
  return out


def _notes(what: Json, cells: list[Json]) -> list[str]:
  """What is said of the arms that are read: unfinished, cut off, diverged."""
  read = tuple(f"{arm}:" for arm in claim_readings.arms(what))
  return [
    note for cell in cells for note in cell["notes"] if note.startswith(read)
  ]


def hardware(versions: Json) -> str:
  """On what a run was made, of what run.json knows. Ours."""
  kind, cores = versions.get("device_kind"), versions.get("host_cores")
  if kind is None:
    return ""
  return f"CPU, {cores} cores" if kind == "cpu" else kind
