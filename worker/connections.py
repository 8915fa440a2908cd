"""What the service leans on, and whether it can be reached: the database, the broker, the store, the home.

In go probes, each a function that asks one of them; out come records of what was found. A probe may hang for ever, as a mount
does whose server is gone: it is asked in a thread of its own, waited for a moment, and not asked again before it has answered.
Whoever looks soon after another is told what that one found. How each of them is asked, its own border knows.

Laws (each has a test of the same name):
    a probe that hangs keeps nobody waiting for longer than the patience, and only once;
    what is down is waited for once;
    nothing is asked more often than once in the time that an answer is fresh.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from worker.errors import WorkerError

FRESH_SECONDS = 4.0
"""How long an answer is passed on: shorter than the pace of a scrape or of a page, so that each of them is told anew."""

STALE_SECONDS = 15.0
"""How long it is passed on without waiting that something is down: who looks again and again waits once, not each time."""

PATIENCE_SECONDS = 2.0
"""How long an answer is waited for: well below what Prometheus waits for a scrape, also where it comes every 5 seconds."""


class Leaned(StrEnum):
    """What the service leans on."""

    DATABASE = "database"
    """Holds the registry and the queue; without it nothing is accepted."""
    BROKER = "broker"
    """Rings for workers; without it they look for work themselves."""
    STORE = "store"
    """Keeps copies of models; without it attempts pause."""
    HOME = "home"
    """The folder of this process: uploads that come, and a database in a file."""


@dataclass(frozen=True, slots=True)
class Room:
    """How large the volume is that something lies on, and how much of it may still be written, in bytes."""

    size_bytes: int
    free_bytes: int

    @property
    def free_ratio(self) -> float:
        """The part of it that is free, 0 to 1; 0 where it has no size."""
        return self.free_bytes / self.size_bytes if self.size_bytes else 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe found. *trouble* is why it cannot be used, in a sentence without secrets and without figures that change;
    None where it can. *room* is None where there is no volume of its own, or nobody can tell.
    """

    trouble: str | None = None
    room: Room | None = None


Probe = Callable[[], Answer]
"""Asks once. What it raises is trouble as well."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing that is leaned on: where it is, without secrets, and how to ask it."""

    what: Leaned
    where: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class Connection:
    """Whether *what*, which is at *where*, can be used from here.

    seconds is how long the answer took, None where there was none. since is when this process first found it so.
    """

    what: Leaned
    where: str
    trouble: str | None
    room: Room | None
    seconds: float | None
    since: datetime

    @property
    def is_up(self) -> bool:
        """Whether it can be used."""
        return self.trouble is None


class Connections:
    """Asks what the service leans on, for all that look. Thread-safe; nothing is asked before somebody looks."""

    def __init__(
        self,
        asked: Sequence[Asked],
        fresh_seconds: float = FRESH_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        elapsed: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sought = [_Sought(one, fresh_seconds, patience_seconds, elapsed, now) for one in asked]
        self._patience_seconds = patience_seconds
        self._elapsed = elapsed

    def look(self) -> tuple[Connection, ...]:
        """Return how each of them is, in the order in which they were given; takes at most the patience."""
        for one in self._sought:
            one.begin()
        until = self._elapsed() + self._patience_seconds
        return tuple(one.found(until) for one in self._sought)


class _Sought:
    """One of them, with what was found last, and the look that is under way."""

    def __init__(
        self,
        asked: Asked,
        fresh_seconds: float,
        patience_seconds: float,
        elapsed: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._asked, self._fresh_seconds, self._patience_seconds = asked, fresh_seconds, patience_seconds
        self._elapsed, self._now = elapsed, now
        self._lock = threading.Lock()
        self._last: Connection | None = None
        self._answered = self._begun = 0.0
        self._under_way: threading.Event | None = None

    def begin(self) -> None:
        """Ask unless somebody does, or the last answer is fresh."""
        with self._lock:
            is_fresh = self._last is not None and self._elapsed() - self._answered < self._fresh_seconds
            if self._under_way is not None or is_fresh:
                return
            self._begun, self._under_way = self._elapsed(), threading.Event()
            over = self._under_way
        threading.Thread(target=self._ask, args=(over,), name=f"look at {self._asked.what}", daemon=True).start()

    def found(self, until: float) -> Connection:
        """Return what was found. Where it is being asked, wait *until* then, but neither for what is late already, nor to be
        told again that it is down.
        """
        with self._lock:
            over, late = self._under_way, self._begun + self._patience_seconds
            if self._last is not None and not self._last.is_up and self._elapsed() - self._answered < STALE_SECONDS:
                return self._last
        if over is not None:
            over.wait(max(0.0, min(until, late) - self._elapsed()))
        with self._lock:
            if over is not None and self._under_way is over:
                self._note(Answer(f"no answer within {self._patience_seconds:g} s"), None)
            assert self._last is not None
            return self._last

    def _ask(self, over: threading.Event) -> None:
        begun = self._elapsed()
        try:
            answer = self._asked.probe()
        except WorkerError as exc:
            answer = Answer(str(exc))
        except Exception as exc:  # noqa: BLE001 - whatever a client raises, it cannot be used
            answer = Answer(f"{type(exc).__name__}: {exc}")
        with self._lock:
            self._note(answer, self._elapsed() - begun)
            self._answered, self._under_way = self._elapsed(), None
        over.set()

    def _note(self, answer: Answer, seconds: float | None) -> None:
        """Keep an answer, and since when it is so. The room of a volume that does not answer is not known."""
        last, is_up = self._last, answer.trouble is None
        since = last.since if last is not None and last.is_up == is_up else self._now()
        self._last = Connection(
            self._asked.what, self._asked.where, answer.trouble, answer.room, seconds if is_up else None, since
        )
