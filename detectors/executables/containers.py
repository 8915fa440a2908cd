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
from typing import Protocol

from detectors.errors import MalformedModel, ModelLimit, TreeChanged
from detectors.executables.kinds import BZIP, GZIP, XZ, ZLIB, Kind
from detectors.tree import FileEntry, check_range
from detectors.wire import Window

BLOCK = 512
MAX_UNPACKED_BYTES = 1 << 20
"""Of one compressed file. What lies behind is not looked at, and told so."""

PACKED_BYTES = 1 << 20

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
            if header[156:157] in (b"0", b"\0", b"7"):
                self._files[name] = (position + BLOCK, size)
            position += BLOCK + -(-size // BLOCK) * BLOCK
        raise ModelLimit(window.path, position, "MAX_FILES", f"a tar of more than {max_files} files")

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


UNPACKING: dict[Kind, Callable[[], Unpacking]] = {
    GZIP: lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    ZLIB: zlib.decompressobj,
    BZIP: bz2.BZ2Decompressor,
    XZ: lambda: lzma.LZMADecompressor(memlimit=MAX_DECODER_BYTES),
}


def unpacked(window: Window, kind: Kind, packed_bytes: int = PACKED_BYTES) -> tuple[bytes, bool]:
    """Return what the compressed file begins with, and whether that is all of it.

    Reads *packed_bytes* at most, and gives `MAX_UNPACKED_BYTES` at most.

    Raises:
        MalformedModel: the bytes are not what they begin as.
    """
    one = UNPACKING[kind]()
    packed = window.bytes(0, min(window.size, packed_bytes))
    try:
        data = one.decompress(packed, MAX_UNPACKED_BYTES)
    except (zlib.error, OSError, lzma.LZMAError, ValueError, EOFError) as exc:
        raise MalformedModel(window.path, None, f"its compressed bytes are damaged: {exc}") from exc
    return data, bool(getattr(one, "eof", False)) and len(data) < MAX_UNPACKED_BYTES
