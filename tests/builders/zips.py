"""Zips, byte by byte: honest ones, and such as say two things at once.

Source: PKWARE APPNOTE 6.3.10, 4.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from struct import pack, unpack

STORED, DEFLATED = 0, 8
UNIX, FILE_MODE, FOLDER_MODE, LINK_MODE = 3, 0o100644, 0o040755, 0o120777


@dataclass(frozen=True)
class Member:
    """One file of a zip. *data* is what lies in it, packed already; *own* overrides what its own header says."""

    name: bytes
    data: bytes = b"abc"
    method: int = STORED
    flags: int = 0
    crc: int = 0
    size: int = 0
    mode: int = FILE_MODE
    dos: int = 0
    extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    version: int = 20
    behind: bytes = b""
    place: int | None = None
    own: Mapping[str, object] = field(default_factory=dict)


def stored(name: bytes, content: bytes = b"abc", **more: object) -> Member:
    return replace(Member(name, content, STORED, crc=zlib.crc32(content), size=len(content)), **more)  # type: ignore[arg-type]


def deflated(name: bytes, content: bytes = b"abc", **more: object) -> Member:
    return replace(Member(name, raw_deflate(content), DEFLATED, crc=zlib.crc32(content), size=len(content)), **more)  # type: ignore[arg-type]


def streamed(member: Member, **more: object) -> Member:
    """Return *member* as one whose sizes are told behind its data."""
    own = {"crc": 0, "packed": 0, "size": 0}
    behind = pack("<4s3I", b"PK\x07\x08", member.crc, len(member.data), member.size)
    return replace(member, **{"flags": member.flags | 8, "own": own, "behind": behind, **more})  # type: ignore[arg-type]


def folder(name: bytes, **more: object) -> Member:
    return replace(Member(name, b"", mode=FOLDER_MODE), **more)  # type: ignore[arg-type]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def extra(tag: int, data: bytes) -> bytes:
    return pack("<2H", tag, len(data)) + data


def local(member: Member) -> bytes:
    """Return what stands in the zip for *member*: header, data, and what follows."""
    said = {
        "name": member.name,
        "version": member.version,
        "flags": member.flags,
        "method": member.method,
        "crc": member.crc,
        "packed": len(member.data),
        "size": member.size,
        "extra": member.extra,
        **member.own,
    }
    numbers = [said[key] for key in ("version", "flags", "method")], [said[key] for key in ("crc", "packed", "size")]
    lengths = len(said["name"]), len(said["extra"])  # type: ignore[arg-type]
    head = pack("<4s5H3I2H", b"PK\x03\x04", *numbers[0], 0, 33, *numbers[1], *lengths)
    return head + said["name"] + said["extra"] + member.data + member.behind  # type: ignore[operator]


def entry(member: Member, place: int) -> bytes:
    """Return what the directory says of *member*, whose header begins at *place*."""
    place = place if member.place is None else member.place
    head = pack("<4s6H", b"PK\x01\x02", UNIX << 8 | 20, member.version, member.flags, member.method, 0, 33)
    numbers = pack("<3I3H", member.crc, len(member.data), member.size, len(member.name), len(member.extra), len(member.comment))
    rest = pack("<2H2I", member.disk, 0, member.mode << 16 | member.dos, place)
    return head + numbers + rest + member.name + member.extra + member.comment


def zipped(*members: Member, between: bytes = b"", before_directory: bytes = b"", behind_directory: bytes = b"") -> bytes:
    """Return a zip of *members*, with bytes of nobody *between* them, and around its directory."""
    parts, entries, at = [], [], 0
    for member in members:
        parts.append(local(member) + between)
        entries.append(entry(member, at))
        at += len(parts[-1])
    body, directory = b"".join(parts) + before_directory, b"".join(entries)
    return body + directory + behind_directory + end(min(len(members), 0xFFFF), len(directory), len(body))


def end(count: int, length: int, start: int, comment: bytes = b"", here: int | None = None, disk: int = 0) -> bytes:
    here = count if here is None else here
    return pack("<4s4H2IH", b"PK\x05\x06", disk, 0, here, count, length, start, len(comment)) + comment


def wide_end(count: int, length: int, start: int, place: int, disks: int = 1) -> bytes:
    """Return the wide end and its locator, which says that it lies at *place*."""
    record = pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, start)
    return record + pack("<4sIQI", b"PK\x06\x07", 0, place, disks)


def zipped_wide(
    *members: Member, place: int | None = None, narrow: tuple[int, int, int] | None = None, disks: int = 1
) -> bytes:
    """Return a zip64 of *members* whose narrow end says *narrow* (count, length, start; all as large as can be)."""
    small = zipped(*members)
    (start,) = unpack("<I", small[-6:-2])
    directory_end = len(small) - 22
    wide = wide_end(len(members), directory_end - start, start, directory_end if place is None else place, disks)
    return small[:directory_end] + wide + end(*(narrow or (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)))
