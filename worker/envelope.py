"""Takes the content out of the multipart envelope in which the client of the original system sends a file.

Its PUT announces no boundary, so the bytes themselves must tell:

    --<32 hex digits> CRLF  header lines, each with CRLF  CRLF  content  CRLF --<the same digits>-- CRLF

In goes a file that can be read anywhere; out comes where its content lies. Both ends must agree; what has no envelope is its
own content, so that a plain upload of another client is kept as it came. One envelope is taken off, whatever is inside.

Laws (each has a test of the same name):
    what is wrapped comes out as it was;
    the span of any bytes lies within them.

Source: the bodies that gradient 2.99.4 sends, recorded.
"""

from __future__ import annotations

import re
from typing import BinaryIO

MAX_HEAD_BYTES = 8192
"""Length of the boundary and the header lines; the client sends a name of a file and a type."""

HEAD = re.compile(rb"--([0-9a-f]{32})\r\n(?:[!-9;-~]+:[^\r\n]*\r\n)+\r\n")


def content_span(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return [start, stop) of the content of *file*, which has *size* bytes. Reads a few thousand bytes of its two ends."""
    file.seek(0)
    head = HEAD.match(file.read(MAX_HEAD_BYTES))
    if head is None:
        return 0, size
    tail = b"\r\n--" + head[1] + b"--\r\n"
    stop = size - len(tail)
    if stop < head.end():
        return 0, size
    file.seek(stop)
    return (head.end(), stop) if file.read(len(tail)) == tail else (0, size)
