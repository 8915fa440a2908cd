"""A zip that a stranger made, as a read-only tree of files; or a reason why it is not read.

Two programs may see different files in one zip: by its directory at the end or by the headers on the way, by the first or by
the last of two equal names, or because something lies before, between or behind. What can be seen in two ways is refused, and
so is a name that would leave a folder, a link, and what would unpack to far more than there is.

`zipfile` chooses one of the ways in silence, another one in each release, and reads a directory of any size into memory. So the
zip is walked here, and only zlib is trusted with its bytes. Names that differ by case or by Unicode form only are two files, as
they are in a folder and in the store. Uploads are read with it (`worker.archive`), and the containers of models
(`detectors.executables`).

Of the 45 zips with which PyPI tests its own checks, the 35 that it refuses are refused here, and 8 of the 10 that it takes are
taken, one without a file among them. The other two (`short_usize*.zip`) say that a file has 9 bytes, whose data go on for 42
more: Python and libarchive give 9, unzip and Java 51, so they are refused (docs/decisions/0025).

Laws (each has a test of the same name):
    any bytes give a tree or a ModelError;
    a zip that two readers may see differently is refused;
    no name leaves the folder.

Source: PKWARE APPNOTE 6.3.10, 4.3 "General Format", 4.4.4 "general purpose bit flag", 4.5.3 "Zip64 Extended Information";
the checks that PyPI makes since 2025. It refuses data descriptors as well; here one must say what the directory says.

    local header  (30 bytes, name, extra)  data  [data descriptor]   … one after the other, nothing between
    central directory                                                … one entry for each
    [its wide end (56 bytes)  locator of that (20 bytes)]            … zip64
    end of central directory (22 bytes)  [comment]                   … nothing behind
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from zipfile import ZIP_DEFLATED, ZIP_STORED
from zlib import MAX_WBITS, crc32, decompressobj
from zlib import error as ZlibError

from detectors.errors import MalformedModel, ModelError, ModelLimit, TreeChanged
from detectors.tree import FileEntry, check_range, readable
from detectors.wire import Window

Source = Callable[[int, int], bytes]
"""Gives bytes [start, stop) of the zip, fewer only at its end."""

MAX_FILES = 100_000
"""Files and folders together."""

MAX_DIRECTORY_BYTES = 64 << 20
"""The directory is read whole: 600 bytes for each of the most files."""

MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 255
"""Lengths that file systems take."""

MAX_RATIO = 200
"""How many times larger what is unpacked may be. Deflate packs nothing tighter than 1,032 times, and weights hardly at all; of
the models in the corpus of the tests no file packs tighter than 84 times and no repository than 36."""

FREE_BYTES = 64 << 20
"""Up to here a ratio says nothing: a text of spaces is no attack."""

CHUNK_BYTES = 1 << 20
PACKED_BYTES = 16 << 10
"""What is inflated at once: at most 16 MiB come of it, and the rest of it is copied for each read."""

LOCAL = Struct("<4s5H3I2H")
ENTRY = Struct("<4s6H3I5H2I")
END = Struct("<4s4H2IH")
WIDE_END = Struct("<4sQ2H2I4Q")
LOCATOR = Struct("<4sIQI")
DESCRIPTOR = Struct("<4s3I")
WIDE_DESCRIPTOR = Struct("<4sI2Q")
EXTRA = Struct("<2H")
WIDE_NUMBER = Struct("<Q")
WIDE_SIZES = Struct("<2Q")
LOCAL_MAGIC, ENTRY_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
WIDE_END_MAGIC, LOCATOR_MAGIC, DESCRIPTOR_MAGIC = b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08"
ANY_MAGIC = re.compile(rb"PK(?:\x01\x02|\x03\x04|\x07\x08)")

MAX_VERSION = 45
"""What deflate and zip64 need (4.4.3.2); a reader that knows less than is asked for may pass a file over."""

DESCRIBED_BEHIND, UTF8 = 1 << 3, 1 << 11
TAKEN_FLAGS = DESCRIBED_BEHIND | UTF8 | 0b110
"""The others mean encryption, patches, or nothing yet; 1 and 2 tell how hard deflate tried."""

WIDE, UNICODE_PATH = 0x0001, 0x7075
TOO_LARGE, TOO_MANY = 0xFFFFFFFF, 0xFFFF
"""What stands in a narrow field whose value a wide one holds."""

DOS_FOLDER = 0x10
EMPTY_DEFLATED_BYTES = 2
MAX_COMMENT_BYTES = 0xFFFF


def of_window(window: Window) -> Source:
    """Return the bytes of the file in *window* as those of a zip."""

    def source(start: int, stop: int) -> bytes:
        return window.bytes(min(start, window.size), min(stop, window.size)) if start < window.size else b""

    return source


class AmbiguousZip(MalformedModel):
    """Two readers may see different files in the zip, or one of its names leads out of the folder."""


class DamagedZip(MalformedModel):
    """Bytes of the zip are not what they were: no reader gets what was packed."""


class CutOffZip(DamagedZip):
    """No directory is at its end."""


class ClosedZip(ModelError):
    """The zip is encrypted, patched or packed in a way that is not read here: what lies in it is not known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of one file or folder: *packed* and *size* in bytes, *at* where its own header begins."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    at: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class _Zip:
    """The bytes of one zip, and what errors call it."""

    source: Source
    size: int
    path: str
    on_the_way: bool
    max_files: int

    def wrong(self, why: str) -> AmbiguousZip:
        return AmbiguousZip(self.path, None, why)

    def refused(self, name: str, why: str) -> AmbiguousZip:
        return self.wrong(f"{readable(name)}: {why}")

    def damaged(self, name: str, why: str) -> DamagedZip:
        return DamagedZip(self.path, None, f"{readable(name)}: {why}")

    def closed(self, name: str, why: str) -> ClosedZip:
        return ClosedZip(self.path, None, f"{readable(name)}: {why}")

    def too_large(self, limit: str, why: str) -> ModelLimit:
        return ModelLimit(self.path, None, limit, why)


