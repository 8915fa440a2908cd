"""Lists of ingestions as statements on an open connection; the transaction is `sql`'s.

Indexes begin with the team. So those of all teams are sought team by team, each as if it were the only one: first the places of
the newest in the index alone, then the rows of those that are shown. There are few teams and many ingestions, and a database
that is asked for several teams at once takes the wrong index, or sorts all that it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import nlargest

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.sql.elements import ColumnElement

from worker.records import NO_FORMAT, Ingestion, IngestionQuery, Trigger
from worker.registry import rows, standing
from worker.registry.tables import ingestions, stands, uploads

COLUMNS = ingestions.c


def listed(connection: Connection, query: IngestionQuery, limit: int) -> list[Ingestion]:
    """Return the ingestions that *query* finds, newest first, *limit* at most."""
    newest_first = COLUMNS.sequence.desc()
    if query.team is None:
        last = None if query.after is None else connection.execute(_place_of(query.after)).scalar_one_or_none()
        if query.after is not None and last is None:
            return []
        before = () if last is None else (COLUMNS.sequence < last,)
        places: list[int] = []
        for one in _of_each(connection, query):
            found = select(COLUMNS.sequence).where(*_conditions(one), *before).order_by(newest_first).limit(limit)
            places += connection.execute(found).scalars()
        wanted = select(ingestions).where(COLUMNS.sequence.in_(nlargest(limit, places)))
    else:
        theirs = _place_of(query.after or "").where(COLUMNS.team == query.team).scalar_subquery()
        before = () if query.after is None else (COLUMNS.sequence < theirs,)
        wanted = select(ingestions).where(*_conditions(query), *before).limit(limit)
    return [rows.ingestion_of(row) for row in connection.execute(wanted.order_by(newest_first))]


def count(connection: Connection, query: IngestionQuery) -> int:
    """Return how many ingestions *query* finds, wherever a list of them begins."""
    counted = select(func.count()).select_from(ingestions)
    asked = _of_each(connection, query) if query.team is None else [query]
    return sum(connection.execute(counted.where(*_conditions(one))).scalar_one() for one in asked)


def _of_each(connection: Connection, query: IngestionQuery) -> list[IngestionQuery]:
    return [replace(query, team=name) for name in standing.names(connection)]


def _place_of(ingestion_id: str) -> Select[tuple[int]]:
    return select(COLUMNS.sequence).where(COLUMNS.id == ingestion_id)


def _conditions(query: IngestionQuery) -> Iterator[ColumnElement[bool]]:
    yield COLUMNS.team == query.team
    if query.state is not None:
        yield stands(query.state.value)
    if query.experiment is not None:
        yield COLUMNS.experiment == query.experiment
    if query.reason is not None:
        yield COLUMNS.reason == query.reason
    if query.model_path is not None:
        yield COLUMNS.model_path == query.model_path
    if query.format is not None:
        yield COLUMNS.format.is_(None) if query.format == NO_FORMAT else COLUMNS.format == query.format
    if query.trigger is not None:
        yield COLUMNS.trigger == query.trigger.value
    if query.trigger is Trigger.UPLOAD:  # few among many, and no index knows the trigger
        yield COLUMNS.version_id.in_(select(uploads.c.id).where(uploads.c.team == query.team))
