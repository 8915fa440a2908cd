"""Data of an HDF5 file that are not in it: which other files it names, found without reading a weight.

In goes a window on the file, out come the places that lead to another file. Whoever loads such weights gets bytes of that
file, of any file of the machine that the process may read. A file of Keras has none of this: its data lie in itself.

    what leads out                    where it stands
    external storage of a dataset     message 0x07: names in a local heap
    a virtual dataset                 layout (message 0x08) of class 3: a row of sources in a global heap
    an external link                  link of type 64, in message 0x06 or in the heap of a group with many links

The groups are walked from the root, objects in the order of their addresses, so that reading goes forward through the file,
page by page. An object is looked at once however many links lead to it. Groups of the old form are a tree of symbol tables,
which can hold no external link; those of the new form have links as messages, or many in a heap (`hdf5_heaps`). References,
which only lead somewhere when somebody follows them, are not looked for.

Laws (each has a test of the same name):
    any bytes give links or a ModelError;
    reading for links does not grow with the weights.

Source: HDF5 File Format Specification 3.0, III.A.1 "Version 1 B-trees", III.B "Group Symbol Table Nodes", III.D "Local Heaps",
IV.A.2 "Data Object Header Messages".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count

from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.facts import Finding, Severity
from detectors.tree import MemoryTree, readable
from detectors.weights.hdf5 import SHARED, SIGNATURE_BYTES, Superblock, heap_object, messages, read_superblock
from detectors.weights.hdf5_heaps import heap_links
from detectors.weights.keras_traps import leads_out
from detectors.weights.single_file import number, piece
from detectors.wire import Window

RULE = "hdf5-data-outside"

MAX_OBJECTS = 50_000
"""Groups and datasets of one file. A model of a thousand layers with its optimizer has ten thousand."""

MAX_PARTS = 500_000
"""Messages, links and nodes of one file; an object has about six. They take two seconds."""

MAX_PAGES = 16_384
PAGE_BYTES = 8 << 10
KEPT_PAGES = 512
"""What is read at a time, how often, and how much of it is kept. Headers lie together, some KB of them between weights."""

MAX_FINDINGS = 100
"""Places of one file; the first are told."""

MAX_NAMES = 64
"""Files that one place is asked for."""

MAX_SOURCES = 10_000
"""Of all virtual datasets."""

MAX_NAME_BYTES = 4_096

MAX_PATH_CHARACTERS = 200
"""Of a path that is told, and a name more: groups may lie in groups without an end, and each of them may hold many things."""

SHOWN = 100

LINK_INFO, LINK, EXTERNAL, LAYOUT, SYMBOL_TABLE = 0x02, 0x06, 0x07, 0x08, 0x11
LOOKED_AT = frozenset({LINK_INFO, LINK, EXTERNAL, LAYOUT, SYMBOL_TABLE})

HARD, SOFT, OUTSIDE = 0, 1, 64
SYMBOL_IS_SOFT = 2
VIRTUAL = 3
SAME_FILE = "."
NOTHING, POINTS, BLOCKS, EVERYTHING = range(4)
"""How elements of a source are chosen."""

NODE_BYTES = 8
ENTRY_MORE_BYTES = 24
"""Of an entry of a symbol table, behind its two addresses."""

Page = bytes

Trail = tuple["Trail", Callable[[], str]] | None
"""Where an object lies: that of the group above, and how to get its name there, which is read only where it is told."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A place (a path inside the file) that leads to other files: *what* it is, the files that it *names*."""

    place: str
    what: str
    names: tuple[str, ...]


