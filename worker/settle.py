"""Whether a tree has come to rest: two looks at it, and a clock.

In goes what was listed, now and before; out comes a decision. Nobody sleeps here: the caller waits and looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.tree import FileEntry, readable
from worker.records import Look


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing has changed for the quiet period."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after *seconds* and compare with *since*; *reason* says what is still moving."""

    seconds: float
    reason: str
    since: Look


def settle(before: Look | None, now: Look, quiet_seconds: float) -> Settled | Wait:
    """Return whether the tree has rested for *quiet_seconds*.

    It has when an earlier, equal listing is that old; or at the first look, when every file says that it last changed that
    long ago. A file that says nothing, or claims to come from the future, is looked at twice, and so is an empty tree.
    """
    if before is None:
        rest = max((_rest(entry, now.at, quiet_seconds) for entry in now.entries), default=quiet_seconds)
        return Settled() if rest <= 0 else Wait(rest, "files changed a moment ago", now)
    if before.entries != now.entries:
        return Wait(quiet_seconds, f"still changing: {_first_difference(before.entries, now.entries)}", now)
    rest = quiet_seconds - (now.at - before.at)
    return Settled() if rest <= 0 else Wait(rest, "waiting for a second look", before)


def _rest(entry: FileEntry, now: float, quiet_seconds: float) -> float:
    """Return how many seconds *entry* must still rest; at most the whole quiet period."""
    if entry.changed is None or entry.changed > now:
        return quiet_seconds
    return quiet_seconds - (now - entry.changed)


def _first_difference(before: Sequence[FileEntry], now: Sequence[FileEntry]) -> str:
    return readable(min(set(before) ^ set(now)).path)
