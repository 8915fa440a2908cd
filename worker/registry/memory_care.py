"""What keeps the registry in memory in good order, under its lock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from worker import occurrences
from worker.delivery import Delivery
from worker.lifecycle import FRUITLESS
from worker.records import (
    AuditEntry,
    CompletionEvent,
    FilesSeen,
    HistoryEntry,
    Ingestion,
    IngestionState,
    Judgement,
    Keep,
    ModelVersion,
    Removed,
    SoFar,
    Trigger,
    Worker,
)
from worker.registry.memory_outbox import MemoryOutbox
from worker.registry.words import conflict, event_digest, event_key


class Kept(Protocol):
    """A version as the registry in memory keeps it."""

    deleted: datetime | None
    files_seen: FilesSeen | None
    mark: str | None

    def record(self) -> ModelVersion: ...

    def judge(self, judgement: Judgement, now: datetime) -> bool: ...

    def is_serious(self) -> bool: ...


@dataclass(slots=True)
class Shelves:
    """What the registry in memory keeps, shared with it."""

    versions: Mapping[str, Kept]
    ingestions: MutableMapping[str, Ingestion]
    by_event: MutableMapping[str, str]
    history: MutableMapping[str, list[HistoryEntry]]
    audit: MutableMapping[str, AuditEntry]
    workers: MutableMapping[str, Worker]
    deliveries: MutableMapping[str, Delivery]
    past: dict[str, Ingestion] = field(default_factory=dict)

    def past_ingestion(self, event: CompletionEvent) -> Ingestion | None:
        """Return the ingestion of *event* that was removed, None where there is none.

        Raises:
            ConflictingEvent: it said something else before.
        """
        past = self.past.get(event_key(event))
        if past is not None and event_digest(past.event) != event_digest(event):
            raise conflict(event, past.id)
        return None if past is None else replace(past, event=event)


class MemoryCare:
    """`worker.ports.Care` in memory."""

    def __init__(
        self,
        shelves: Shelves,
        outbox: MemoryOutbox,
        lock: AbstractContextManager[object],
        note: Callable[[ModelVersion, datetime], None],
    ) -> None:
        self._shelves, self._outbox = shelves, outbox
        self._lock = lock
        self._note = note

    def note_files(self, version: ModelVersion, seen: FilesSeen, mark: str | None) -> bool:
        with self._lock:
            kept = self._living(version.id)
            if kept is None or kept.record().url != version.url:
                return False
            kept.files_seen, kept.mark = seen, mark
            return True

    def to_look_at(self, before: datetime, most: int) -> Sequence[ModelVersion]:
        with self._lock:
            seen = [(kept.files_seen, one) for kept, one in self._records()]
        never = [one for looked, one in seen if looked is None]
        long_ago = sorted(
            ((looked.looked, one) for looked, one in seen if looked is not None and looked.looked < _utc(before)),
            key=lambda pair: pair[0],
        )
        return [*never, *(one for _, one in long_ago)][:most]

    def deleted_among(self, version_ids: Collection[str]) -> frozenset[str]:
        with self._lock:
            known = ((id, self._shelves.versions.get(id)) for id in version_ids)
            return frozenset(id for id, kept in known if kept is not None and kept.deleted is not None)

    def judged_by(self) -> Mapping[str, int]:
        with self._lock:
            return Counter(one.rules_version for _, one in self._records())

    def judged_before(self, rules_version: str, after: str | None, most: int) -> Sequence[ModelVersion]:
        with self._lock:
            order = {id: place for place, id in enumerate(self._shelves.versions)}
            start = -1 if after is None else order[after]
            found = [one for _, one in self._records() if one.rules_version == rules_version and order[one.id] > start]
            return found[:most]

    def judge(self, version: ModelVersion, judgement: Judgement, now: datetime) -> bool:
        with self._lock:
            kept = self._living(version.id)
            if kept is None or kept.record().rules_version != version.rules_version:
                return False
            was_serious, is_put = kept.is_serious(), kept.judge(judgement, _utc(now))
            if is_put:
                self._note(kept.record(), now)
            told = occurrences.of_judgement(judgement.findings, was_serious, is_put)
            self._outbox.add(told, version.team, None, version.id, now)
            return True

    def removable(self, keep: Keep) -> Removed:
        with self._lock:
            return Removed(*(len(found) for found in self._old(keep)))

    def remove(self, keep: Keep, most: int) -> Removed:
        shelves = self._shelves
        with self._lock:
            fruitless, told, audit, workers = (found[:most] for found in self._old(keep))
            for id in fruitless:
                gone = shelves.ingestions.pop(id)
                shelves.past[event_key(gone.event)] = _what_stays(gone)
                del shelves.by_event[event_key(gone.event)], shelves.history[id]
            _drop(shelves.deliveries, told)
            _drop(shelves.audit, audit)
            _drop(shelves.workers, workers)
            return Removed(len(fruitless), len(told), len(audit), len(workers))

    def removed_states(self) -> Counter[IngestionState]:
        """Return how many ingestions of each state were removed."""
        with self._lock:
            return Counter(one.state for one in self._shelves.past.values())

    def _old(self, keep: Keep) -> tuple[list[str], list[str], list[str], list[str]]:
        """Return the ids of what may go, oldest first."""
        shelves = self._shelves
        about = {one.ingestion_id for one in shelves.deliveries.values()}
        fruitless = {
            id: one.updated
            for id, one in shelves.ingestions.items()
            if one.state in FRUITLESS and one.event.trigger is not Trigger.UPLOAD and id not in about
        }
        told = {id: one.delivered for id, one in shelves.deliveries.items() if one.delivered is not None}
        audit = {id: one.at for id, one in shelves.audit.items()}
        seen = {name: one.seen for name, one in shelves.workers.items()}
        return (
            _older(fruitless, keep.history),
            _older(told, keep.deliveries),
            _older(audit, keep.audit),
            _older(seen, keep.workers),
        )

    def _living(self, version_id: str) -> Kept | None:
        kept = self._shelves.versions.get(version_id)
        return kept if kept is not None and kept.deleted is None else None

    def _records(self) -> list[tuple[Kept, ModelVersion]]:
        return [(kept, replace(kept.record(), report="")) for kept in self._shelves.versions.values() if kept.deleted is None]


def _what_stays(gone: Ingestion) -> Ingestion:
    """Return what is known of an ingestion after it was removed."""
    return replace(gone, location=None, so_far=SoFar(), rest=None, run_after=None, turn=1)


def _older(times: Mapping[str, datetime], before: datetime | None) -> list[str]:
    if before is None:
        return []
    by_time: Callable[[str], datetime] = times.__getitem__
    return sorted((id for id, at in times.items() if at < _utc(before)), key=by_time)


def _drop(shelf: MutableMapping[str, Any], ids: Sequence[str]) -> None:
    for id in ids:
        del shelf[id]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
