"""What lies in archives, as trees: tars by their headers, and compressed files as far as they are unpacked.

In goes a window on the archive, out comes a tree whose files can be looked at like any other. (Zips are `detectors.zips`.)
Nothing is written, and no more is unpacked than `MAX_UNPACKED_BYTES`.

Law (has a test of the same name):
    any bytes give a tree or a ModelError.

Source: POSIX.1-2017, pax, "ustar Interchange Format"; RFC 1950 to 1952.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from detectors.errors import MalformedModel, ModelLimit, TreeChanged
from detectors.executables.kinds import BZIP, GZIP, LZMA, XZ, ZLIB, Kind, kind_of
from detectors.tree import FileEntry, check_range
from detectors.wire import Window

BLOCK = 512

NO_FILES = frozenset(bytes([letter]) for letter in b"123456LKxgX")
"""Types of members of a tar that are no files: links, devices, folders, names. Python takes all others for files."""

SPARSE = b"S"
MAX_HOLE_BLOCKS = 100
MAX_UNPACKED_BYTES = 1 << 20
"""Of one compressed file. What lies behind is not looked at, and told so."""

PACKED_BYTES = 1 << 20

PIECE_BYTES = 4096
"""Fed at once: readers of files take more, so that what they give before damage is seen here as well."""

MAX_STREAMS = 20
"""Streams in one file, each of which takes a decoder. What follows is not looked at, and told so."""

MAX_DECODER_BYTES = 128 << 20
"""Memory that xz may ask for; its strongest preset takes 65 MB."""


class TarTree:
    """The files in a tar, by the headers on the way. A name that stands twice is the later one, as in `tar -x`.

    Raises:
        MalformedModel: a header contradicts the file.
        ModelLimit: there are more than *max_files* files.
    """

    def __init__(self, window: Window, max_files: int) -> None:
        self._window = window
        self._files: dict[str, tuple[int, int]] = {}
        position = 0
        for _ in range(max_files):
            header = self._bytes(position, BLOCK)
            if len(header) < BLOCK or not header.strip(b"\0"):
                return
            size = _number(window, position, header[124:136])
            name = header[:100].split(b"\0")[0].decode("utf-8", "surrogateescape")
            if header[156:157] == SPARSE and header[482:483] != b"\0":
                position = self._behind_holes(position)
            if header[156:157] not in NO_FILES:
                self._files[name] = (position + BLOCK, size)
            position += BLOCK + -(-size // BLOCK) * BLOCK
        raise ModelLimit(window.path, position, "MAX_FILES", f"a tar of more than {max_files} files")

    def _behind_holes(self, position: int) -> int:
        """Return the place of the last block of a header that goes on with a list of holes."""
        for _ in range(MAX_HOLE_BLOCKS):
            position += BLOCK
            if self._bytes(position, BLOCK)[504:505] in (b"", b"\0"):
                return position
        raise ModelLimit(self._window.path, position, "MAX_HOLE_BLOCKS", "a sparse file in a tar")

    def files(self) -> Iterator[FileEntry]:
        """Yield the files by path."""
        return (FileEntry(path, size, "tar") for path, (_, size) in sorted(self._files.items()))

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *path*, fewer at the end of the file or of the tar."""
        check_range(start, stop)
        if path not in self._files:
            raise TreeChanged(path, "there is no such file in the tar")
        begin, size = self._files[path]
        return self._bytes(begin + min(start, size), min(stop, size) - min(start, size))

    def _bytes(self, start: int, count: int) -> bytes:
        if start >= self._window.size:
            return b""
        return self._window.bytes(start, min(start + count, self._window.size))


