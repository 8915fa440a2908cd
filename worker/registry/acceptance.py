"""Accepts events as statements on an open connection, several in one transaction; the transaction is `sql`'s.

However many there are, it takes the same few statements, and one commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from worker import lifecycle
from worker.errors import ConflictingEvent
from worker.records import CompletionEvent, End, Ingestion
from worker.registry import projects, rows, shards
from worker.registry.counters import Amounts, of_step
from worker.registry.line import next_turn
from worker.registry.tables import ingestion_history, ingestions, past_events
from worker.registry.words import conflict, event_digest, event_key

Accepted = tuple[Ingestion, bool]
"""The ingestion of an event, and whether it was known before."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An event to accept; *owner* claims it at once, *end* ends it at once."""

    event: CompletionEvent
    now: datetime
    owner: str | None
    end: End | None


def accept(
    connection: Connection,
    submissions: Sequence[Submission],
    new_ids: Callable[[], tuple[str, str]],
    lease_seconds: float,
) -> list[Accepted | ConflictingEvent]:
    """Return, for each of *submissions*, its ingestion and whether it was known, or that it contradicts what was said before.

    *new_ids* gives an id for an ingestion, and one for the version that it may become.
    """
    known_projects = projects.ids_of(connection, {(one.event.team, one.event.project) for one in submissions})
    submissions = [_in_its_project(one, known_projects) for one in submissions]
    known = _known(connection, submissions)
    turns = {team: next_turn(connection, team) for team in {one.event.team for one in submissions}}
    answers: list[Accepted | ConflictingEvent] = []
    steps: list[Sequence[lifecycle.Move]] = []
    new: list[Ingestion] = []
    for one in submissions:
        key = event_key(one.event)
        if key in known:
            answers.append(_again(one.event, *known[key]))
            continue
        taken = _moves(one, *new_ids(), turns[one.event.team], lease_seconds)
        turns[one.event.team] += 1
        standing = taken[-1].ingestion
        known[key] = standing, event_digest(one.event)
        answers.append((standing, False))
        new.append(standing)
        steps.append(taken)
    _write(connection, new, steps)
    ids = {(team, project) for (team, _), project in known_projects.items()}
    for team, project in dict.fromkeys((one.event.team, one.event.project) for one in new):
        if (team, project) not in ids:
            projects.know(connection, team, project, new[0].created)
    shards.add(connection, _amounts(steps))
    return answers


def _in_its_project(one: Submission, known: Mapping[projects.Named, str]) -> Submission:
    """Return *one* with an event that names its project by the id. What the event says is compared then: a name means the same
    for ever, so that the event said again says the same.
    """
    event = one.event
    project = known.get((event.team, event.project), event.project)
    return one if project == event.project else replace(one, event=replace(event, project=project))


def _known(connection: Connection, submissions: Sequence[Submission]) -> dict[str, tuple[Ingestion, str | None]]:
    """Return the ingestions of events that were accepted before, and the digests of what they said, by their keys."""
    keys = {event_key(one.event) for one in submissions}
    found = connection.execute(KNOWN, {"keys": list(keys)})
    known = {row.event_key: (rows.ingestion_of(row), row.event_digest) for row in found}
    missing = keys - known.keys()
    if missing:  # asked last: what is removed meanwhile stands there in the moment in which it does not stand above any more
        events = {event_key(one.event): one.event for one in submissions}
        for row in connection.execute(PAST, {"keys": list(missing)}):
            known[row.event_key] = (rows.past_ingestion(row, events[row.event_key]), row.event_digest)
    return known


PAST = select(past_events).where(past_events.c.event_key.in_(bindparam("keys", expanding=True)))
KNOWN = select(ingestions).where(ingestions.c.event_key.in_(bindparam("keys", expanding=True)))


def _again(event: CompletionEvent, ingestion: Ingestion, digest: str | None) -> Accepted | ConflictingEvent:
    if digest not in (None, event_digest(event)):
        return conflict(event, ingestion.id)
    return ingestion, True


def _moves(one: Submission, ingestion_id: str, version_id: str, turn: int, lease_seconds: float) -> list[lifecycle.Move]:
    """Return the first step of a new ingestion, and the second one where it takes one at once."""
    move = lifecycle.receive(one.event, ingestion_id, version_id, one.now, turn)
    if one.end is not None:
        further = lifecycle.end(move.ingestion, one.owner or "", one.end, one.now)
    elif one.owner is not None:
        further = lifecycle.claim(move.ingestion, one.owner, version_id, one.now, lease_seconds)
    else:
        further = None
    return [move] if further is None else [move, further]


def _write(connection: Connection, new: Sequence[Ingestion], steps: Sequence[Sequence[lifecycle.Move]]) -> None:
    """Write the ingestions that are *new*, and the *steps* that each of them took."""
    if not new:
        return
    connection.execute(insert(ingestions), [rows.ingestion_values(one) for one in new])
    noted = [rows.history_values(move.ingestion.id, move.entry) for taken in steps for move in taken]
    connection.execute(insert(ingestion_history), noted)


def _amounts(steps: Iterable[Sequence[lifecycle.Move]]) -> Amounts:
    amounts: Amounts = Counter()
    for taken in steps:
        before = None
        for move in taken:
            amounts.update(of_step(before, move))
            before = move.ingestion
    return amounts
