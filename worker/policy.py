"""What a site's policy makes of a scan: registered and said, registered with a warning, or registered and not to be served.

In go the policy and what a look at a model gave, out comes what is held against serving it, as a value that the registry keeps
with the version. What is held against one is all for which `modelport scan` does not end with 0: a finding of severity high or
critical, bytes that contradict each other, a part that is missing, and what nobody could look at, which may hide any of these.
Each is told in its own words, because each asks for something else: distrust, another copy, patience, another look. Pure.

Laws (each has a test of the same name):
    what is not clean is objected to, and what is clean is not;
    malicious, corrupt, incomplete and unread are told apart;
    what a person released stays released until something new is found;
    only a person lets a version go.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from detectors.facts import SERIOUS, Finding, State
from detectors.scan import Scan, Verdict
from detectors.tree import readable
from detectors.wire import shown
from worker.records import Held, ModelVersion, Objection, Policy, Released

MOST_NAMED = 3
"""Rules, models or files that one sentence names."""

MOST_CAUSES = 200
"""Findings whose mark is kept one by one; what is more has one mark together, so that what is new is noticed all the same."""

MARK_DIGITS = 16


def objection(policy: Policy, found: Scan) -> Objection | None:
    """Return what *policy* holds against serving what was *found*, None where it holds nothing against it."""
    if policy is Policy.RECORD or found.verdict in (Verdict.CLEAN, Verdict.NOTHING):
        return None
    return Objection(policy is Policy.QUARANTINE, "; ".join(_objections(found)), tuple(sorted(_causes(found))))


def stands(before: Held | None, said: Objection | None, now: datetime) -> Held | None:
    """Return how a version stands in quarantine after its content was judged, None where it never was in it.

    What is in it stays there until a person releases it, with the latest words for why. What a person released goes back only
    for something that was not there when they did. A policy that does not quarantine changes nothing about what stands.
    """
    if said is None or not said.is_quarantined:
        return before
    if before is not None and before.released is None:
        return replace(before, why=said.why, causes=said.causes)
    if before is not None and set(said.causes) <= set(before.causes):
        return before
    return Held(now, said.why, said.causes)


def warning_of(said: Objection | None) -> str | None:
    """Return what is warned of, None for nothing: what is in quarantine needs no warning beside."""
    return None if said is None or said.is_quarantined else said.why


def remark_on(version: ModelVersion) -> str:
    """Return what the policy adds to a sentence about *version*; empty where it holds nothing against it."""
    if version.held is not None and version.is_quarantined:
        return f"; in quarantine: {version.held.why}"
    return "" if version.warning is None else f"; warning: {version.warning}"


def is_put(before: Held | None, after: Held | None) -> bool:
    """Tell whether a version went into quarantine between *before* and *after*, for the first time or again."""
    return _is_in(after) and not _is_in(before)


def _is_in(held: Held | None) -> bool:
    return held is not None and held.released is None


def released(before: Held, now: datetime, who: str, reason: str) -> Held:
    """Return what is in quarantine as released by *who*; who did it first is told, where somebody has done it before."""
    return before if before.released is not None else replace(before, released=Released(now, who, reason))


def _objections(found: Scan) -> Iterator[str]:
    """Yield what is held against it, a clause for each kind, the worst first."""
    serious = [finding for finding in found.findings if finding.severity in SERIOUS]
    if serious:
        counts = Counter(finding.severity for finding in serious)
        told = " and ".join(f"{counts[severity]} {severity.value}" for severity in SERIOUS if counts[severity])
        rules = dict.fromkeys(finding.rule for finding in serious)
        yield f"{told} {'finding' if len(serious) == 1 else 'findings'} ({_named(list(rules))})"
    for state in (State.CORRUPT, State.INCOMPLETE):
        broken = [model for model in found.models if model.extraction.completeness.state is state]
        if broken:
            problems = [problem for model in broken for problem in model.extraction.completeness.problems]
            first = f": {_path(problems[0].path)}: {shown(problems[0].problem)}" if problems else ""
            which = "the model" if len(found.models) == 1 else f"{len(broken)} of {len(found.models)} models"
            yield f"{which} {'is' if len(broken) == 1 else 'are'} {state.value}{first}"
    unread = found.coverage.inconclusive
    if unread:
        first = f"{_path(unread[0].path)}: {shown(unread[0].reason)}"
        more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        yield f"not fully read: {first}{more}"


def _causes(found: Scan) -> Iterator[str]:
    """Yield what is equal for what a person has seen already: the mark of each serious finding, and a word for the rest."""
    yield from _marks([finding for finding in found.findings if finding.severity in SERIOUS])
    states = {model.extraction.completeness.state for model in found.models}
    yield from (state.value for state in (State.CORRUPT, State.INCOMPLETE) if state in states)
    if found.coverage.inconclusive:
        yield "unread"


def _marks(findings: Sequence[Finding]) -> Iterator[str]:
    marks = sorted({_mark(one.rule, one.severity.value, one.path, one.place) for one in findings})
    yield from marks[:MOST_CAUSES]
    if len(marks) > MOST_CAUSES:
        yield _mark(*marks[MOST_CAUSES:])


def _mark(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode("ascii")).hexdigest()[:MARK_DIGITS]


def _named(names: Collection[str]) -> str:
    told = ", ".join(list(names)[:MOST_NAMED])
    return f"{told} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else told


def _path(path: str) -> str:
    return shown(readable(path))