def entries_of(window: Window) -> list[Entry]:
    """Return the files and folders in the zip in *window*, as its directory lists them. Reads nothing else.

    Raises:
        as `ZipTree`.
    """
    zip_ = _Zip(of_window(window), window.size, window.path, on_the_way=False, max_files=MAX_FILES)
    start, stop, count = _directory(zip_)
    entries = _entries(zip_, start, stop, count)
    _check_names(zip_, entries)
    return entries


class ZipTree:
    """The files in a zip of *size* bytes. The bytes of each are compared with its size and CRC when the last is read.

    Reads the directory and the header of each file. Where *on_the_way*, who reads from front to back must see the same, too:
    then the bytes of what is stored before its size is told are read as well. Models are read by their directory alone; in
    PyTorch's, tensors are stored so, and behind 4 GB their own headers have wide fields that nobody asked for.
    *path* is what errors call the zip, *max_files* how many files and folders it may have, `MAX_FILES` by default.

    Raises:
        AmbiguousZip: not all readers see the same in it.
        CutOffZip, DamagedZip: it is no zip, or not a whole one.
        ClosedZip: it is encrypted, or packed by another method than deflate.
        ModelLimit: it is larger than a named limit.
    """

    def __init__(
        self, source: Source, size: int, path: str = "", on_the_way: bool = True, max_files: int | None = None
    ) -> None:
        zip_ = _Zip(source, size, path, on_the_way, MAX_FILES if max_files is None else max_files)
        start, stop, count = _directory(zip_)
        entries = _entries(zip_, start, stop, count)
        _check_names(zip_, entries)
        _check_size(zip_, entries)
        self._zip = zip_
        self._begins = _begins(zip_, entries, start)
        self._files = {entry.name: entry for entry in sorted(entries, key=_name) if not entry.is_folder}
        self._reading: _Reading | None = None

    def close(self) -> None:
        """Let go of what was being read."""
        self._reading = None

    def files(self) -> Iterator[FileEntry]:
        """Yield the files by path; folders are only names."""
        for path, entry in self._files.items():
            yield FileEntry(path, entry.size, f"{entry.crc:08x}")

    def read(self, path: str, start: int, stop: int) -> bytes:
        """Return bytes [start, stop) of *path*. To read on where the last read ended costs nothing more.

        Raises:
            ValueError: the range is negative or reversed.
            TreeChanged: there is no such file.
            AmbiguousZip: there are more bytes of it than the zip announces.
            DamagedZip: they are others, or fewer.
        """
        check_range(start, stop)
        if path not in self._files:
            raise TreeChanged(path, "there is no such file in the zip")
        entry = self._files[path]
        reading = self._reading_at(entry, min(start, entry.size))
        data = reading.read(min(stop, entry.size) - reading.at)
        self._reading = reading
        return data

    def stored_at(self, path: str) -> int | None:
        """Return where in the zip the bytes of *path* lie as they are, None where they are packed.

        Raises:
            KeyError: there is no such file.
        """
        return self._begins[path] if self._files[path].method != ZIP_DEFLATED else None

    def _reading_at(self, entry: Entry, start: int) -> _Reading:
        """Return what reads *entry* from *start* on; one that fails on the way is not gone on with."""
        reading, self._reading = self._reading, None
        if reading is None or reading.entry is not entry or reading.at > start:
            reading = _Reading(self._zip, entry, self._begins[entry.name])
        while reading.at < start:
            reading.read(min(start - reading.at, CHUNK_BYTES))
        return reading


