"""A registry that writes into the log what was claimed through it, and how each claim ended.

Whoever works off the queue is given one, so that a worker is not mute while all goes well. It decides and changes nothing, and
speaks after the registry has answered: a line tells what has happened, never what was wanted. Which ingestion it is about, who
works on it has bound to all lines of the attempt (`bound`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import structlog

from worker import bound
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
            with bound.to_attempt(claimed):
                log.info("claimed", experiment=claimed.event.experiment, path=claimed.event.model_path)
        return claimed

    def wait(self, ingestion_id: str, owner: str, pause: Pause, now: datetime) -> bool:
        done = self._registry.wait(ingestion_id, owner, pause, now)
        if done:
            log.info("waits", seconds=pause.seconds, reason=pause.reason, why=pause.message)
        return done

    def finish(self, ingestion_id: str, owner: str, end: End, now: datetime) -> bool:
        done = self._registry.finish(ingestion_id, owner, end, now)
        if done:
            log.info("ended", state=end.state.value, reason=end.reason, why=end.message)
        return done

    def register(self, ingestion_id: str, owner: str, version: NewVersion, now: datetime) -> Registration | None:
        answer = self._registry.register(ingestion_id, owner, version, now)
        if answer is not None and answer.is_new:
            made = answer.version
            told = {"version": made.id, "model": f"{made.model_name}@{made.number}", "bytes": made.size_bytes}
            log.info("ended", state="registered", **told, completeness=made.completeness)
        return answer
