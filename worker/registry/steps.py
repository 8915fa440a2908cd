"""Writes a step of an ingestion: where it stands now, the line of its history, and what is counted. The transaction is `sql`'s,
and this is the last that it writes.

PostgreSQL takes the three as one statement. A step is taken for each claim and each end, and what a statement costs there is
the way to the server and back: with three of them, every fifth second of a worker and of its database. SQLite, which has no
such way, takes no writing statement inside another.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, TextClause, bindparam, insert, text, update

from worker.lifecycle import Move
from worker.registry import rows, shards
from worker.registry.counters import Amounts
from worker.registry.tables import ingestion_history, ingestions

KEEP = update(ingestions).where(ingestions.c.id == bindparam("moved"))
NOTE = insert(ingestion_history)

STANDING, NOTED = "standing_", "noted_"
"""How the names of parameters begin; an ingestion and its history have columns of the same name."""


def write(connection: Connection, move: Move, amounts: Amounts) -> None:
    """Write where *move* leads, and add *amounts* to the counters."""
    standing, noted = rows.standing_values(move.ingestion), rows.history_values(move.ingestion.id, move.entry)
    moved = {"moved": move.ingestion.id}
    if amounts and connection.dialect.name == "postgresql":
        given = moved | _named(STANDING, standing) | _named(NOTED, noted) | shards.values(connection, amounts)
        connection.execute(_as_one(tuple(standing), tuple(noted), len(amounts)), given)
        return
    connection.execute(KEEP, moved | standing)
    connection.execute(NOTE, noted)
    shards.add(connection, amounts)


def _named(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in values.items()}


@cache
def _as_one(standing: tuple[str, ...], noted: tuple[str, ...], count: int) -> TextClause:
    """Return the statement that writes these columns and adds to *count* counters."""
    kept = ", ".join(f"{name} = :{STANDING}{name}" for name in standing)
    values = ", ".join(f":{NOTED}{name}" for name in noted)
    statement = text(
        f"WITH kept AS (UPDATE ingestions SET {kept} WHERE id = :moved), "  # noqa: S608 - our own columns
        f"noted AS (INSERT INTO ingestion_history ({', '.join(noted)}) VALUES ({values})) "
        f"{shards.adding(count)}"
    )
    return statement.bindparams(*_typed(STANDING, ingestions, standing), *_typed(NOTED, ingestion_history, noted))


def _typed(prefix: str, table: Table, names: tuple[str, ...]) -> list[Any]:
    return [bindparam(prefix + name, type_=table.c[name].type) for name in names]
