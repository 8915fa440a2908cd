"""Where the name of an external file leads, judged as text and never tried.

In goes the location that a tensor of an ONNX model names, as the listing would spell it; out comes why it may not be followed,
or what else is odd about it. Whether the file is there is left to `detectors.onnx_external`.

A location is relative, in POSIX form, and leads down from the folder of its model. Some readers decode, expand or normalise
names before they open them; a plain name is the same to all of them.

Source: onnx/docs/ExternalData.md of onnx 1.23; Unicode 15, annex 15 (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from detectors.facts import Severity
from detectors.tree import readable

MAX_LOCATION_BYTES = 4096
"""The longest path a Linux system call takes."""

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
"""A URL or a Windows drive."""

MEMORY_TAG = "_MEM_ADDR_"
"""onnxruntime takes a location such as `*/_ORT_MEM_ADDR_/*` for an address in its own memory."""

MAX_DECODINGS = 4
"""How often a name is decoded; `%252e` is `.` after two times."""

ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
"""How a URL writes a byte. Source: RFC 3986, section 2.1."""

LOOK_ALIKES = str.maketrans({"\u2215": "/", "\u2044": "/", "\u29f8": "/", "\u3002": ".", "\u2216": "\\", "\u29f5": "\\"})
"""Characters that look like dots and slashes and that NFKC leaves as they are."""

OVERLONG = (("\udcc0\udcae", "."), ("\udcc0\udcaf", "/"), ("\udcc1\udc9c", "\\"))
"""Dots and slashes in two bytes, which UTF-8 forbids and careless decoders take."""

PLAIN = re.compile(r"[A-Za-z0-9_.:/-]+")
"""Most names."""

EXPANDED = re.compile(r"~|\$[A-Za-z_{(]|%[A-Za-z_]+%")
"""How names begin that shells, and readers that do as they do, expand: home folders and variables."""


DROPPED = "".join(map(chr, range(1, 0x21))) + "\x7f"
"""Spaces and control characters, which some systems drop from the ends of a name."""


class Odd(NamedTuple):
    """Something that no writer does, and how much it matters."""

    severity: Severity
    reason: str


def why_outside(location: str) -> str | None:
    """Return why the name itself forbids to follow it, None where it is a plain relative path."""
    if len(location) > MAX_LOCATION_BYTES:
        return f"it is longer than {MAX_LOCATION_BYTES} bytes"
    if all(segment in ("", ".") for segment in location.split("/")):
        return "it names no file"
    if "\0" in location or "\\" in location:
        return "it holds a NUL or a backslash"
    if location.startswith("/") or SCHEME.match(location):
        return "it is absolute or a URL"
    if ".." in location.split("/"):
        return "it climbs with '..'"
    if MEMORY_TAG in location:
        return "it stands for memory of the runtime"
    return None


def odd_name(location: str) -> Odd | None:
    """Return what is odd about a *location* that does not lead outside as it stands; None where it is plain."""
    if PLAIN.fullmatch(location):
        return None
    if EXPANDED.match(location):
        return Odd(Severity.MEDIUM, "a reader that expands home folders and variables follows elsewhere")
    meant = _decoded(location)
    outside = why_outside(meant) if meant != location else None
    if outside is not None:
        return Odd(Severity.MEDIUM, f"some readers take for {readable(meant)[:200]!r}: {outside}")
    if not location.isprintable():
        return Odd(Severity.LOW, "holds characters that cannot be shown")
    if any(segment != segment.strip() for segment in location.split("/")):
        return Odd(Severity.LOW, "has a space at the beginning or the end of a part, which some systems drop")
    return None


def _decoded(location: str) -> str:
    """Return what is left of *location* after all that readers are known to decode, normalise and drop."""
    for _ in range(MAX_DECODINGS):
        location = _without_escapes(location) if "%" in location else location
    for overlong, meant in OVERLONG:
        location = location.replace(overlong, meant)
    plain = unicodedata.normalize("NFKC", location).translate(LOOK_ALIKES)
    return "/".join([segment.strip(DROPPED) for segment in plain.split("/")])


def _without_escapes(location: str) -> str:
    plain = ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), location.encode("utf-8", "surrogateescape"))
    return plain.decode("utf-8", "surrogateescape")
