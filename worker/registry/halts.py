"""That the queue is paused, as statements on an open connection; the transactions are `sql`'s.

A claim asks in its own statement whether anything is paused at all, which is one look at an empty table. Only where something
is, it asks further: nothing is claimed where the queue of all teams is paused; else the teams that are not paused are looked at
one by one, so that ten thousand ingestions of a paused team, whose turns have come, are not read to find another's.

Who pauses waits on PostgreSQL for all who are about to claim, and keeps others from it for as long as that takes: once it has
returned, nobody claims who asked before. On SQLite writers stand in line anyway.

Law (with a test of the same name):
    once it is paused nobody begins anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Row,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    select,
    text,
)

from worker import lifecycle
from worker.records import Halt
from worker.registry.line import IS_PAUSE_OVER
from worker.registry.tables import claimable, ingestions, queue_halts

ALL = ""
"""What stands for all teams in the table; no team is called so."""

PATIENCE_MILLISECONDS = 3000
"""How long a pause waits for those who write at this moment. Whoever comes meanwhile waits behind it, senders too."""

ROWS = queue_halts.c

IS_ANY = exists(select(ROWS.team))
"""Whether anything is paused."""

PAUSED_TEAMS = select(ROWS.team).where(ROWS.team != literal(ALL, literal_execute=True))

_IS_ALL = exists(select(ROWS.team).where(ROWS.team == literal(ALL, literal_execute=True)))

OF_ANY = select(queue_halts).order_by(ROWS.team)
OF_TEAM = OF_ANY.where(ROWS.team.in_((literal(ALL, literal_execute=True), bindparam("team"))))

_ORDER = ingestions.c.team, ingestions.c.turn
_LEAST = select(ingestions.c.team).where(claimable()).order_by(*_ORDER).limit(1)
_TEAMS = select(_LEAST.scalar_subquery().label("team")).cte("teams", recursive=True)
_BEHIND = _LEAST.where(ingestions.c.team > _TEAMS.c.team).correlate(_TEAMS).scalar_subquery()
_TEAMS = _TEAMS.union_all(select(_BEHIND).where(_TEAMS.c.team.is_not(None)))
"""The teams of which something waits, each looked for behind the one before, along an index of team and turn."""


def _first(column: Column[int]) -> ScalarSelect[int]:
    """Return *column* of the first one in a team of `_TEAMS`, which is in the line if any of them is.

    It is the first of that team and those behind it, said so because only one index has that order.
    """
    found = select(column).where(claimable(), ingestions.c.team >= _TEAMS.c.team).order_by(*_ORDER, ingestions.c.sequence)
    return found.limit(1).correlate(_TEAMS).scalar_subquery()


_OTHERS = (
    select(_TEAMS.c.team, _first(ingestions.c.turn).label("turn"), _first(ingestions.c.sequence).label("sequence"))
    .where(_TEAMS.c.team.is_not(None), _TEAMS.c.team.not_in(PAUSED_TEAMS))
    .subquery("others")
)

IN_TURN = select(_OTHERS.c.team).where(_OTHERS.c.turn < lifecycle.PAUSED).order_by(_OTHERS.c.turn, _OTHERS.c.sequence)
"""The teams that are not paused and stand in the line, in the order of their turns."""

_IS_OTHER_OVER = exists(select(ingestions.c.sequence).where(*IS_PAUSE_OVER, ingestions.c.team.not_in(PAUSED_TEAMS)))

IS_OTHER_DUE = select(~_IS_ALL & (exists(IN_TURN) | _IS_OTHER_OVER))
"""Whether anything may be claimed that is not paused; for where something is, because it takes longer to ask."""


def paused(connection: Connection) -> frozenset[str]:
    """Return what is paused: names of teams, and `ALL`."""
    return frozenset(connection.scalars(select(ROWS.team)))


def of_team(connection: Connection, team: str | None) -> list[Halt]:
    """Return what keeps workers from the work of *team*, None for any, that of all teams first."""
    asked = OF_ANY if team is None else OF_TEAM
    return [_halt_of(row) for row in connection.execute(asked, {"team": team})]


def in_turn(connection: Connection) -> list[str]:
    """Return the teams that are not paused and stand in the line, in the order of their turns."""
    return list(connection.scalars(IN_TURN))


def begin(connection: Connection, team: str | None, now: datetime, who: str, note: str | None) -> Halt | None:
    """Write that *team* is paused, None for all teams; None, and nothing written, where it is already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = {PATIENCE_MILLISECONDS}"))
        connection.execute(text("LOCK TABLE ingestions IN EXCLUSIVE MODE"))
    if _found(connection, team) is not None:
        return None
    connection.execute(insert(queue_halts), {"team": team or ALL, "since": now, "who": who, "note": note})
    return Halt(team, now, who, note)


def end(connection: Connection, team: str | None) -> Halt | None:
    """Remove what *team*, None for all teams, was paused by, and return it; None where it was not."""
    was = _found(connection, team)
    if was is None:
        return None
    gone = connection.execute(delete(queue_halts).where(ROWS.team == (team or ALL)))
    return was if gone.rowcount else None


def _found(connection: Connection, team: str | None) -> Halt | None:
    row = connection.execute(select(queue_halts).where(ROWS.team == (team or ALL))).one_or_none()
    return None if row is None else _halt_of(row)


def _halt_of(row: Row[Any]) -> Halt:
    return Halt(row.team or None, row.since, row.who, row.note)
