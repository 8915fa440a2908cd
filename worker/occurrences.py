"""What happens that others may want to hear of; pure.

In goes what was registered, how it was judged anew, or where an ingestion was moved; out come the kinds of deliveries that it
is worth, in their order. The registries ask here and nowhere else, in the transaction of what happened, and add a delivery of
each kind for every destination that wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from detectors.facts import Finding, Severity
from worker.delivery import DeliveryKind
from worker.lifecycle import Move
from worker.records import IngestionState, NewVersion

SERIOUS = frozenset({Severity.CRITICAL, Severity.HIGH})
"""Severities of findings that somebody should hear of."""


def of_version(version: NewVersion) -> Sequence[DeliveryKind]:
    """Return what is told of a *version* that is new."""
    told = [DeliveryKind.REGISTERED]
    if is_serious(version.findings):
        told.append(DeliveryKind.FINDING)
    if not all(gate.is_passed for gate in version.gates):
        told.append(DeliveryKind.GATE_FAILED)
    return told


def of_judgement(findings: Iterable[Finding], was_serious: Callable[[], bool]) -> Sequence[DeliveryKind]:
    """Return what is told of a version judged anew that has these *findings* now; *was_serious* is asked where it matters."""
    return [DeliveryKind.FINDING] if is_serious(findings) and not was_serious() else []


def of_move(move: Move) -> Sequence[DeliveryKind]:
    """Return what is told of an ingestion that took a step."""
    return [DeliveryKind.FAILED] if move.ingestion.state is IngestionState.FAILED else []


def is_serious(findings: Iterable[Finding]) -> bool:
    """Tell whether any of *findings* is one that somebody should hear of."""
    return any(finding.severity in SERIOUS for finding in findings)
