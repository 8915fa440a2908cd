"""Adds to counters in a database, and reads them.

A row that everybody adds to would let one transaction after the other wait for a commit. So each counter has several rows, its
shards; a transaction adds to those of one shard, which it draws, and who reads adds them up. Where two draw the same, the
second waits for the first one's commit, and where it waited in vain it begins again and draws another.

Nobody waits for each other in a ring: a transaction adds once, in its last statement, and in the order of the keys.
"""

from __future__ import annotations

import secrets
from collections import Counter
from functools import cache

from sqlalchemy import Connection, TextClause, func, select, text

from worker.records import Count, Counted
from worker.registry.counters import Amounts, counts, labels_of, labels_text
from worker.registry.tables import counters

SHARDS = {"sqlite": 1, "postgresql": 16}
"""Rows of one counter. SQLite lets one transaction write at a time anyway."""


def add(connection: Connection, amounts: Amounts) -> None:
    """Add *amounts* in one statement, which is to be the last one of the transaction; none for nothing."""
    if amounts:
        connection.execute(_adding(len(amounts)), values(connection, amounts))


def adding(count: int) -> str:
    """Return the text of a statement that adds to *count* counters; SQLite and PostgreSQL take the same."""
    rows = ", ".join(f"(:name{place}, :labels{place}, :shard, :value{place})" for place in range(count))
    added = "ON CONFLICT (name, labels, shard) DO UPDATE SET value = counters.value + excluded.value"
    return f"INSERT INTO counters (name, labels, shard, value) VALUES {rows} {added}"  # noqa: S608 - no word of others


def values(connection: Connection, amounts: Amounts) -> dict[str, str | int]:
    """Return the parameters with which `adding` adds *amounts* to a shard of each counter."""
    given: dict[str, str | int] = {"shard": secrets.randbelow(SHARDS[connection.dialect.name])}
    for place, ((name, labels), amount) in enumerate(sorted(amounts.items())):
        given |= {f"name{place}": name.value, f"labels{place}": labels_text(labels), f"value{place}": amount}
    return given


def read(connection: Connection) -> list[Count]:
    """Return all counters by name and labels. Reads every shard of each, in one statement."""
    summed: Amounts = Counter()
    for name, labels, value in connection.execute(SUMS):
        summed[Counted(name), labels_of(labels)] = int(value)  # PostgreSQL's sum is a decimal
    return counts(summed)


SUMS = select(counters.c.name, counters.c.labels, func.sum(counters.c.value)).group_by(counters.c.name, counters.c.labels)


@cache
def _adding(count: int) -> TextClause:
    return text(adding(count))
