"""Tables of sorted keys (LevelDB's SSTable), the format of a checkpoint's variables index.

In goes a window on the file, out come its entries in order of their keys. Only entries are read here; what a key or a value
means is left to `bundle` and `checkpoint`. Nothing is believed before its checksum fits, and nothing is read twice.

Laws (each has a test of the same name):
    any bytes give entries or a `ModelError`;
    every truncation is refused;
    every flipped bit is refused.

Layout (LevelDB, doc/table_format.md; TensorFlow's tsl/lib/io/table_builder.cc writes the same):

    file    data block … | metaindex block | index block | footer
    block   entries | restart positions, u32 each | their number, u32 || type, 1 byte | masked crc32c of block and type, u32
    entry   varint bytes shared with the key before | varint new key bytes | varint value bytes | new key bytes | value
    footer  metaindex handle | index handle | zeros up to 40 bytes | magic, 8 bytes
    handle  varint offset | varint size (without type and crc)

An entry of the index block has the handle of a data block as its value. The metaindex block is for filters and tells nothing
here; its checksum is held to all the same, so that no damage to the file goes unnoticed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

from detectors import snappy
from detectors.errors import MalformedModel, ModelLimit
from detectors.wire import Window

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES = 48
CRC_BYTES = 4
TRAILER_BYTES = 1 + CRC_BYTES
RAW, SNAPPY = 0, 1

MAX_BLOCK_BYTES = 64 << 20
"""Bytes of one block as stored. TensorFlow closes a block of the index at 256 KiB."""

MAX_UNPACKED_BYTES = 4 << 20
"""Bytes that all Snappy blocks of a table may become together: some 40,000 tensors, where 4 KiB is usual.

The worst block has an element per byte, and plain Python takes a microsecond for each: four seconds at this limit."""

MAX_KEY_BYTES = 16 << 10
"""Bytes of one key: the name of a variable, or the path to it in an object graph."""

MAX_KEYS_BYTES = 16 << 20
"""Bytes of all keys of a table, written out: a key that repeats the one before costs three bytes in the file.

A hundred bytes per tensor is usual, so this is some 160,000 tensors. As text a key may take four times as much memory."""

MAX_BLOCKS = 1 << 16
"""Data blocks of a table: 256 MiB in blocks of 4 KiB. Each takes about 12 µs, whether it holds entries or not."""

MAX_VALUE_BYTES = 16 << 20
"""Bytes of one value."""

WHOLE_BYTES = 1 << 20
"""A table up to this size is read with one request."""


class Handle(NamedTuple):
    """Where a block lies: *offset* and *size* in bytes, its trailer not counted."""

    offset: int
    size: int


def read_table(window: Window) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of every entry, keys strictly ascending.

    Reads each block once: one request up to `WHOLE_BYTES`, else the footer, metaindex and index, and the data blocks in order.

    Raises:
        MalformedModel: footer, block, checksum or entry is not what the format allows.
        ModelLimit: a limit of this module was reached.
    """
    blocks = _Blocks(window)
    key, keys_bytes = None, 0
    for block, offset in blocks.data_blocks():
        for next_key, value in entries(block, window.path, offset):
            if key is not None and next_key <= key:
                raise MalformedModel(window.path, offset, f"expected a key after {key[:80]!r}, found {next_key[:80]!r}")
            key = next_key
            keys_bytes += len(key)
            if keys_bytes > MAX_KEYS_BYTES:
                raise ModelLimit(window.path, offset, "MAX_KEYS_BYTES", f"more than {MAX_KEYS_BYTES} bytes of keys")
            yield key, value


def read_first(window: Window) -> tuple[bytes, bytes]:
    """Return the first entry. Reads footer, metaindex block, index block and the first data block.

    Raises:
        MalformedModel, ModelLimit: as in `read_table`, or the table is empty.
    """
    blocks = _Blocks(window)
    for block, offset in blocks.data_blocks():
        for entry in entries(block, window.path, offset):
            return entry
    raise MalformedModel(window.path, None, "expected at least one entry, found an empty table")


