"""Lists of ingestions as statements on an open connection; the transaction is `sql`'s.

Indexes begin with the team. Where those of all teams are asked for, and by something that an index knows, the teams are named,
so that each is sought for itself: what is found there has no order across teams, so first the places of the newest are looked
for in the index alone, and then their rows are read. By anything else, the table is walked from its end.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, func, select
from sqlalchemy.sql.elements import ColumnElement

from worker.records import NO_FORMAT, Ingestion, IngestionQuery, Trigger
from worker.registry import rows, standing
from worker.registry.tables import ingestions, stands, uploads

COLUMNS = ingestions.c


def listed(connection: Connection, query: IngestionQuery, limit: int) -> list[Ingestion]:
    """Return the ingestions that *query* finds, newest first, *limit* at most."""
    wanted = _theirs(connection, query), *_conditions(query)
    ordered = select(ingestions).order_by(COLUMNS.sequence.desc())
    if query.team is None:
        places = select(COLUMNS.sequence).where(*wanted).order_by(COLUMNS.sequence.desc()).limit(limit)
        found = ordered.where(COLUMNS.sequence.in_(connection.execute(places).scalars().all()))
    else:
        found = ordered.where(*wanted).limit(limit)
    return [rows.ingestion_of(row) for row in connection.execute(found)]


def count(connection: Connection, query: IngestionQuery) -> int:
    """Return how many ingestions *query* finds, wherever a list of them begins."""
    counted = select(func.count()).select_from(ingestions).where(_theirs(connection, query), *_conditions(query, is_page=False))
    return int(connection.execute(counted).scalar_one())


def _theirs(connection: Connection, query: IngestionQuery) -> ColumnElement[bool]:
    if query.team is not None:
        return COLUMNS.team == query.team
    return COLUMNS.team.in_(standing.names(connection))


def _conditions(query: IngestionQuery, is_page: bool = True) -> Iterator[ColumnElement[bool]]:
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
        promised = select(uploads.c.id)
        yield COLUMNS.version_id.in_(promised if query.team is None else promised.where(uploads.c.team == query.team))
    if is_page and query.after is not None:
        last = select(COLUMNS.sequence).where(COLUMNS.id == query.after)
        theirs = last if query.team is None else last.where(COLUMNS.team == query.team)
        yield COLUMNS.sequence < theirs.scalar_subquery()
