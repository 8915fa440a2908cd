"""The outbox of the registry in memory, under its lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from worker import delivery as steps
from worker.delivery import Delivery, DeliveryKind, DeliveryQuery, DeliveryState, new_delivery
from worker.registry.words import Destinations, NewId, rows_wanted, wanted

DELIVERY_PREFIX, DELIVERY_CHARS = "de", 20


class MemoryOutbox:
    """`worker.ports.Outbox` in memory."""

    def __init__(self, destinations: Destinations, new_id: NewId, lock: AbstractContextManager[object]) -> None:
        self._destinations = dict(destinations)
        self._new_id = new_id
        self._lock = lock
        self._deliveries: dict[str, Delivery] = {}

    @property
    def kept(self) -> dict[str, Delivery]:
        """Return all deliveries by id, as they are kept."""
        return self._deliveries

    def add(
        self, kinds: Iterable[DeliveryKind], team: str, ingestion_id: str | None, version_id: str | None, now: datetime
    ) -> None:
        """Add a delivery of each of *kinds* for each destination that wants it."""
        for kind, destination in wanted(self._destinations, kinds):
            id = self._new_id(DELIVERY_PREFIX, DELIVERY_CHARS)
            self._deliveries[id] = new_delivery(id, team, kind, destination, ingestion_id, version_id, _utc(now))

    def add_once(self, kinds: Iterable[DeliveryKind], team: str, ingestion_id: str, version_id: str, now: datetime) -> None:
        """As `add`, without what was added before of this ingestion and version: an attempt that was lost may have done so."""
        for kind in kinds:
            told = ((one.kind, one.ingestion_id, one.version_id) for one in self._deliveries.values())
            if (kind, ingestion_id, version_id) not in told:
                self.add([kind], team, ingestion_id, version_id, now)

    def claim(self, destination: str, owner: str, now: datetime) -> Delivery | None:
        with self._lock:
            theirs = [one for one in self._deliveries.values() if one.destination == destination and one.due is not None]
            first = {one.version_id: one.id for one in reversed(theirs)}  # what is to be told of it before all else
            due = [(one.due, one) for one in theirs if one.version_id is None or first[one.version_id] == one.id]
            for _, one in sorted(((at, one) for at, one in due if at and at <= _utc(now)), key=lambda pair: pair[0]):
                claimed = self._deliveries[one.id] = steps.claim(one, owner, _utc(now))
                if claimed.state is DeliveryState.RUNNING:
                    return claimed
            return None

    def keep(self, delivery: Delivery, owner: str) -> bool:
        with self._lock:
            known = self._deliveries.get(delivery.id)
            if known is None or known.state is not DeliveryState.RUNNING or known.owner != owner:
                return False
            self._deliveries[delivery.id] = delivery
            return True

    def retry(self, team: str, delivery_id: str, now: datetime) -> Delivery | None:
        with self._lock:
            known = self.delivery(team, delivery_id)
            again = None if known is None else steps.retried(known, _utc(now))
            if again is not None:
                self._deliveries[again.id] = again
            return again

    def delivery(self, team: str, delivery_id: str) -> Delivery | None:
        known = self._deliveries.get(delivery_id)
        return known if known is not None and known.team == team else None

    def deliveries(self, query: DeliveryQuery) -> Sequence[Delivery]:
        with self._lock:
            known = list(self._deliveries.values())
        if query.after is not None:
            known = known[: next((at for at, one in enumerate(known) if one.id == query.after), 0)]
        return [one for one in reversed(known) if _matches(one, query)][: rows_wanted(query.limit)]


def _matches(delivery: Delivery, query: DeliveryQuery) -> bool:
    return (
        delivery.team == query.team
        and query.state in (None, delivery.state)
        and query.destination in (None, delivery.destination)
        and query.version_id in (None, delivery.version_id)
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
