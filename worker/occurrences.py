"""What happens that others may want to hear of; pure.

In goes what was registered, how it was judged anew, or where an ingestion was moved; out come the kinds of deliveries that it
is worth, in their order. The registries ask here and nowhere else, in the transaction of what happened, and add a delivery of
each kind for every destination that wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from detectors.facts import SERIOUS, Finding
from worker.delivery import DeliveryKind
from worker.gates import is_any_failed
from worker.lifecycle import Move
from worker.records import GateResult, IngestionState, NewVersion


def of_version(version: NewVersion) -> Sequence[DeliveryKind]:
    """Return what is told of a *version* that is new."""
    found = [DeliveryKind.FINDING] if is_serious(version.findings) else []
    return [DeliveryKind.REGISTERED, *found, *of_gates(version.gates)]


def of_judgement(findings: Iterable[Finding], was_serious: bool, is_put: bool) -> Sequence[DeliveryKind]:
    """Return what is told of a version judged anew that has these *findings* now. *was_serious* tells whether it had such
    findings before, and *is_put* whether it went into quarantine by that: then somebody has to hear of it again.
    """
    return [DeliveryKind.FINDING] if is_serious(findings) and (is_put or not was_serious) else []


def of_gates(gates: Iterable[GateResult]) -> Sequence[DeliveryKind]:
    """Return what is told of a version that *gates* judged, new or known."""
    return [DeliveryKind.GATE_FAILED] if is_any_failed(gates) else []


def of_move(move: Move) -> Sequence[DeliveryKind]:
    """Return what is told of an ingestion that took a step."""
    return [DeliveryKind.FAILED] if move.ingestion.state is IngestionState.FAILED else []


def is_serious(findings: Iterable[Finding]) -> bool:
    """Tell whether any of *findings* is one that somebody should hear of."""
    return any(finding.severity in SERIOUS for finding in findings)
