"""Protobuf messages written as text (`.pbtxt`), into our lean messages.

In goes a file of at most 8 MiB, out comes the message; fields that we do not read are passed over. The parser of the protobuf
runtime is plain Python (about 5 MB/s) and calls itself for each level, so size and nesting are bounded before it starts.
"""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from detectors.detection import Contents
from detectors.errors import MalformedModel, ModelLimit
from detectors.tree import FileEntry
from detectors.wire import MAX_DEPTH

MAX_TEXT_BYTES = 8 << 20
"""Bytes of a text file that is parsed; this takes about two seconds."""

TOKEN = re.compile(rb"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[{}<>\[\]]""")
"""A comment, a string, or one of the signs that open and close a level (protobuf.dev, Text Format Language Specification)."""

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
        ModelLimit: `MAX_TEXT_BYTES` or `wire.MAX_DEPTH` was reached.
    """
    data = contents.read_whole(entry, "MAX_TEXT_BYTES", MAX_TEXT_BYTES)
    _check_tokens(entry.path, data)
    try:
        text_format.Parse(data.decode("utf-8"), message, allow_unknown_field=True)
    except UnicodeDecodeError as exc:
        raise MalformedModel(entry.path, exc.start, "expected text in UTF-8, found other bytes") from exc
    except (text_format.ParseError, ValueError) as exc:
        raise MalformedModel(entry.path, None, f"expected the text of a {message.DESCRIPTOR.name}: {exc}"[:500]) from exc
    return message


def _check_tokens(path: str, data: bytes) -> None:
    depth = 0
    for token in TOKEN.finditer(data):
        depth += LEVELS.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise ModelLimit(path, token.start(), "MAX_DEPTH", f"messages nest deeper than {MAX_DEPTH}")
        if token[0][0] in b"\"'" and not ESCAPES.fullmatch(token[0], 1, len(token[0]) - 1):
            raise MalformedModel(path, token.start(), "a string holds an escape that the text format does not have")