def _number(window: Window, position: int, text: bytes) -> int:
    """Return a size as a header has it: octal, or binary where it begins with 0x80."""
    if text[:1] == b"\x80":
        size = int.from_bytes(text[1:], "big")
    else:
        digits = text.strip(b" \0")
        if not all(0x30 <= digit < 0x38 for digit in digits):
            raise MalformedModel(window.path, position, f"expected a size in a tar header, found {digits[:12]!a}")
        size = int(digits or b"0", 8)
    if position + BLOCK + size > window.size:
        raise MalformedModel(window.path, position, f"a file of {size} bytes in the tar goes beyond its end")
    return size


class Unpacking(Protocol):
    """What gives at most so many bytes for those it is fed: the three decompressors of the standard library."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@runtime_checkable
class Copied(Unpacking, Protocol):
    """One that can be kept as it was: that of zlib and gzip."""

    def copy(self) -> Copied: ...


UNPACKING: dict[Kind, Callable[[], Unpacking]] = {
    GZIP: lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    ZLIB: zlib.decompressobj,
    BZIP: bz2.BZ2Decompressor,
    XZ: lambda: lzma.LZMADecompressor(memlimit=MAX_DECODER_BYTES),
    LZMA: lambda: lzma.LZMADecompressor(memlimit=MAX_DECODER_BYTES),
}


def unpacked(window: Window, kind: Kind, packed_bytes: int = PACKED_BYTES, most: int | None = None) -> tuple[bytes, bool]:
    """Return what the compressed file begins with, and whether that is all of it.

    Streams that follow one another are one file, as readers take them; of bytes that are damaged, what comes before counts.
    Reads *packed_bytes* at most, and gives *most* at most, or `MAX_UNPACKED_BYTES`.

    Raises:
        MalformedModel: the bytes are not what they begin as.
        ModelLimit: to unpack them takes more memory than `MAX_DECODER_BYTES`.
    """
    most = MAX_UNPACKED_BYTES if most is None else most
    packed = window.bytes(0, min(window.size, packed_bytes))
    out = bytearray()
    for number in range(MAX_STREAMS):
        stream = UNPACKING[kind]()
        try:
            rest, is_ended = _stream(window, stream, packed, out, most)
        except MalformedModel:
            if not out and not number:
                raise
            return bytes(out), kind_of(packed) is not kind
        if not is_ended or len(out) >= most:
            return bytes(out), False
        packed = rest.lstrip(b"\0")
        if not packed:
            return bytes(out), packed_bytes >= window.size
    return bytes(out), False


def _stream(window: Window, stream: Unpacking, packed: bytes, out: bytearray, most: int) -> tuple[bytes, bool]:
    """Unpack one stream into *out*; return the bytes behind it, and whether it has ended.

    Raises:
        MalformedModel, ModelLimit: as `unpacked`; *out* has what came before.
    """
    for start in range(0, len(packed), PIECE_BYTES):
        piece = packed[start : start + PIECE_BYTES]
        before = stream.copy() if isinstance(stream, Copied) else None
        try:
            out += stream.decompress(piece, max(1, most - len(out)))
        except (zlib.error, OSError, lzma.LZMAError, ValueError, EOFError) as exc:
            if isinstance(exc, lzma.LZMAError) and "limit" in str(exc):
                reason = "more memory than that to unpack it"
                raise ModelLimit(window.path, None, "MAX_DECODER_BYTES", reason) from exc
            if before is not None:
                _until_damage(before, piece, out, most)
            raise MalformedModel(window.path, None, f"its compressed bytes are damaged: {exc}") from exc
        if getattr(stream, "eof", False):
            return getattr(stream, "unused_data", b"") + packed[start + PIECE_BYTES :], True
        if len(out) >= most:
            break
    return b"", False


def _until_damage(stream: Unpacking, piece: bytes, out: bytearray, most: int) -> None:
    """Unpack *piece* byte by byte into *out*, up to where it is damaged.

    Python's gzip gives what it has before it compares the sum at the end, and a pickle has run by then.
    """
    for at in range(len(piece)):
        if len(out) >= most:
            return
        try:
            out += stream.decompress(piece[at : at + 1], most - len(out))
        except zlib.error:
            return