class _Reading:
    """One file, from its first byte to its last."""

    def __init__(self, zip_: _Zip, entry: Entry, begin: int) -> None:
        self.entry = entry
        self.at = 0
        self._zip = zip_
        self._next, self._stop = begin, begin + entry.packed
        self._inflating = decompressobj(-MAX_WBITS) if entry.method == ZIP_DEFLATED else None
        self._crc = 0

    def read(self, count: int) -> bytes:
        """Return the next *count* bytes of the file, which has as many."""
        parts: list[bytes] = []
        missing = count
        while missing and (part := self._some(missing)):
            parts.append(part)
            missing -= len(part)
        data = b"".join(parts)
        self.at += len(data)
        self._crc = crc32(data, self._crc)
        if missing:
            raise self._zip.damaged(self.entry.name, f"expected {self.entry.size} bytes, found {self.at}")
        if self.at == self.entry.size:
            self._check_end()
        return data

    def _check_end(self) -> None:
        more, inflating = self._some(1), self._inflating
        ended = inflating is None or (inflating.eof and not inflating.unused_data)
        if more or not ended or self._next != self._stop:
            raise self._zip.refused(self.entry.name, f"expected its data to end after {self.entry.size} bytes, they do not")
        if self._crc != self.entry.crc:
            raise self._zip.damaged(self.entry.name, f"expected bytes with CRC {self.entry.crc:08x}, found {self._crc:08x}")

    def _some(self, count: int) -> bytes:
        """Return some of the next *count* bytes, none only at the end."""
        if self._inflating is None:
            return self._packed(count)
        data, packed = b"", b"more"
        while not data and packed and not self._inflating.eof:
            packed = self._inflating.unconsumed_tail or self._packed(PACKED_BYTES)
            try:
                data = self._inflating.decompress(packed, count)
            except ZlibError as exc:
                raise self._zip.damaged(self.entry.name, f"its data are damaged: {exc}") from exc
        return data

    def _packed(self, count: int) -> bytes:
        data = self._zip.source(self._next, min(self._next + count, self._stop))
        self._next += len(data)
        return data


def _name(entry: Entry) -> str:
    return entry.name


def _size_without_comment(zip_: _Zip) -> int:
    """Return where the comment begins that may stand behind the directory; the end of the zip where there is none.

    Nothing in it may look like a part of a zip, or who looks for the end from the back finds another one.
    """
    end = zip_.source(max(0, zip_.size - END.size), zip_.size)
    if len(end) == END.size and end.startswith(END_MAGIC) and end.endswith(bytes(2)):
        return zip_.size
    tail = zip_.source(max(0, zip_.size - END.size - MAX_COMMENT_BYTES), zip_.size)
    at = tail.rfind(END_MAGIC)
    if at < 0 or len(tail) - at < END.size:
        raise CutOffZip(zip_.path, None, "expected a zip that ends with its directory, found something else at its end")
    comment, length = tail[at + END.size :], END.unpack_from(tail, at)[-1]
    if len(comment) < length:
        raise CutOffZip(zip_.path, None, f"expected a comment of {length} bytes at its end, found {len(comment)}")
    if len(comment) > length or b"PK" in comment:
        raise zip_.wrong("expected a zip that ends with its directory and a comment at most, found something else behind it")
    return zip_.size - len(comment)


