"""A bounded decoder for the raw Snappy format, which Google's own builds use for blocks of a variables index.

In go the bytes of one block and the most that may come out; out come its bytes. Such blocks are a few kilobytes, so plain
Python is fast enough and no native library is needed. Framing (`.sz` files) and compression are left to others.

Laws (each has a test of the same name):
    any bytes give bytes of the declared length or `CorruptSnappy`;
    no more memory is used than the declared length.

Format (google/snappy, format_description.txt): a varint length, then elements, each a tag byte whose two low bits tell
the kind:

    00  literal: 6 bits of length - 1, or 60..63 for a length in the 1..4 bytes that follow; then the bytes
    01  copy:    3 bits of length - 4, 3 high bits of the offset; 1 byte of offset
    10  copy:    6 bits of length - 1; 2 bytes of offset
    11  copy:    6 bits of length - 1; 4 bytes of offset
"""

from __future__ import annotations


class CorruptSnappy(ValueError):
    """The bytes are not a Snappy block, or declare more than the caller allows. The caller knows the file and the place."""


def decode(data: bytes, max_bytes: int) -> bytes:
    """Return the uncompressed bytes of the block *data*.

    Raises:
        CorruptSnappy: an element leaves the block, the length is another than declared, or it is above *max_bytes*.
    """
    declared, position = uncompressed_length(data)
    if declared > max_bytes:
        raise CorruptSnappy(f"declares {declared} bytes, at most {max_bytes} are allowed")
    out = bytearray()
    while position < len(data):
        if data[position] & 3:
            position = _copy(data, position, out, declared)
        else:
            start, position = _literal(data, position)
            out += data[start:position]
        if len(out) > declared:
            raise CorruptSnappy(f"holds more than the declared {declared} bytes")
    if len(out) != declared:
        raise CorruptSnappy(f"declares {declared} bytes and holds {len(out)}")
    return bytes(out)


def uncompressed_length(data: bytes) -> tuple[int, int]:
    """Return the declared length in bytes and where the elements begin.

    Raises:
        CorruptSnappy: the varint is cut off, or longer than five bytes.
    """
    value = 0
    for position, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return value, position + 1
    raise CorruptSnappy("has no length of at most five bytes")


def first_literal(data: bytes) -> bytes:
    """Return the first bytes of the uncompressed block, as far as its first element tells; *data* may be cut off.

    Raises:
        CorruptSnappy: the block does not begin with a length and a literal.
    """
    _, position = uncompressed_length(data)
    if position >= len(data) or data[position] & 3:
        raise CorruptSnappy("does not begin with a literal")
    start, stop = _bounds_of_literal(data, position)
    return data[start:stop]


def _literal(data: bytes, position: int) -> tuple[int, int]:
    """Return where the bytes of the literal at *position* begin and end, inside *data*."""
    start, stop = _bounds_of_literal(data, position)
    if stop > len(data):
        raise CorruptSnappy(f"a literal at byte {position} leaves the block")
    return start, stop


def _bounds_of_literal(data: bytes, position: int) -> tuple[int, int]:
    length = data[position] >> 2
    start = position + 1
    if length >= 60:
        start += length - 59
        length = int.from_bytes(data[position + 1 : start], "little")
    return start, start + length + 1


def _copy(data: bytes, position: int, out: bytearray, declared: int) -> int:
    """Append the copy at *position* to *out* and return where the next element begins. A copy may overlap what it writes."""
    tag = data[position]
    kind = tag & 3
    stop = position + (2, 3, 5)[kind - 1]
    if stop > len(data):
        raise CorruptSnappy(f"a copy at byte {position} leaves the block")
    offset = int.from_bytes(data[position + 1 : stop], "little")
    length = (tag >> 2) + 1
    if kind == 1:
        offset |= (tag >> 5) << 8
        length = (tag >> 2 & 7) + 4
    if not 0 < offset <= len(out) or len(out) + length > declared:
        raise CorruptSnappy(f"a copy at byte {position} of {length} bytes from {offset} before leaves the output")
    begin = len(out) - offset
    piece = out[begin : begin + length]
    out += (piece * (length // offset + 1))[:length]
    return stop
