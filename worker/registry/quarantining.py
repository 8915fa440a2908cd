"""Which versions are in quarantine, as statements on an open connection; the transaction is `sql`'s.

What a judgement or a person makes of it is `worker.policy`'s to say. Who changes it holds the version's row, so that a release
and a look at the same moment come one after the other.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from worker import policy
from worker.records import Held, Objection
from worker.registry import rows
from worker.registry.tables import model_versions

STANDING = (
    select(*(column for column in model_versions.c if column.name in rows.HELD))
    .where(model_versions.c.id == bindparam("of_id"))
    .with_for_update()
)

KEPT = update(model_versions).where(model_versions.c.id == bindparam("of_id"))


def judge(
    connection: Connection, version_id: str, before: Held | None, objection: Objection | None, now: datetime
) -> tuple[Held | None, bool]:
    """Keep how a version stands after another look and its *objection*; its row is locked, and said *before*. Return that, and
    whether it went into quarantine by it.
    """
    after = policy.stands(before, objection, now)
    if after != before:
        keep(connection, version_id, after)
    return after, policy.is_put(before, after)


def standing(connection: Connection, version_id: str) -> Held | None:
    """Return how a version stands, whose row is locked from now on."""
    return rows.held_of(connection.execute(STANDING, {"of_id": version_id}).one())


def keep(connection: Connection, version_id: str, held: Held | None) -> None:
    """Keep how a version stands."""
    connection.execute(KEPT, {"of_id": version_id, **rows.held_values(held)})