def _directory(zip_: _Zip) -> tuple[int, int, int]:
    """Return where the directory lies, [start, stop), and how many entries it has.

    Reads the last 120 bytes, and where there is a comment, up to 64 KB.
    """
    wide_size = WIDE_END.size + LOCATOR.size + END.size
    size = _size_without_comment(zip_)
    tail = zip_.source(max(0, size - wide_size), size)
    *numbers, _ = END.unpack(tail[-END.size :])[1:]
    stop = size - END.size
    if tail[-END.size - LOCATOR.size :].startswith(LOCATOR_MAGIC):
        stop = size - wide_size
        numbers = _wide_end(zip_, tail, numbers, stop)
    disk, first_disk, here, count, length, start = numbers
    if (disk, first_disk, here, start + length) != (0, 0, count, stop):
        raise zip_.wrong("the zip is in parts, or something lies before it, behind it or around its directory")
    return start, stop, count


def _wide_end(zip_: _Zip, tail: bytes, narrow: Sequence[int], place: int) -> list[int]:
    """Return the six numbers of the wide end, which must lie at *place* and agree with the *narrow* ones."""
    if not tail.startswith(WIDE_END_MAGIC) or len(tail) < WIDE_END.size + LOCATOR.size + END.size:
        raise zip_.wrong("the zip has no wide end of its directory where it must lie")
    _, record_bytes, _, _, *wide = WIDE_END.unpack_from(tail)
    told = LOCATOR.unpack_from(tail, WIDE_END.size)[1:]
    limits = (TOO_MANY,) * 4 + (TOO_LARGE,) * 2
    agree = all(here in (there, limit) for here, there, limit in zip(narrow, wide, limits, strict=True))
    if (record_bytes, *told) != (WIDE_END.size - 12, 0, place, 1) or not agree:
        raise zip_.wrong("the two ends of the zip contradict each other")
    return wide


def _entries(zip_: _Zip, start: int, stop: int, count: int) -> list[Entry]:
    """Return what the directory [start, stop) says, of exactly *count* files and folders."""
    if count > zip_.max_files:
        raise zip_.too_large("MAX_FILES", f"the zip holds {count} files and folders; at most {zip_.max_files} are taken")
    if stop - start > MAX_DIRECTORY_BYTES:
        reason = f"the zip has a directory of {stop - start} bytes; at most {MAX_DIRECTORY_BYTES} are taken"
        raise zip_.too_large("MAX_DIRECTORY_BYTES", reason)
    data, at = zip_.source(start, stop), 0
    found: list[Entry] = []
    for _ in range(count):
        entry, at = _entry(zip_, data, at)
        found.append(entry)
    if at != len(data):
        raise zip_.wrong(f"the zip announces {count} files and folders, its directory holds something else")
    return found


def _entry(zip_: _Zip, data: bytes, at: int) -> tuple[Entry, int]:
    """Return the entry at *at* of the directory, and where the next one begins."""
    head, at = data[at : at + ENTRY.size], at + ENTRY.size
    if len(head) < ENTRY.size or not head.startswith(ENTRY_MAGIC):
        raise DamagedZip(zip_.path, None, "the directory of the zip is damaged")
    _, _, version, flags, method, _, _, crc, packed, size, *lengths, disk, _, kind, place = ENTRY.unpack(head)
    name_bytes, extra_bytes, comment_bytes = lengths
    raw, extra = data[at : at + name_bytes], data[at + name_bytes : at + name_bytes + extra_bytes]
    name = _decoded(zip_, raw, flags)
    if comment_bytes or disk or version > MAX_VERSION or len(raw) + len(extra) < name_bytes + extra_bytes:
        raise zip_.refused(name, "its entry in the directory is damaged, has a comment, or wants a newer reader")
    size, packed, place = _widened(zip_, name, (size, packed, place), _wide_field(zip_, name, extra))
    entry = Entry(name, flags, method, crc, packed, size, place)
    _check_entry(zip_, entry, kind)
    return entry, at + name_bytes + extra_bytes


