"""The log of what people did, as statements on an open connection; the transactions are `sql`'s.

A line is written in the transaction that makes the change, so there is never one without the other. Nothing here changes a
line or removes one.

Law (with a test of the same name):
    no change by a person is without a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, Text, insert, or_, select, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from worker.records import Action, AuditEntry, AuditQuery
from worker.registry.stored import stored_text
from worker.registry.tables import audit_log
from worker.registry.words import rows_wanted


def note(connection: Connection, entry: AuditEntry) -> None:
    """Write *entry*."""
    values = {
        "id": entry.id,
        "at": entry.at,
        "team": entry.team,
        "who": entry.who,
        "action": entry.action.value,
        "object_id": entry.object_id,
        "object_name": entry.object_name,
        "details": entry.details,
    }
    connection.execute(insert(audit_log), values)


def entries(connection: Connection, query: AuditQuery) -> list[AuditEntry]:
    """Return the lines that *query* means, newest first. A line with a word of a later release is left out."""
    known = audit_log.c.action.in_([action.value for action in Action])
    statement = select(audit_log).where(known, *_conditions(query)).order_by(audit_log.c.sequence.desc())
    return [_entry_of(row) for row in connection.execute(statement.limit(rows_wanted(query.limit)))]


def _conditions(query: AuditQuery) -> Iterable[ColumnElement[bool]]:
    yield audit_log.c.team == query.team
    if query.who is not None:
        ends_so = type_coerce(audit_log.c.who, Text).endswith(f" ({stored_text(query.who)})", autoescape=True)
        yield or_(audit_log.c.who == query.who, ends_so)
    if query.action is not None:
        yield audit_log.c.action == query.action.value
    if query.after is not None:
        older_than = select(audit_log.c.sequence).where(audit_log.c.id == query.after, audit_log.c.team == query.team)
        yield audit_log.c.sequence < older_than.scalar_subquery()


def _entry_of(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=row.at,
        team=row.team,
        who=row.who,
        action=Action(row.action),
        object_id=row.object_id,
        object_name=row.object_name,
        details=row.details,
    )