def read_handles(window: Window) -> Iterator[Handle]:
    """Yield where the data blocks lie, in order and none before the end of another. Reads all but these.

    Raises:
        MalformedModel, ModelLimit: as in `read_table`.
    """
    return _Blocks(window).handles()


def read_footer(window: Window) -> tuple[Handle, Handle]:
    """Return the handles of the metaindex block and of the index block. Reads the last 48 bytes.

    Raises:
        MalformedModel: the file is shorter than a footer, its magic number differs, or its padding is not of zeros.
    """
    start = window.size - FOOTER_BYTES
    if start < 0:
        raise MalformedModel(window.path, None, f"expected a table of at least {FOOTER_BYTES} bytes, found {window.size}")
    footer = window.bytes(start, window.size)
    if footer[-8:] != MAGIC:
        raise MalformedModel(window.path, window.size - 8, f"expected the table magic {MAGIC.hex()}, found {footer[-8:].hex()}")
    metaindex, position = _handle(footer, 0, 40, window.path, start)
    index, position = _handle(footer, position, 40, window.path, start)
    if not footer[position - 1] or any(footer[position:40]):  # No size is 0, so no varint that ends in 0 is its shortest form.
        raise MalformedModel(window.path, start + position, "expected two handles and zeros up to the magic, found more")
    return metaindex, index


def has_magic(window: Window) -> bool:
    """Tell whether the file ends as a table does. Reads its last 8 bytes."""
    return window.size >= FOOTER_BYTES and window.bytes(window.size - len(MAGIC), window.size) == MAGIC


def value_of_empty_key(head: bytes) -> bytes:
    """Return the first bytes of the value under the empty key, as far as *head*, the first bytes of a file, tells.

    Empty where the file begins otherwise. Cheap and unchecked: it tells whether a closer look is worth it.
    """
    try:
        block = head if head[:1] == b"\0" else snappy.first_literal(head)
        if block[:2] != b"\0\0":
            return b""
        length, position = _varint(block, 2, len(block), "", 0)
    except (snappy.CorruptSnappy, MalformedModel):
        return b""
    return block[position : position + length]


def entries(block: bytes, path: str, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, value) of the uncompressed *block*, in order; *path* and *offset* name its place for messages.

    Raises:
        MalformedModel: an entry leaves the block.
        ModelLimit: `MAX_KEY_BYTES` or `MAX_VALUE_BYTES` was reached.
    """
    stop = _end_of_entries(block, path, offset)
    key, position = b"", 0
    while position < stop:
        shared, position = _varint(block, position, stop, path, offset)
        fresh, position = _varint(block, position, stop, path, offset)
        length, position = _varint(block, position, stop, path, offset)
        if shared > len(key) or position + fresh + length > stop:
            raise MalformedModel(path, offset, f"an entry before byte {position} of its block leaves the block")
        if shared + fresh > MAX_KEY_BYTES:
            raise ModelLimit(path, offset, "MAX_KEY_BYTES", f"a key of {shared + fresh} bytes")
        if length > MAX_VALUE_BYTES:
            raise ModelLimit(path, offset, "MAX_VALUE_BYTES", f"a value of {length} bytes")
        key = key[:shared] + block[position : position + fresh]
        position += fresh + length
        yield key, block[position - length : position]


def unmask(masked: int) -> int:
    """Return the crc32c that is stored as *masked* (LevelDB, util/crc32c.h)."""
    rotated = (masked - 0xA282EAD8) & 0xFFFF_FFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFF_FFFF


def mask(crc: int) -> int:
    """Return *crc* as it is stored: a crc over bytes that hold crcs would be weak (LevelDB, util/crc32c.h)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFF_FFFF


