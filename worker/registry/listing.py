"""What lists of versions go by: which value a metric has, why a version needs a look, what a search means; pure, and the same
for every kind of registry.

Laws (each has a test of the same name):
    pages put together are the list;
    a reason to look is one that its word says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from detectors.facts import SERIOUS, Metric, State
from detectors.metrics.sessions import headline
from detectors.scan import Verdict
from worker.gates import is_any_failed
from worker.records import Attention, GateResult, Held, Judgement, ModelVersion, NewVersion, Overview
from worker.registry.words import folded

BITS = {
    Attention.INCOMPLETE: 1,
    Attention.FINDINGS: 2,
    Attention.NOT_FULLY_READ: 4,
    Attention.QUARANTINED: 8,
    Attention.GATE_FAILED: 16,
}
"""What each reason to look at a version adds to its `look`."""

DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{8,64})")
"""A digest or its beginning, as people copy it: eight digits tell enough apart."""

ALGORITHM = "sha256:"

MAX_COMPARED = 2.0**63
"""Beyond it, no whole number is kept in a column of its own, and so none is compared."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search text is looked for as: part of a name, and the beginning of a digest, None where it cannot be one."""

    part: str
    digest: str | None


def wanted(text: str) -> Wanted:
    """Return what *text* may mean; case does not matter."""
    part = folded(text)
    digest = DIGEST.fullmatch(part.strip())
    return Wanted(part, None if digest is None else ALGORITHM + digest[1])


def look_of(version: NewVersion | Judgement, is_quarantined: bool, gates: Iterable[GateResult]) -> int:
    """Return why a person should look at *version*, as the sum of `BITS`; *gates* are what became of its gates so far."""
    reasons = {
        Attention.INCOMPLETE: version.completeness != State.COMPLETE.value,
        Attention.FINDINGS: any(finding.severity in SERIOUS for finding in version.findings),
        Attention.NOT_FULLY_READ: version.verdict == Verdict.INCONCLUSIVE.value,
        Attention.QUARANTINED: is_quarantined,
        Attention.GATE_FAILED: is_any_failed(gates),
    }
    return sum(BITS[reason] for reason, is_given in reasons.items() if is_given)


def has_reason(look: int, attention: Attention) -> bool:
    """Tell whether a version with this *look* is one that *attention* means."""
    return look > 0 if attention is Attention.NEEDS_LOOK else bool(look & BITS[attention])


def as_seen_by(team: str, version: ModelVersion) -> ModelVersion:
    """Return what a team may know of a version that it may read: of another team's, not which others that one has, and not who
    released it."""
    return version if version.team == team else replace(version, duplicate_of=None, held=_unsigned(version.held))


def _unsigned(held: Held | None) -> Held | None:
    release = None if held is None else held.released
    return held if held is None or release is None else replace(held, released=replace(release, by=None))


def headlines(metrics: Iterable[Metric]) -> Mapping[str, float]:
    """Return the value of each metric that versions are ordered by.

    It is the last one of the session that speaks for the run, as `detectors.metrics` ranks them, among those with a finite
    value: NaN and infinities are no more than nothing.
    """
    values: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if is_comparable(metric.value):
            values.setdefault(metric.name, {})[metric.session] = float(metric.value)
    return {name: sessions[headline(sessions) or ""] for name, sessions in values.items()}


def is_comparable(value: float) -> bool:
    """Tell whether *value* is a number that every database keeps."""
    return abs(value) < MAX_COMPARED if isinstance(value, int) else math.isfinite(value)


def overview(tallies: Mapping[tuple[int, bool], int]) -> Overview:
    """Return how much a team has; *tallies* are numbers of versions by look and by whether they are the latest."""
    latest = {look: amount for (look, is_latest), amount in tallies.items() if is_latest}
    attention = {reason: sum(amount for look, amount in latest.items() if has_reason(look, reason)) for reason in Attention}
    return Overview(sum(latest.values()), sum(tallies.values()), attention)
