"""What load checks came to, as statements on an open connection; the transactions are `sql`'s.

The versions that wait for one have no row, or one whose check has neither ended nor time left. They are sought newest first
among the last ones that were registered, and what was checked is passed over: no more rows are read than `WINDOW`, however many
there are.

Two who take the same one at once: the row of the second is one too many, and its transaction begins anew (`engine`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, exists, func, insert, or_, select, update

from worker.records import ModelVersion
from worker.registry import versions
from worker.registry.outbox import Transaction
from worker.registry.tables import model_versions, verifications
from worker.verification import MAX_BEGUN, WINDOW, Outcome, Verified

COLUMNS = verifications.c

LIVING = select(model_versions.c.id).where(versions.LIVES, model_versions.c.id == bindparam("same"))
OF = select(verifications).where(COLUMNS.version_id == bindparam("same"), COLUMNS.outcome.is_not(None))
KEPT = update(verifications).where(COLUMNS.version_id == bindparam("same"))

OPEN = (
    COLUMNS.outcome.is_(None)
    & (COLUMNS.attempts < MAX_BEGUN)
    & (COLUMNS.lease_until <= bindparam("now", type_=COLUMNS.at.type))
)
WAITS = (
    versions.LIVES,
    model_versions.c.format.in_(bindparam("formats", expanding=True)),
    or_(
        ~exists().where(COLUMNS.version_id == model_versions.c.id),
        exists().where(COLUMNS.version_id == model_versions.c.id, OPEN),
    ),
)
IS_NEW = model_versions.c.sequence > select(func.coalesce(func.max(model_versions.c.sequence), 0) - WINDOW).scalar_subquery()
NEXT = select(model_versions.c.id).where(IS_NEW, *WAITS).order_by(model_versions.c.sequence.desc()).limit(1)
TAKEN = update(verifications).where(COLUMNS.version_id == bindparam("same"), OPEN)


class SqlVerifications:
    """`worker.ports.Verifications` beside the other tables of a registry, which gives its transactions."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read, self._write = read, write

    def keep(self, version_id: str, verified: Verified) -> bool:
        ended = {"owner": None, "lease_until": None, "attempts": 0}
        values = {"outcome": verified.outcome.value, "report": verified.report, "at": verified.at, **ended}

        def work(connection: Connection) -> bool:
            if connection.execute(LIVING.with_for_update(), {"same": version_id}).one_or_none() is None:
                return False
            if connection.execute(KEPT.values(**values), {"same": version_id}).rowcount == 0:
                connection.execute(insert(verifications), {"version_id": version_id, **values})
            return True

        return self._write(work)

    def of(self, version_id: str) -> Verified | None:
        row = self._read(lambda connection: connection.execute(OF, {"same": version_id}).one_or_none())
        return None if row is None else Verified(Outcome(row.outcome), row.report, row.at)

    def claim(self, owner: str, formats: Collection[str], now: datetime, seconds: float) -> ModelVersion | None:
        lease = {"owner": owner, "lease_until": now + timedelta(seconds=seconds)}

        def work(connection: Connection) -> ModelVersion | None:
            found = connection.execute(NEXT, {"formats": sorted(formats), "now": now}).scalar_one_or_none()
            if found is None:
                return None
            again = TAKEN.values(attempts=COLUMNS.attempts + 1, **lease)
            if connection.execute(again, {"same": found, "now": now}).rowcount == 0:
                connection.execute(insert(verifications), {"version_id": found, "attempts": 1, **lease})
            return versions.by_id(connection, found)

        return self._write(work)
