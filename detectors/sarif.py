"""The scan as SARIF 2.1.0, which code scanners of forges and editors read.

In goes a `Scan` and where its paths lie, out comes a dict that any JSON writer takes. Every finding is a result; so is what is
missing of a model, what contradicts itself in it, and what could not be read: a reader that counts results alone never takes
for clean what the scan does not call clean. Notes, and a path with no model, are notifications. Who reads it, and where it
goes, is left to the doors.

Laws (each has a test of the same name):
    a log without results is of a clean scan or of nothing;
    the fingerprint of a result is the same in every run;
    what a model says of itself makes no link and no placeholder.

Source: SARIF Version 2.1.0, OASIS Standard with errata 01; what GitHub shows of it: "SARIF support for code scanning".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from detectors.facts import SEVERITIES, Note, Problem, Severity, State
from detectors.report import plain
from detectors.rules import RULES, Rule
from detectors.scan import RULES_VERSION, Model, Scan, Verdict
from detectors.tree import NO_BYTE, readable
from detectors.wire import shown

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MAX_RESULTS = 5_000
"""Results that are written, the worst first: GitHub shows as many, and refuses a log with more than 25,000."""

WHOLENESS = (
    Rule(
        "model-corrupt",
        (Severity.HIGH,),
        "bytes of a model contradict each other",
        "nobody can load it, or who does gets other numbers than were trained; waiting will not help",
        "export or copy it again",
    ),
    Rule(
        "model-incomplete",
        (Severity.HIGH,),
        "a part that a model names is missing or too short",
        "nobody can load it before the rest has come",
        "wait for the rest, or copy it again",
    ),
    Rule(
        "not-fully-read",
        (Severity.MEDIUM,),
        "a file of a model could not be read, or a limit stopped the reading",
        "what was not read may hold anything, so the model is not known to be clean",
        "make it readable, and scan again",
    ),
)
"""What a report tells of completeness and coverage, as rules, which is what readers of SARIF know. They fail, and are not left
`open`: the standard gives an open result no level, and what has none is easily overlooked."""

STATE_RULES = {State.CORRUPT: "model-corrupt", State.INCOMPLETE: "model-incomplete"}


LEVELS: Mapping[Severity, str] = MappingProxyType(
    {
        Severity.CRITICAL: "error",
        Severity.HIGH: "error",
        Severity.MEDIUM: "warning",
        Severity.LOW: "note",
        Severity.INFO: "note",
    }
)

SECURITY_SEVERITY: Mapping[Severity, str] = MappingProxyType(
    {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
)
"""The middle of what GitHub calls critical (above 9.0), high (from 7.0), medium (from 4.0) and low. Information has none."""

WHOLE_FILE = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
"""An empty region at the beginning. Models have no lines, but GitHub shows no result without some."""

NOTIFICATIONS = {
    "note": "something that a reader should know about a file",
    "nothing": "there is no model at the path",
    "left-out": "there is more than a log may hold",
}

_RULES = (*sorted(RULES.values(), key=lambda rule: rule.name), *WHOLENESS)
_PLACES = {rule.name: place for place, rule in enumerate(_RULES)}


def sarif_log(scan: Scan, base: str, version: str) -> dict[str, Any]:
    """Return *scan* as a SARIF log with one run.

    *base* is the URI reference that goes before each path, "" or with a slash at its end: where the path that was scanned lies
    as seen from where the reader looks for files. *version* is that of the program.
    """
    results = list(_numbered(_results(scan, base)))
    left_out = len(results) - MAX_RESULTS
    run = {
        "tool": {"driver": _driver(version)},
        "automationDetails": {"id": f"modelport/{base}"},
        "invocations": [
            {"executionSuccessful": True, "toolExecutionNotifications": list(_notifications(scan, base, left_out))}
        ],
        "results": results[:MAX_RESULTS],
        "properties": {
            "verdict": scan.verdict.value,
            "scanned": scan.coverage.scanned,
            "models": [_model(model) for model in islice(scan.models, MAX_RESULTS)],
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver(version: str) -> dict[str, Any]:
    return {
        "name": "modelport",
        "version": version,
        "semanticVersion": version,
        "properties": {"rulesVersion": RULES_VERSION},
        "rules": [_rule(rule) for rule in _RULES],
        "notifications": [{"id": name, "shortDescription": {"text": says}} for name, says in NOTIFICATIONS.items()],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    """Return *rule* as it is listed whether it found something or not. Its severity is the worst that it may have."""
    worst = rule.severities[0]
    texts = {"Says": rule.says, "Why it matters": rule.why, "What to do": rule.advice}
    properties: dict[str, Any] = {"tags": ["model"], "problem.severity": _problem_severity(worst)}
    if rule not in WHOLENESS and worst in SECURITY_SEVERITY:
        properties |= {"tags": ["model", "security"], "security-severity": SECURITY_SEVERITY[worst]}
    return {
        "id": rule.name,
        "shortDescription": {"text": _safe(rule.says)},
        "fullDescription": {"text": _safe(f"{rule.says}: {rule.why}")},
        "help": {
            "text": _safe(". ".join(f"{head}: {text}" for head, text in texts.items())),
            "markdown": _safe("\n".join(f"- **{head}**: {text}." for head, text in texts.items())),
        },
        "defaultConfiguration": {"level": LEVELS[worst]},
        "properties": properties,
    }


def _problem_severity(severity: Severity) -> str:
    return {"note": "recommendation"}.get(LEVELS[severity], LEVELS[severity])


def _results(scan: Scan, base: str) -> list[dict[str, Any]]:
    """Return what is wrong, the worst first: broken models, findings, what was not read."""
    broken = (
        _result(STATE_RULES[model.extraction.completeness.state], Severity.HIGH, base, one.path, "", one.problem)
        for model in scan.models
        if model.extraction.completeness.state in STATE_RULES
        for one in _problems(model)
    )
    findings = (_result(one.rule, one.severity, base, one.path, one.place, one.message) for one in scan.findings)
    unread = (_result("not-fully-read", Severity.MEDIUM, base, one.path, "", one.reason) for one in _unread(scan))
    return sorted((*broken, *findings, *unread), key=lambda result: SEVERITIES.index(result["properties"]["severity"]))


def _unread(scan: Scan) -> tuple[Note, ...]:
    nothing = (Note("", "nothing was looked at"),) if scan.verdict is Verdict.INCONCLUSIVE else ()
    return scan.coverage.inconclusive or nothing


def _problems(model: Model) -> Iterable[Problem]:
    return model.extraction.completeness.problems or (Problem(model.detection.main, model.extraction.completeness.state.value),)


def _result(rule: str, severity: Severity, base: str, path: str, place: str, message: str) -> dict[str, Any]:
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": uri_of(base, path)}, "region": dict(WHOLE_FILE)}
    }
    if place:
        location["logicalLocations"] = [{"fullyQualifiedName": _cut(place)}]
    told = f"{_cut(message)} ({_cut(place)})" if place else _cut(message)
    return {
        "ruleId": rule,
        "ruleIndex": _PLACES[rule],
        "kind": "fail",
        "level": LEVELS[severity],
        "message": {"text": _safe(told) or rule},
        "locations": [location],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(rule, path, place)},
        "properties": {"severity": severity.value},
    }


def _fingerprint(rule: str, path: str, place: str) -> str:
    """Return what tells a result from others of the same scan, whatever words and numbers stand in its message."""
    told = "\0".join(readable(text) for text in (rule, path, place))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _numbered(results: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield *results* with a number behind each fingerprint, which counts those that have the same."""
    seen: Counter[str] = Counter()
    for result in results:
        prints = result["partialFingerprints"]
        mark = prints["primaryLocationLineHash"]
        seen[mark] += 1
        prints["primaryLocationLineHash"] = f"{mark}:{seen[mark]}"
        yield result