def _decoded(zip_: _Zip, raw: bytes, flags: int) -> str:
    """Return a name as every reader understands it: what is not ASCII must be UTF-8, and marked so."""
    try:
        name = raw.decode("utf-8" if flags & UTF8 else "ascii")
    except UnicodeDecodeError as exc:
        raise zip_.wrong(f"the zip is not taken: {raw[:80]!a}: expected ASCII, or UTF-8 with flag 11 set") from exc
    parts = name.removesuffix("/").encode().split(b"/")
    if max(map(len, parts)) > MAX_PART_BYTES or len(raw) > MAX_PATH_BYTES:
        raise zip_.refused(name[:80] + "…", f"a path of at most {MAX_PATH_BYTES} bytes, {MAX_PART_BYTES} in a name, is taken")
    return name


def _wide_field(zip_: _Zip, name: str, extra: bytes) -> bytes | None:
    """Return the wide numbers among the extra fields, None without; no other name may stand there."""
    wide, at = None, 0
    while at < len(extra):
        tag, length = EXTRA.unpack_from(extra, at) if at + EXTRA.size <= len(extra) else (0, TOO_LARGE)
        field, at = extra[at + EXTRA.size : at + EXTRA.size + length], at + EXTRA.size + length
        if at > len(extra) or (tag == WIDE and wide is not None):
            raise zip_.refused(name, "its extra fields are damaged")
        if tag == UNICODE_PATH and field[5:] != name.encode():
            raise zip_.refused(name, "an extra field gives it another name")
        wide = field if tag == WIDE else wide
    return wide


def _widened(zip_: _Zip, name: str, numbers: tuple[int, ...], wide: bytes | None) -> list[int]:
    """Return *numbers*, with the wide one instead of each that was too large; there must be just those."""
    missing, found = numbers.count(TOO_LARGE), wide or b""
    if len(found) != missing * WIDE_NUMBER.size:
        raise zip_.refused(name, f"expected {missing} wide numbers among its extra fields, found {len(found)} bytes")
    values = (value for (value,) in WIDE_NUMBER.iter_unpack(found))
    return [next(values) if number == TOO_LARGE else number for number in numbers]


def _check_entry(zip_: _Zip, entry: Entry, kind: int) -> None:
    """Raise unless it is a plain file or folder with a plain path below the folder. *kind* is its external attributes."""
    if entry.flags & ~TAKEN_FLAGS:
        raise zip_.closed(entry.name, f"it is encrypted or patched (flags {entry.flags:#06x})")
    if entry.method not in (ZIP_STORED, ZIP_DEFLATED):
        raise zip_.closed(entry.name, f"expected it stored or deflated, found method {entry.method}")
    mode = stat.S_IFMT(kind >> 16)
    if mode not in (0, stat.S_IFDIR if entry.is_folder else stat.S_IFREG) or (kind & DOS_FOLDER and not entry.is_folder):
        raise zip_.refused(entry.name, "links and devices are not taken, only files and folders that are named so")
    if entry.is_folder and (entry.size or entry.crc or entry.packed > EMPTY_DEFLATED_BYTES):
        raise zip_.refused(entry.name, "a folder holds no bytes")
    if entry.method == ZIP_STORED and entry.packed != entry.size:
        raise zip_.refused(entry.name, f"it is stored, and its {entry.size} bytes lie in {entry.packed}")
    parts = entry.name.removesuffix("/").split("/")
    if {"", ".", ".."} & set(parts) or parts[0][1:2] == ":" or re.search(r"[\0\\]", entry.name):
        raise zip_.refused(entry.name, "expected a path inside of the folder, without zero bytes and backslashes")


def _check_names(zip_: _Zip, entries: Sequence[Entry]) -> None:
    """Raise where one name stands twice, or one file would lie in another."""
    ordered = sorted((entry.name.removesuffix("/") + "/", entry.is_folder) for entry in entries)
    for (above, is_folder), (below, _) in pairwise(ordered):
        if above == below:
            raise zip_.refused(above[:-1], "it holds two of this name")
        if below.startswith(above) and not is_folder:
            raise zip_.refused(above[:-1], "it has a file of this name, and files below it")


