"""Where the links of a group lie that has many: a heap of the new form ("fractal"), and the tree that knows what is in it.

In goes the message that tells of both, out come the place and length of each link, which is a message like any other. The tree
is walked, since what else lies in the heap was removed and is nobody's.

    tree (BTHD): a root, nodes (BTIN) of records and of further nodes, leaves (BTLF) of records
    record: hash u32 | id of 7 bytes: flags | offset in the heap | length
    heap (FRHP): blocks of data (FHDB), found by offset: rows of `width` blocks, the first two rows of the first size and each
    further row of twice the size; those too large for data are rows again (FHIB)

Held by the laws of `hdf5_links`.

Source: HDF5 File Format Specification 3.0, III.A.2 "Version 2 B-trees", III.G "Fractal Heap".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from detectors.errors import MalformedModel, ModelLimit
from detectors.weights.hdf5 import SIGNATURE_BYTES, Superblock
from detectors.weights.single_file import number, piece
from detectors.wire import Window

MAX_DEPTH = 8
"""Of trees, and of rows in rows. A million links take two."""

HASH_BYTES, ID_BYTES = 4, 7
RECORD_BYTES = HASH_BYTES + ID_BYTES
BY_NAME = 5
NODE_HEAD_BYTES = 6
NODE_MORE_BYTES = 10
"""Signature, version, type; and with the checksum behind."""

MANAGED = 0
"""The kind of an object that lies in the blocks; others are too large for them."""

Spend = Callable[[int, int], None]
"""Counts a part: where it lies, and its bytes."""


def heap_links(window: Window, block: Superblock, start: int, spend: Spend) -> Iterator[tuple[int, int]]:
    """Yield place and length of each link that the message at *start* leads to; none where the group has no heap.

    Raises:
        ModelError: the bytes contradict the format, or the links are kept in a way that is not read here.
    """
    width = block.offset_bytes
    at = start + 2 + (8 if number(window, start + 1, 1) & 1 else 0)
    if piece(window, at, width) == b"\xff" * width:
        return
    heap = _read_heap(window, block, number(window, at, width))
    for record in _records(window, block, number(window, at + width, width), spend):
        kind = number(window, record + HASH_BYTES, 1)
        if kind != MANAGED:
            raise MalformedModel(window.path, record, "a link too large for the heap of its group, which is not read here")
        place = record + HASH_BYTES + 1
        offset, length = number(window, place, heap.offset_bytes), number(window, place + heap.offset_bytes, heap.length_bytes)
        spend(record, length)
        found = _in_heap(window, block, heap, offset, length)
        piece(window, found, 0)
        yield found, length


@dataclass(frozen=True, slots=True)
class _Heap:
    """How the blocks of a heap are laid out; *rows* is 0 where the block at *root* is the only one."""

    offset_bytes: int
    length_bytes: int
    width: int
    first: int
    largest: int
    root: int
    rows: int


def _read_heap(window: Window, block: Superblock, at: int) -> _Heap:
    """Return the layout of the heap at *at*."""
    width, length = block.offset_bytes, block.length_bytes
    if piece(window, at, SIGNATURE_BYTES) != b"FRHP" or number(window, at + 4, 1):
        raise MalformedModel(window.path, at, "expected a heap of links, found something else")
    id_bytes, filters = number(window, at + 5, 2), number(window, at + 7, 2)
    managed = number(window, at + 10, 4)
    table = at + 14 + 10 * length + 2 * width
    columns, first = number(window, table, 2), number(window, table + 2, length)
    largest, bits = number(window, table + 2 + length, length), number(window, table + 2 + 2 * length, 2)
    place = table + 6 + 2 * length
    root, rows = number(window, place, width), number(window, place + width, 2)
    offset_bytes = (bits + 7) // 8
    length_bytes = min(_width_of(managed), (largest.bit_length() + 6) // 8)
    powers = all(value and value & (value - 1) == 0 for value in (columns, first, largest))
    if filters or id_bytes != ID_BYTES or not powers or first > largest or 1 + offset_bytes + length_bytes > ID_BYTES:
        raise MalformedModel(window.path, at, "a heap of links that is packed, or not laid out as one: not read here")
    return _Heap(offset_bytes, length_bytes, columns, first, largest, root, rows)


def _in_heap(window: Window, block: Superblock, heap: _Heap, offset: int, length: int) -> int:
    """Return where the object of *length* bytes at *offset* of a heap lies in the file."""
    place, rows, size = heap.root, heap.rows, heap.first
    for _ in range(MAX_DEPTH):
        if not rows:
            if offset + length > size:
                raise MalformedModel(window.path, place, f"a link at {offset} of a block of {size} bytes")
            if piece(window, place, SIGNATURE_BYTES) != b"FHDB":
                raise MalformedModel(window.path, place, "expected a block of links, found something else")
            return place + offset
        if piece(window, place, SIGNATURE_BYTES) != b"FHIB":
            raise MalformedModel(window.path, place, "expected rows of blocks of links, found something else")
        row = max(0, (offset // (heap.width * heap.first)).bit_length())
        size = heap.first << max(0, row - 1)
        begin = heap.width * heap.first << (row - 1) if row else 0
        column = (offset - begin) // size
        if row >= rows:
            raise MalformedModel(window.path, place, f"a link in row {row} of {rows}")
        entry = place + 5 + block.offset_bytes + heap.offset_bytes + (row * heap.width + column) * block.offset_bytes
        place = number(window, entry, block.offset_bytes)
        offset -= begin + column * size
        rows = 0 if size <= heap.largest else (size // (heap.width * heap.first)).bit_length()
    raise ModelLimit(window.path, place, "MAX_DEPTH", f"a heap of more than {MAX_DEPTH} rows in rows")


def _records(window: Window, block: Superblock, at: int, spend: Spend) -> Iterator[int]:
    """Yield where each record of the tree at *at* lies."""
    if piece(window, at, SIGNATURE_BYTES) != b"BTHD" or number(window, at + 5, 1) != BY_NAME:
        raise MalformedModel(window.path, at, "expected the tree of the links of a group, found something else")
    size, record, depth = number(window, at + 6, 4), number(window, at + 10, 2), number(window, at + 12, 2)
    if record != RECORD_BYTES or size < NODE_MORE_BYTES + RECORD_BYTES:
        raise MalformedModel(window.path, at, f"a tree of links with nodes of {size} and records of {record} bytes")
    if depth > MAX_DEPTH:
        raise ModelLimit(window.path, at, "MAX_DEPTH", f"a tree of links of {depth} levels")
    counts, totals = _widths(block, size, depth)
    root = at + 16
    used = number(window, root + block.offset_bytes, 2)
    if not used:
        return
    pending = [(number(window, root, block.offset_bytes), used, depth)]
    while pending:
        place, used, level = pending.pop()
        mark = piece(window, place, SIGNATURE_BYTES)
        pointer = block.offset_bytes + counts + totals[level - 1] if level else 0
        bytes_used = NODE_MORE_BYTES + used * RECORD_BYTES + (used + 1) * pointer
        if mark != (b"BTIN" if level else b"BTLF") or number(window, place + 5, 1) != BY_NAME or bytes_used > size:
            raise MalformedModel(window.path, place, "expected a node of the tree of links, found something else")
        spend(place, bytes_used)
        first = place + NODE_HEAD_BYTES
        yield from range(first, first + used * RECORD_BYTES, RECORD_BYTES)
        if level:
            for below in range(first + used * RECORD_BYTES, place + bytes_used - 4, pointer):
                records = number(window, below + block.offset_bytes, counts)
                pending.append((number(window, below, block.offset_bytes), records, level - 1))


def _widths(block: Superblock, size: int, depth: int) -> tuple[int, list[int]]:
    """Return how many bytes the number of records of a node has, and, by level, that of all below it: as many as the most
    that fit into nodes of *size* bytes can need."""
    most = (size - NODE_MORE_BYTES) // RECORD_BYTES
    counts, totals, below = _width_of(most), [0], most
    for _ in range(depth):
        pointer = block.offset_bytes + counts + totals[-1]
        fit = max(0, (size - NODE_MORE_BYTES - pointer) // (RECORD_BYTES + pointer))
        below = (fit + 1) * below + fit
        totals.append(_width_of(below))
    return counts, totals


def _width_of(value: int) -> int:
    """Return how many bytes HDF5 gives to numbers up to *value*."""
    return max(value.bit_length() - 1, 0) // 8 + 1
