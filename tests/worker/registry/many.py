"""Many ingestions in a table, by one statement of the database itself."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import text

from worker.registry.sql import SqlRegistry
from worker.registry.tables import ingestions


def multiply(registry: SqlRegistry, made: Mapping[str, str], rows: str, count: int) -> None:
    """Add a row for each row that there is and each `number` from 1 to *rows*, an expression that may say `:count`.

    *made* are the columns that differ, each with its expression; PostgreSQL knows of the rows afterwards.
    """
    columns = [column.name for column in ingestions.columns if column.name != "sequence"]
    numbers = f"WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {rows})"
    values = ", ".join(made.get(name, name) for name in columns)
    selected = f"{numbers} SELECT {values} FROM ingestions, numbers"
    with registry.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO ingestions ({', '.join(columns)}) {selected}"), {"count": count})
    if registry.engine.dialect.name == "postgresql":
        with registry.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE ingestions"))
