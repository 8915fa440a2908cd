"""What keeps the tables in good order over years, as statements on an open connection; the transactions are `sql`'s.

What is old is removed in small portions, each a transaction that holds few rows for a moment: who is killed in between leaves a
portion for the next call. An ingestion that goes leaves a narrow row in `past_events`, from which its event is known again, and
by which the counters, which never go down, still add up to what is there.

Laws (each has a test of the same name, for every registry):
    an event whose ingestion was removed is known all the same;
    the counters never contradict what was removed;
    nothing of a version's origin is removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker import occurrences
from worker.records import FilesSeen, IngestionState, Judgement, Keep, ModelVersion, Objection, Removed, Trigger
from worker.registry import rows
from worker.registry.outbox import SqlOutbox, Transaction
from worker.registry.registering import STANDING, has_serious, judge_parts
from worker.registry.tables import (
    FRUITLESS,
    Likely,
    audit_log,
    deliveries,
    ingestion_history,
    ingestions,
    model_versions,
    past_events,
    registered_models,
    workers,
)
from worker.registry.versions import BRIEF, LIVES, MAX_NAMED, VERSIONS, versions

LOOKED = model_versions.c.files_looked
RULES = model_versions.c.rules_version

UNREPORTED = VERSIONS.with_only_columns(*BRIEF, maintain_column_froms=True)

NEVER_LOOKED_AT = UNREPORTED.where(LIVES, LOOKED.is_(None)).order_by(model_versions.c.sequence).limit(bindparam("most"))
LOOKED_LONG_AGO = (
    UNREPORTED.where(LIVES, bindparam("before", type_=LOOKED.type) > LOOKED)
    .order_by(LOOKED, model_versions.c.sequence)
    .limit(bindparam("most"))
)

JUDGED_BY = select(RULES, func.count().label("amount")).where(LIVES).group_by(RULES)

OF_RULES = model_versions.c.rules_version == bindparam("rules")

SAME = (LIVES, model_versions.c.id == bindparam("same"))

FILES = update(model_versions).where(*SAME, model_versions.c.url == bindparam("at"))

MODEL = select(registered_models.c.sequence).where(
    registered_models.c.sequence == select(model_versions.c.model).where(*SAME).scalar_subquery()
)

JUDGED = update(model_versions).where(*SAME, OF_RULES).returning(*STANDING)


NoteQuarantine = Callable[[Connection, ModelVersion, Objection | None, datetime], None]
"""Writes in the log that a version went into quarantine, and why."""


class SqlCare:
    """`worker.ports.Care` beside the other tables of a registry, which gives its transactions."""

    def __init__(self, read: Transaction, write: Transaction, outbox: SqlOutbox, note: NoteQuarantine) -> None:
        self._read, self._write, self._outbox, self._note = read, write, outbox, note

    def note_files(self, version: ModelVersion, seen: FilesSeen, mark: str | None) -> bool:
        given = {"same": version.id, "at": version.url, **rows.files_values(seen, mark)}
        return self._write(lambda connection: connection.execute(FILES, given).rowcount == 1)

    def to_look_at(self, before: datetime, most: int) -> Sequence[ModelVersion]:
        def work(connection: Connection) -> list[ModelVersion]:
            found = versions(connection, NEVER_LOOKED_AT, {"most": most})
            return found + versions(connection, LOOKED_LONG_AGO, {"before": before, "most": most - len(found)})

        return self._read(work)

    def deleted_among(self, version_ids: Collection[str]) -> frozenset[str]:
        ids, found = sorted(version_ids), set[str]()
        for start in range(0, len(ids), MAX_NAMED):
            given = {"ids": ids[start : start + MAX_NAMED]}
            found.update(self._read(partial(_ids, given=given)))
        return frozenset(found)

    def judged_by(self) -> Mapping[str, int]:
        return self._read(lambda connection: {row.rules_version: row.amount for row in connection.execute(JUDGED_BY)})

    def judged_before(self, rules_version: str, after: str | None, most: int) -> Sequence[ModelVersion]:
        wanted = UNREPORTED.where(LIVES, OF_RULES)
        if after is not None:
            behind = select(model_versions.c.sequence).where(model_versions.c.id == after).scalar_subquery()
            wanted = wanted.where(model_versions.c.sequence > behind)
        limited = wanted.order_by(model_versions.c.sequence).limit(most)
        return self._read(lambda connection: versions(connection, limited, {"rules": rules_version}))

    def judge(self, version: ModelVersion, judgement: Judgement, now: datetime) -> bool:
        given = {"same": version.id, "rules": version.rules_version, **rows.judged_values(judgement)}

        def work(connection: Connection) -> bool:
            if connection.execute(MODEL.with_for_update(), {"same": version.id}).one_or_none() is None:
                return False
            standing = connection.execute(JUDGED, given).one_or_none()
            if standing is None:
                return False
            was_serious = has_serious(connection, version.id)
            is_put = judge_parts(connection, version.id, standing, judgement, now)
            if is_put:
                self._note(connection, version, judgement.objection, now)
            told = occurrences.of_judgement(judgement.findings, was_serious, is_put)
            self._outbox.add(connection, told, version.team, None, version.id, now)
            return True

        return self._write(work)

    def removable(self, keep: Keep) -> Removed:
        def work(connection: Connection) -> Removed:
            def counted(table: Table, *conditions: ColumnElement[bool] | None) -> int:
                wanted = [condition for condition in conditions if condition is not None]
                return 0 if not wanted else int(connection.execute(_count(table, wanted)).scalar_one())

            return Removed(
                counted(ingestions, *_fruitless(keep.history)),
                counted(deliveries, _before(deliveries.c.delivered, keep.deliveries)),
                counted(audit_log, _before(audit_log.c.at, keep.audit)),
                counted(workers, _before(workers.c.seen, keep.workers)),
            )

        return self._read(work)

    def remove(self, keep: Keep, most: int) -> Removed:
        return Removed(
            self._write(lambda connection: _remove_fruitless(connection, keep.history, most)),
            self._write(lambda connection: _remove_oldest(connection, deliveries.c.delivered, keep.deliveries, most)),
            self._write(lambda connection: _remove_audit(connection, keep.audit, most)),
            self._write(lambda connection: _remove_oldest(connection, workers.c.seen, keep.workers, most)),
        )


DELETED = select(model_versions.c.id).where(
    model_versions.c.deleted.is_not(None), model_versions.c.id.in_(bindparam("ids", expanding=True))
)


def _ids(connection: Connection, given: Mapping[str, list[str]]) -> Sequence[str]:
    return connection.scalars(DELETED, given).all()


def removed_states(connection: Connection) -> Counter[IngestionState]:
    """Return how many ingestions of each state were removed."""
    counted = select(past_events.c.state, func.count()).group_by(past_events.c.state)
    return Counter({IngestionState(state): count for state, count in connection.execute(counted)})


def _count(table: Table, conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    return select(func.count()).select_from(table).where(*conditions)


def _before(column: Column[datetime], moment: datetime | None) -> ColumnElement[bool] | None:
    return None if moment is None else column < moment


def _fruitless(before: datetime | None) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of an ingestion that may go; none for None. The states stand in the statement, as in the index."""
    if before is None:
        return ()
    ended = Likely(ingestions.c.state.in_(bindparam("fruitless", FRUITLESS, expanding=True, literal_execute=True)))
    is_told = select(deliveries.c.sequence).where(deliveries.c.ingestion_id == ingestions.c.id).exists()
    has_version = select(model_versions.c.sequence).where(model_versions.c.ingestion_id == ingestions.c.id).exists()
    return ended, ingestions.c.updated < before, ingestions.c.trigger != Trigger.UPLOAD.value, ~is_told, ~has_version


