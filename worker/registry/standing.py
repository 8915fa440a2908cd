"""How the work of one team stands, or that of all, as statements on an open connection; the transaction is `sql`'s.

Operators look every few seconds, whatever has come to lie there: what waits and what has failed is counted in indexes, what
finished lately is counted there by the minute, and of each reason one row is read.

Indexes begin with the team. So where all teams are meant they are named, and each is sought for itself, in one statement where
a database does not take another index for it; what stands in line has an index that does without.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, select
from sqlalchemy.sql.elements import ColumnElement

from worker import lifecycle
from worker.records import MOST_FINISHED, MOST_REASONS, MOST_TIMED, FailureGroup, Ingestion, IngestionState, Standing
from worker.registry import halts, rows
from worker.registry.line import IN_LINE, IS_PAUSE_OVER
from worker.registry.tables import FAILED, claimable, ingestions, is_finished, stands, teams

COLUMNS = ingestions.c

MINUTE = timedelta(minutes=1)

Given = Mapping[str, Any]


def names(connection: Connection) -> list[str]:
    """Return the names of all teams."""
    return list(connection.execute(NAMES).scalars())


NAMES = select(teams.c.name)


def standing(connection: Connection, team: str | None, now: datetime, since: datetime) -> Standing:
    """Return how the work of *team*, None for all, stands, with what finished at *since* or later."""
    asked = OF_ALL if team is None else OF_ONE
    known = names(connection) if team is None else [team]
    given = {"team": team, "teams": known, "until": lifecycle.paused_turn(now), "since": since}
    in_flight = {IngestionState(state): count for state, count in connection.execute(asked.in_flight, given)}
    first = [moment for statement in asked.first for moment in connection.execute(statement, given).scalars()]
    beyond = connection.execute(asked.newest, given | {"passed": MOST_FINISHED}).scalar()
    counted_since = None if beyond is None else beyond.replace(second=0, microsecond=0) + MINUTE
    given["since"] = counted_since or since
    finished = _finished(connection, given)
    return Standing(
        in_flight,
        sum(connection.execute(statement, given).scalar_one() for statement in asked.due),
        min(first, default=None),
        finished,
        connection.execute(asked.newest, given | {"passed": 0, "since": lifecycle.EPOCH}).scalar(),
        _failures(connection, known),
        _took(connection, finished, given),
        counted_since,
        tuple(halts.of_team(connection, team)),
    )


def _finished(connection: Connection, given: Given) -> Mapping[datetime, Mapping[IngestionState, int]]:
    found: defaultdict[datetime, Counter[IngestionState]] = defaultdict(Counter)
    for minute, state, count in connection.execute(BY_MINUTE, given):
        found[datetime.fromisoformat(f"{minute}Z")][IngestionState(state)] += count
    return found


def _took(connection: Connection, finished: Mapping[datetime, Mapping[IngestionState, int]], given: Given) -> tuple[float, ...]:
    """Return how long the last ones took; rows are read of as many minutes as it takes."""
    count, since = 0, given["since"]
    for minute in sorted(finished, reverse=True):
        count += sum(finished[minute].values())
        since = max(minute, given["since"])
        if count >= MOST_TIMED:
            break
    found = connection.execute(TOOK, {**given, "since": since}) if count else ()
    return tuple(max(0.0, (updated - created).total_seconds()) for created, updated in found)


def _failures(connection: Connection, teams: Sequence[str]) -> list[FailureGroup]:
    """Return the groups of what has failed. A reason of several teams is one; the newest of them is read."""
    found: defaultdict[str, list[Group]] = defaultdict(list)
    for team in teams:
        for reason, amount, last in connection.execute(FAILURES, {"team": team}):
            found[reason].append((last, amount, team))
    amounts = {reason: sum(amount for _, amount, _ in of_reason) for reason, of_reason in found.items()}
    shown = sorted(found, key=lambda reason: (-amounts[reason], reason))[:MOST_REASONS]
    return [FailureGroup(reason, amounts[reason], _newest(connection, reason, found[reason])) for reason in shown]


Group = tuple[datetime, int, str]
"""What failed of a team by one reason: when the last of them did, how many there are, the team."""


def _newest(connection: Connection, reason: str, of_reason: Sequence[Group]) -> Ingestion:
    """Return the one that failed last; of several at once, that which was accepted last."""
    last = max(moment for moment, _, _ in of_reason)
    given = [{"team": team, "reason": reason, "last": last} for moment, _, team in of_reason if moment == last]
    found = (connection.execute(NEWEST, one).one() for one in given)
    return rows.ingestion_of(max(found, key=lambda row: row.sequence))


THEIRS = COLUMNS.team.in_(bindparam("teams", expanding=True))
SINCE = COLUMNS.updated >= bindparam("since", type_=COLUMNS.updated.type)

BY_MINUTE = (
    select(func.substr(COLUMNS.updated, 1, len("2026-11-22T12:40")).label("minute"), COLUMNS.state, func.count())
    .where(is_finished(), THEIRS, SINCE)
    .group_by("minute", COLUMNS.state)
)

NEWEST_ENDS = (
    select(COLUMNS.sequence).where(is_finished(), THEIRS, SINCE).order_by(COLUMNS.updated.desc()).limit(MOST_TIMED).subquery()
)
TOOK = (
    select(COLUMNS.created, COLUMNS.updated)
    .where(COLUMNS.sequence.in_(select(NEWEST_ENDS.c.sequence)))
    .order_by(COLUMNS.updated.desc())
)
"""The places of those that finished last are sought in the index alone; only their rows are read."""

OF_TEAM = COLUMNS.team == bindparam("team")
FAILURES = (
    select(COLUMNS.reason, func.count(), func.max(COLUMNS.updated)).where(stands(FAILED), OF_TEAM).group_by(COLUMNS.reason)
)

IS_REASON = COLUMNS.reason == bindparam("reason", type_=COLUMNS.reason.type)
IS_LAST = COLUMNS.updated == bindparam("last", type_=COLUMNS.updated.type)
NEWEST = select(ingestions).where(
    COLUMNS.sequence == select(func.max(COLUMNS.sequence)).where(stands(FAILED), OF_TEAM, IS_REASON, IS_LAST).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Statements that are others for one team than for all. *newest* tells when the last one finished, but for *passed*."""

    in_flight: Select[Any]
    due: tuple[Select[Any], ...]
    first: tuple[Select[Any], ...]
    newest: Select[Any]


def _asked(newest: Select[Any], *theirs: ColumnElement[bool]) -> Asked:
    states = [state.value for state in IngestionState if not lifecycle.is_end(state)]
    may_since = select(func.coalesce(COLUMNS.run_after, COLUMNS.updated)).order_by(COLUMNS.turn, COLUMNS.sequence).limit(1)
    line = (claimable(), IN_LINE, *theirs), (*IS_PAUSE_OVER, *theirs)
    return Asked(
        select(COLUMNS.state, func.count()).where(COLUMNS.state.in_(states), *theirs).group_by(COLUMNS.state),
        tuple(select(func.count()).where(*one) for one in line),
        tuple(may_since.where(*one) for one in line),
        newest,
    )


LAST = select(COLUMNS.updated).where(is_finished(), SINCE).order_by(COLUMNS.updated.desc()).offset(bindparam("passed")).limit(1)
OF_ONE = _asked(LAST.where(OF_TEAM), OF_TEAM)

OF_EACH = select(LAST.where(COLUMNS.team == teams.c.name).scalar_subquery().label("last")).select_from(teams).subquery()
OF_ALL = _asked(select(func.max(OF_EACH.c.last)))
