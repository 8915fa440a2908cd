"""Arrays of numpy: whether one holds objects, which are pickled, instead of numbers.

    magic "\\x93NUMPY" | major u8 | minor u8 | bytes of the header u16, from version 2 on u32 | header | data

A type has many spellings (`'|O'`, `'object'`, `'(2,)O'`, `'f4,O'`, `'\\x4f'`), all of which numpy evaluates. So what counts as
numbers is a closed list of spellings, those that numpy writes; behind any other header there may be a pickle.

Source: numpy/lib/format.py, versions 1.0 to 3.0.
"""

from __future__ import annotations

import re

from detectors.errors import MalformedModel
from detectors.wire import Window

MAX_HEADER_BYTES = 1 << 20

MAX_NESTED = 10
"""Structures in structures of a type; what is deeper is not known to be numbers."""

_UNITS = r"[mM]8(?:\[[0-9]{0,9}(?:generic|Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?"
_TYPE = rf"[|<>=]?(?:\?|[biufcSUV][0-9]{{0,9}}|{_UNITS})"
_PLAIN = rf"""(?:'{_TYPE}'|"{_TYPE}")"""
_NAME = r"""(?:'(?:[^'\\\n]|\\.)*+'|"(?:[^"\\\n]|\\.)*+")"""
_S = r"[ \t]*+"
_SHAPE = rf"\({_S}(?:[0-9]+L?{_S},?{_S})*+\)"
_FIELD = (
    rf"\({_S}(?:{_NAME}|\({_S}{_NAME}{_S},{_S}{_NAME}{_S}\)){_S},{_S}{_PLAIN}{_S}(?:,{_S}(?:{_SHAPE}|[0-9]+){_S})?+,?+{_S}\)"
)

STRUCTURE = re.compile(rf"\[{_S}{_FIELD}(?:{_S},{_S}{_FIELD})*+{_S},?{_S}\]".encode())
"""The type of a structure without others in it: its fields with a name, a type and perhaps a shape each."""

_ENTRIES = {"descr": _PLAIN, "fortran_order": "(?:True|False)", "shape": _SHAPE}
_ENTRY = "|".join(rf"""(?P<{key}>['"]{key}['"]{_S}:{_S}{value})""" for key, value in _ENTRIES.items())
HEADER = re.compile(rf"\{{{_S}(?:(?:{_ENTRY}){_S}(?:,{_S}|(?=\}}))){{3}}\}}\s*".encode())
"""A header of numbers, texts or times; that each of its three entries stands once is told by their groups."""


def start_of_objects(window: Window) -> int | None:
    """Return where the pickle of an array of objects begins, None for an array of numbers. Reads the header.

    Raises:
        MalformedModel: the header is not one of numpy.
    """
    if window.size < 12:
        raise MalformedModel(window.path, None, f"expected the header of a numpy array, found {window.size} bytes")
    width = 2 if window.bytes(6, 7) == b"\x01" else 4
    length = int.from_bytes(window.bytes(8, 8 + width), "little")
    stop = 8 + width + length
    if length > MAX_HEADER_BYTES or stop > window.size:
        raise MalformedModel(window.path, 8, f"a header of {length} bytes in a numpy array of {window.size}")
    return None if _is_of_numbers(window.bytes(8 + width, stop)) else stop


def _is_of_numbers(header: bytes) -> bool:
    """Tell whether a header is spelled as numpy spells one of an array without objects; it is not evaluated."""
    for _ in range(MAX_NESTED):
        header, count = STRUCTURE.subn(b"'|V1'", header)
        if not count:
            break
    found = HEADER.fullmatch(header)
    return found is not None and all(found.groupdict().values())