def _remove_fruitless(connection: Connection, before: datetime | None, most: int) -> int:
    """Remove the oldest ingestions that may go, with their steps, and keep what makes their events known."""
    if before is None:
        return 0
    found = connection.execute(oldest_fruitless(before, most).with_for_update(of=ingestions, skip_locked=True)).all()
    if found:
        connection.execute(insert(past_events), [rows.past_values(row) for row in found])
        ids = [row.id for row in found]
        connection.execute(delete(ingestion_history).where(ingestion_history.c.ingestion_id.in_(ids)))
        connection.execute(delete(ingestions).where(ingestions.c.id.in_(ids)))
    return len(found)


def oldest_fruitless(before: datetime, most: int) -> Select[Any]:
    """Return the statement for the ingestions that may go, oldest first; it reads few others, along an index."""
    return select(ingestions).where(*_fruitless(before)).order_by(ingestions.c.updated, ingestions.c.sequence).limit(most)


def _remove_oldest(connection: Connection, column: Column[datetime], before: datetime | None, most: int) -> int:
    """Remove the rows whose *column* is oldest, along its index."""
    if before is None:
        return 0
    (key,) = column.table.primary_key.columns
    oldest = select(key).where(column < before).order_by(column).limit(most)
    return connection.execute(delete(column.table).where(key.in_(oldest.scalar_subquery()), column < before)).rowcount


def _remove_audit(connection: Connection, before: datetime | None, most: int) -> int:
    """Remove those of the first lines of the log that are old: they were written in the order of time, clocks aside."""
    if before is None:
        return 0
    first = select(audit_log.c.sequence).order_by(audit_log.c.sequence).limit(most)
    old = (audit_log.c.sequence.in_(first.scalar_subquery()), audit_log.c.at < before)
    return connection.execute(delete(audit_log).where(*old)).rowcount
