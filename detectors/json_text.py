"""JSON from strangers: every byte string has one defined answer, a value with notes or an error with its place.

Python's own parser does the grammar. This module adds what it leaves open: which encoding, how deep, how many nodes,
and what becomes of the numbers and names that other readers of the same file would not agree on.

    bytes                                 answer
    not UTF-8 (UTF-16 and UTF-32 too)     JsonError at the first byte that is not
    a byte order mark at the start        left out, with a note
    NaN, Infinity, -Infinity, bare        float, with a note: Python's json writes them, the grammar does not know them
    the same key twice in an object       the last one counts, with a note
    an integer beyond 64 bits             int, with a note; beyond `MAX_INTEGER_DIGITS` its text, with a note
    a float beyond the double range       its text, with a note
    half a surrogate pair (`\\ud800`)      kept as it is, with a note: print it with escapes (`ensure_ascii`), never as UTF-8
    deeper or larger than the limits      JsonLimit where the limit was passed

Whether the value is what the reader hoped for is left to the caller, and so are the raw bytes.

Laws (each has a test of the same name):
    any bytes give a value or a refusal;
    where nothing is noted the value is that of json.loads.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import accumulate
from typing import Any, NoReturn

from detectors.errors import ModelError, ModelLimit
from detectors.facts import Note

MAX_DEPTH = 200
"""Arrays and objects inside each other; well below the recursion limit of every Python."""

MAX_NODES = 1_000_000
"""Values in one text. An empty array costs 3 bytes of text and about 64 of memory."""

MAX_INTEGER_DIGITS = 4300
"""Digits of an integer that become a number; Python's own limit for turning text into int and back."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]|,', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{},")
_STEPS = bytes(byte in b"[{" for byte in range(256))
"""What opens is 1, all else 0."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonError(ModelError):
    """These bytes are not JSON. *offset* is in bytes from their start."""


class JsonLimit(ModelLimit):
    """These bytes are more than a named limit allows: nobody knows whether they are JSON."""


def parse_json(data: bytes, path: str = "") -> tuple[Any, tuple[Note, ...]]:
    """Return the value of the JSON text *data*, and what a reader should know about it.

    *path* only names the file in notes and errors. The caller has bounded the size of *data*.

    Raises:
        JsonError: not UTF-8, or not JSON.
        JsonLimit: beyond `MAX_DEPTH` or `MAX_NODES`.

    Source: RFC 8259.
    """
    body = data.removeprefix(BYTE_ORDER_MARK)
    skipped = len(data) - len(body)
    text = _decode(body, path, skipped)
    _check_size(body, path, skipped)
    parser = _Parser()
    if skipped:
        parser.seen["a byte order mark was left out"] += 1
    value = parser.parse(text, path, skipped)
    if _SURROGATE_ESCAPE.search(body) and not _is_encodable(value):
        parser.seen["half a surrogate pair in a string, kept"] += 1
    return value, tuple(Note(path, _told(reason, count)) for reason, count in parser.seen.items())


def as_number(value: Any) -> float | None:
    """Return a parsed JSON *value* as a float; None where it is no number, or an integer that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _decode(body: bytes, path: str, skipped: int) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise JsonError(path, exc.start + skipped, f"expected UTF-8, found byte 0x{body[exc.start]:02x}") from exc


def _is_small(body: bytes) -> bool:
    """Tell whether depth and number of values are within the limits; a step of Python for each token takes four times as
    long."""
    structure = _STRING.sub(b"", body).translate(None, _NO_STRUCTURE)
    steps = structure.translate(_STEPS, b",")
    if steps.count(1) + structure.count(b",") > MAX_NODES:
        return False
    return max(accumulate(map((-1, 1).__getitem__, steps), initial=0)) <= MAX_DEPTH


def _check_size(body: bytes, path: str, skipped: int) -> None:
    """Raise unless depth and number of values are within the limits; reads no further than where one is passed."""
    if _is_small(body):
        return
    depth = nodes = 0
    for token in _TOKENS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            nodes += 1
            if depth > MAX_DEPTH:
                raise JsonLimit(path, token.start() + skipped, "MAX_DEPTH", f"nests deeper than {MAX_DEPTH}")
        elif first in b"]}":
            depth -= 1
        elif first == ord(","):
            nodes += 1
        if nodes > MAX_NODES:
            raise JsonLimit(path, token.start() + skipped, "MAX_NODES", f"holds more than {MAX_NODES} values")


class _Parser:
    """One parse: Python's grammar with our answers for what it leaves open, counted in `seen`."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def parse(self, text: str, path: str, skipped: int) -> Any:
        try:
            return json.loads(
                text,
                object_pairs_hook=self._object,
                parse_int=self._integer,
                parse_float=self._float,
                parse_constant=self._constant,
            )
        except json.JSONDecodeError as exc:
            _refuse(exc, text, path, skipped)
        except RecursionError as exc:
            raise JsonLimit(path, None, "MAX_DEPTH", "nests deeper than the stack of this process has room for") from exc

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.seen["a key stands twice in one object, the last one counts"] += len(pairs) - len(found)
        return found

    def _integer(self, digits: str) -> int | str:
        if len(digits) < 19:
            return int(digits)
        if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
            self.seen[f"an integer of more than {MAX_INTEGER_DIGITS} digits, kept as text"] += 1
            return digits
        value = int(digits)
        if not -(1 << 63) <= value < 1 << 63:
            self.seen["an integer beyond 64 bits"] += 1
        return value

    def _float(self, digits: str) -> float | str:
        value = float(digits)
        if math.isinf(value):
            self.seen["a number beyond the range of a double, kept as text"] += 1
            return digits
        return value

    def _constant(self, name: str) -> float:
        self.seen[f"a bare {name}, which is not JSON"] += 1
        return float(name.replace("Infinity", "inf"))


def _refuse(exc: json.JSONDecodeError, text: str, path: str, skipped: int) -> NoReturn:
    offset = len(text[: exc.pos].encode()) + skipped
    found = repr(text[exc.pos]) if exc.pos < len(text) else "the end"
    raise JsonError(path, offset, f"not JSON: {exc.msg}, found {found}") from exc


def _is_encodable(value: Any) -> bool:
    """Tell whether every string of a parsed *value* can be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _told(reason: str, count: int) -> str:
    return reason if count == 1 else f"{reason} ({count} times)"
