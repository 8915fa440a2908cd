"""Uploads as statements on an open connection; the transactions are `sql`'s.

An upload is a promise: an id is given out, then files come, then its event is accepted. Who brings the files has a lease, so
that two who bring them at once do not mix theirs, and who died stands in nobody's way.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from detectors.facts import ModelType
from worker.lifecycle import NEED_FILES
from worker.records import NewUpload, Upload
from worker.registry import listed, projects
from worker.registry.tables import ingestions, model_versions, uploads


def begin(connection: Connection, upload: Upload) -> Upload:
    """Write the promise, and return it."""
    said = upload.said
    project = projects.ids_of(connection, [(said.team, said.project)]).get((said.team, said.project))
    if project is None:
        projects.know(connection, said.team, said.project, upload.created)
    values = {
        "id": upload.id,
        "team": said.team,
        "project": project or said.project,
        "name": said.name,
        "declared_type": None if said.declared_type is None else said.declared_type.value,
        "summary": said.summary,
        "notes": said.notes,
        "tags": sorted(set(said.tags)),
        "created": upload.created,
    }
    connection.execute(insert(uploads), values)
    found = living(connection, said.team, upload.id)
    assert found is not None, upload.id
    return found


def living(connection: Connection, team: str, upload_id: str) -> Upload | None:
    """Return what was promised to the team and is neither given up nor registered."""
    row = connection.execute(_living(team, upload_id)).one_or_none()
    return None if row is None else _upload_of(row)


def take(connection: Connection, team: str, upload_id: str, writer: str, now: datetime, lease_seconds: float) -> bool:
    """Give *writer* the lease, where nobody has it and the files are not all there."""
    is_free = or_(uploads.c.writer.is_(None), uploads.c.writer_until <= now)
    open_one = update(uploads).where(uploads.c.id == upload_id, uploads.c.team == team, *IS_OPEN, is_free)
    values = {"writer": writer, "writer_until": now + timedelta(seconds=lease_seconds)}
    return connection.execute(open_one, values).rowcount == 1


def beat(connection: Connection, upload_id: str, writer: str, now: datetime, lease_seconds: float) -> bool:
    """Let the lease last anew."""
    lasting = {"writer_until": now + timedelta(seconds=lease_seconds)}
    return connection.execute(update(uploads).where(*_held(upload_id, writer)), lasting).rowcount == 1


def leave(connection: Connection, upload_id: str, writer: str) -> None:
    """Take the lease back."""
    connection.execute(update(uploads).where(*_held(upload_id, writer)), {"writer": None})


def seal(connection: Connection, upload_id: str, writer: str, now: datetime) -> bool:
    """Note that the files are all there; False where *writer* has no lease any more."""
    held = update(uploads).where(*_held(upload_id, writer), uploads.c.writer_until > now)
    return connection.execute(held, {"sealed": now, "writer": None}).rowcount == 1


def locked(connection: Connection, team: str, upload_id: str) -> Upload | None:
    """Return what `living` returns, and keep others from changing it until the transaction ends."""
    connection.execute(select(uploads.c.id).where(uploads.c.id == upload_id, uploads.c.team == team).with_for_update())
    return living(connection, team, upload_id)


def tag(connection: Connection, upload_id: str, tags: list[str]) -> None:
    """Write the tags of an upload, whose row is locked."""
    connection.execute(update(uploads).where(uploads.c.id == upload_id), {"tags": tags})


def end(connection: Connection, upload_id: str, now: datetime) -> None:
    """Write that an upload, whose row is locked, is given up."""
    connection.execute(update(uploads).where(uploads.c.id == upload_id), {"ended": now})


def fulfil(connection: Connection, version_id: str) -> None:
    """Give the version that was just written what was said of it when its id was promised."""
    row = connection.execute(select(uploads).where(uploads.c.id == version_id).with_for_update()).one_or_none()
    if row is None:
        return
    said = {"notes": row.notes, "said_summary": row.summary}
    connection.execute(update(model_versions).where(model_versions.c.id == version_id), said)
    listed.tag(connection, row.team, version_id, row.tags)


def kept(since: datetime) -> Select[Any]:
    """Return the statement for the ids of uploads whose files must stay though no version has them."""
    joined = select(uploads.c.id).outerjoin(ingestions, ingestions.c.version_id == uploads.c.id)
    is_fresh = or_(uploads.c.created >= since, uploads.c.writer_until >= since)
    is_awaited = ingestions.c.id.is_(None) & is_fresh
    may_be_read = ingestions.c.state.in_([state.value for state in NEED_FILES])
    return joined.where(uploads.c.ended.is_(None), or_(is_awaited, may_be_read))


IS_OPEN = (uploads.c.sealed.is_(None), uploads.c.ended.is_(None))


def _held(upload_id: str, writer: str) -> tuple[ColumnElement[bool], ...]:
    return uploads.c.id == upload_id, uploads.c.writer == writer, *IS_OPEN


def _living(team: str, upload_id: str) -> Select[Any]:
    is_registered = select(model_versions.c.id).where(model_versions.c.id == uploads.c.id).exists()
    theirs = (uploads.c.team == team, uploads.c.id == upload_id, uploads.c.ended.is_(None))
    accepted = select(uploads, ingestions.c.id.label("ingestion_id"))
    return accepted.outerjoin(ingestions, ingestions.c.version_id == uploads.c.id).where(*theirs, ~is_registered)


def _upload_of(row: Row[Any]) -> Upload:
    declared = None if row.declared_type is None else ModelType(row.declared_type)
    said = NewUpload(row.team, row.project, row.name, declared, row.summary, row.notes, tuple(row.tags))
    return Upload(row.id, said, row.created, row.ingestion_id)
