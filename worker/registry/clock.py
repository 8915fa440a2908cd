"""One clock for all who share a registry: the registry's own time, carried on by this machine's steady counter.

In goes a way to ask the registry for its time; out comes `worker.ports.Clock`. A machine whose clock is wrong claims, renews
and frees as everybody else does, because its clock is never asked.

Law (with a test of the same name):
    it is never ahead of the registry's time.

Who lags lets its own leases end early, and takes nobody else's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

from worker.errors import RegistryUnavailable

SYNC_SECONDS = 60.0
"""How often the registry is asked. Counters of two machines drift apart by less than a hundredth of a second in that time; one
that slept lags for as long at most."""


class RegistryClock:
    """`worker.ports.Clock` by the registry's time. Threads may share it."""

    def __init__(
        self,
        registry_now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._registry_now, self._monotonic, self._sleep = registry_now, monotonic, sleep
        self._lock = Lock()
        self._asked = 0.0
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the time in UTC. Asks the registry at first, and then every `SYNC_SECONDS`.

        Raises:
            RegistryUnavailable: it never answered yet. Later, what it said last is carried on.
        """
        known = self._known
        if known is None or self._is_my_turn_to_ask():
            known = self._ask()
        moment, at = known
        return moment + timedelta(seconds=self._monotonic() - at)

    def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        self._sleep(seconds)

    def _is_my_turn_to_ask(self) -> bool:
        """Tell whether the time has come; only the first thread that wants to know hears so, and the others need not wait."""
        with self._lock:
            counted = self._monotonic()
            if counted - self._asked < SYNC_SECONDS:
                return False
            self._asked = counted
            return True

    def _ask(self) -> tuple[datetime, float]:
        """Return the registry's time, and the counter after it was told."""
        try:
            moment = self._registry_now()
        except RegistryUnavailable:
            if self._known is None:
                raise
            return self._known
        self._asked = self._monotonic()
        self._known = moment, self._asked
        return self._known