def _notifications(scan: Scan, base: str, left_out: int) -> Iterator[dict[str, Any]]:
    if scan.verdict is Verdict.NOTHING:
        yield _notification("nothing", "warning", "there is no model at this path", base, "")
    if left_out > 0:
        said = f"{left_out} further results are left out; the report of --format json has them all"
        yield _notification("left-out", "warning", said, base, "")
    for note in islice(_unread(scan), MAX_RESULTS):
        yield _told("not-fully-read", "warning", note, base)
    for note in islice(scan.coverage.skipped, MAX_RESULTS):
        yield _told("note", "note", note, base)


def _told(name: str, level: str, note: Note, base: str) -> dict[str, Any]:
    return _notification(name, level, note.reason, base, note.path)


def _notification(name: str, level: str, text: str, base: str, path: str) -> dict[str, Any]:
    """Return a notification; one that a rule tells as well, a result for what is not known, is associated with that."""
    reference = {"associatedRule" if name in _PLACES else "descriptor": {"id": name}}
    location = {"physicalLocation": {"artifactLocation": {"uri": uri_of(base, path)}}}
    return {**reference, "level": level, "message": {"text": _safe(_cut(text)) or name}, "locations": [location]}


def _model(model: Model) -> dict[str, Any]:
    completeness = model.extraction.completeness.state.value
    return {"root": readable(model.detection.root), "format": model.detection.format, "completeness": completeness}


def uri_of(base: str, path: str) -> str:
    """Return the URI reference of *path* behind *base*: every byte that no URI holds is percent-encoded.

    "." stands for the place itself where *base* is empty too.
    """
    whole = NO_BYTE.sub(lambda found: f"\\u{ord(found[0]):04x}", path)
    return base + quote(whole.encode("utf-8", "surrogateescape")) or "."


def _cut(text: str) -> str:
    return shown(plain(text))


def _safe(text: str) -> str:
    """Return *text* as SARIF messages carry it: braces are doubled (3.11.5), and nothing in it is a link (3.11.6)."""
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")
