"""What looks like a configuration of Keras in an HDF5 file that keeps it in a way that `detectors.weights.hdf5` does not read.

In goes a window on the file, out come JSON texts near its beginning, or the classes named there. `h5py` puts such a text into a
heap whose objects carry their length, and an old one into the attribute itself; so its length is taken from there, or from the
brackets of the JSON. It is a guess, with which more is found than without: who asks must say that the file was not looked at.

Law (has a test of the same name):
    any bytes give a text or none.

Source: HDF5 File Format Specification 3.0, III.E "Global Heap"; keras/src/legacy/saving/legacy_h5_format.py, Keras 3.15.
"""

from __future__ import annotations

import re

from detectors.wire import Window

SEARCHED_BYTES = 256 << 10
"""How far from the beginning the configuration is looked for; in files of Keras it begins within the first 10 KB."""

MAX_CONFIG_BYTES = 8 << 20
"""What is walked over in all, to find where texts end."""

MAX_CONFIGS = 4
MAX_BEGINNINGS = 8
"""Places that are tried: a text that nothing ends is walked over to the end of the file."""

BEGINS = re.compile(rb'\{\s*"(?:module|class_name|config|name|registered_name|keras_version|backend)"\s*:')
CLASS = re.compile(rb'"class_name"\s*:\s*"(\w{1,100})"', re.ASCII)
LENGTH_BYTES = 8

IN_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}]|\x00', re.DOTALL)


def named_layers(window: Window) -> list[str]:
    """Return the classes named near the beginning of a file whose configuration cannot be read as a whole."""
    found = CLASS.findall(window.bytes(0, min(window.size, SEARCHED_BYTES)))
    return [name.decode("ascii") for name in dict.fromkeys(found)]


def config_texts(window: Window) -> list[bytes]:
    """Return the JSON texts near the beginning of the file that may be configurations, in their order."""
    found: list[bytes] = []
    position, left = 0, MAX_CONFIG_BYTES
    data = window.bytes(0, min(window.size, SEARCHED_BYTES))
    for _ in range(MAX_BEGINNINGS):
        match = BEGINS.search(data, position)
        if match is None or len(found) == MAX_CONFIGS or left <= 0:
            break
        text, walked = _told(window, match.start(), left), 0
        if not text:
            text, walked = _balanced(window, match.start(), left)
        left -= walked or len(text)
        position = match.start() + max(1, len(text))
        if text:
            found.append(text)
    return found


def _told(window: Window, start: int, most: int) -> bytes:
    """Return the text at *start* as long as its heap says, b"" where that makes no text of at most *most* bytes."""
    length = int.from_bytes(window.bytes(max(0, start - LENGTH_BYTES), start), "little")
    if not 2 <= length <= min(most, window.size - start):
        return b""
    text = window.bytes(start, start + length)
    return text if text.endswith(b"}") else b""


def _balanced(window: Window, start: int, most: int) -> tuple[bytes, int]:
    """Return the text at *start* up to the bracket that closes its first one, b"" where none of *most* bytes does; and how
    many bytes were walked over."""
    data = window.bytes(start, min(window.size, start + most))
    depth = 0
    for token in IN_TEXT.finditer(data):
        if token[0] == b"\0":
            return b"", token.end()
        if token[0] in b"{}":
            depth += 1 if token[0] == b"{" else -1
            if depth == 0:
                return data[: token.end()], token.end()
    return b"", len(data)
