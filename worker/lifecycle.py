"""The states of an ingestion, and who may move it from one to another.

In go an ingestion as it stands and what somebody wants; out comes the ingestion as it stands afterwards, with the line
that its history gets, or None where that is not theirs to do. Keeping both, in one transaction, is left to the registry.

    received ── claim ──> running ── end ──> registered, unchanged, nothing_found, failed, discarded, ignored
       ^                  │     ^                                                     │
       │                 wait  claim                                                  │
       │                  v     │                                                     │
       │                  waiting                                                     │
       └────────────────────────────── a person's retry ──────────────────────────────┘

Laws (each has a test of the same name):
    an end is final, but that a person may have a failed one tried again or put away;
    what runs is moved by its owner alone, but for a lease that ran out and a person who discards it;
    an ingestion has an owner and a lease exactly while it runs;
    a wait is not an attempt;
    a pause ends a turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from worker.records import CompletionEvent, End, HistoryEntry, Ingestion, IngestionState, Pause, SoFar, Trigger


class Mover(StrEnum):
    """Who may take a step."""

    ANYONE = "anyone"
    """Whoever finds it first: nobody owns it."""
    OWNER = "owner"
    """Only who owns it."""
    SWEEP = "sweep"
    """Whoever sees that the owner is lost."""
    PERSON = "person"
    """A person who decides so."""


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
"""The states that no worker leaves; a person may let one that failed begin again."""

CLAIMABLE = (IngestionState.RECEIVED, IngestionState.WAITING)
"""The states that a worker may claim from."""

FINISHED = (
    IngestionState.REGISTERED,
    IngestionState.UNCHANGED,
    IngestionState.NOTHING_FOUND,
    IngestionState.FAILED,
)
"""The ends that work comes to; to the others it is put by a person, or by its nature."""

FRUITLESS = (
    IngestionState.UNCHANGED,
    IngestionState.NOTHING_FOUND,
    IngestionState.DISCARDED,
    IngestionState.IGNORED,
)
"""The ends that nobody leaves any more and that no version came from: what is old among them may go (`ports.Care.remove`)."""

MAX_ATTEMPTS = 5
"""Attempts after which an ingestion whose worker dies each time ends as failed: it may be what kills them."""

NEED_FILES = frozenset({*CLAIMABLE, IngestionState.RUNNING, IngestionState.FAILED})
"""The states of an ingestion that still reads its files, or will where a person has it tried again."""

LEASE_SECONDS = 60.0
"""How long an ingestion is its owner's without a sign of life, where nobody says otherwise."""

PAUSED = 1 << 62
"""Turns from here on are none: such an ingestion pauses, and stands in no line. See `paused_turn`."""

State = IngestionState
Movers = frozenset[Mover]

MOVES: Mapping[IngestionState, Mapping[IngestionState, Movers]] = {
    State.RECEIVED: {
        State.RUNNING: frozenset({Mover.ANYONE}),
        State.IGNORED: frozenset({Mover.ANYONE}),
        State.DISCARDED: frozenset({Mover.PERSON}),
    },
    State.WAITING: {
        State.RUNNING: frozenset({Mover.ANYONE}),
        State.FAILED: frozenset({Mover.SWEEP}),
        State.DISCARDED: frozenset({Mover.PERSON}),
    },
    State.RUNNING: {
        **dict.fromkeys(ENDS, frozenset({Mover.OWNER})),
        State.WAITING: frozenset({Mover.OWNER, Mover.SWEEP}),
        State.FAILED: frozenset({Mover.OWNER, Mover.SWEEP}),
        State.DISCARDED: frozenset({Mover.OWNER, Mover.PERSON}),
    },
    **{end: {} for end in ENDS},
    State.FAILED: {State.RECEIVED: frozenset({Mover.PERSON}), State.DISCARDED: frozenset({Mover.PERSON})},
}
"""The allowed transitions: from, to, and who may. What is not here cannot happen."""


@dataclass(frozen=True, slots=True)
class Move:
    """An ingestion after a step, and the line that its history gets."""

    ingestion: Ingestion
    entry: HistoryEntry


LONG_IN_LEASES = 3
"""A lease that ran out so many times its length ago has nobody who frees it: one is looked for six times in each (`runner`)."""


