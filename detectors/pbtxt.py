"""Protobuf messages written as text (`.pbtxt`), into our lean messages.

In goes a file of at most 8 MiB, out comes the message; fields that we do not read are passed over. The parser of the protobuf
runtime is plain Python: it takes about 10 µs for each sign, calls itself for each level, copies the line it stands in for each
value that it passes over, and needs about 125 times the longest line. All of these are therefore bounded before it starts,
and what takes time for all texts of one scan together: there may be thousands of them.
"""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelError, ModelLimit
from detectors.tree import FileEntry
from detectors.wire import MAX_DEPTH

MAX_TEXT_BYTES = 8 << 20
"""Bytes of a text file that is parsed; a graph of this size takes about three seconds."""

MAX_ALL_TEXT_BYTES = 16 << 20
"""Bytes of all text files that are parsed in one scan."""

MAX_LINES = 1_000_000
"""Lines of all texts of one scan."""

MAX_LINE_BYTES = 1 << 20
"""The longest line of a public graph, a constant, has 212,065."""

MAX_SIGNS = 500_000
"""Comments, strings and punctuation of all texts of one scan, about seven seconds; a graph of 8 MiB has about 300,000."""

MAX_COPIED_BYTES = 2 << 30
"""Bytes of lines that the parser may copy in one scan, counted once for each sign in a line; three seconds. Written lines are
short."""

SIGN = re.compile(rb"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[{}<>\[\]:,;]""")
"""A comment, a string, or punctuation (protobuf.dev, Text Format Language Specification)."""

LEVELS = {b"{": 1, b"<": 1, b"[": 1, b"}": -1, b">": -1, b"]": -1}

ESCAPES = re.compile(
    rb"""(?:[^\\]++|\\(?:[abfnrtv\\'"]|[0-3][0-7]{2}|[0-7]{1,2}(?![0-7])|x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))*+"""
)
"""What a string may hold; the runtime warns of other escapes instead of refusing them. No part is tried twice (`++`, `*+`)."""

M = TypeVar("M", bound=Message)


def read_text(contents: Contents, entry: FileEntry, message: M) -> M:
    """Return *message* filled from the text file *entry*. Reads all of it.

    Raises:
        MalformedModel: it is not text, or not the text of such a message.
        ModelLimit: `MAX_DEPTH` of `wire` or a limit of this module was reached, by this text or by all of this scan.
    """
    if entry.size <= MAX_TEXT_BYTES:
        contents.spend(entry.path, "MAX_ALL_TEXT_BYTES", entry.size, MAX_ALL_TEXT_BYTES)
    data = contents.read_whole(entry, "MAX_TEXT_BYTES", MAX_TEXT_BYTES)
    _check_lines(contents, entry.path, data)
    _check_signs(contents, entry.path, data)
    try:
        text_format.Parse(data.decode("utf-8"), message, allow_unknown_field=True)
    except UnicodeDecodeError as exc:
        raise MalformedModel(entry.path, exc.start, "expected text in UTF-8, found other bytes") from exc
    except (text_format.ParseError, ValueError) as exc:
        raise MalformedModel(entry.path, None, f"expected the text of a {message.DESCRIPTOR.name}: {exc}"[:500]) from exc
    return message


def _check_lines(contents: Contents, path: str, data: bytes) -> None:
    contents.spend(path, "MAX_LINES", data.count(b"\n"), MAX_LINES)
    longest = max(map(len, data.split(b"\n")))
    if longest > MAX_LINE_BYTES:
        raise ModelLimit(path, None, "MAX_LINE_BYTES", f"expected lines of at most {MAX_LINE_BYTES} bytes, found {longest}")


def _check_signs(contents: Contents, path: str, data: bytes) -> None:
    """Raise unless the parser will be done with *data* in seconds, without warnings and without deep recursion."""
    ended = data + b"\n"
    trouble: ModelError | None = None
    count = depth = copied = line_stop = line_bytes = 0
    most_signs = contents.left("MAX_SIGNS", MAX_SIGNS)
    most_copied = contents.left("MAX_COPIED_BYTES", MAX_COPIED_BYTES)
    for count, sign in enumerate(SIGN.finditer(data), 1):
        place, found = sign.start(), sign[0]
        if place >= line_stop:
            line_stop = ended.index(b"\n", place)
            line_bytes = line_stop - data.rfind(b"\n", 0, place)
        copied += line_bytes
        depth += LEVELS.get(found, 0)
        if depth > MAX_DEPTH:
            trouble = ModelLimit(path, place, "MAX_DEPTH", f"expected at most {MAX_DEPTH} levels, found more")
        elif found[0] in b"\"'" and not ESCAPES.fullmatch(found, 1, len(found) - 1):
            trouble = MalformedModel(path, place, "a string holds an escape that the text format does not have")
        if trouble is not None or count > most_signs or copied > most_copied:
            break
    contents.spend(path, "MAX_SIGNS", count, MAX_SIGNS)
    contents.spend(path, "MAX_COPIED_BYTES", copied, MAX_COPIED_BYTES)
    if trouble is not None:
        raise trouble
