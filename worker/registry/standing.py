"""How the work of one team stands, as statements on an open connection; the transaction is `sql`'s.

Operators look every few seconds, whatever has come to lie there: what waits and what has failed is counted in indexes, what
finished lately is counted up to a limit, and of each reason one row is read.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from worker import lifecycle
from worker.records import MOST_FINISHED, MOST_REASONS, FailureGroup, IngestionState, Standing
from worker.registry import halts, rows
from worker.registry.line import IN_LINE, IS_PAUSE_OVER
from worker.registry.tables import FAILED, claimable, ingestions, is_finished, stands

COLUMNS = ingestions.c

THEIRS = COLUMNS.team == bindparam("team")


def standing(connection: Connection, team: str, now: datetime, since: datetime) -> Standing:
    """Return how the work of *team* stands, with what finished at *since* or later."""
    given = {"team": team, "until": lifecycle.paused_turn(now), "since": since}
    in_flight = {IngestionState(state): count for state, count in connection.execute(IN_FLIGHT, given)}
    finished = {IngestionState(state): count for state, count in connection.execute(LATELY, given)}
    first = [moment for statement in (NEXT, FIRST_OVER) for moment in connection.execute(statement, given).scalars()]
    return Standing(
        in_flight,
        sum(connection.execute(statement, given).scalar_one() for statement in (LINE, OVER)),
        min(first, default=None),
        finished,
        connection.execute(LAST, given).scalar_one_or_none(),
        _failures(connection, team),
        tuple(halts.of_team(connection, team)),
    )


def _failures(connection: Connection, team: str) -> list[FailureGroup]:
    found = connection.execute(FAILURES, {"team": team}).all()
    newest = select(ingestions).where(COLUMNS.sequence.in_([row.newest for row in found]))
    read = {row.sequence: rows.ingestion_of(row) for row in connection.execute(newest)} if found else {}
    return [FailureGroup(row.reason or "", row.amount, read[row.newest]) for row in found]


IN_FLIGHT = (
    select(COLUMNS.state, func.count())
    .where(COLUMNS.state.in_([state.value for state in IngestionState if not lifecycle.is_end(state)]), THEIRS)
    .group_by(COLUMNS.state)
)

LINE = select(func.count()).where(claimable(), IN_LINE, THEIRS)
OVER = select(func.count()).where(*IS_PAUSE_OVER, THEIRS)

MAY_SINCE = func.coalesce(COLUMNS.run_after, COLUMNS.updated)
NEXT = select(MAY_SINCE).where(claimable(), IN_LINE, THEIRS).order_by(COLUMNS.turn, COLUMNS.sequence).limit(1)
FIRST_OVER = select(MAY_SINCE).where(*IS_PAUSE_OVER, THEIRS).order_by(COLUMNS.turn, COLUMNS.sequence).limit(1)

LATEST = (
    select(COLUMNS.state)
    .where(is_finished(), THEIRS, COLUMNS.updated >= bindparam("since", type_=COLUMNS.updated.type))
    .order_by(COLUMNS.updated.desc())
    .limit(MOST_FINISHED)
    .subquery()
)
LATELY = select(LATEST.c.state, func.count()).group_by(LATEST.c.state)

LAST = select(COLUMNS.updated).where(is_finished(), THEIRS).order_by(COLUMNS.updated.desc()).limit(1)

HOW_MANY = func.count().label("amount")
FAILURES = (
    select(COLUMNS.reason, HOW_MANY, func.max(COLUMNS.sequence).label("newest"))
    .where(stands(FAILED), THEIRS)
    .group_by(COLUMNS.reason)
    .order_by(HOW_MANY.desc(), COLUMNS.reason)
    .limit(MOST_REASONS)
)