def contradiction(ingestion: Ingestion, has_version: bool, now: datetime, lease_seconds: float = LEASE_SECONDS) -> str | None:
    """Return what about *ingestion* cannot be, None where all is well. *has_version* tells whether it registered one."""
    watched = ingestion.state is State.WAITING and ingestion.event.trigger is Trigger.CLI
    owned = ingestion.state is State.RUNNING or (watched and ingestion.owner is not None)
    if (ingestion.owner is not None) != owned or (ingestion.lease_until is not None) != owned:
        return f"{ingestion.id} is {ingestion.state.value}, its owner is {ingestion.owner}, its lease {ingestion.lease_until}"
    if has_version != (ingestion.state is State.REGISTERED):
        return f"{ingestion.id} is {ingestion.state.value} and has {'a' if has_version else 'no'} version"
    long = timedelta(seconds=LONG_IN_LEASES * lease_seconds)
    if ingestion.lease_until is not None and ingestion.lease_until + long <= now:
        return f"{ingestion.id} is {ingestion.owner}'s, whose lease ran out at {ingestion.lease_until}; nothing sweeps"
    return None


def is_end(state: IngestionState) -> bool:
    """Tell whether an ingestion in *state* is over for good."""
    return state in ENDS


def movable(to: IngestionState, mover: Mover) -> tuple[IngestionState, ...]:
    """Return the states that *mover* may move an ingestion from, to the state *to*."""
    return tuple(state for state, moves in MOVES.items() if mover in moves.get(to, frozenset()))


def may_move(ingestion: Ingestion, to: IngestionState, who: str) -> bool:
    """Tell whether the worker *who* may move *ingestion* to the state *to*."""
    movers = MOVES[ingestion.state].get(to, frozenset())
    return Mover.ANYONE in movers or (Mover.OWNER in movers and ingestion.owner == who)


def receive(event: CompletionEvent, ingestion_id: str, version_id: str, now: datetime, turn: int = 1) -> Move:
    """Return a new ingestion of *event*, received and owned by nobody, in its team's turn number *turn*.

    An upload has its version's id from the beginning: it was promised to whoever sent the files, and its event bears it.
    """
    ingestion = Ingestion(
        id=ingestion_id,
        event=event,
        state=State.RECEIVED,
        reason=None,
        message=None,
        attempts=0,
        version_id=event.id if event.trigger is Trigger.UPLOAD else version_id,
        answered_version=None,
        owner=None,
        location=None,
        created=now,
        updated=now,
        turn=turn,
    )
    return Move(ingestion, HistoryEntry(now, ingestion.state, None, None))


def claim(
    ingestion: Ingestion, owner: str, version_id: str, now: datetime, lease_seconds: float = LEASE_SECONDS
) -> Move | None:
    """Return *ingestion* run by *owner*, one attempt more; None where it has ended or another owns it.

    *version_id* is the one that this attempt may register: each attempt writes to a place of its own, so that an owner who
    lost the ingestion without knowing it cannot touch what the next one writes. An upload keeps the one that was promised:
    its files lie there already, and no attempt writes any.
    """
    if not may_move(ingestion, State.RUNNING, owner):
        return None
    attempts = ingestion.attempts + 1
    version_id = ingestion.version_id if ingestion.event.trigger is Trigger.UPLOAD else version_id
    message = f"attempt {attempts} by {owner}"
    lease_until = now + timedelta(seconds=lease_seconds)
    claimed = replace(ingestion, owner=owner, version_id=version_id, attempts=attempts, run_after=None, lease_until=lease_until)
    move = _moved(claimed, State.RUNNING, "claimed", message, now)
    return replace(move, entry=replace(move.entry, version_id=version_id))


def beat(ingestion: Ingestion, owner: str, now: datetime, lease_seconds: float = LEASE_SECONDS) -> Ingestion | None:
    """Return *ingestion* with a lease of *lease_seconds* from now; None where *owner* does not own it any more."""
    if ingestion.state is not State.RUNNING or ingestion.owner != owner:
        return None
    return replace(ingestion, lease_until=now + timedelta(seconds=lease_seconds))


def paused_turn(run_after: datetime) -> int:
    """Return what stands for the turn of an ingestion that pauses until *run_after*: beyond all turns, sooner ones lower.

    So whoever looks for the lowest turn meets none that pauses, and whoever looks for pauses that are over finds them side
    by side.
    """
    return PAUSED + (run_after - EPOCH) // timedelta(microseconds=1)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wait(ingestion: Ingestion, owner: str, pause: Pause, now: datetime, lease_seconds: float = LEASE_SECONDS) -> Move | None:
    """Return *ingestion* waiting, to be claimed after the pause; None where that is not theirs to do.

    Nobody owns it then, but for what a person watches: the process that they started sleeps, and its end is noticed by whoever
    frees what is lost. A worker may claim it all the same.
    """
    if not may_move(ingestion, State.WAITING, owner):
        return None
    attempts = ingestion.attempts if pause.is_attempt else ingestion.attempts - 1
    run_after = now + timedelta(seconds=pause.seconds)
    is_watched = ingestion.event.trigger is Trigger.CLI
    waiting = replace(
        ingestion,
        owner=ingestion.owner if is_watched else None,
        lease_until=run_after + timedelta(seconds=lease_seconds) if is_watched else None,
        attempts=attempts,
        turn=paused_turn(run_after),
        run_after=run_after,
        so_far=pause.so_far,
        rest=pause.rest,
        location=pause.location or ingestion.location,
        format=pause.format or ingestion.format,
    )
    return _moved(waiting, State.WAITING, pause.reason, pause.message, now)


