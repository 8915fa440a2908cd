"""Errands on the store, done one after another in a thread of their own, so that a store which hangs keeps nobody else.

In go calls, nothing comes out. Who waits for them does so for a while and is then told in the log; while one is late, the next
ones stand in line behind it. What finds no place in the line is left out, and so is what a process has not done when it ends:
all of it is found again by whoever looks through the store (`operations.abandoned`).

Laws (each has a test of the same name):
    whoever sends errands never waits for long, whatever hangs in them;
    that the store answers again is said after an errand that went well, and after no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, Thread

import structlog

from worker import bound
from worker.errors import WorkerError

MOST_WAITING = 1000
"""Errands that stand in line; each holds one ingestion."""

log = structlog.get_logger("modelport.errands")

Errand = Callable[[], object]
"""What is to be done. It failed where it raises, or where it gives back False."""


class Errands:
    """One line of errands and the thread that runs them, which ends where none is left."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Callable[[], bool]] = deque()
        self._thread: Thread | None = None
        self._is_late = False
        self._is_told_late = False

    @property
    def is_late(self) -> bool:
        """Whether somebody waited in vain, and the errand has not come back since."""
        return self._is_late

    def send(self, errand: Errand) -> None:
        """Have *errand* run after all that were sent before; where `MOST_WAITING` are, it is left out.

        What is logged of it is bound to what its sender is bound to.
        """
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                log.error("left out", why=f"{MOST_WAITING} errands wait for the store already")
                return
            self._waiting.append(bound.here(_went_well, errand))
            if self._thread is None:
                self._thread = Thread(target=self._run, name="errands", daemon=True)
                self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return when all are back, after *seconds* at the latest. For one that is late already nobody waits again."""
        thread = self._thread
        if thread is None or self._is_late:
            return
        thread.join(seconds)
        with self._lock:
            self._is_late = self._thread is thread
            self._is_told_late |= self._is_late
        if self._is_late:
            log.error("the store is late", waited_seconds=seconds, why="it is slow or hangs; other work goes on")

    def _run(self) -> None:
        while run := self._next():
            self._come_back(run())

    def _next(self) -> Callable[[], bool] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _come_back(self, went_well: bool) -> None:
        """Take note that an errand is back: nobody is late any more, but one that failed says nothing for the store."""
        with self._lock:
            self._is_late = False
            answers_again = self._is_told_late and went_well
            self._is_told_late = self._is_told_late and not went_well
        if answers_again:
            log.info("the store answers again")


def _went_well(errand: Errand) -> bool:
    """Run *errand*, and tell whether it did what it was to do; why not stands in the log."""
    try:
        return errand() is not False
    except WorkerError as exc:
        log.error("an errand failed", why=str(exc))
    except Exception:
        log.exception("unforeseen")
    return False
