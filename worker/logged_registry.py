"""A registry that writes into the log what was claimed through it, and how each claim ended.

Whoever works off the queue is given one, so that a worker is not mute while all goes well. It decides and changes nothing, and
speaks after the registry has answered: a line tells what has happened, never what was wanted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import structlog

from worker.ingest import Borders
from worker.ports import Registry
from worker.records import End, Ingestion, NewVersion, Pause, Registration

log = structlog.get_logger("modelport.worker")


def logged(borders: Borders) -> Borders:
    """Return *borders* whose registry writes a line for each claim of the next ingestion, each wait and each end."""
    return replace(borders, registry=cast(Registry, _Logged(borders.registry)))


class _Logged:
    """Hands every call on to the registry; those below are logged besides."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def claim_next(self, owner: str, now: datetime) -> Ingestion | None:
        claimed = self._registry.claim_next(owner, now)
        if claimed is not None:
            event = claimed.event
            told = {"team": event.team, "experiment": event.experiment, "path": event.model_path, "attempt": claimed.attempts}
            log.info("claimed", ingestion=claimed.id, **told, owner=owner)
        return claimed

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        done = self._registry.wait(ingestion_id, owner, pause, now)
        if done:
            log.info("waits", ingestion=ingestion_id, seconds=pause.seconds, reason=pause.reason, why=pause.message)
        return done

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        done = self._registry.finish(ingestion_id, owner, end, now)
        if done:
            log.info("ended", ingestion=ingestion_id, state=end.state.value, reason=end.reason, why=end.message)
        return done

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        answer = self._registry.register(ingestion_id, owner, version, now)
        if answer is not None and answer.is_new:
            made = answer.version
            told = {"version": made.id, "model": f"{made.model_name}@{made.number}", "bytes": made.size_bytes}
            log.info("ended", ingestion=ingestion_id, state="registered", **told, completeness=made.completeness)
        return answer