def free(ingestion: Ingestion, now: datetime, is_dead: bool = False) -> Move | None:
    """Return *ingestion* as it stands once its owner is lost: waiting for the next attempt, or failed after the last.

    The owner is lost when its lease has run out, or when somebody knows that it *is_dead*; None where neither is so. What a
    person watched is not tried again by itself: they know that it did not end.
    """
    if ingestion.owner is None or not (is_dead or _has_run_out(ingestion, now)):
        return None
    freed = replace(ingestion, owner=None, lease_until=None, run_after=now, turn=paused_turn(now))
    if ingestion.event.trigger is Trigger.CLI:
        message = "the process that worked on it ended before it was done"
    elif ingestion.attempts >= MAX_ATTEMPTS:
        message = f"{ingestion.attempts} workers died or hung over it; the last was {ingestion.owner}"
    else:
        return _moved(freed, State.WAITING, LOST, f"{ingestion.owner} gave no sign of life; it is tried again", now)
    return _moved(replace(freed, run_after=None), State.FAILED, LOST, message, now)


LOST, HANGS = "worker-lost", "storage-hangs"
"""Reasons of the steps by which others say that an attempt is over: it has not said so itself."""


def lost_attempts(history: Sequence[HistoryEntry]) -> tuple[str, ...]:
    """Return the version ids of the attempts that did not come to their end by themselves, oldest first.

    Nobody can tell whether such a one has removed what it wrote. All others have, or have tried to.
    """
    return tuple(began.version_id for began, then in pairwise(history) if began.version_id and then.reason in (LOST, HANGS))


def _has_run_out(ingestion: Ingestion, now: datetime) -> bool:
    return ingestion.lease_until is not None and ingestion.lease_until <= now


def retry(ingestion: Ingestion, who: str, now: datetime, turn: int, traceparent: str | None = None) -> Move | None:
    """Return a failed *ingestion* received anew in turn number *turn*, its attempts forgotten; None where it has not failed.

    Its attempts follow from the span *traceparent* then, for None from the same one as before.
    """
    if Mover.PERSON not in MOVES[ingestion.state].get(State.RECEIVED, frozenset()):
        return None
    event = replace(ingestion.event, traceparent=traceparent or ingestion.event.traceparent)
    anew = replace(ingestion, event=event, turn=turn, attempts=0, so_far=SoFar(), rest=None, run_after=None)
    return _moved(replace(anew, answered_version=None), State.RECEIVED, "retried", f"by {who}", now)


def discard(ingestion: Ingestion, who: str, now: datetime) -> Move | None:
    """Return *ingestion* discarded, whoever owns it; None where it has ended well."""
    if Mover.PERSON not in MOVES[ingestion.state].get(State.DISCARDED, frozenset()):
        return None
    gone = replace(ingestion, owner=None, lease_until=None, run_after=None)
    return _moved(gone, State.DISCARDED, "discarded", f"by {who}", now)


def end(ingestion: Ingestion, owner: str, how: End, now: datetime) -> Move | None:
    """Return *ingestion* ended as *how* says; None where *owner* may not end it so.

    Raises:
        ValueError: the state is not an end.
    """
    if not is_end(how.state):
        raise ValueError(f"{how.state} is not an end")
    if not may_move(ingestion, how.state, owner):
        return None
    location = how.location or ingestion.location
    known = None if how.state is State.NOTHING_FOUND else ingestion.format
    answered = replace(ingestion, answered_version=how.version_id, location=location, format=how.format or known)
    ended = replace(answered, owner=None, lease_until=None, run_after=None)
    move = _moved(ended, how.state, how.reason, how.message, now)
    return replace(move, entry=replace(move.entry, backtrace=how.backtrace))


def _moved(ingestion: Ingestion, state: IngestionState, reason: str, message: str, now: datetime) -> Move:
    """Return the step to *state*. *reason* and *message* stay with the ingestion unless it goes on at once."""
    told = (None, None) if state in (State.RUNNING, State.RECEIVED) else (reason, message)
    after = replace(ingestion, state=state, updated=now, reason=told[0], message=told[1])
    return Move(after, HistoryEntry(now, state, reason, message))
