"""The checksum that a checkpoint's index promises for a tensor, worked out while its bytes go by.

In go the bytes of one tensor in pieces, out comes the crc32c that its writer would have stored, None where the bytes cannot be
such a tensor. Which bytes belong to which tensor is left to `range_checks`.

Laws (each has a test of the same name):
    how the bytes are cut into pieces changes nothing;
    a length that is longer than it needs to be, or leaves the tensor, is wrong at once.

Layouts (tensorflow/core/util/tensor_bundle/tensor_bundle.cc, WriteStringTensor and WriteVariantTensor; every crc masked):

    numbers     the bytes; the crc runs over them
    strings     varint length of each | crc of the lengths, u32 | the strings
                the crc runs over each length as u32 (u64 where it needs more), then that crc, then the strings
    variants    for each:  varint length | that many bytes | crc of all so far, u32
                the crc runs over each length as u64, then the bytes, then that crc
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

import google_crc32c

from detectors.sstable import CRC_BYTES, mask, unmask
from detectors.tf_dtypes import STRING, VARIANT, base_of

SHORT_LENGTHS = re.compile(rb"[\x00-\x7f]+")
"""Lengths of one byte each. They are taken together: a loop in Python over every byte takes a microsecond for each."""

TOO_LONG = 1 << 63
"""Stands for a length that no tensor has, or that is written with more bytes than it needs."""

ByteOrder = Literal["little", "big"]


class TensorSum(Protocol):
    """A checksum over the bytes of one tensor, in order."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        ...

    def value(self) -> int | None:
        """Return the crc32c, not masked; None where the bytes so far are no whole tensor."""
        ...


def sum_for(dtype: int, elements: int, size: int, order: ByteOrder) -> TensorSum:
    """Return the sum of a tensor of *elements* in *size* bytes; *dtype* is TensorFlow's number, *order* its writer's."""
    if base_of(dtype) == STRING:
        return _StringSum(elements, size, order)
    if base_of(dtype) == VARIANT:
        return _VariantSum(elements, size, order)
    return _PlainSum()


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

    __slots__ = ("_bytes_left", "_crc", "_is_wrong", "_length", "_lengths_crc", "_lengths_left", "_order", "_size", "_stored")

    def __init__(self, elements: int, size: int, order: ByteOrder) -> None:
        self._order = order
        self._size = size
        self._is_wrong = elements < 0
        self._lengths_left = elements
        self._length = _Length()
        self._bytes_left = 0
        self._stored = b""
        self._crc = self._lengths_crc = 0

    def feed(self, piece: bytes) -> None:
        position = self._feed_lengths(piece) if self._lengths_left else 0
        if self._is_wrong:
            return
        if not self._lengths_left and len(self._stored) < CRC_BYTES:
            position = self._feed_checksum(piece, position)
        if position < len(piece):
            self._crc = google_crc32c.extend(self._crc, piece[position:])
            self._bytes_left -= len(piece) - position

    def value(self) -> int | None:
        whole = len(self._stored) == CRC_BYTES and self._bytes_left == 0 and not self._is_wrong
        sums_agree = whole and unmask(int.from_bytes(self._stored, self._order)) == self._lengths_crc
        return self._crc if sums_agree else None

    def _feed_lengths(self, piece: bytes) -> int:
        """Take lengths from *piece* and return where they stop."""
        lengths = bytearray()
        position = 0
        while position < len(piece) and self._lengths_left and not self._is_wrong:
            stop = min(len(piece), position + self._lengths_left)
            short = SHORT_LENGTHS.match(piece, position, stop) if not self._length.is_begun else None
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
        length = self._length.add(byte)
        if length is None:
            return b""
        self._bytes_left += length
        self._lengths_left -= 1
        self._is_wrong = self._bytes_left > self._size
        return length.to_bytes(4 if length <= 0xFFFF_FFFF else 8, self._order)

    def _feed_checksum(self, piece: bytes, position: int) -> int:
        """Take the checksum of the lengths from *piece* and return where it stops."""
        if not self._stored:
            self._lengths_crc = self._crc
        stop = position + CRC_BYTES - len(self._stored)
        self._stored += piece[position:stop]
        if len(self._stored) == CRC_BYTES:
            self._crc = google_crc32c.extend(self._crc, self._stored)
        return min(stop, len(piece))


class _VariantSum:
    """The crc32c of a tensor of variants; None where a length, a checksum and its bytes do not agree."""

    __slots__ = ("_bytes_left", "_crc", "_is_wrong", "_left", "_length", "_order", "_size", "_stored")

    def __init__(self, elements: int, size: int, order: ByteOrder) -> None:
        self._order = order
        self._size = size
        self._is_wrong = False
        self._left = elements
        self._length = _Length()
        self._bytes_left: int | None = None  # None: the next byte belongs to a length.
        self._stored = b""
        self._crc = 0

    def feed(self, piece: bytes) -> None:
        position = 0
        while position < len(piece) and not self._is_wrong:
            if self._bytes_left is None:
                self._begin(piece[position])
                position += 1
            elif self._bytes_left:
                position = self._feed_bytes(piece, position, self._bytes_left)
            else:
                position = self._feed_checksum(piece, position)

    def value(self) -> int | None:
        return None if self._is_wrong or self._left else self._crc

    def _begin(self, byte: int) -> None:
        """Take one byte of a length."""
        self._bytes_left = self._length.add(byte)
        if self._bytes_left is not None:
            self._crc = google_crc32c.extend(self._crc, self._bytes_left.to_bytes(8, self._order))
        self._is_wrong = not self._left or (self._bytes_left or 0) > self._size

    def _feed_bytes(self, piece: bytes, position: int, wanted: int) -> int:
        """Take bytes of an element from *piece* and return where they stop."""
        taken = piece[position : position + wanted]
        self._crc = google_crc32c.extend(self._crc, taken)
        self._bytes_left = wanted - len(taken)
        return position + len(taken)

    def _feed_checksum(self, piece: bytes, position: int) -> int:
        """Take the checksum behind an element from *piece* and return where it stops."""
        stop = min(position + CRC_BYTES - len(self._stored), len(piece))
        self._stored += piece[position:stop]
        if len(self._stored) == CRC_BYTES:
            self._is_wrong = int.from_bytes(self._stored, self._order) != mask(self._crc)
            self._crc = google_crc32c.extend(self._crc, self._stored)
            self._left -= 1
            self._bytes_left, self._stored = None, b""
        return stop


class _Length:
    """One varint after the other, byte by byte."""

    __slots__ = ("_shift", "_value")

    def __init__(self) -> None:
        self._value = self._shift = 0

    @property
    def is_begun(self) -> bool:
        return self._shift > 0

    def add(self, byte: int) -> int | None:
        """Return the length that *byte* ends, None where more is to come, `TOO_LONG` where it is no length."""
        self._value |= (byte & 0x7F) << self._shift
        self._shift += 7
        is_padded = byte == 0 and self._shift > 7
        if is_padded or self._shift >= 63:
            return TOO_LONG
        if byte >= 0x80:
            return None
        value, self._value, self._shift = self._value, 0, 0
        return value
