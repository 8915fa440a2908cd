"""Checksums of byte ranges, verified while a file streams by.

In go the ranges that an index promises for one data file, then the file itself as consecutive chunks; out come problems.
The store pass copies each byte once and feeds it here on its way, so a verified checkpoint costs no second read. Where the
ranges come from is left to `bundle`.

Laws (each has a test of the same name):
    how the file is cut into chunks changes nothing;
    a range that lacks a byte, or has a flipped bit, is always a problem;
    memory does not grow with the chunks that went by.

A tensor of strings is stored as (tensorflow/core/util/tensor_bundle/tensor_bundle.cc, WriteStringTensor)

    varint length of each string | masked crc32c of the lengths, u32 | the strings

and its crc runs over each length as u32 (u64 where it needs more), then the masked crc, then the strings. A length that is
longer than it needs to be, or leaves the range, is wrong at once; so there are few lengths of several bytes in a range.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import google_crc32c

from detectors.facts import Problem
from detectors.sstable import unmask
from detectors.tf_dtypes import STRING, VARIANT, base_of

MAX_OVERLAPS = 16
"""Ranges that may cover the same byte. Writers never overlap any; each further one would cost another pass over the bytes."""

SHORT_LENGTHS = re.compile(rb"[\x00-\x7f]+")
"""Lengths of one byte each. They are taken together: a loop in Python over every byte takes a microsecond for each."""

MAX_PROBLEMS = 100
"""Problems that are told one by one; the rest is a count."""


@dataclass(frozen=True, slots=True)
class Check:
    """Bytes [start, stop) of the file hold *elements* elements of the tensor *name*; *crc32c* is masked, as stored."""

    start: int
    stop: int
    crc32c: int
    name: str
    dtype: int
    elements: int


class RangeChecks:
    """The checks of one file, fed with its bytes in order.

    unchecked names the tensors whose checksum cannot be verified here: variants, whose bytes only TensorFlow can frame.
    """

    def __init__(self, path: str, checks: Iterable[Check], big_endian: bool = False) -> None:
        self._path = path
        self._order: ByteOrder = "big" if big_endian else "little"
        ordered = sorted(checks, key=lambda check: (check.start, check.stop, check.name))
        self._waiting = [check for check in ordered if base_of(check.dtype) != VARIANT]
        self.unchecked = tuple(check.name for check in ordered if base_of(check.dtype) == VARIANT)
        self._next = 0
        self._running: list[_Running] = []
        self._position = 0
        self._problems: list[str] = []
        self._untold = 0

    def update(self, chunk: bytes) -> None:
        """Feed the next bytes of the file. A chunk that lies inside one range is not copied."""
        end = self._position + len(chunk)
        while self._next < len(self._waiting) and self._waiting[self._next].start < end:
            check = self._waiting[self._next]
            self._next += 1
            self._close(check.start, chunk)
            self._open(check)
        for running in self._running:
            running.feed(chunk, self._position)
        self._position = end
        self._close(end, b"")

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the bytes fed so far, taken as the whole file. May be asked more than once."""
        told = list(self._problems)
        for running in self._running:
            told.append(self._cut_off(running.check))
        for check in self._waiting[self._next :]:
            empty = check.start == check.stop <= self._position
            if not empty:
                told.append(self._cut_off(check))
            elif reason := _Running(check, self._order).reason():
                told.append(reason)
        more = len(told) - MAX_PROBLEMS + self._untold
        told = told[:MAX_PROBLEMS] + ([f"and {more} more tensors"] if more > 0 else [])
        return tuple(Problem(self._path, problem) for problem in told)

    def _open(self, check: Check) -> None:
        is_text = base_of(check.dtype) == STRING
        if len(self._running) >= MAX_OVERLAPS:
            self._tell(f"tensor {check.name}: not verified, more than {MAX_OVERLAPS} tensors share its bytes")
        elif is_text and any(base_of(other.check.dtype) == STRING for other in self._running):
            self._tell(f"tensor {check.name}: not verified, another tensor of strings shares its bytes")
        else:
            self._running.append(_Running(check, self._order))

    def _close(self, position: int, chunk: bytes) -> None:
        """Finish the ranges that end at or before *position*, with what *chunk* still holds for them."""
        for running in [running for running in self._running if running.check.stop <= position]:
            running.feed(chunk, self._position)
            self._running.remove(running)
            if reason := running.reason():
                self._tell(reason)

    def _tell(self, problem: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._untold += 1

    def _cut_off(self, check: Check) -> str:
        return f"tensor {check.name} wants bytes [{check.start}, {check.stop}), the file has {self._position}"


ByteOrder = Literal["little", "big"]


class _Sum(Protocol):
    """A checksum over the bytes of one tensor, in order."""

    def feed(self, piece: bytes) -> None: ...
    def value(self) -> int | None: ...


class _Running:
    """A range whose bytes are going by."""

    __slots__ = ("_fed", "_sum", "check")

    def __init__(self, check: Check, order: ByteOrder) -> None:
        self.check = check
        self._fed = check.start
        is_text = base_of(check.dtype) == STRING
        self._sum: _Sum = _StringSum(check.elements, check.stop - check.start, order) if is_text else _PlainSum()

    def feed(self, chunk: bytes, begin: int) -> None:
        """Take what is new for this range from *chunk*, which begins at byte *begin* of the file."""
        stop = min(self.check.stop, begin + len(chunk))
        if stop > self._fed:
            self._sum.feed(chunk[self._fed - begin : stop - begin])
            self._fed = stop

    def reason(self) -> str | None:
        """Return what is wrong with the bytes of the range, None where they are as promised."""
        if self._sum.value() == unmask(self.check.crc32c):
            return None
        return f"tensor {self.check.name}: the checksum of bytes [{self.check.start}, {self.check.stop}) differs from the index"


class _PlainSum:
    """The crc32c of the bytes themselves."""

    __slots__ = ("_crc",)

    def __init__(self) -> None:
        self._crc = 0

    def feed(self, piece: bytes) -> None:
        self._crc = google_crc32c.extend(self._crc, piece)

    def value(self) -> int | None:
        return self._crc


class _StringSum:
    """The crc32c of a tensor of strings; None where its lengths, their checksum and its bytes do not agree."""

    __slots__ = (
        "_bytes_left",
        "_crc",
        "_is_wrong",
        "_lengths_crc",
        "_lengths_left",
        "_order",
        "_shift",
        "_size",
        "_stored",
        "_value",
    )

    def __init__(self, elements: int, size: int, order: ByteOrder) -> None:
        self._order = order
        self._size = size
        self._is_wrong = False
        self._lengths_left = elements
        self._value = self._shift = 0
        self._bytes_left = 0
        self._stored = b""
        self._crc = self._lengths_crc = 0

    def feed(self, piece: bytes) -> None:
        position = self._feed_lengths(piece) if self._lengths_left else 0
        if self._is_wrong:
            return
        if not self._lengths_left and len(self._stored) < 4:
            position = self._feed_checksum(piece, position)
        if position < len(piece):
            self._crc = google_crc32c.extend(self._crc, piece[position:])
            self._bytes_left -= len(piece) - position

    def value(self) -> int | None:
        whole = len(self._stored) == 4 and self._bytes_left == 0 and not self._is_wrong
        sums_agree = whole and unmask(int.from_bytes(self._stored, self._order)) == self._lengths_crc
        return self._crc if sums_agree else None

    def _feed_lengths(self, piece: bytes) -> int:
        """Take lengths from *piece* and return where they stop."""
        lengths = bytearray()
        position = 0
        while position < len(piece) and self._lengths_left and not self._is_wrong:
            stop = min(len(piece), position + self._lengths_left)
            short = SHORT_LENGTHS.match(piece, position, stop) if self._shift == 0 else None
            if short:
                lengths += self._short_lengths(short[0])
                position = short.end()
            else:
                lengths += self._add(piece[position])
                position += 1
        self._crc = google_crc32c.extend(self._crc, bytes(lengths))
        return position

    def _short_lengths(self, run: bytes) -> bytes:
        """Take *run*, a length in each byte, and return it as the checksum sees it."""
        self._bytes_left += sum(run)
        self._lengths_left -= len(run)
        self._is_wrong = self._bytes_left > self._size
        lengths = bytearray(4 * len(run))
        lengths[0 if self._order == "little" else 3 :: 4] = run
        return bytes(lengths)

    def _add(self, byte: int) -> bytes:
        """Take one byte of a length of several, and return that length as the checksum sees it where this was its last."""
        self._value |= (byte & 0x7F) << self._shift
        self._shift += 7
        if byte >= 0x80:
            self._is_wrong = self._value > self._size or self._shift >= 63
            return b""
        value, self._value, self._shift = self._value, 0, 0
        self._bytes_left += value
        self._lengths_left -= 1
        self._is_wrong = byte == 0 or self._bytes_left > self._size
        return value.to_bytes(4 if value <= 0xFFFF_FFFF else 8, self._order)

    def _feed_checksum(self, piece: bytes, position: int) -> int:
        """Take the checksum of the lengths from *piece* and return where it stops."""
        if not self._stored:
            self._lengths_crc = self._crc
        stop = position + 4 - len(self._stored)
        self._stored += piece[position:stop]
        if len(self._stored) == 4:
            self._crc = google_crc32c.extend(self._crc, self._stored)
        return min(stop, len(piece))
