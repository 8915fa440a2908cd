"""What load checks came to, in memory, under the lock of its registry."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from worker.records import ModelVersion
from worker.registry.memory_care import Kept
from worker.verification import MAX_BEGUN, WINDOW, Verified


@dataclass(slots=True)
class _Begun:
    """A check that was begun: when its time is over, how often it was."""

    until: datetime
    attempts: int


class MemoryVerifications:
    """`worker.ports.Verifications` in memory."""

    def __init__(self, versions: Mapping[str, Kept], lock: AbstractContextManager[object]) -> None:
        self._versions, self._lock = versions, lock
        self._ended: dict[str, Verified] = {}
        self._begun: dict[str, _Begun] = {}

    def keep(self, version_id: str, verified: Verified) -> bool:
        with self._lock:
            kept = self._versions.get(version_id)
            if kept is None or kept.deleted is not None:
                return False
            self._ended[version_id] = replace(verified, at=verified.at.astimezone(UTC))
            self._begun.pop(version_id, None)
            return True

    def of(self, version_id: str) -> Verified | None:
        with self._lock:
            return self._ended.get(version_id)

    def claim(self, owner: str, formats: Collection[str], now: datetime, seconds: float) -> ModelVersion | None:
        with self._lock:
            for version_id, kept in reversed(list(self._versions.items())[-WINDOW:]):
                if kept.deleted is None and kept.record().format in formats and self._waits(version_id, now):
                    before = self._begun.get(version_id)
                    attempts = 1 if before is None else before.attempts + 1
                    self._begun[version_id] = _Begun(now + timedelta(seconds=seconds), attempts)
                    return kept.record()
            return None

    def _waits(self, version_id: str, now: datetime) -> bool:
        begun = self._begun.get(version_id)
        return version_id not in self._ended and (begun is None or (begun.until <= now and begun.attempts < MAX_BEGUN))
