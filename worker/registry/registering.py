"""Writes a version that is registered, as statements on an open connection; the transaction is `sql`'s.

Every statement is made once, here: a worker needs them for each ingestion, and to make one takes as long as to ask it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, func, insert, select, update

from worker.records import ModelVersion, NewVersion
from worker.registry import rows, versions
from worker.registry.tables import (
    model_versions,
    registered_models,
    version_files,
    version_findings,
    version_metrics,
)
from worker.registry.versions import LIVES
from worker.registry.words import scope_key

NEW = {table: insert(table) for table in (model_versions, version_files, version_metrics, version_findings)}

NEW_MODEL = insert(registered_models).returning(registered_models)

FOLLOWED = select(registered_models).where(registered_models.c.sequence == bindparam("model")).with_for_update()

SAME_NAME = (
    select(registered_models)
    .where(
        registered_models.c.team == bindparam("team"),
        registered_models.c.project == bindparam("project"),
        registered_models.c.name == bindparam("name"),
    )
    .with_for_update()
)

NAMED = update(registered_models).where(registered_models.c.sequence == bindparam("model")).returning(registered_models)

JUDGED = update(model_versions).where(model_versions.c.id == bindparam("same"))


def _nearest() -> Select[Any]:
    in_scope = select(model_versions.c.sequence).where(LIVES, model_versions.c.scope == bindparam("scope"))
    newest = in_scope.order_by(model_versions.c.sequence.desc()).limit(1)
    equal = newest.where(model_versions.c.digest == bindparam("digest"))
    nearest = func.coalesce(equal.scalar_subquery(), newest.scalar_subquery())
    columns = select(model_versions.c.id, model_versions.c.model, model_versions.c.digest)
    return columns.where(model_versions.c.sequence == nearest)


NEAREST = _nearest()


def _number_and_first() -> Select[Any]:
    highest = select(func.max(model_versions.c.number)).where(model_versions.c.model == bindparam("model"))
    equal = (LIVES, model_versions.c.team == bindparam("team"), model_versions.c.digest == bindparam("digest"))
    oldest = select(model_versions.c.id).where(*equal).order_by(model_versions.c.sequence).limit(1)
    return select(highest.scalar_subquery(), oldest.scalar_subquery())


NUMBER_AND_FIRST = _number_and_first()


def nearest_in_scope(connection: Connection, version: NewVersion) -> Row[Any, Any, Any] | None:
    """Return id, model and digest of the scope's version of equal content, else of its newest one; None where it has none."""
    given = {"scope": scope_key(version.scope), "digest": version.digest}
    return connection.execute(NEAREST, given).one_or_none()


def list_anew(connection: Connection, same: str, version: NewVersion) -> ModelVersion:
    """Note the listing under which equal content was found, so that the next look need not read it, and what was seen:
    other rules, another declared type or a link beside the files may have changed the judgement. Return the version *same*.
    """
    connection.execute(JUDGED, {"same": same, "listing_key": version.listing_key, **rows.judged_values(version)})
    for table, parts in _judged_parts(version):
        connection.execute(delete(table).where(table.c.version_id == same))
        _insert_parts(connection, table, same, parts)
    listed = versions.by_id(connection, same)
    assert listed is not None, same
    return listed


def _judged_parts(version: NewVersion) -> Iterable[tuple[Table, Iterable[rows.Values]]]:
    yield version_metrics, map(rows.metric_values, version.metrics)
    yield version_findings, map(rows.finding_values, version.findings)


def insert_version(
    connection: Connection, ingestion_id: str, version: NewVersion, followed: int | None, now: datetime
) -> ModelVersion:
    """Write *version*; *followed* is the key of the model that its scope's newest one belongs to, None where it has none."""
    model = _model_for(connection, version, followed, now)
    number, first = _next_number_and_first_elsewhere(connection, model.sequence, version)
    values = rows.version_values(version, ingestion_id, model.sequence, number, first, now)
    connection.execute(NEW[model_versions], values)
    files = sorted(version.files, key=lambda file: file.path)
    _insert_parts(connection, version_files, version.id, map(rows.file_values, files))
    for table, parts in _judged_parts(version):
        _insert_parts(connection, table, version.id, parts)
    return rows.new_version_of(version, model, number, first, now)


def _model_for(connection: Connection, version: NewVersion, followed: int | None, now: datetime) -> Row[Any]:
    """Return the row of the model that *version* belongs to, made if it is missing; it stays locked."""
    if version.is_generated_name and followed is not None:
        return connection.execute(FOLLOWED, {"model": followed}).one()
    scope = version.scope
    given = {"team": scope.team, "project": scope.project, "name": version.model_name}
    known = connection.execute(SAME_NAME, given).one_or_none()
    if known is None:
        return connection.execute(NEW_MODEL, rows.model_values(version, now)).one()
    if known.is_generated and not version.is_generated_name:
        return connection.execute(NAMED, {"model": known.sequence, "is_generated": False, "updated": now}).one()
    return known


def _next_number_and_first_elsewhere(connection: Connection, model: int, version: NewVersion) -> tuple[int, str | None]:
    """Return the number after the highest that the model ever had, deleted versions included; and the id of the team's oldest
    living version of equal content, or None: this scope has none.
    """
    given = {"model": model, "team": version.scope.team, "digest": version.digest}
    number, first = connection.execute(NUMBER_AND_FIRST, given).one()
    return (number or 0) + 1, first


def _insert_parts(connection: Connection, table: Table, version_id: str, parts: Iterable[rows.Values]) -> None:
    """Write the rows that belong to a version, numbered in their order."""
    keyed = [{"version_id": version_id, "position": position, **part} for position, part in enumerate(parts)]
    if keyed:
        connection.execute(NEW[table], keyed)
