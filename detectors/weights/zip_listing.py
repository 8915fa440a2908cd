"""The names and places of the members of a zip file, without opening one.

In goes a window on the file, out come `Member`s whose bytes are proven to lie inside it. Only the directory at the end is
read. One small member may then be read with a bound; whoever wants files extracted is wrong here.

    local header 30 bytes, name, extra | data | …  one after another
    directory: 46 bytes, name, extra, comment per member
    (zip64: record 56 bytes, locator 20 bytes)
    end: "PK\\5\\6" | … | u16 members | u32 bytes of the directory | u32 its place | u16 bytes of comment | comment

Source: APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from detectors.errors import MalformedModel, ModelLimit
from detectors.weights.single_file import EndsEarly, number, piece
from detectors.wire import Window

LOCAL, DIRECTORY, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
ZIP64_RECORD, ZIP64_LOCATOR = b"PK\6\6", b"PK\6\7"

MAX_DIRECTORY_BYTES = 16 << 20
MAX_MEMBERS = 100_000

END_BYTES = 22
MAX_COMMENT_BYTES = (1 << 16) - 1

STORED, DEFLATED = 0, 8
IN_ZIP64 = 0xFFFF_FFFF
"""A 32-bit field with this value stands in the zip64 extra field instead."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member: *packed* and *size* in bytes; *start* is the place of its local header."""

    name: str
    method: int
    packed: int
    size: int
    start: int


def list_members(window: Window) -> tuple[Member, ...]:
    """Return the members in the order of the directory. Reads the directory, and up to 64 KB of comment to find it.

    Raises:
        EndsEarly: there is no directory at the end, or a member goes beyond it: the file was cut off.
        MalformedModel: the directory contradicts itself.
        ModelLimit: the directory is larger than `MAX_DIRECTORY_BYTES` or `MAX_MEMBERS`.
    """
    start, stop = _directory(window)
    if stop - start > MAX_DIRECTORY_BYTES:
        raise ModelLimit(window.path, start, "MAX_DIRECTORY_BYTES", f"a zip directory of {stop - start} bytes")
    data, members, position = piece(window, start, stop - start), [], 0
    while position < len(data):
        member, position = _member(window, data, position, start)
        members.append(member)
        if len(members) > MAX_MEMBERS:
            raise ModelLimit(window.path, start + position, "MAX_MEMBERS", f"more than {MAX_MEMBERS} members")
    return tuple(members)


def read_member(window: Window, member: Member, max_bytes: int) -> bytes:
    """Return the content of one small member.

    Raises:
        ModelLimit: it is larger than *max_bytes*, packed or not.
        MalformedModel: it is encrypted or packed in a way that is not read, or its length is not the promised one.
    """
    if max(member.size, member.packed) > max_bytes:
        raise ModelLimit(window.path, member.start, "max_bytes", f"{member.name!r} is larger than {max_bytes} bytes")
    start = member.start + 30 + number(window, member.start + 26, 2) + number(window, member.start + 28, 2)
    data = piece(window, start, member.packed)
    if member.method == DEFLATED:
        data = _inflated(window, member, data)
    elif member.method != STORED:
        raise MalformedModel(window.path, member.start, f"{member.name!r} is packed by method {member.method}")
    if len(data) != member.size:
        raise MalformedModel(window.path, start, f"{member.name!r}: expected {member.size} bytes, found {len(data)}")
    return data


def _inflated(window: Window, member: Member, data: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    except zlib.error as exc:
        raise MalformedModel(window.path, member.start, f"{member.name!r} cannot be unpacked") from exc


def _directory(window: Window) -> tuple[int, int]:
    """Return where the directory starts and stops."""
    end = _end(window)
    place, count = number(window, end + 16, 4), number(window, end + 12, 4)
    if end >= 20 and piece(window, end - 20, 4) == ZIP64_LOCATOR:
        end = number(window, end - 20 + 8, 8)
        if piece(window, end, 4) != ZIP64_RECORD:
            raise MalformedModel(window.path, end, "expected the zip64 record, found something else")
        place, count = number(window, end + 48, 8), number(window, end + 40, 8)
    if place + count > end:
        raise MalformedModel(window.path, end, f"a zip directory up to byte {place + count}, which is behind its end at {end}")
    return place, place + count


def _end(window: Window) -> int:
    """Return where the end record starts: 22 bytes before the end of the file, or more where it has a comment."""
    for tail in (END_BYTES, END_BYTES + MAX_COMMENT_BYTES):
        start = max(window.size - tail, 0)
        data = piece(window, start, window.size - start)
        found = data.rfind(END)
        while found >= 0:
            if int.from_bytes(data[found + 20 : found + 22], "little") == len(data) - found - END_BYTES:
                return start + found
            found = data.rfind(END, 0, found)
    raise EndsEarly(window.path, None, "expected a zip directory at the end of the file, found none")


def _member(window: Window, data: bytes, position: int, base: int) -> tuple[Member, int]:
    """Return the member at *position* of the directory, and where the next one starts."""
    fields = data[position : position + 46]
    if len(fields) < 46 or fields[:4] != DIRECTORY:
        raise MalformedModel(window.path, base + position, "expected a member in the zip directory, found something else")
    name_bytes, extra_bytes, comment_bytes = (int.from_bytes(fields[at : at + 2], "little") for at in (28, 30, 32))
    packed, size, start = (int.from_bytes(fields[at : at + 4], "little") for at in (20, 24, 42))
    begin, end = position + 46, position + 46 + name_bytes
    packed, size, start = _from_zip64(data[end : end + extra_bytes], packed, size, start)
    if start + 30 + name_bytes + packed > base:
        raise EndsEarly(window.path, base + position, "a member of the zip goes beyond the directory")
    name = data[begin:end].decode("utf-8", "replace")
    return Member(name, int.from_bytes(fields[10:12], "little"), packed, size, start), end + extra_bytes + comment_bytes


def _from_zip64(extra: bytes, packed: int, size: int, start: int) -> tuple[int, int, int]:
    """Return the three numbers with those that did not fit into 32 bits taken from the zip64 extra field."""
    values = _zip64_values(extra)
    size = values.pop(0) if size == IN_ZIP64 and values else size
    packed = values.pop(0) if packed == IN_ZIP64 and values else packed
    start = values.pop(0) if start == IN_ZIP64 and values else start
    return packed, size, start


def _zip64_values(extra: bytes) -> list[int]:
    """Return the 64-bit values of the zip64 extra field, none where there is no such field."""
    position = 0
    while position + 4 <= len(extra):
        count = int.from_bytes(extra[position + 2 : position + 4], "little")
        body = extra[position + 4 : position + 4 + count]
        if extra[position : position + 2] == b"\1\0":
            return [int.from_bytes(body[at : at + 8], "little") for at in range(0, len(body) - 7, 8)]
        position += 4 + count
    return []
