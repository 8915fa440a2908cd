"""How long the steps of attempts took, kept until the registry counts them.

Nobody's work depends on these figures. So they are counted beside it, several attempts in one transaction, and a process that
is killed takes those of its last seconds with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

from worker.errors import RegistryUnavailable
from worker.records import STEPS, Took

MOST_KEPT = 10_000
"""Steps that are kept while the registry does not answer; later ones are not counted."""


class Stopwatch:
    """Takes the times of steps from any thread. seconds tells the time of a clock that never goes back."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds, self._lock = seconds, threading.Lock()
        self._kept: list[Took] = []
        self._counted_at = seconds()

    def attempt(self) -> Attempt:
        """Return what takes the steps of one attempt."""
        return Attempt(self._seconds, self._keep)

    def is_due(self, every_seconds: float) -> bool:
        """Tell whether something waits to be counted, and the last time was so long ago."""
        return bool(self._kept) and self._seconds() - self._counted_at >= every_seconds

    def count(self, took: Callable[[Sequence[Took]], object]) -> None:
        """Give what is kept to *took*, which counts it; where the registry does not answer, it is kept for later."""
        with self._lock:
            kept, self._kept = self._kept, []
        self._counted_at = self._seconds()
        if kept:
            try:
                took(kept)
            except RegistryUnavailable:
                self._keep(kept)

    def _keep(self, steps: Sequence[Took]) -> None:
        with self._lock:
            self._kept += steps[: MOST_KEPT - len(self._kept)]


class Attempt:
    """The steps of one attempt, one after the other."""

    def __init__(self, seconds: Callable[[], float], keep: Callable[[Sequence[Took]], None]) -> None:
        self._seconds, self._keep = seconds, keep
        self._begun: list[tuple[str, float]] = []

    def step(self, name: str) -> None:
        """Take that the step *name* begins, and the one before it ends; a name that is none is a part of the step before."""
        if name in STEPS:
            self._begun.append((name, self._seconds()))

    def end(self) -> None:
        """Take that the last step ends, and keep the times of all."""
        times = pairwise([*(at for _, at in self._begun), self._seconds()])
        self._keep([Took(name, end - at) for (name, _), (at, end) in zip(self._begun, times, strict=True)])
