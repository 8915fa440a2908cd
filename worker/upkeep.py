"""What is done now and then beside the work, so that a registry stays in good order for years: what is old is removed, and
files are looked at where they are kept, what older rules judged is judged anew, and where somebody wants it models are loaded
once in a cage.

In go the borders, nothing comes out but lines in the log. Removal is a matter of the registry alone, in portions, so that no
lock is held for long and who is killed leaves the rest to the next. Looks touch storage that may hang, so they are made in a
thread of their own; before each it is noted that it began, so that what hangs is not looked at again before all others.

Laws (each has a test of the same name):
    a sweep removes a bounded portion of what is old;
    what hangs is not looked at again before all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Thread

import structlog

from worker.drift import look
from worker.errors import WorkerError
from worker.ingest import Borders
from worker.operations import note
from worker.records import DRIFTED, Condition, FilesSeen, Keep, ModelVersion, Removed, Retention

PAUSE_SECONDS = 60.0
"""How long after one turn the next one comes."""

MOST_REMOVED, PORTIONS = 200, 10
"""Rows of a kind that one transaction removes, and how many of those a turn makes: in a process some three million a day."""

MOST_LOOKS = 20
"""Versions whose files a turn looks at: in a process some 28,000 a day."""

BEGAN = "a look began and has not come back"

SILENT_WORKERS = timedelta(days=7)
"""How long the name of a worker that died is kept."""

log = structlog.get_logger("modelport.upkeep")


class Upkeep:
    """When one process did what it does now and then."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._looking: Thread | None = None
        self._verifying: Thread | None = None
        self._judging: Thread | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is time for a turn, and take note that it is made. The first time is not right at the start."""
        since = self._since or now
        is_time = (now - since).total_seconds() >= PAUSE_SECONDS
        self._since = now if is_time else since
        return is_time

    def turn(self, borders: Borders) -> None:
        """Remove a portion of what is old. Begin to look at the files of some versions, to judge some anew, and to make the
        load checks that wait: none of it is waited for.

        Raises:
            RegistryUnavailable: the database did not answer; what was removed by then is.
        """
        removed = remove_old(borders)
        if any(asdict(removed).values()):
            log.info("removed", **asdict(removed), why="older than the settings keep it")
        if borders.drift_days:
            self._looking = _going(self._looking, partial(look_at_some, borders), "looks at files")
        if borders.judge_some is not None:
            self._judging = _going(self._judging, borders.judge_some, "judges anew")
        if borders.verify_waiting is not None:
            self._verifying = _going(self._verifying, borders.verify_waiting, "load checks")


def keep_of(retention: Retention, now: datetime) -> Keep:
    """Return what is old by now."""

    def before(days: float) -> datetime | None:
        return now - timedelta(days=days) if days else None

    return Keep(
        before(retention.history_days),
        before(retention.deliveries_days),
        before(retention.audit_days),
        now - SILENT_WORKERS,
    )


def remove_old(borders: Borders) -> Removed:
    """Remove what is old, at most `PORTIONS` times `MOST_REMOVED` of each kind, and return how much it was."""
    keep, all_of_it = keep_of(borders.retention, borders.clock.now()), Removed()
    for _ in range(PORTIONS):
        removed = borders.registry.care.remove(keep, MOST_REMOVED)
        before = asdict(all_of_it)
        all_of_it = Removed(**{kind: before[kind] + amount for kind, amount in asdict(removed).items()})
        if max(asdict(removed).values()) < MOST_REMOVED:
            break
    return all_of_it


def look_at_some(borders: Borders) -> None:
    """Look at the files of those versions at which nobody looked for longest, at most `MOST_LOOKS`, and note what is found."""
    before = borders.clock.now() - timedelta(days=borders.drift_days)
    for version in borders.registry.care.to_look_at(before, MOST_LOOKS):
        _note_that_it_began(borders, version)
        seen = look(version, borders.registry.files(version.id), borders.open_version)
        note(borders, version, seen)
        if seen.condition in DRIFTED:
            log.warning("drifted", version=version.id, state=seen.condition.value, why=seen.says)


def _note_that_it_began(borders: Borders, version: ModelVersion) -> None:
    now, seen = borders.clock.now(), version.files_seen
    began = FilesSeen(Condition.UNREACHABLE, BEGAN, now, now) if seen is None else replace(seen, looked=now, trouble=BEGAN)
    borders.registry.care.note_files(version, began, version.mark)


def _going(before: Thread | None, work: Callable[[], object], name: str) -> Thread:
    """Return the thread that does *work*: that of the turn *before*, where it is not over, or a new one."""
    if before is not None and before.is_alive():
        return before
    thread = Thread(target=_guarded, args=(work, name), name=name, daemon=True)
    thread.start()
    return thread


def _guarded(work: Callable[[], object], name: str) -> None:
    """Do *work* in a thread that nobody waits for; what goes wrong stands in the log."""
    try:
        work()
    except WorkerError as exc:
        log.error("cannot go on", what=name, why=str(exc))
    except Exception:
        log.exception("unforeseen")
