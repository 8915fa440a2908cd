"""The texts that an HDF5 file keeps as attributes of its root: where Keras writes a model's configuration.

In goes a window on the file, out come texts by name. Of HDF5 there is just what leads to them: the superblock, the header of
the root with its continuations, and the heap that texts of variable length lie in. Weights are never touched, and nothing is
unpacked. What else a root may have (attributes in a heap of their own, shared ones) is told as not read, so that a file is
never taken for one without a configuration because it was laid out in an unusual way.

    superblock → header of the root: message, message, continuation → message …
    attribute: version | flags | bytes of name, type, space u16 | name | type | space | data
    data of a text: the text itself, or length u32 | address of a heap | number of an object in it u32

Laws (each has a test of the same name):
    any bytes give attributes or a ModelError;
    reading does not grow with the weights.

Source: HDF5 File Format Specification 3.0, II.A "Superblock", III.E "Global Heap", IV.A "Data Object Headers".
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from detectors.errors import MalformedModel, ModelLimit
from detectors.weights.single_file import EndsEarly, number, piece
from detectors.wire import Window

MAGIC = b"\x89HDF\r\n\x1a\n"

MAX_BLOCKS = 64
"""Parts of one header. Those of Keras have two or three."""

MAX_MESSAGES = 4_096
MAX_HEAP_OBJECTS = 4_096

MAX_TEXT_BYTES = 8 << 20

CONTINUATION, ATTRIBUTE, ATTRIBUTE_INFO = 0x10, 0x0C, 0x15
SHARED = 0x02
FIXED_TEXT, VARIABLE = 3, 9
VARIABLE_TEXT = 1
"""The kind of a variable-length type that is a text, not a row of others."""

HAS_TIMES, HAS_PHASES, HAS_ORDER = 0x20, 0x10, 0x04
OLD_PREFIX_BYTES, OLD_MESSAGE_BYTES = 16, 8
SIGNATURE_BYTES = CHECKSUM_BYTES = 4
HEAP_HEAD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Superblock:
    """Where things begin: *end* is the first byte behind all data, *root* a header.

    offset_bytes and length_bytes are the widths of addresses and of lengths. Addresses count from the beginning of the file.
    """

    offset_bytes: int
    length_bytes: int
    end: int
    root: int


def read_superblock(window: Window) -> Superblock:
    """Return the superblock at the beginning of the file.

    Raises:
        EndsEarly: it does not fit into the file.
        MalformedModel: a signature, a version or a width that HDF5 does not have, or a base address that is not where the
            signature is: HDF5's own library counts from the signature, and others from what is said.
    """
    signature = piece(window, 0, len(MAGIC))
    if signature != MAGIC:
        raise MalformedModel(window.path, 0, f"expected the signature of HDF5, found {signature.hex(' ')}")
    version = number(window, 8, 1)
    if version > 3:
        raise MalformedModel(window.path, 8, f"expected a superblock of version 0 to 3, found {version}")
    widths, first, root = (13, 24 + 4 * version, 5) if version < 2 else (9, 12, 3)
    width, length = number(window, widths, 1), number(window, widths + 1, 1)
    if width not in (2, 4, 8):
        raise MalformedModel(window.path, widths, f"expected offsets of 2, 4 or 8 bytes, found {width}")
    base, end = number(window, first, width), number(window, first + 2 * width, width)
    if base != 0:
        raise MalformedModel(window.path, first, f"expected the base address 0, where the signature is, found {base}")
    place = first + root * width
    address = number(window, place, width) if place + width <= window.size else 0
    return Superblock(width, length, end, address)


@dataclass(frozen=True, slots=True)
class Text:
    """Where a text lies: its first byte and its length."""

    start: int
    length: int


def read_text(window: Window, text: Text) -> bytes:
    """Return the bytes of *text*; where it fills the room that an attribute has for it, what fills up is left out."""
    return piece(window, text.start, text.length).rstrip(b"\0 ")


def root_texts(window: Window, wanted: Container[str]) -> dict[str, Text]:
    """Return those attributes of the root that are *wanted* and are texts, by name. They are found, and not read.

    To find one, its heap is walked; thousands of others may lead to the same heap, so they are left alone.

    Raises:
        ModelError: they are kept in a way that is not read here, or contradict the format.
    """
    block = read_superblock(window)
    if block.length_bytes not in (2, 4, 8):
        raise MalformedModel(window.path, None, f"expected lengths of 2, 4 or 8 bytes, found {block.length_bytes}")
    found: dict[str, Text] = {}
    for kind, flags, start, size in messages(window, block):
        if kind == ATTRIBUTE_INFO:
            _check_not_dense(window, block, start)
        elif kind == ATTRIBUTE:
            if flags & SHARED:
                raise MalformedModel(window.path, start, "an attribute that is shared, which is not read here")
            name, text = _attribute(window, block, start, start + size, wanted)
            if name in found:
                raise MalformedModel(window.path, start, f"expected one attribute {name[:40]!r}, found a second")
            if text is not None:
                found[name] = text
    return found


Message = tuple[int, int, int, int]
"""The type of a message, its flags, where it starts and its size."""


def messages(window: Window, block: Superblock) -> Iterator[Message]:
    """Yield the messages in the header at `block.root` and in its continuations, those that lead to these too."""
    is_new = piece(window, block.root, SIGNATURE_BYTES) == b"OHDR"
    flags, start, stop = _new_prefix(window, block.root) if is_new else _old_prefix(window, block.root)
    pending, seen, count = [(start, stop)], 1, 0
    while pending:
        at, stop = pending.pop(0)
        head = (6 if flags & HAS_ORDER else 4) if is_new else OLD_MESSAGE_BYTES
        while at + head <= stop:
            kind = number(window, at, 1 if is_new else 2)
            size = number(window, at + (1 if is_new else 2), 2)
            own = number(window, at + (3 if is_new else 4), 1)
            count += 1
            if count > MAX_MESSAGES:
                raise ModelLimit(window.path, at, "MAX_MESSAGES", f"a header of more than {MAX_MESSAGES} messages")
            if at + head + size > stop:
                raise MalformedModel(window.path, at, f"a message of {size} bytes goes beyond its header, which ends at {stop}")
            if kind == CONTINUATION:
                pending.append(_continuation(window, block, at + head, is_new))
                seen += 1
                if seen > MAX_BLOCKS:
                    raise ModelLimit(window.path, at, "MAX_BLOCKS", f"a header of more than {MAX_BLOCKS} parts")
            yield kind, own, at + head, size
            at += head + size


def _old_prefix(window: Window, place: int) -> tuple[int, int, int]:
    """Return flags (none), and where the messages of a header of version 1 start and stop."""
    if number(window, place, 1) != 1:
        raise MalformedModel(window.path, place, "expected the header of the root, found something else")
    start = place + OLD_PREFIX_BYTES
    return 0, start, start + number(window, place + 8, 4)


def _new_prefix(window: Window, place: int) -> tuple[int, int, int]:
    """The same of version 2, whose flags tell what stands before the messages."""
    flags = number(window, place + 5, 1)
    at = place + 6 + (16 if flags & HAS_TIMES else 0) + (4 if flags & HAS_PHASES else 0)
    width = 1 << (flags & 3)
    return flags, at + width, at + width + number(window, at, width)


def _continuation(window: Window, block: Superblock, at: int, is_new: bool) -> tuple[int, int]:
    """Return where the messages of another part of the header start and stop."""
    start = number(window, at, block.offset_bytes)
    stop = start + number(window, at + block.offset_bytes, block.length_bytes)
    if not is_new:
        return start, stop
    if piece(window, start, SIGNATURE_BYTES) != b"OCHK":
        raise MalformedModel(window.path, start, "expected another part of a header, found something else")
    return start + SIGNATURE_BYTES, stop - CHECKSUM_BYTES


def _check_not_dense(window: Window, block: Superblock, start: int) -> None:
    """Raise where the attributes lie in a heap of their own, which HDF5 makes for many of them."""
    place = start + 2 + (2 if number(window, start + 1, 1) & 1 else 0)
    if piece(window, place, block.offset_bytes) != b"\xff" * block.offset_bytes:
        raise MalformedModel(window.path, start, "attributes in a heap of their own, which is not read here")


def _attribute(window: Window, block: Superblock, start: int, stop: int, wanted: Container[str]) -> tuple[str, Text | None]:
    """Return the name of an attribute, and its text; None where it is something else, or not wanted."""
    version = number(window, start, 1)
    if version not in (1, 2, 3) or (version > 1 and number(window, start + 1, 1) & 3):
        raise MalformedModel(window.path, start, f"an attribute of version {version}, or a shared type: not read here")
    sizes = [number(window, start + at, 2) for at in (2, 4, 6)]
    place = start + (9 if version == 3 else 8)
    places = []
    for size in sizes:
        places.append(place)
        place += -(-size // 8) * 8 if version == 1 else size
    if place > stop:
        raise MalformedModel(window.path, start, f"an attribute that goes beyond its message, which ends at {stop}")
    name = piece(window, places[0], sizes[0]).split(b"\0")[0].decode("utf-8", "backslashreplace")
    if name not in wanted:
        return name, None
    kind, size = number(window, places[1], 1) & 15, number(window, places[1] + 4, 4)
    if kind == FIXED_TEXT:
        return name, Text(place, min(size, stop - place))
    if kind == VARIABLE and number(window, places[1] + 1, 1) & 15 == VARIABLE_TEXT and stop - place >= 8 + block.offset_bytes:
        return name, _in_heap(window, block, place)
    return name, None


def _in_heap(window: Window, block: Superblock, place: int) -> Text:
    """Return the text of variable length that *place* refers to."""
    length, address = number(window, place, 4), number(window, place + 4, block.offset_bytes)
    wanted = number(window, place + 4 + block.offset_bytes, 4)
    if length > MAX_TEXT_BYTES:
        raise ModelLimit(window.path, place, "MAX_TEXT_BYTES", f"a text of {length} bytes")
    begin, _ = heap_object(window, block, address, wanted, length)
    if begin + length > window.size:
        raise EndsEarly(window.path, begin, f"expected a text of {length} bytes, the file ends at {window.size}")
    return Text(begin, length)


def heap_object(window: Window, block: Superblock, heap: int, wanted: int, least: int = 0) -> tuple[int, int]:
    """Return where object *wanted* of the global heap at *heap* begins, and its bytes, which are at *least* so many."""
    if piece(window, heap, SIGNATURE_BYTES) != b"GCOL":
        raise MalformedModel(window.path, heap, "expected a heap of texts, found something else")
    stop = heap + number(window, heap + HEAP_HEAD_BYTES, block.length_bytes)
    at = heap + HEAP_HEAD_BYTES + block.length_bytes
    for _ in range(MAX_HEAP_OBJECTS):
        if at + HEAP_HEAD_BYTES + block.length_bytes > stop:
            break
        index, size = number(window, at, 2), number(window, at + HEAP_HEAD_BYTES, block.length_bytes)
        begin = at + HEAP_HEAD_BYTES + block.length_bytes
        if index == wanted and least <= size:
            return begin, size
        if index == 0:
            break
        at = begin + -(-size // 8) * 8
    raise MalformedModel(window.path, heap, f"expected object {wanted} in a heap of texts, found none")
