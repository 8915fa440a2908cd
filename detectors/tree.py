"""A read-only tree of regular files: names, sizes, byte ranges. Nothing else.

Two methods are enough for disk, memory and object storage alike, so every detector can be run on any of them,
and every tree passes the one contract suite in `tests/contracts/tree.py`.

Laws (each has a test of the same name):
    the listing is sorted by path;
    the listing names each file once;
    a range is half-open;
    a read is short only at the end of the file;
    a file that changed since it was listed is `TreeChanged`, never other bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from detectors.errors import TreeChanged


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """A regular file of a tree.

    path is relative and POSIX; a name that is not UTF-8 carries surrogate escapes (show it with `readable`).
    size is in bytes. version changes whenever the content may have (inode, mtime, ctime on disk; ETag on S3).
    changed is when the file last changed by the storage's own clock, in seconds since 1970, None where it does not say.
    is_shared tells that the file has other names (hard links) which are not in this listing, so that it is a file of somebody
    else as well.
    """

    path: str
    size: int
    version: str
    changed: float | None = field(default=None, compare=False)
    is_shared: bool = field(default=False, compare=False)


class FileTree(Protocol):
    """A read-only tree of regular files: names, sizes, byte ranges. Nothing else."""

    def files(self) -> Iterator[FileEntry]:
        """Yield every regular file, sorted by path.

        Raises:
            TreeUnavailable: the storage did not answer.
            TreeLimit: there are more files than `MAX_FILES`.
        """
        ...

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of the file *path*; shorter only at the end of the file.

        Raises:
            ValueError: the range is negative or reversed.
            TreeChanged: the file is not the one that was listed, or was never listed.
            TreeUnavailable: the storage did not answer.
            Unreadable: this file may not be read.
        """
        ...


class Passed(StrEnum):
    """Why a listing passed something over."""

    LINK_INSIDE = "link inside"
    """A symbolic link whose target lies below the same tree: a note."""
    LINK_OUTSIDE = "link outside"
    """A symbolic link that leaves the tree, dangles or loops: a finding."""
    SPECIAL = "special"
    """A FIFO, socket or device: a note."""
    UNREADABLE = "unreadable"
    """A folder that may not be listed: what is below it is unknown, so the scan is inconclusive."""
    ODD_NAME = "odd name"
    """An object whose key no path of a file can be, such as one with `../`: a finding."""
    UNFINISHED = "unfinished"
    """A file that somebody is still uploading: wait; a scan that does not wait is inconclusive."""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Something below the tree that is not a regular file and was not followed."""

    path: str
    why: Passed
    reason: str


@runtime_checkable
class RemarksOnListing(Protocol):
    """A tree that can say what its last complete listing passed over, sorted by path."""

    @property
    def passed_over(self) -> tuple[PassedOver, ...]: ...


MAX_FILES = 1_000_000
"""Files that a tree may hold; more is `TreeLimit`."""


def check_range(start: int, stop: int) -> None:
    """Raise ValueError unless [start, stop) is a range."""
    if not 0 <= start <= stop:
        raise ValueError(f"not a range: [{start}, {stop})")


NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of a file name; JSON can name such a file, no listing has one."""


def readable(path: str) -> str:
    """Return *path*, any string, as text that can be written as UTF-8: what is not UTF-8 is backslash-escaped.

    Control characters stay what they are.
    """
    whole = NO_BYTE.sub(lambda found: f"\\u{ord(found[0]):04x}", path)
    return whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class MemoryTree:
    """A tree held in a mapping from path to bytes; for tests, uploads and everything small."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    def files(self) -> Iterator[FileEntry]:
        for path in sorted(self._files):
            yield FileEntry(path, len(self._files[path]), "memory")

    def read(self, path: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        try:
            return self._files[path][start:stop]
        except KeyError as exc:
            raise TreeChanged(path, "is not in this tree") from exc