class _Blocks:
    """The blocks of one table, each read once, in order and within the limits."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._unpacked = 0
        if window.size <= WHOLE_BYTES:
            window.at(0, window.size)

    def data_blocks(self) -> Iterator[tuple[bytes, int]]:
        """Yield (uncompressed bytes, offset) of every data block.

        Raises:
            ModelLimit: a limit of this module was reached.
        """
        for handle in self.handles():
            yield self._read(handle), handle.offset

    def handles(self) -> Iterator[Handle]:
        """Yield where every data block lies.

        Data blocks come one after the other: without that rule a few bytes of index could ask for the same block for ever.

        Raises:
            ModelLimit: there are more than `MAX_BLOCKS`.
        """
        path = self._window.path
        metaindex, index = read_footer(self._window)
        self._read(metaindex)
        end = 0
        for number, (_, value) in enumerate(entries(self._read(index), path, index.offset)):
            if number >= MAX_BLOCKS:
                raise ModelLimit(path, index.offset, "MAX_BLOCKS", f"more than {MAX_BLOCKS} data blocks")
            handle, _ = _handle(value, 0, len(value), path, index.offset)
            if handle.offset < end:
                raise MalformedModel(path, index.offset, f"expected a block at or after byte {end}, found {handle.offset}")
            end = handle.offset + handle.size + TRAILER_BYTES
            if end > self._window.size - FOOTER_BYTES:
                raise MalformedModel(path, handle.offset, f"a block wants bytes up to {end}, the file has {self._window.size}")
            yield handle

    def _read(self, handle: Handle) -> bytes:
        window = self._window
        stop = handle.offset + handle.size + TRAILER_BYTES
        if stop > window.size - FOOTER_BYTES:
            raise MalformedModel(window.path, handle.offset, f"a block wants bytes up to {stop}, the file has {window.size}")
        if handle.size > MAX_BLOCK_BYTES:
            raise ModelLimit(window.path, handle.offset, "MAX_BLOCK_BYTES", f"a block of {handle.size} bytes")
        stored = window.bytes(handle.offset, stop)
        crc = struct.unpack_from("<I", stored, handle.size + 1)[0]
        if google_crc32c.value(stored[:-4]) != unmask(crc):
            raise MalformedModel(window.path, handle.offset, "the checksum of a block differs from its bytes")
        return self._unpack(stored[: handle.size], stored[handle.size], handle.offset)

    def _unpack(self, block: bytes, kind: int, offset: int) -> bytes:
        path = self._window.path
        if kind == RAW:
            return block
        if kind != SNAPPY:
            raise MalformedModel(path, offset, f"expected block type 0 or 1, found {kind}")
        try:
            declared, _ = snappy.uncompressed_length(block)
            self._unpacked += declared
            if self._unpacked > MAX_UNPACKED_BYTES:
                raise ModelLimit(path, offset, "MAX_UNPACKED_BYTES", f"more than {MAX_UNPACKED_BYTES} bytes in Snappy blocks")
            return snappy.decode(block, declared)
        except snappy.CorruptSnappy as exc:
            raise MalformedModel(path, offset, f"a Snappy block {exc}") from exc


def _end_of_entries(block: bytes, path: str, offset: int) -> int:
    """Return where the entries of *block* end and its restart positions begin."""
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0] if len(block) >= 4 else 1
    stop = len(block) - 4 - 4 * restarts
    if stop < 0:
        raise MalformedModel(path, offset, f"a block of {len(block)} bytes has no room for {restarts} restart positions")
    return int(stop)


def _handle(data: bytes, position: int, stop: int, path: str, offset: int) -> tuple[Handle, int]:
    begin, position = _varint(data, position, stop, path, offset)
    size, position = _varint(data, position, stop, path, offset)
    return Handle(begin, size), position


def _varint(data: bytes, position: int, stop: int, path: str, offset: int) -> tuple[int, int]:
    """Return the varint at *position* and where it ends; at most ten bytes, before *stop*."""
    value = shift = 0
    while position < stop and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise MalformedModel(path, offset, f"a varint before byte {position} of its block is cut off or too long")
