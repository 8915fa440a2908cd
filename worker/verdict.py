"""What an exception means for an ingestion: one table, tested to be complete.

In goes an exception and how often it was tried; out comes a decision as a value, which somebody else carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from detectors.errors import DetectorError, ModelError, TreeChanged, TreeLimit, TreeUnavailable, Unreadable
from worker.backtrace import said
from worker.errors import (
    InspectorLost,
    NothingThere,
    NotSettled,
    RegistryUnavailable,
    RejectedEvent,
    RejectedLocation,
    StorageHangs,
    StorageUnavailable,
    WorkerError,
)
from worker.records import SoFar


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after *seconds*. is_attempt tells whether it counts: a wait does not."""

    seconds: float
    is_attempt: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Reject:
    """End as failed, with a reason code and a sentence."""

    reason: str
    message: str


Decision = Again | Reject


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an ingestion is waited with, in seconds: for its files to come to rest, and for what does not answer."""

    rest_seconds: float
    outage_seconds: float


MAX_TRIES = 4
"""Attempts that may hang, or lose their inspection to a crash."""

MAX_LIMITS = 2
"""Tries of an inspection that reaches a limit of memory or time: the same files most likely reach it again."""

PAUSES_SECONDS = (0.5, 2.0, 8.0, 30.0, 120.0, 300.0)
"""Pauses before the next try of what failed because something outside does not answer; the last one comes again and again."""

LOOK_AGAIN_SECONDS = 1.0
"""Pause after a tree changed while it was read; the settling that follows is longer."""

MAX_CHANGES = 5
"""How often a tree may change while it is read before it ends as failed."""


def decide(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
    """Return what *error* means. *so_far* counts this error too."""
    for kind, rule in RULES.items():
        if isinstance(error, kind):
            return rule(error, so_far, patience)
    return Reject(UNFORESEEN, said(error))


UNFORESEEN = "unforeseen"
"""The reason code of what nobody thought of: recorded, raised, and looked at by a person."""

Rule = Callable[[Exception, SoFar, Patience], Decision]


def _wait(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
    assert isinstance(error, NotSettled)
    if so_far.waited_seconds > patience.rest_seconds:
        return Reject(error.code, f"the files did not come to rest within {patience.rest_seconds:g} s; {error}")
    return Again(error.seconds, False, "not-settled", str(error))


def _changed(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
    if so_far.changes >= MAX_CHANGES:
        return Reject("kept-changing", f"the files changed {so_far.changes} times while they were read; the last: {error}")
    return Again(LOOK_AGAIN_SECONDS, False, "changed", str(error))


def _hangs(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
    """Pause for as long as it hung, then for twice and four times that: others get at least half of a worker's time."""
    assert isinstance(error, StorageHangs)
    again = _retry("storage-hangs")(error, so_far, patience)
    return replace(again, seconds=error.seconds * 2 ** (so_far.failed - 1)) if isinstance(again, Again) else again


def _lost(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
    assert isinstance(error, InspectorLost)
    rule = _retry("inspector-lost", MAX_TRIES if error.cause == "crashed" else MAX_LIMITS)
    return rule(error, so_far, patience)


def _retry(reason: str, max_tries: int = MAX_TRIES) -> Rule:
    def rule(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
        if so_far.failed >= max_tries:
            return Reject(reason, f"{error} (tried {so_far.failed} times)")
        return Again(_pause(so_far.failed), True, reason, str(error))

    return rule


def _outlast(reason: str) -> Rule:
    """Return the rule for what is out of our hands and may come back. It costs no attempt: the ingestion is not to blame."""

    def rule(error: Exception, so_far: SoFar, patience: Patience) -> Decision:
        if sum(map(_pause, range(1, so_far.failed + 1))) > patience.outage_seconds:
            return Reject(reason, f"{error} (tried {so_far.failed} times)")
        return Again(_pause(so_far.failed), False, reason, str(error))

    return rule


def _pause(failed: int) -> float:
    """Return how long to wait after so many failures."""
    return PAUSES_SECONDS[min(failed, len(PAUSES_SECONDS)) - 1]


def _reject(reason: str) -> Rule:
    return lambda error, so_far, patience: Reject(reason, str(error))


RULES: dict[type[Exception], Rule] = {
    NotSettled: _wait,
    NothingThere: _reject("nothing-there"),
    TreeChanged: _changed,
    TreeUnavailable: _outlast("source-unavailable"),
    StorageUnavailable: _outlast("store-unavailable"),
    StorageHangs: _hangs,
    InspectorLost: _lost,
    RegistryUnavailable: _outlast("registry-unavailable"),
    RejectedEvent: _reject("rejected-event"),
    RejectedLocation: _reject("rejected-location"),
    TreeLimit: _reject("tree-limit"),
    Unreadable: _reject("unreadable"),
    ModelError: _reject(UNFORESEEN),
    DetectorError: _reject(UNFORESEEN),
    WorkerError: _reject(UNFORESEEN),
}
"""From the most special to the most general. A `ModelError` never comes this far: it is recorded beside its model."""
