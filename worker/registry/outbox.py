"""The outbox: deliveries as rows, each added in the transaction in which happened what it tells of.

So nothing is told that did not happen, and nothing that happened is forgotten, whatever is killed in between. A row is added
for each destination that is configured at that moment and wants to hear of such things, and claimed by those alone who have it
configured. What a step makes of a delivery is `worker.delivery`'s to say; what is worth one, `worker.occurrences`'.

Laws (each has a test of the same name, for every outbox):
    what is registered is told to each destination once;
    what is not registered is told to nobody;
    a destination hears of what it wants alone;
    serious findings are told once, when a version first has them;
    what failed is told each time that it fails;
    a gate that failed is told once of an ingestion, however many attempts it took;
    exactly one of many claims a delivery;
    what is told of one version is told in its order;
    a delivery whose deliverer was lost is delivered by the next;
    who lost a delivery changes nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker import delivery as steps
from worker.delivery import Delivery, DeliveryKind, DeliveryQuery, DeliveryState, new_delivery
from worker.registry.tables import deliveries
from worker.registry.words import Destinations, NewId, rows_wanted, wanted

T = TypeVar("T")

DELIVERY_PREFIX, DELIVERY_CHARS = "de", 20

NEW = insert(deliveries)

EARLIER = deliveries.alias("earlier")

IS_LATER_WORD = (
    select(EARLIER.c.sequence)
    .where(
        EARLIER.c.version_id == deliveries.c.version_id,
        EARLIER.c.destination == deliveries.c.destination,
        EARLIER.c.sequence < deliveries.c.sequence,
        EARLIER.c.due.is_not(None),
    )
    .exists()
)
"""Something about the same version is to be told before: that it is gone means nothing to who was not told that it came."""

DUE = (
    select(deliveries)
    .where(
        deliveries.c.destination == bindparam("destination"),
        deliveries.c.due <= bindparam("now", type_=deliveries.c.due.type),
        ~IS_LATER_WORD,
    )
    .order_by(deliveries.c.due, deliveries.c.sequence)
    .limit(1)
    .with_for_update(skip_locked=True)
)
"""The one that is due for longest, kept from everybody else until the transaction ends."""

THEIRS = select(deliveries).where(deliveries.c.team == bindparam("team"), deliveries.c.id == bindparam("id"))

SAME = (
    select(deliveries.c.id)
    .where(
        deliveries.c.ingestion_id == bindparam("of"),
        deliveries.c.version_id == bindparam("about"),
        deliveries.c.kind == bindparam("what"),
        deliveries.c.destination == bindparam("to"),
    )
    .limit(1)
)
"""What one destination is told of one ingestion's version already."""

KEEP = update(deliveries).where(deliveries.c.id == bindparam("kept"))

MINE = KEEP.where(deliveries.c.owner == bindparam("by"), deliveries.c.state == DeliveryState.RUNNING.value)


class Transaction(Protocol):
    """Runs work on a connection in one transaction."""

    def __call__(self, work: Callable[[Connection], T]) -> T: ...


class SqlOutbox:
    """`worker.ports.Outbox` beside the other tables of a registry, which gives its transactions."""

    def __init__(self, destinations: Destinations, new_id: NewId, read: Transaction, write: Transaction) -> None:
        self._destinations = dict(destinations)
        self._new_id = new_id
        self._read, self._write = read, write

    def add(
        self,
        connection: Connection,
        kinds: Iterable[DeliveryKind],
        team: str,
        ingestion_id: str | None,
        version_id: str | None,
        now: datetime,
    ) -> None:
        """Add a delivery of each of *kinds* for each destination that wants it, in the transaction of *connection*."""
        for kind, destination in wanted(self._destinations, kinds):
            new = new_delivery(self._id(), team, kind, destination, ingestion_id, version_id, now)
            connection.execute(NEW, _values(new))

    def add_once(
        self,
        connection: Connection,
        kinds: Iterable[DeliveryKind],
        team: str,
        ingestion_id: str,
        version_id: str,
        now: datetime,
    ) -> None:
        """As `add`, without what was added before of this ingestion and version: an attempt that was lost may have done so.

        Who calls has locked the ingestion or the version, so that two who come at once do so one after the other.
        """
        for kind, destination in wanted(self._destinations, kinds):
            asked = {"of": ingestion_id, "about": version_id, "what": kind.value, "to": destination}
            if connection.execute(SAME, asked).one_or_none() is None:
                new = new_delivery(self._id(), team, kind, destination, ingestion_id, version_id, now)
                connection.execute(NEW, _values(new))

    def claim(self, destination: str, owner: str, now: datetime) -> Delivery | None:
        def work(connection: Connection) -> Delivery | None:
            while (found := connection.execute(DUE, {"destination": destination, "now": now}).one_or_none()) is not None:
                claimed = steps.claim(_delivery_of(found), owner, now)
                connection.execute(KEEP, {"kept": claimed.id, **_values(claimed)})
                if claimed.state is DeliveryState.RUNNING:
                    return claimed
            return None

        return self._write(work)

    def keep(self, delivery: Delivery, owner: str) -> bool:
        given = {"kept": delivery.id, "by": owner, **_values(delivery)}
        return self._write(lambda connection: connection.execute(MINE, given).rowcount == 1)

    def retry(self, team: str, delivery_id: str, now: datetime) -> Delivery | None:
        def work(connection: Connection) -> Delivery | None:
            found = connection.execute(THEIRS.with_for_update(), {"team": team, "id": delivery_id}).one_or_none()
            again = None if found is None else steps.retried(_delivery_of(found), now)
            if again is not None:
                connection.execute(KEEP, {"kept": again.id, **_values(again)})
            return again

        return self._write(work)

    def delivery(self, team: str, delivery_id: str) -> Delivery | None:
        given = {"team": team, "id": delivery_id}
        found = self._read(lambda connection: connection.execute(THEIRS, given).one_or_none())
        return None if found is None else _delivery_of(found)

    def deliveries(self, query: DeliveryQuery) -> Sequence[Delivery]:
        statement = _matching(query).limit(rows_wanted(query.limit))
        return self._read(lambda connection: [_delivery_of(row) for row in connection.execute(statement)])

    def _id(self) -> str:
        return self._new_id(DELIVERY_PREFIX, DELIVERY_CHARS)


def _matching(query: DeliveryQuery) -> Select[Any]:
    return select(deliveries).where(*_conditions(query)).order_by(deliveries.c.sequence.desc())


def _conditions(query: DeliveryQuery) -> Iterable[ColumnElement[bool]]:
    table = deliveries.c
    yield table.team == query.team
    if query.state is not None:
        yield table.state == query.state.value
    if query.destination is not None:
        yield table.destination == query.destination
    if query.version_id is not None:
        yield table.version_id == query.version_id
    if query.after is not None:
        yield table.sequence < select(table.sequence).where(table.id == query.after).scalar_subquery()


def _values(delivery: Delivery) -> dict[str, Any]:
    return asdict(delivery) | {"kind": delivery.kind.value, "state": delivery.state.value}


def _delivery_of(row: Row[Any]) -> Delivery:
    values = {name: value for name, value in row._mapping.items() if name != "sequence"}
    return Delivery(**values | {"kind": DeliveryKind(row.kind), "state": DeliveryState(row.state)})
