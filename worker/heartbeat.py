"""The sign of life of whoever works on an ingestion, given when the work gets on and at no other time.

In goes every step and every read, out comes now and then a renewed lease. A mount that hangs gives no sign, so its lease runs
out and another may try; no thread keeps alive what does not move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from detectors.tree import FileEntry, FileTree, PassedOver
from detectors.wrapped_tree import passed_over_by
from worker.errors import LeaseLost, RegistryUnavailable
from worker.lifecycle import LEASE_SECONDS

BEATS_PER_LEASE = 6
"""How often a lease is renewed while it lasts, so that a few lost beats do no harm."""


class Heartbeat:
    """Renews one lease. *beat* asks the registry to, and tells whether the ingestion is still ours."""

    def __init__(
        self, beat: Callable[[datetime], bool], now: Callable[[], datetime], lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._beat = beat
        self._now = now
        self._every = timedelta(seconds=lease_seconds / BEATS_PER_LEASE)
        self._lease = timedelta(seconds=lease_seconds)
        self._last = now()

    def __call__(self) -> None:
        """Note that the work got on; renew the lease where that was not done for a while.

        Raises:
            LeaseLost: another may own the ingestion now: nothing that we do counts any more.
        """
        now = self._now()
        if now - self._last < self._every:
            return
        try:
            if not self._beat(now):
                raise LeaseLost("the ingestion has another owner now, or has ended")
        except RegistryUnavailable as exc:
            if now - self._last >= self._lease:
                raise LeaseLost(f"the lease ran out while {exc}") from exc
            return
        self._last = now


@runtime_checkable
class ListsByPages(Protocol):
    """A tree whose listing may take long before its first file comes out, and which calls *on_page* whenever it gets on."""

    on_page: Callable[[], object]


class BeatingTree:
    """The same tree; every call that comes back is a sign of life."""

    def __init__(self, tree: FileTree, alive: Callable[[], None]) -> None:
        self._tree = tree
        self._alive = alive
        if isinstance(tree, ListsByPages):
            tree.on_page = alive

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """What the tree inside passed over; nothing where it cannot say."""
        return passed_over_by(self._tree)

    def files(self) -> Iterator[FileEntry]:
        """Yield what the tree inside yields."""
        for entry in self._tree.files():
            self._alive()
            yield entry

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return what the tree inside returns."""
        data = self._tree.read(path, start, stop)
        self._alive()
        return data