class _Pages(Window):
    """The same file in pages, of which the last are kept: what leads from one object to the next lies here and there."""

    def __init__(self, below: Window) -> None:
        super().__init__(MemoryTree({}), below.path, below.size)
        self._below = below
        self._kept: OrderedDict[int, Page] = OrderedDict()
        self._read = 0

    def bytes(self, start: int, stop: int) -> Page:
        """Return bytes [start, stop), which lie inside the file.

        Raises:
            ModelLimit: too much was read already.
        """
        first, last = start // PAGE_BYTES, max(start, stop - 1) // PAGE_BYTES
        if first == last:
            page = self._page(first)
            return page[start - first * PAGE_BYTES : stop - first * PAGE_BYTES]
        data = b"".join(self._page(at) for at in range(first, last + 1))
        return data[start - first * PAGE_BYTES : stop - first * PAGE_BYTES]

    def _page(self, at: int) -> Page:
        if at in self._kept:
            self._kept.move_to_end(at)
            return self._kept[at]
        self._read += 1
        if self._read > MAX_PAGES:
            raise ModelLimit(self.path, at * PAGE_BYTES, "MAX_PAGES", f"more than {MAX_PAGES} pages to read for its links")
        page = self._below.bytes(at * PAGE_BYTES, min(self.size, (at + 1) * PAGE_BYTES))
        self._kept[at] = page
        if len(self._kept) > KEPT_PAGES:
            self._kept.popitem(last=False)
        return page


def data_outside(window: Window, place: str = "") -> tuple[list[Finding], list[str]]:
    """Return a finding for each place that leads to another file, and why the data are not known or not all looked for.

    *place* stands before the places, for a file inside another.
    """
    findings: list[Finding] = []
    reasons: list[str] = []
    try:
        for found in links_outside(window):
            if len(findings) == MAX_FINDINGS:
                raise ModelLimit(window.path, None, "MAX_FINDINGS", f"more than {MAX_FINDINGS} places lead to other files")
            findings.append(_finding(window.path, place, found))
    except ModelError as exc:
        at = "" if exc.offset is None else f"at byte {exc.offset}: "
        reasons.append(f"not looked at: where its links lead: {at}{exc.reason}")
    if findings:
        more = f" and {len(findings) - 1} more" if findings[1:] else ""
        reasons.insert(0, f"not looked at: data in other files, of {readable(findings[0].place)!r}{more}")
    return findings, reasons


def _finding(path: str, place: str, found: Outside) -> Finding:
    bad = next((name for name in found.names if leads_out(name)), None)
    name = bad if bad is not None else (*found.names, "")[0]
    severity = Severity.MEDIUM if bad is None else Severity.HIGH
    more = f" and {len(found.names) - 1} more" if len(found.names) > 1 else ""
    message = f"{found.what} leads to {readable(name[:SHOWN])!r}{more}"
    return Finding(RULE, severity, path, readable(place + found.place), message)


def links_outside(window: Window) -> Iterator[Outside]:
    """Yield each place that leads to other files.

    Raises:
        ModelError: the bytes contradict the format, or are beyond a named limit; what was yielded stands.
    """
    block = read_superblock(window)
    if block.length_bytes not in (2, 4, 8):
        raise MalformedModel(window.path, None, f"expected lengths of 2, 4 or 8 bytes, found {block.length_bytes}")
    yield from _Walk(_Pages(window), block).run()


