"""The states of an ingestion, and who may move it from one to another.

In go an ingestion as it stands and what somebody wants; out comes the ingestion as it stands afterwards, with the line
that its history gets, or None where that is not theirs to do. Keeping both, in one transaction, is left to the registry.

    received ── claim ──> running ── end ──> registered, unchanged, nothing_found, failed, discarded, ignored
                          │     ^
                         wait  claim
                          v     │
                          waiting

Laws (each has a test of the same name):
    an end is final;
    what runs is moved by its owner alone;
    an ingestion has an owner exactly while it runs;
    a wait is not an attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from worker.records import CompletionEvent, End, HistoryEntry, Ingestion, IngestionState


class Mover(StrEnum):
    """Who may take a step."""

    ANYONE = "anyone"
    """Whoever finds it first: nobody owns it."""
    OWNER = "owner"
    """Only who owns it, or who took it over from an owner known to be dead."""


ENDS = frozenset(
    {
        IngestionState.REGISTERED,
        IngestionState.UNCHANGED,
        IngestionState.NOTHING_FOUND,
        IngestionState.FAILED,
        IngestionState.DISCARDED,
        IngestionState.IGNORED,
    }
)
"""The states that nothing leaves."""

MOVES: Mapping[IngestionState, Mapping[IngestionState, Mover]] = {
    IngestionState.RECEIVED: {IngestionState.RUNNING: Mover.ANYONE},
    IngestionState.WAITING: {IngestionState.RUNNING: Mover.ANYONE},
    IngestionState.RUNNING: {
        IngestionState.RUNNING: Mover.OWNER,
        IngestionState.WAITING: Mover.OWNER,
        **dict.fromkeys(ENDS, Mover.OWNER),
    },
    **{end: {} for end in ENDS},
}
"""The allowed transitions: from, to, and who may. What is not here cannot happen."""


@dataclass(frozen=True, slots=True)
class Move:
    """An ingestion after a step, and the line that its history gets."""

    ingestion: Ingestion
    entry: HistoryEntry


def is_end(state: IngestionState) -> bool:
    """Tell whether an ingestion in *state* is over for good."""
    return state in ENDS


def may_move(ingestion: Ingestion, to: IngestionState, who: str) -> bool:
    """Tell whether *who* may move *ingestion* to the state *to*."""
    mover = MOVES[ingestion.state].get(to)
    return mover is Mover.ANYONE or (mover is Mover.OWNER and ingestion.owner == who)


def receive(event: CompletionEvent, ingestion_id: str, version_id: str, now: datetime) -> Move:
    """Return a new ingestion of *event*, received and owned by nobody."""
    ingestion = Ingestion(
        id=ingestion_id,
        event=event,
        state=IngestionState.RECEIVED,
        reason=None,
        message=None,
        attempts=0,
        version_id=version_id,
        answered_version=None,
        owner=None,
        location=None,
        created=now,
        updated=now,
    )
    return Move(ingestion, HistoryEntry(now, ingestion.state, None, None))


def claim(ingestion: Ingestion, owner: str, now: datetime) -> Move | None:
    """Return *ingestion* run by *owner*, one attempt more; None where it has ended or another owns it."""
    if not may_move(ingestion, IngestionState.RUNNING, owner):
        return None
    attempts = ingestion.attempts + 1
    message = f"attempt {attempts} by {owner}"
    return _moved(ingestion, IngestionState.RUNNING, "claimed", message, now, owner=owner, attempts=attempts)


def wait(ingestion: Ingestion, owner: str, reason: str, message: str, now: datetime) -> Move | None:
    """Return *ingestion* waiting and owned by nobody; the attempt that came to nothing is not counted. None if not theirs."""
    if not may_move(ingestion, IngestionState.WAITING, owner):
        return None
    attempts = ingestion.attempts - 1
    return _moved(ingestion, IngestionState.WAITING, reason, message, now, owner=None, attempts=attempts)


def take_over(ingestion: Ingestion, owner: str, new_owner: str, now: datetime) -> Move | None:
    """Return *ingestion* owned by *new_owner* in place of *owner*, who is dead; None where that is not the owner."""
    if not may_move(ingestion, IngestionState.RUNNING, owner) or ingestion.owner is None:
        return None
    message = f"by {new_owner} from {owner}"
    return _moved(ingestion, IngestionState.RUNNING, "taken-over", message, now, owner=new_owner)


def end(ingestion: Ingestion, owner: str, how: End, now: datetime) -> Move | None:
    """Return *ingestion* ended as *how* says; None where *owner* does not own it.

    Raises:
        ValueError: the state is not an end.
    """
    if not is_end(how.state):
        raise ValueError(f"{how.state} is not an end")
    if not may_move(ingestion, how.state, owner):
        return None
    return _moved(ingestion, how.state, how.reason, how.message, now, owner=None, answered_version=how.version_id)


def _moved(
    ingestion: Ingestion, state: IngestionState, reason: str, message: str, now: datetime, **changes: str | int | None
) -> Move:
    """Return the step to *state*. *reason* and *message* stay with the ingestion, but for a run, which has none yet."""
    runs = state is IngestionState.RUNNING
    told: dict[str, str | None] = {"reason": None if runs else reason, "message": None if runs else message}
    after = replace(ingestion, state=state, updated=now, **told, **changes)  # type: ignore[arg-type]
    return Move(after, HistoryEntry(now, state, reason, message))
