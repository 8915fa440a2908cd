"""Weights of Keras that lie in other files, added to what else is read of a file: an HDF5 file, or those in a `.keras` zip.

In goes a reader, out comes one that looks for links as well (`hdf5_links`). Of a zip, a member that is stored, as Keras stores
all, is looked at where it lies; one that is packed is unpacked in memory, up to a limit, and beyond it told as not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from zipfile import ZIP_STORED

from detectors.errors import ModelError
from detectors.facts import Extraction, Finding, State
from detectors.tree import FileEntry, FileTree, MemoryTree, readable
from detectors.weights.hdf5_links import data_outside
from detectors.wire import Window
from detectors.zips import Entry, ZipTree, of_window

SUFFIXES = (".h5", ".hdf5")

MAX_MEMBERS = 256
"""Files of weights in one zip; Keras writes one, or one for each shard."""

MAX_MEMBER_BYTES = 32 << 20
"""Of one that is packed."""

MAX_ALL_MEMBER_BYTES = 256 << 20
"""Of all of them in all files of a scan."""

Read = Callable[[Window], Extraction]


def with_links(read: Read) -> Read:
    """Return a reader of HDF5 files that also tells what leads to other files."""

    def read_and_look(window: Window) -> Extraction:
        found = read(window)
        findings, reasons = data_outside(window)
        is_whole = found.completeness.state is State.COMPLETE
        return _and_also(found, window.path, findings, reasons if is_whole or findings else [])

    return read_and_look


def with_links_inside(read: Read) -> Read:
    """Return a reader of `.keras` zips that also tells what leads from their HDF5 files to others."""

    def read_and_look(window: Window) -> Extraction:
        found = read(window)
        members = ZipTree(of_window(window), window.size, window.path, on_the_way=False)
        looked = list(_looked_at(members, window))
        findings = [finding for some, _ in looked for finding in some]
        return _and_also(found, window.path, findings, [reason for _, some in looked for reason in some])

    return read_and_look


def unpacked_bytes(entries: Iterable[Entry]) -> int:
    """Return how many bytes of a zip will be unpacked to look at them."""
    packed = (entry.size for entry in entries if entry.name.endswith(SUFFIXES) and entry.method != ZIP_STORED)
    return sum(size for size in packed if size <= MAX_MEMBER_BYTES)


@dataclass(frozen=True, slots=True)
class _Part:
    """The file *inside* which lies in another, from *begin* on, stored as it is."""

    window: Window
    begin: int
    inside: FileEntry

    def files(self) -> Iterator[FileEntry]:
        yield self.inside

    def read(self, path: str, start: int, stop: int) -> bytes:
        stop = min(stop, self.inside.size)
        return self.window.bytes(self.begin + start, self.begin + stop) if start < stop else b""


def _looked_at(members: ZipTree, window: Window) -> Iterator[tuple[list[Finding], list[str]]]:
    """Yield what each HDF5 file in a zip leads to, and why that is not known."""
    weights = [entry for entry in members.files() if entry.path.endswith(SUFFIXES)]
    for entry in weights[:MAX_MEMBERS]:
        begin, shown = members.stored_at(entry.path), readable(entry.path)
        if begin is None and entry.size > MAX_MEMBER_BYTES:
            yield [], [f"not looked at: {shown}, packed, of {entry.size} bytes (limit MAX_MEMBER_BYTES)"]
            continue
        try:
            tree: FileTree = (
                MemoryTree({window.path: members.read(entry.path, 0, entry.size)})
                if begin is None
                else _Part(window, begin, entry)
            )
            findings, reasons = data_outside(Window(tree, window.path, entry.size), entry.path)
        except ModelError as exc:
            findings, reasons = [], [f"not looked at: its links: {exc.reason}"]
        yield findings, [f"{shown}: {reason}" for reason in reasons]
    if len(weights) > MAX_MEMBERS:
        yield [], [f"not looked at: {len(weights) - MAX_MEMBERS} more files of weights (limit MAX_MEMBERS)"]


def _and_also(found: Extraction, path: str, findings: list[Finding], reasons: list[str]) -> Extraction:
    """Return *found* with more findings, and with more reasons for the one file, which has all of its own in one."""
    own = [reason for name, reason in found.unread if name == path]
    others = tuple((name, reason) for name, reason in found.unread if name != path)
    unread = ((path, "; ".join([*own, *reasons])),) if own or reasons else ()
    return replace(found, findings=(*found.findings, *findings), unread=(*others, *unread))