def _check_size(zip_: _Zip, entries: Sequence[Entry]) -> None:
    total = sum(entry.size for entry in entries)
    if total > max(FREE_BYTES, MAX_RATIO * zip_.size):
        most = f"at most {MAX_RATIO} times its size is taken, unless it is stored"
        raise zip_.too_large("MAX_RATIO", f"the zip of {zip_.size} bytes unpacks to {total}; {most}")


def _begins(zip_: _Zip, entries: Sequence[Entry], directory: int) -> dict[str, int]:
    """Return where the data of each entry begin, after they were found one after the other, from the first byte on.

    Reads the headers, and the data of what is stored before its size is told.
    """
    begins, at = {}, 0
    for entry in sorted(entries, key=lambda entry: entry.at):
        if entry.at != at:
            raise zip_.refused(entry.name, f"expected its header at {at}, the directory of the zip names {entry.at}")
        begins[entry.name], at = _own_span(zip_, entry, directory)
    if at != directory:
        raise zip_.wrong(f"expected the directory of the zip at {at}, found it at {directory}")
    return begins


def _own_span(zip_: _Zip, entry: Entry, directory: int) -> tuple[int, int]:
    """Return where the data of an entry begin, and where what belongs to it ends; all must say what the directory says."""
    head = zip_.source(entry.at, entry.at + LOCAL.size)
    if len(head) < LOCAL.size or not head.startswith(LOCAL_MAGIC):
        raise zip_.refused(entry.name, f"expected its header at {entry.at}, found something else")
    _, version, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = LOCAL.unpack(head)
    begin = entry.at + LOCAL.size + name_bytes + extra_bytes
    own = zip_.source(entry.at + LOCAL.size, begin)
    if own[:name_bytes] != entry.name.encode():
        raise zip_.refused(entry.name, "its own header gives another name")
    wide = _wide_field(zip_, entry.name, own[name_bytes:])
    if (size == TOO_LARGE) != (packed == TOO_LARGE):  # 4.5.3: here, both are wide or none is.
        raise zip_.refused(entry.name, "its own header gives one wide size, expected both or none")
    told_later = not zip_.on_the_way and flags & DESCRIBED_BEHIND and not size and not packed
    # Python before 3.11.4 says both there, too, though they are not too large.
    if not told_later and wide != WIDE_SIZES.pack(size, packed):
        size, packed = _widened(zip_, entry.name, (size, packed), wide)
    told, known = (crc, packed, size), (entry.crc, entry.packed, entry.size)
    agree = (
        all(here in (0, there) for here, there in zip(told, known, strict=True)) if flags & DESCRIBED_BEHIND else told == known
    )
    if (flags, method) != (entry.flags, entry.method) or version > MAX_VERSION or not agree:
        raise zip_.refused(
            entry.name, "its own header gives another size, CRC, method, flag or version than the directory of the zip"
        )
    end = begin + entry.packed
    if end > directory:
        raise zip_.refused(entry.name, f"its data would end at {end}, in the directory of the zip")
    return begin, end + (_descriptor_bytes(zip_, entry, begin, wide is not None) if flags & DESCRIBED_BEHIND else 0)


def _descriptor_bytes(zip_: _Zip, entry: Entry, begin: int, is_wide: bool) -> int:
    """Return the length of the data descriptor, which must say what the directory says.

    Who reads from front to back finds the end of what is deflated by itself, and of what is stored by looking for a header;
    so there must be none inside.
    """
    end = begin + entry.packed
    if zip_.on_the_way and entry.method == ZIP_STORED and _holds_header(zip_, begin, end):
        raise zip_.refused(entry.name, "it is stored before its size is told, and something like a header lies in it")
    form = WIDE_DESCRIPTOR if is_wide or max(entry.packed, entry.size) >= TOO_LARGE else DESCRIPTOR
    expected = form.pack(DESCRIPTOR_MAGIC, entry.crc, entry.packed, entry.size)
    if zip_.source(end, end + len(expected)) != expected:
        raise zip_.refused(entry.name, "what stands behind its data contradicts the directory of the zip")
    return len(expected)


def _holds_header(zip_: _Zip, start: int, stop: int) -> bool:
    before = b""
    while data := zip_.source(start, min(start + CHUNK_BYTES, stop)):
        if ANY_MAGIC.search(before + data):
            return True
        before, start = data[-3:], start + len(data)
    return False
