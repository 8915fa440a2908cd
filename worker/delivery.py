"""Deliveries: what is told to others after it happened here, how each stands, and who may move it.

In go a delivery as it stands and what became of a try; out comes the delivery as it stands afterwards. Writing it down is left
to the outbox, which adds each in the transaction in which happened what it tells (`registry.outbox`); telling it, to `deliver`.

    waiting ── claim ──> running ── told ──> delivered
       ^                 │  │ ^                  │
       │              failed │ └─ the lease of a │
       │                 │   │    dead deliverer │
       ├─────────────────┘   └──> given_up       │
       └── a person's retry ─────────┴───────────┘

Laws (each has a test of the same name):
    a delivery is due exactly while it is not over;
    a delivery is not tried for ever, whoever fails at it;
    pauses grow, and no two are alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

LEASE_SECONDS = 300.0
"""How long a delivery is its deliverer's. Longer than a try may take (`TRY_SECONDS`) and the one request that may outlast it:
two who deliver at once may tell it twice."""

TRY_SECONDS = 120.0
"""How long one try may take; what begins after that is left to the next one."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 600.0
"""Pauses after a try that failed: twice as long each time, from the first to the longest."""

LONGEST_WISH_SECONDS = 3600.0
"""How long a destination may have us wait by its own word."""

MOST_TRIES = 400
"""Tries before a delivery is given up: about two days, which is a weekend."""


MOST_CHARS = 1000
"""Characters of a message that are kept: some of them come from others."""


class DeliveryKind(StrEnum):
    """What is told."""

    REGISTERED = "version.registered"
    """A new version was registered."""
    RELEASED = "version.released"
    """A version that was in quarantine was released by a person, and may be served."""
    DELETED = "version.deleted"
    """A version was deleted."""
    FAILED = "ingestion.failed"
    """An ingestion ended as failed."""
    FINDING = "finding.raised"
    """A version has a finding of severity high or above, and had none before."""
    GATE_FAILED = "gate.failed"
    """A gate that a version was to pass failed."""


LIFE = frozenset({DeliveryKind.REGISTERED, DeliveryKind.RELEASED, DeliveryKind.DELETED})
"""That versions come and go."""


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """To be tried once it is due."""
    RUNNING = "running"
    """Somebody delivers it; once it is due again they are lost."""
    DELIVERED = "delivered"
    """The destination has taken it."""
    GIVEN_UP = "given_up"
    """It was refused for good or tried for too long; a person may have it tried again."""


OVER = frozenset({DeliveryState.DELIVERED, DeliveryState.GIVEN_UP})


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to be told to one destination.

    ingestion_id and version_id name what it tells of, None where that is none. message is what came of the last try: why it
    failed, or where the destination keeps it. due is when it may be claimed, None once it is over; for what is running, when
    the lease ends. delivered is when it was taken, None where it was not yet. Times are by the clock of the registry.
    """

    id: str
    team: str
    kind: DeliveryKind
    destination: str
    ingestion_id: str | None
    version_id: str | None
    state: DeliveryState
    attempts: int
    message: str | None
    owner: str | None
    due: datetime | None
    created: datetime
    updated: datetime
    delivered: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries to list: every given field must match. Only older ones than the delivery *after* are given; limit is
    the most, newest first."""

    team: str
    state: DeliveryState | None = None
    destination: str | None = None
    version_id: str | None = None
    after: str | None = None
    limit: int = 100


def new_delivery(
    id: str, team: str, kind: DeliveryKind, destination: str, ingestion_id: str | None, version_id: str | None, now: datetime
) -> Delivery:
    """Return a delivery that is due at once."""
    waiting = DeliveryState.WAITING
    return Delivery(id, team, kind, destination, ingestion_id, version_id, waiting, 0, None, None, now, now, now)


def claim(delivery: Delivery, owner: str, now: datetime) -> Delivery:
    """Return a *delivery* that is due, run by *owner*, one try more; given up where it was tried too often already.

    The last try fails by itself unless its deliverer dies, so what is met here then is what kills them.
    """
    if delivery.attempts >= MOST_TRIES:
        return _over(delivery, DeliveryState.GIVEN_UP, f"{delivery.attempts} tries; the last was {delivery.owner}'s", now)
    lease_end = now + timedelta(seconds=LEASE_SECONDS)
    tried = delivery.attempts + 1
    return replace(delivery, state=DeliveryState.RUNNING, attempts=tried, owner=owner, due=lease_end, updated=now)


def told(delivery: Delivery, message: str, now: datetime) -> Delivery:
    """Return *delivery*, taken by its destination, which keeps it as *message* says."""
    return replace(_over(delivery, DeliveryState.DELIVERED, message, now), delivered=now)


def failed(delivery: Delivery, message: str, now: datetime, chance: float, after_seconds: float = 0.0) -> Delivery:
    """Return *delivery* after a try that failed: waiting for the next one, or given up after the last.

    *chance* is drawn from [0, 1), so that what failed together is not tried together again. *after_seconds* is when the
    destination wants to be asked again at the earliest, which counts up to `LONGEST_WISH_SECONDS`.
    """
    if delivery.attempts >= MOST_TRIES:
        return given_up(delivery, f"{message} (tried {delivery.attempts} times)", now)
    wish = min(after_seconds, LONGEST_WISH_SECONDS)
    due = now + timedelta(seconds=max(wish, pause_seconds(delivery.attempts, chance)))
    return replace(delivery, state=DeliveryState.WAITING, owner=None, message=message[:MOST_CHARS], due=due, updated=now)


def given_up(delivery: Delivery, message: str, now: datetime) -> Delivery:
    """Return *delivery*, which nobody tries again unless a person says so."""
    return _over(delivery, DeliveryState.GIVEN_UP, message, now)


def retried(delivery: Delivery, now: datetime) -> Delivery | None:
    """Return *delivery*, due at once and as if it had not been tried; None while somebody delivers it.

    What was delivered is delivered again: a destination takes the same thing any number of times.
    """
    if delivery.state is DeliveryState.RUNNING:
        return None
    anew = replace(delivery, attempts=0, message=None, owner=None, due=now, updated=now, delivered=None)
    return replace(anew, state=DeliveryState.WAITING)


def pause_seconds(attempts: int, chance: float) -> float:
    """Return how long to wait after so many tries: between half and all of a pause that doubles up to the longest."""
    whole = FIRST_PAUSE_SECONDS
    for _ in range(min(attempts - 1, 16)):
        whole *= 2
    return min(whole, LONGEST_PAUSE_SECONDS) * (1 + chance) / 2


def _over(delivery: Delivery, state: DeliveryState, message: str, now: datetime) -> Delivery:
    return replace(delivery, state=state, owner=None, message=message[:MOST_CHARS], due=None, updated=now)
