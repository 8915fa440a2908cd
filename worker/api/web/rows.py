"""What lists of models show of a version, taken from its scan report. Pure; a report may be older than this code, and what it
does not say is not known.

Laws (each has a test of the same name):
    a version of which something was not read is never shown as complete alone;
    the worst comes first;
    a version whose files drifted is never shown as complete alone;
    a version in quarantine is shown as such before all else;
    what is bad beside the worst is marked.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from detectors.facts import SERIOUS, Severity
from detectors.metrics import sessions
from worker.api.web import gated
from worker.api.web.format import software
from worker.api.web.reported import place
from worker.api.web.wording import clean
from worker.figures import counted
from worker.gates import failed, is_any_failed
from worker.records import Condition, GateResult, ModelVersion
from worker.wholeness import is_told_by_name

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """How a version stands: *kind* is the shape (`ok`, `warn`, `bad`, `unknown`), *word* says it, *why* says more; why may be
    empty. *also* are the words of what is bad besides.
    """

    kind: str
    word: str
    why: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Headline:
    """The number that stands for a version: what it is called, and which session said so at which step, None where unknown."""

    name: str
    value: float | int | str
    session: str
    step: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """A version as a list shows it. parameters is None where they are not known, metric where none was reported.

    course is what became of the metric across versions, oldest first, None for one that did not report it; picture draws it,
    and is None where nobody did.
    """

    version: ModelVersion
    state: State
    made_by: str
    metric: Headline | None
    parameters: int | None
    course: Sequence[float | None] = ()
    picture: Markup | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """The first and the last value of the course that are numbers, None where there are no two."""
        known = [value for value in self.course if value is not None and abs(value) <= sys.float_info.max]
        return (known[0], known[-1]) if len(known) > 1 else None


def row_of(version: ModelVersion, metric: str | None = None) -> Row:
    """Return what a list shows of *version*; *metric* names the one that the list is ordered by, None where it is by none."""
    report: Report = json.loads(version.report)
    model = primary(report)
    number = headline(report) if metric is None else value_of(report, metric)
    return Row(version, state_of(version, report), made_by(model), number, parameters(model))


def primary(report: Report) -> Report:
    """Return the model of a report that stands for all; an empty one where it has none."""
    models: Sequence[Report] = report.get("models") or ()
    return next((model for model in models if model.get("primary")), models[0] if models else {})


def state_of(version: ModelVersion, report: Report) -> State:
    """Return how a version stands, by the worst that is known of it, and what is bad besides."""
    (kind, word, why), *others = _reasons(version, report)
    return State(kind, word, why, tuple(word for kind, word, _ in others if kind == "bad" and word != REST))


REST = "Findings"
"""What is said of a version that has some of which the report does not tell how bad they are."""


def _reasons(version: ModelVersion, report: Report) -> Iterator[tuple[str, str, str]]:
    """Yield what is to be said of a version, the worst first."""
    if version.held is not None and version.is_quarantined:
        yield "bad", "In quarantine", version.held.why
    if version.files_seen is not None and version.files_seen.condition in GONE:
        yield "bad", GONE[version.files_seen.condition], version.files_seen.says
    findings: Sequence[Report] = report.get("findings") or ()
    counts = Counter(finding["severity"] for finding in findings)
    for severity in SERIOUS:
        if counts[severity]:
            also = version.completeness if version.completeness == "incomplete" else ""
            yield "bad", f"{counts[severity]} {severity}", _joined(_rules(findings, severity), also)
    if is_any_failed(version.gates):
        yield "bad", gated.state(version.gates).words, _failed(version.gates)
    if version.completeness == "corrupt":
        yield "bad", "Corrupt", _problem(report)
    elif not _is_whole(version):
        yield "warn", version.completeness.capitalize(), _problem(report)
    if version.verdict == "findings":
        yield "bad", REST, ""
    if version.verdict == "inconclusive":
        unread: Sequence[Report] = (report.get("coverage") or {}).get("inconclusive") or ()
        yield "unknown", "Not fully read", f"{counted(len(unread), 'file')} not read" if unread else ""
    if counts[Severity.MEDIUM]:
        yield "warn", f"{counts[Severity.MEDIUM]} medium", _joined(_rules(findings, Severity.MEDIUM))
    if version.files_seen is not None and version.files_seen.condition in UNSURE:
        yield *UNSURE[version.files_seen.condition], version.files_seen.says
    if version.verdict != "clean":
        yield "unknown", "Not known", version.verdict
    model = primary(report)
    if model and is_told_by_name(model):
        yield "unknown", "Not checked", "known by its name only"
    notes = sum(counts.values())
    yield "ok", "Complete", f"{counted(notes, 'finding')}" if notes else "no findings"


GONE = {Condition.MISSING: "Files gone", Condition.CHANGED: "Files changed"}
UNSURE = {Condition.TOUCHED: ("warn", "Files written since"), Condition.UNREACHABLE: ("unknown", "Files not reached")}
"""How files that are not as they were registered are shown, by how they were found."""


def _is_whole(version: ModelVersion) -> bool:
    return version.completeness == "complete"


def _failed(gates: Sequence[GateResult]) -> str:
    """Return the first gate that failed, and how many others did."""
    return _joined([clean(name) for name in failed(gates)])


def _rules(findings: Sequence[Report], severity: Severity) -> list[str]:
    return sorted({finding["rule"] for finding in findings if finding["severity"] == severity})


def _joined(rules: Sequence[str], more: str = "") -> str:
    """Return the first of *rules*, how many others there are, and one thing *more*."""
    others = [f"{len(rules) - 1} more"] if len(rules) > 1 else []
    return ", ".join([*rules[:1], *others, *filter(None, [more])])


def _problem(report: Report) -> str:
    """Return the first thing that is wrong with a model that is not whole, with the name of its file, and how many others
    there are.
    """
    models: Sequence[Report] = report.get("models") or ()
    problems = [problem for model in models for problem in (model.get("completeness") or {}).get("problems", ())]
    if not problems:
        return ""
    others = f", {len(problems) - 1} more" if len(problems) > 1 else ""
    file = problems[0]["path"].rpartition("/")[2]
    return f"{file}: {problems[0]['problem']}{others}" if file else f"{problems[0]['problem']}{others}"


def made_by(model: Report) -> str:
    """Return what wrote a model: `TensorFlow 2.21.0`, `opset 17`; empty where nobody knows."""
    facts = model.get("facts") or {}
    opsets = facts.get("opset_imports") or {}
    opset = opsets.get("", opsets.get("ai.onnx"))
    if opset is not None:
        return f"opset {opset}"
    framework = facts.get("framework") or {}
    return " ".join(filter(None, (software(framework.get("name") or ""), framework.get("version"))))


def parameters(model: Report) -> int | None:
    """Return how many numbers a model was trained to have, None where that is not known."""
    known = (model.get("facts") or {}).get("parameters") or {}
    counts = (known.get(name) for name in ("distinct", "stored"))
    return next((count for count in counts if isinstance(count, int)), None)


def headline(report: Report) -> Headline | None:
    """Return the number that stands for a version, the first on its page as well; None where its run reported none."""
    values: Sequence[Report] = (report.get("metrics") or {}).get("values") or ()
    best = min(values, key=lambda value: place(value.get("session") or "", value["name"]), default=None)
    if best is None or best.get("value") is None:
        return None
    return Headline(best["name"], best["value"], best.get("session") or "", best.get("step"))


def value_of(report: Report, name: str) -> Headline | None:
    """Return the value of a metric that lists are ordered by; None where the report has none that is a number."""
    values: Sequence[Report] = (report.get("metrics") or {}).get("values") or ()
    numbers = {
        one.get("session") or "": one
        for one in values
        if one["name"] == name and isinstance(one.get("value"), int | float) and abs(one["value"]) <= sys.float_info.max
    }
    session = sessions.headline(numbers)
    if session is None:
        return None
    return Headline(name, numbers[session]["value"], session, numbers[session].get("step"))
