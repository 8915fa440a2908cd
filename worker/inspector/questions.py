"""What the two sides of an inspection say to each other: letters, the longest that each may be, and the records in them.

    worker                               child
    INSPECT  Question             ──>
                                  <──    READ    Range                   any number of times,
    DATA bytes, or ERROR Trouble  ──>                                    each answered before the next
                                  <──    FOUND   detectors.scan.Scan     or
                                         RAISED  Trouble                 or
                                         MEMORY  nothing                 or
                                         BUG     traceback, UTF-8

The worker is believed, the child is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from detectors.errors import TreeChanged, TreeError, TreeLimit, TreeUnavailable, Unreadable
from detectors.facts import ModelType
from detectors.tree import FileEntry, PassedOver

INSPECT, DATA, ERROR = b"I", b"D", b"E"
READ, FOUND, RAISED, MEMORY, BUG = b"R", b"F", b"X", b"M", b"B"

MAX_READ_BYTES = 4 << 20
"""Bytes of one answer to READ; a detector's larger read is asked for in pieces."""

MAX_ANSWER_BYTES = 128 << 20
"""Bytes of a scan: custom metadata of 16 MiB as text and as base64 take 40 of it, a listing of a million names the rest."""

MAX_TEXT_BYTES = 1 << 20
"""Bytes of everything else that is said: a path, an error, a traceback."""

FROM_CHILD = {READ: MAX_TEXT_BYTES, FOUND: MAX_ANSWER_BYTES, RAISED: MAX_TEXT_BYTES, MEMORY: 0, BUG: MAX_TEXT_BYTES}
TO_CHILD_FIRST = {INSPECT: 2**32 - 1}
TO_CHILD = {DATA: MAX_READ_BYTES, ERROR: MAX_TEXT_BYTES}


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at: the type that was declared, the listing, and what it passed over."""

    declared_type: ModelType | None
    entries: tuple[FileEntry, ...]
    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes [start, stop) of the file *path*."""

    path: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """A `TreeError` by the name of its class."""

    kind: str
    path: str
    reason: str

    @classmethod
    def of(cls, error: TreeError) -> Trouble:
        """Return what is said of *error*."""
        return cls(type(error).__name__, error.path, error.reason)

    def error(self) -> TreeError | None:
        """Return the error that is meant; None where there is none of that name."""
        kind = TROUBLES.get(self.kind)
        return None if kind is None else kind(self.path, self.reason)


TROUBLES = {kind.__name__: kind for kind in (TreeChanged, TreeUnavailable, Unreadable, TreeLimit)}
