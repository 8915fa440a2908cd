"""Looks through the store now and then, and removes what dead processes began to write there for nobody.

A sweep removes what it frees, and the end of an ingestion what its next attempts could have taken up; who deletes a version
removes its files. What is left to this are the copies of attempts that nobody comes back to: their ingestion was discarded, or
their sweep died, or the store hung; and those of deleted versions whose deleter died or met a store that was away. In go the
borders, nothing comes out. That the store may hang is for the caller to bear in mind.

Law (with a test of the same name):
    only what two looks in a row saw deleted, or unregistered and unowned, is removed, and only what a known attempt wrote.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from worker.ingest import Borders
from worker.operations import abandoned

LOOK_SECONDS = 600.0
"""How long after one look the next one comes. A look lists the folders of all versions, and no file."""

FIRST_LOOKS_SECONDS = 60.0
"""The same for the first two of a process: what ended the last one may have left something."""

log = structlog.get_logger("modelport.tidying")


class Tidying:
    """What one process saw in the store when it last looked."""

    def __init__(self) -> None:
        self._looked: datetime | None = None
        self._looks = 0
        self._seen: frozenset[str] = frozenset()

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time to look, and take note that somebody does. The first time is not right at the start."""
        since = self._looked or now
        pause_seconds = FIRST_LOOKS_SECONDS if self._looks < 2 else LOOK_SECONDS
        is_time = (now - since).total_seconds() >= pause_seconds
        self._looked = now if is_time else since
        self._looks += is_time
        return is_time

    def look(self, borders: Borders) -> None:
        """Remove what was to be removed at the last look too, and remember the rest for the next.

        Raises:
            StorageUnavailable: the store did not answer, or did not let it be removed.
            RegistryUnavailable: the database did not answer; nothing was removed.
        """
        left = abandoned(borders)
        for version_id, url in left:
            if version_id in self._seen:
                borders.store.remove(url)
                log.warning(
                    "tidied", version=version_id, why="it was deleted, or its attempt came to nothing, and nobody needs it"
                )
        self._seen = frozenset(version_id for version_id, _ in left)
