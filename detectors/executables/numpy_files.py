"""Arrays of numpy: whether one holds objects, which are pickled, instead of numbers.

    magic "\\x93NUMPY" | major u8 | minor u8 | bytes of the header u16, from version 2 on u32 | header | data

Source: numpy/lib/format.py, versions 1.0 to 3.0.
"""

from __future__ import annotations

import re

from detectors.errors import MalformedModel
from detectors.wire import Window

MAX_HEADER_BYTES = 1 << 20

OBJECTS = re.compile(rb"""['"][|<>=]?O\d*['"]""")
"""The type of an object among those of an array or of its fields; the header is not evaluated."""


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
    return stop if OBJECTS.search(window.bytes(8 + width, stop)) else None
