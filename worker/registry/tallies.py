"""How many living versions each team has, kept as they change, so that nobody need count a million rows to say so.

As with `shards`, a tally has several rows, one of which a transaction draws. A transaction adds here before it adds to the
counters, and in the order of the keys, so that nobody waits for each other in a ring.
"""

from __future__ import annotations

import secrets
from collections import Counter
from functools import cache

from sqlalchemy import Connection, TextClause, bindparam, func, select, text

from worker.registry.columns import AnyText
from worker.registry.shards import SHARDS
from worker.registry.tables import version_tallies

Tallies = Counter[tuple[int, bool]]
"""Numbers of versions by look and by whether they are the latest of their model; below zero where there are fewer."""

SUMS = (
    select(version_tallies.c.look, version_tallies.c.is_latest, func.sum(version_tallies.c.amount))
    .where(version_tallies.c.team == bindparam("team"))
    .group_by(version_tallies.c.look, version_tallies.c.is_latest)
)


def add(connection: Connection, team: str, amounts: Tallies) -> None:
    """Add *amounts* to those of the team, in one statement; none for nothing."""
    added = sorted((key, amount) for key, amount in amounts.items() if amount)
    if not added:
        return
    given: dict[str, str | int | bool] = {"team": team, "shard": secrets.randbelow(SHARDS[connection.dialect.name])}
    for place, ((look, is_latest), amount) in enumerate(added):
        given |= {f"look{place}": look, f"latest{place}": is_latest, f"amount{place}": amount}
    connection.execute(_adding(len(added)), given)


def read(connection: Connection, team: str) -> Tallies:
    """Return those of the team. Reads every shard of each, in one statement."""
    return Counter({(look, bool(latest)): int(amount) for look, latest, amount in connection.execute(SUMS, {"team": team})})


@cache
def _adding(count: int) -> TextClause:
    rows = ", ".join(f"(:team, :look{place}, :latest{place}, :shard, :amount{place})" for place in range(count))
    added = "ON CONFLICT (team, look, is_latest, shard) DO UPDATE SET amount = version_tallies.amount + excluded.amount"
    into = "INSERT INTO version_tallies (team, look, is_latest, shard, amount)"
    statement = text(f"{into} VALUES {rows} {added}")
    return statement.bindparams(bindparam("team", type_=AnyText()))
