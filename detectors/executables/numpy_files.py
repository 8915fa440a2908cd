"""Arrays of numpy: whether one holds objects, which are pickled, instead of numbers, and where its numbers end.

    magic "\\x93NUMPY" | major u8 | minor u8 | bytes of the header u16, from version 2 on u32 | header | data

A type has many spellings (`'|O'`, `'object'`, `'(2,)O'`, `'f4,O'`, `'\\x4f'`), all of which numpy evaluates. So what counts as
numbers is a closed list of spellings, those that numpy writes; behind any other header there may be a pickle. So there may be
behind the numbers: `numpy.load` is called again and again on one open file, and each time reads on where it stopped.

Source: numpy/lib/format.py, versions 1.0 to 3.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from detectors.errors import MalformedModel
from detectors.wire import Window

MAX_HEADER_BYTES = 1 << 20

MAX_NESTED = 10
"""Structures in structures of a type; what is deeper is not known to be numbers."""

MAX_ELEMENTS = 1 << 63
TIME_BYTES, CHARACTER_BYTES = 8, 4
"""Of a time or a span of time, and of a character of a text."""

NUMBER = re.compile(rb"[0-9]+")

_UNITS = r"[mM]8(?:\[[0-9]{0,9}(?:generic|Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
_TYPE = rf"[|<>=]?(?:\?|[biufcSUV][0-9]{{0,9}}|{_UNITS})"
_PLAIN = rf"""(?:'{_TYPE}'|"{_TYPE}")"""
_NAME = r"""(?:'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")"""
_S = r"[ \t]*+"
_SHAPE = rf"\({_S}(?:[0-9]{{1,19}}L?{_S}(?:,{_S}|(?=\))))*+\)"
_NAMED = rf"(?:{_NAME}|\({_S}{_NAME}{_S},{_S}{_NAME}{_S}\))"
_TIMES = rf"(?:{_SHAPE}|[0-9]{{1,19}})"
_FIELD = rf"\({_S}{_NAMED}{_S},{_S}{_PLAIN}{_S}(?:,{_S}{_TIMES}{_S})?+,?+{_S}\)"

FIELD = re.compile(rf"\({_S}{_NAMED}{_S},{_S}(?P<type>{_PLAIN}){_S}(?:,{_S}(?P<shape>{_TIMES}){_S})?+,?+{_S}\)".encode())
"""One field of a structure."""

STRUCTURE = re.compile(rf"\[{_S}{_FIELD}(?:{_S},{_S}{_FIELD})*+{_S},?{_S}\]".encode())
"""The type of a structure without others in it: its fields with a name, a type and perhaps a shape each."""

_ENTRIES = {"descr": _PLAIN, "fortran_order": "(?:True|False)", "shape": _SHAPE}
_ENTRY = "|".join(rf"""(?P<{key}>['"]{key}['"]{_S}:{_S}{value})""" for key, value in _ENTRIES.items())
HEADER = re.compile(rf"\{{{_S}(?:(?:{_ENTRY}){_S}(?:,{_S}|(?=\}}))){{3}}\}}\s*".encode())
"""A header of numbers, texts or times; that each of its three entries stands once is told by their groups."""


@dataclass(frozen=True, slots=True)
class Array:
    """Where what the header at some place tells of begins, and how many bytes of numbers it is; None where it is objects."""

    stop: int
    data_bytes: int | None


def read_header(window: Window, start: int = 0) -> Array:
    """Return what the header at *start* says. Reads no more than it.

    Raises:
        MalformedModel: the header is not one of numpy.
    """
    left = window.size - start
    if left < 12:
        raise MalformedModel(window.path, None, f"expected the header of a numpy array, found {left} bytes")
    width = 2 if window.bytes(start + 6, start + 7) == b"\x01" else 4
    length = int.from_bytes(window.bytes(start + 8, start + 8 + width), "little")
    begin = start + 8 + width
    if length > MAX_HEADER_BYTES or begin + length > window.size:
        raise MalformedModel(window.path, start + 8, f"a header of {length} bytes in a numpy array of {left}")
    return Array(begin + length, _bytes_of_numbers(window.bytes(begin, begin + length)))


def _bytes_of_numbers(header: bytes) -> int | None:
    """Return how many bytes follow a header that is spelled as numpy spells one of an array without objects; it is not
    evaluated. None for any other."""
    for _ in range(MAX_NESTED):
        header, count = STRUCTURE.subn(_as_void, header)
        if not count:
            break
    found = HEADER.fullmatch(header)
    if found is None or not all(found.groupdict().values()):
        return None
    return _item_bytes(found["descr"].partition(b":")[2].strip(b" \t")) * _count(found["shape"].partition(b":")[2])


def _as_void(structure: re.Match[bytes]) -> bytes:
    """Return the type of a structure as that of as many bytes without a meaning."""
    fields = FIELD.finditer(structure[0])
    return b"'|V%d'" % sum(_item_bytes(field["type"]) * _count(field["shape"] or b"") for field in fields)


def _item_bytes(spelled: bytes) -> int:
    """Return the size of one element of a plain type, in quotes."""
    plain = spelled[1:-1].lstrip(b"|<>=")
    if plain[:1] in (b"m", b"M"):
        return TIME_BYTES
    if plain == b"?":
        return 1
    return (CHARACTER_BYTES if plain[:1] == b"U" else 1) * int(plain[1:] or b"0")


def _count(shape: bytes) -> int:
    """Return how many elements an array of this shape has, one without axes 1; more than `MAX_ELEMENTS` count as that."""
    count = 1
    for number in NUMBER.findall(shape):
        count = min(count * int(number), MAX_ELEMENTS)
    return count
