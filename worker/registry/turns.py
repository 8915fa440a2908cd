"""Writers of one process stand in line, so that each waits for those before it and no longer.

SQLite lets one connection write at a time. One that must wait looks again after a while that grows up to a tenth of a second,
and others who came later are served meanwhile: with eight writers a write that takes milliseconds may so wait for seconds.
Between processes it still does.

Law (with a test of the same name):
    who came first is served first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

from worker.errors import RegistryUnavailable


class Turns:
    """A line that threads stand in. Nobody waits for longer than *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._line: deque[Event] = deque()

    def __len__(self) -> int:
        """Return how many stand in line, the one who is served included."""
        with self._lock:
            return len(self._line)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait until all who came before are through; the next one waits until the block ends.

        Raises:
            RegistryUnavailable: it took too long.
        """
        mine = Event()
        with self._lock:
            self._line.append(mine)
            self._wake_first()
        try:
            if not mine.wait(self._seconds):
                raise RegistryUnavailable(f"the registry's database was busy for {self._seconds:g} s")
            yield
        finally:
            with self._lock:
                self._line.remove(mine)
                self._wake_first()

    def _wake_first(self) -> None:
        if self._line:
            self._line[0].set()
