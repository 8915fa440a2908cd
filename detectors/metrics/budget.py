"""How much one scan spends on metrics: a hostile file costs a bounded time, and the honest ones before it still count."""

from __future__ import annotations

from dataclasses import dataclass

from detectors.errors import ModelLimit

MAX_LOOKS = 10_000_000
"""Records and values looked at in the event files of one scan; one costs about a microsecond. A value that there is no room for
counts thirty times (`events`)."""

MAX_EVENT_BYTES = 4 << 30
"""Bytes of event files read in one scan. Records that are skipped do not count."""


class BudgetSpent(ModelLimit):
    """A limit of the whole scan, not of one record: nothing more is read."""


@dataclass(slots=True)
class Budget:
    """What is left of the two limits."""

    looks: int = MAX_LOOKS
    bytes: int = MAX_EVENT_BYTES

    def spend(self, path: str, position: int, looks: int, count: int) -> None:
        """Subtract *looks* and *count* bytes, spent on the file *path* up to *position*.

        Raises:
            BudgetSpent: one of the two is used up.
        """
        self.looks -= looks
        self.bytes -= count
        if self.looks < 0:
            raise BudgetSpent(path, position, "MAX_LOOKS", f"more than {MAX_LOOKS} records and values in event files")
        if self.bytes < 0:
            raise BudgetSpent(path, position, "MAX_EVENT_BYTES", f"more than {MAX_EVENT_BYTES} bytes of event files")
