"""What can go wrong while reading a tree, and what each means for the caller.

    DetectorError
    ├── TreeError                 the tree, not a model, is the trouble
    │   ├── TreeChanged           wait: a listed file changed or vanished while it was read
    │   ├── TreeUnavailable       try again: the storage did not answer
    │   ├── Unreadable            record and go on: this one file may not be read
    │   └── TreeLimit             reject: the whole tree is beyond a named limit
    └── ModelError                one model is the trouble; the rest goes on
        ├── MalformedModel        its bytes contradict each other: the model is corrupt
        └── ModelLimit            a named limit stopped the reading: the model is inconclusive

Every message names the path, the place, what was expected and what was found.
"""

from __future__ import annotations


class DetectorError(Exception):
    """Base of everything that reading a tree may raise on purpose."""


class TreeError(DetectorError):
    """The tree could not be read as listed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class TreeChanged(TreeError):
    """A listed file is gone, or is no longer the file that was listed."""


class TreeUnavailable(TreeError):
    """The storage below the tree did not answer; the same read may work later."""


class Unreadable(TreeError):
    """This file may not be read (permission), is not a regular file any more, or has fewer bytes than it claims."""


class TreeLimit(TreeError):
    """The tree as a whole is larger than a named limit allows."""


class ModelError(DetectorError):
    """One model could not be read; others below the same path are not touched by it.

    *offset* is in bytes from the start of the file at *path*, None where no single byte is to blame.
    """

    def __init__(self, path: str, offset: int | None, reason: str) -> None:
        place = path if offset is None else f"{path} at byte {offset}"
        super().__init__(f"{place}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


class MalformedModel(ModelError):
    """The bytes of a model contradict its format or each other."""


class ModelLimit(ModelError):
    """A named limit was reached inside one model; *limit* is the name of the constant."""

    def __init__(self, path: str, offset: int | None, limit: str, reason: str) -> None:
        super().__init__(path, offset, f"{reason} (limit {limit})")
        self.limit = limit