class _Walk:
    """One walk: what is still to be looked at, what was seen, and what may still be spent.

    Parts do not overlap in a file that was written, so all of them together are no larger than the file.
    """

    def __init__(self, window: Window, block: Superblock) -> None:
        self._window = window
        self._block = block
        self._left = window.size
        self._parts = 0
        self._sources = 0
        self._order = count()
        self._pending: list[tuple[int, int, Trail]] = []
        self._seen: set[int] = set()

    def run(self) -> Iterator[Outside]:
        """Yield as `links_outside`."""
        self._push(self._block.root, None)
        while self._pending:
            address, _, trail = heappop(self._pending)
            yield from self._object(address, trail)

    def _push(self, address: int, trail: Trail) -> None:
        if address in self._seen:
            return
        self._seen.add(address)
        if len(self._seen) > MAX_OBJECTS:
            raise ModelLimit(self._window.path, address, "MAX_OBJECTS", f"more than {MAX_OBJECTS} groups and datasets")
        heappush(self._pending, (address, next(self._order), trail))

    def spend(self, at: int, size: int) -> None:
        """Count a part of *size* bytes at *at*."""
        self._left -= size
        self._parts += 1
        if self._left < 0:
            raise MalformedModel(self._window.path, at, "its headers and links overlap: together they are larger than the file")
        if self._parts > MAX_PARTS:
            raise ModelLimit(self._window.path, at, "MAX_PARTS", f"more than {MAX_PARTS} messages and links")

    def _object(self, address: int, trail: Trail) -> Iterator[Outside]:
        """Yield where the object at *address* leads out, and note what lies below it."""
        window = self._window
        if piece(window, address, SIGNATURE_BYTES) != b"OHDR" and number(window, address, 1) != 1:
            raise MalformedModel(window.path, address, "expected the header of an object, found something else")
        for kind, flags, start, size in messages(window, replace(self._block, root=address)):
            self.spend(start, size + 4)
            if kind not in LOOKED_AT:
                continue
            if flags & SHARED:
                raise MalformedModel(window.path, start, f"a message of type {kind} that is shared, which is not read here")
            if kind == SYMBOL_TABLE:
                self._symbol_table(start, trail)
            elif kind == LINK:
                yield from self._link(start, size, trail)
            elif kind == LINK_INFO:
                for at, length in heap_links(window, self._block, start, self.spend):
                    yield from self._link(at, length, trail)
            elif kind == EXTERNAL:
                yield Outside(_path(trail), "external storage", tuple(self._files_of_storage(start)))
            elif number(window, start, 1) > 2 and number(window, start + 1, 1) == VIRTUAL:
                yield from self._virtual(start, trail)

    def _address(self, at: int) -> int:
        return number(self._window, at, self._block.offset_bytes)

    def _symbol_table(self, start: int, trail: Trail) -> None:
        """Note what a group of the old form holds: a tree of tables, whose names lie in a heap."""
        width, length = self._block.offset_bytes, self._block.length_bytes
        window, heap = self._window, self._address(start + width)
        pending: list[tuple[int, int | None]] = [(self._address(start), None)]
        while pending:
            place, expected = pending.pop()
            mark = piece(window, place, SIGNATURE_BYTES)
            if mark == b"SNOD" and expected in (0, None):
                self._table(place, heap, trail)
                continue
            level, used = number(window, place + 5, 1), number(window, place + 6, 2)
            if mark != b"TREE" or number(window, place + 4, 1) or (expected is not None and level != expected - 1):
                raise MalformedModel(window.path, place, "expected a node of a group, found something else")
            first = place + NODE_BYTES + 2 * width + length
            self.spend(place, NODE_BYTES + 2 * width + used * (length + width))
            pending += [(self._address(first + at * (length + width)), level) for at in range(used)]

    def _table(self, place: int, heap: int, trail: Trail) -> None:
        """Note the objects of one table. A link in it may also be a soft one, which leads to a path in the same file."""
        window, width = self._window, self._block.offset_bytes
        entry = 2 * width + ENTRY_MORE_BYTES
        for at in range(place + NODE_BYTES, place + NODE_BYTES + number(window, place + 6, 2) * entry, entry):
            self.spend(at, entry)
            if number(window, at + 2 * width, 4) != SYMBOL_IS_SOFT:
                self._push(self._address(at + width), (trail, self._name_in_heap(heap, number(window, at, width))))

    def _name_in_heap(self, heap: int, offset: int) -> Callable[[], str]:
        return lambda: self._text(self._heap_data(heap) + offset)

    def _heap_data(self, heap: int) -> int:
        if piece(self._window, heap, SIGNATURE_BYTES) != b"HEAP":
            raise MalformedModel(self._window.path, heap, "expected a heap of names, found something else")
        return self._address(heap + 8 + 2 * self._block.length_bytes)

    def _text(self, start: int) -> str:
        """Return the text at *start*, which ends with a zero."""
        stop = min(start + MAX_NAME_BYTES, self._window.size)
        data = piece(self._window, start, max(0, stop - start))
        return data.split(b"\0")[0].decode("utf-8", "surrogateescape")

    def _link(self, start: int, size: int, trail: Trail) -> Iterator[Outside]:
        """Note the object that a link leads to, or yield that it leads out."""
        window, flags = self._window, number(self._window, start + 1, 1)
        at = start + 2
        kind = number(window, at, 1) if flags & 8 else HARD
        at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
        width = 1 << (flags & 3)
        begin = at + width
        at = begin + number(window, at, width)
        if number(window, start, 1) != 1 or at + (self._block.offset_bytes if kind == HARD else 2) > start + size:
            raise MalformedModel(window.path, start, "a link of another version, or one that goes beyond its message")
        below = (trail, lambda: _decoded(piece(window, begin, min(at - begin, MAX_NAME_BYTES))))
        if kind == HARD:
            self._push(self._address(at), below)
        elif kind == OUTSIDE:
            most = min(number(window, at, 2), MAX_NAME_BYTES, start + size - at - 2)
            name = piece(window, at + 3, max(0, most - 1)).split(b"\0")[0]
            yield Outside(_path(below), "an external link", (_decoded(name),))
        elif kind != SOFT:
            raise MalformedModel(window.path, start, f"a link of type {kind}, of which only its maker knows where it leads")

    def _files_of_storage(self, start: int) -> Iterator[str]:
        """Yield the files in which a dataset has its data."""
        window, length = self._window, self._block.length_bytes
        used = number(window, start + 6, 2)
        data = self._heap_data(self._address(start + 8))
        first = start + 8 + self._block.offset_bytes
        for slot in range(min(used, MAX_NAMES)):
            yield self._text(data + number(window, first + slot * 3 * length, length))

    def _virtual(self, start: int, trail: Trail) -> Iterator[Outside]:
        """Yield that a virtual dataset leads out, unless all its sources lie in the same file."""
        window, block = self._window, self._block
        if piece(window, start + 2, block.offset_bytes) == b"\xff" * block.offset_bytes:
            return
        heap = self._address(start + 2)
        at, size = heap_object(window, block, heap, number(window, start + 2 + block.offset_bytes, 4))
        self.spend(heap, max(0, at - heap))
        stop, used = at + size, number(window, at + 1, block.length_bytes)
        if number(window, at, 1):
            raise MalformedModel(window.path, at, "a virtual dataset of another version")
        at += 1 + block.length_bytes
        names: list[str] = []
        left = MAX_SOURCES - self._sources
        self._sources += used
        for _ in range(min(used, left)):
            name, begin = self._text(at), at
            at = self._behind_text(self._behind_text(at))
            at = self._behind_selection(self._behind_selection(at))
            if not begin < at <= stop:
                raise MalformedModel(window.path, begin, "a source of a virtual dataset goes beyond its heap")
            self.spend(begin, at - begin)
            if name != SAME_FILE and name not in names and len(names) < MAX_NAMES:
                names.append(name)
        if names:
            yield Outside(_path(trail), "a virtual dataset", tuple(names))
        if used > left:
            raise ModelLimit(window.path, at, "MAX_SOURCES", f"virtual datasets of more than {MAX_SOURCES} sources")

    def _behind_text(self, at: int) -> int:
        return at + len(self._text(at).encode("utf-8", "surrogateescape")) + 1

    def _behind_selection(self, at: int) -> int:
        """Return where the selection at *at*, which elements of a source are taken, ends."""
        window = self._window
        kind, version = number(window, at, 4), number(window, at + 4, 4)
        at += 8
        if kind in (NOTHING, EVERYTHING):
            return at + 8
        if kind not in (POINTS, BLOCKS) or not 1 <= version <= (2 if kind == POINTS else 3):
            raise MalformedModel(window.path, at, "a source of a virtual dataset that is chosen in an unknown way")
        if version == 1:
            return at + 8 + number(window, at + 4, 4)
        if kind == BLOCKS and version == 2:
            return at + 5 + number(window, at + 1, 4)
        is_regular = kind == BLOCKS and number(window, at, 1) & 1
        at += 1 if kind == BLOCKS else 0
        width, rank = number(window, at, 1), number(window, at + 1, 4)
        if is_regular:
            return at + 5 + 4 * rank * width
        chosen = number(window, at + 5, width)
        return at + 5 + width + chosen * rank * width * (2 if kind == BLOCKS else 1)


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _path(trail: Trail) -> str:
    """Return the path that a trail stands for, "/" for the root; of a long one the end, behind "…"."""
    names: list[str] = []
    while trail is not None:
        if sum(map(len, names)) + len(names) > MAX_PATH_CHARACTERS:
            return "…/" + "/".join(reversed(names))
        trail, name = trail
        names.append(name())
    return "/" + "/".join(reversed(names))
