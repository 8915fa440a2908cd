"""Writes a version that is registered, as statements on an open connection; the transaction is `sql`'s.

Every statement is made once, here: a worker needs them for each ingestion, and to make one takes as long as to ask it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from detectors.facts import SERIOUS
from worker.gates import results_of
from worker.records import Judgement, ModelVersion, NewVersion
from worker.registry import listed, quarantining, rows, versions
from worker.registry.tables import (
    model_versions,
    registered_models,
    version_files,
    version_findings,
    version_metrics,
)
from worker.registry.versions import LIVES
from worker.registry.words import scope_key

NEW = {table: insert(table) for table in (version_files, version_metrics, version_findings)}

NEW_MODEL = {
    "sqlite": sqlite.insert(registered_models).on_conflict_do_nothing().returning(registered_models),
    "postgresql": postgresql.insert(registered_models).on_conflict_do_nothing().returning(registered_models),
}

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

SEEN_ANEW = update(model_versions).where(model_versions.c.id == bindparam("same"), model_versions.c.url == bindparam("at"))

A_SERIOUS = (
    select(version_findings.c.version_id)
    .where(version_findings.c.version_id == bindparam("of"), version_findings.c.severity.in_(sorted(SERIOUS)))
    .limit(1)
)

STANDING = tuple(column for column in model_versions.c if column.name in ("sequence", "gates", *rows.HELD))
"""What is to be known of a version that is judged anew."""

JUDGED = update(model_versions).where(model_versions.c.id == bindparam("same")).returning(*STANDING)


def _nearest() -> Select[Any]:
    in_scope = select(model_versions.c.sequence).where(LIVES, model_versions.c.scope == bindparam("scope"))
    newest = in_scope.order_by(model_versions.c.sequence.desc()).limit(1)
    equal = newest.where(model_versions.c.digest == bindparam("digest"))
    nearest = func.coalesce(equal.scalar_subquery(), newest.scalar_subquery())
    columns = select(model_versions.c.id, model_versions.c.model, model_versions.c.digest)
    return columns.where(model_versions.c.sequence == nearest)


NEAREST = _nearest()


def _new_version() -> ReturningInsert[Any]:
    """Return the statement that writes a version. It gets the number after the highest that its model ever had, deleted ones
    included, and is a duplicate of the team's oldest living version of equal content, if there is one: its scope has none.
    """
    highest = select(func.coalesce(func.max(model_versions.c.number), 0)).where(model_versions.c.model == bindparam("of_model"))
    equal = (LIVES, model_versions.c.team == bindparam("of_team"), model_versions.c.digest == bindparam("of_digest"))
    oldest = select(model_versions.c.id).where(*equal).order_by(model_versions.c.sequence).limit(1)
    made = insert(model_versions).values(number=highest.scalar_subquery() + 1, duplicate_of=oldest.scalar_subquery())
    return made.returning(model_versions.c.number, model_versions.c.duplicate_of, model_versions.c.sequence)


NEW_VERSION = _new_version()


def nearest_in_scope(connection: Connection, version: NewVersion) -> Row[Any, Any, Any] | None:
    """Return id, model and digest of the scope's version of equal content, else of its newest one; None where it has none."""
    given = {"scope": scope_key(version.scope), "digest": version.digest}
    return connection.execute(NEAREST, given).one_or_none()


def has_serious(connection: Connection, version_id: str) -> bool:
    """Tell whether the version has a finding that somebody should hear of."""
    return connection.execute(A_SERIOUS, {"of": version_id}).first() is not None


class Relisted(NamedTuple):
    """A version that was judged anew: whether it had serious findings before, and whether it went into quarantine by that."""

    version: ModelVersion
    was_serious: bool
    is_put: bool


def list_anew(connection: Connection, same: str, version: NewVersion, now: datetime) -> Relisted:
    """Note the listing under which equal content was found, so that the next look need not read it, and what was seen:
    other rules, another declared type or a link beside the files may have changed the judgement. What became of
    gates is kept, where there were any now.
    """
    given = {"same": same, "listing_key": version.listing_key, **rows.judged_values(version)}
    if version.gates:
        given |= rows.gates_values(version.gates)
    if version.mark is not None:  # all of it was just read, where it is kept
        connection.execute(SEEN_ANEW, {"same": same, "at": version.url, **rows.files_values(None, version.mark)})
    standing = connection.execute(JUDGED, given).one()
    was_serious = has_serious(connection, same)  # nobody else judges it until this transaction ends
    is_put = judge_parts(connection, same, standing, version, now)
    found = versions.by_id(connection, same)
    assert found is not None, same
    return Relisted(found, was_serious, is_put)


def judge_parts(connection: Connection, same: str, standing: Row[Any], judged: NewVersion | Judgement, now: datetime) -> bool:
    """Write anew what follows from how the version *same* was *judged*, whose row *standing* is: its parts, how lists show it,
    and whether it is in quarantine. Return whether it went there by that.
    """
    held, is_put = quarantining.judge(connection, same, rows.held_of(standing), judged.objection, now)
    for table, parts in _judged_parts(judged):
        connection.execute(delete(table).where(table.c.version_id == same))
        _insert_parts(connection, table, same, parts)
    gates = results_of(standing.gates or ())
    listed.judge_anew(connection, judged, standing.sequence, held is not None and held.released is None, gates)
    return is_put


def _judged_parts(version: NewVersion | Judgement) -> Iterable[tuple[Table, Iterable[rows.Values]]]:
    yield version_metrics, map(rows.metric_values, version.metrics)
    yield version_findings, map(rows.finding_values, version.findings)


def insert_version(
    connection: Connection, ingestion_id: str, version: NewVersion, followed: int | None, now: datetime
) -> ModelVersion:
    """Write *version*; *followed* is the key of the model that its scope's newest one belongs to, None where it has none."""
    model = _model_for(connection, version, followed, now)
    values = rows.version_values(version, ingestion_id, model.sequence, now)
    asked = {"of_model": model.sequence, "of_team": version.scope.team, "of_digest": version.digest}
    number, first, sequence = connection.execute(NEW_VERSION, values | asked).one()
    files = sorted(version.files, key=lambda file: file.path)
    _insert_parts(connection, version_files, version.id, map(rows.file_values, files))
    for table, parts in _judged_parts(version):
        _insert_parts(connection, table, version.id, parts)
    registered = rows.new_version_of(version, model, number, first, now)
    listed.add(connection, version, model, sequence, registered.is_quarantined)
    return registered


def _model_for(connection: Connection, version: NewVersion, followed: int | None, now: datetime) -> Row[Any]:
    """Return the row of the model that *version* belongs to, made if it is missing; it stays locked."""
    if version.is_generated_name and followed is not None:
        return connection.execute(FOLLOWED, {"model": followed}).one()
    made = connection.execute(NEW_MODEL[connection.dialect.name], rows.model_values(version, now)).one_or_none()
    if made is not None:
        return made
    scope = version.scope
    given = {"team": scope.team, "project": scope.project, "name": version.model_name}
    known = connection.execute(SAME_NAME, given).one()
    if known.is_generated and not version.is_generated_name:
        return connection.execute(NAMED, {"model": known.sequence, "is_generated": False, "updated": now}).one()
    return known


def _insert_parts(connection: Connection, table: Table, version_id: str, parts: Iterable[rows.Values]) -> None:
    """Write the rows that belong to a version, numbered in their order."""
    keyed = [{"version_id": version_id, "position": position, **part} for position, part in enumerate(parts)]
    if keyed:
        connection.execute(NEW[table], keyed)
