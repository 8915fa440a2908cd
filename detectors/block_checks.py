"""The checksums of a table's blocks, verified while the file streams by.

In go the handles of the blocks, then the file as consecutive chunks; out come problems. A checkpoint of the first format
holds its tensors in such blocks, each with its checksum right behind it, so one pass over the bytes verifies them all.
Where the blocks lie is read by `sstable`, what they hold by `tensor_slices`.

Laws (each has a test of the same name):
    how the file is cut into chunks changes nothing to the blocks;
    a block that lacks a byte is always told;
    a block that has a flipped bit is always told.
"""

from __future__ import annotations

import google_crc32c

from detectors.facts import FileSums, Problem
from detectors.sstable import CRC_BYTES, TRAILER_BYTES, Handle, unmask

MAX_PROBLEMS = 100
"""Problems that are told one by one; the rest is a count."""


class BlockChecks:
    """The checks of the blocks of one file, fed with its bytes in order."""

    def __init__(self, sums: FileSums) -> None:
        self._path = sums.path
        self._blocks = tuple(Handle(*block) for block in sums.blocks)
        self._next = 0
        self._position = 0
        self._crc = 0
        self._stored = b""
        self._wrong: list[Handle] = []

    def update(self, chunk: bytes) -> None:
        """Feed the next bytes of the file."""
        begin, self._position = self._position, self._position + len(chunk)
        while self._next < len(self._blocks):
            block = self._blocks[self._next]
            self._feed(block, chunk, begin)
            if block.offset + block.size + TRAILER_BYTES > self._position:
                return
            self._close(block)

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the bytes fed so far, taken as the whole file. May be asked more than once."""
        told = [f"the checksum of the block at byte {block.offset} differs from its bytes" for block in self._wrong]
        told += [f"the block at byte {block.offset} is cut off" for block in self._blocks[self._next :]]
        more = len(told) - MAX_PROBLEMS
        told = told[:MAX_PROBLEMS] + ([f"and {more} more blocks"] if more > 0 else [])
        return tuple(Problem(self._path, problem) for problem in told)

    def _feed(self, block: Handle, chunk: bytes, begin: int) -> None:
        """Take what *chunk*, which begins at byte *begin* of the file, holds of *block* and of the checksum behind it."""
        end = block.offset + block.size + TRAILER_BYTES
        self._crc = google_crc32c.extend(self._crc, _part(chunk, begin, block.offset, end - CRC_BYTES))
        self._stored += _part(chunk, begin, end - CRC_BYTES, end)

    def _close(self, block: Handle) -> None:
        """Judge *block*, all of which went by, and turn to the next."""
        if unmask(int.from_bytes(self._stored, "little")) != self._crc:
            self._wrong.append(block)
        self._next += 1
        self._crc, self._stored = 0, b""


def _part(chunk: bytes, begin: int, start: int, stop: int) -> bytes:
    """Return the bytes [start, stop) of the file as far as *chunk*, which begins at byte *begin* of it, has them."""
    return chunk[max(start - begin, 0) : max(stop - begin, 0)]
