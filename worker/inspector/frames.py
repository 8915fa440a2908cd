"""Frames on a stream socket, between two processes of which one may be hostile.

    letter that says what it is, 1 byte | length of the body, u32 big-endian | body

Who receives says which letters may come and how long each may be; a longer one is refused before any room is made for it.
A frame has one deadline, so that a byte now and then does not keep anybody waiting for ever. What a body says is left to
`coding`.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping

HEADER = struct.Struct(">cI")


class Gone(Exception):
    """The other side has closed its end."""


class Late(Exception):
    """The other side did not send, or take, a whole frame in time."""


class BadFrame(Exception):
    """What came is no frame that was expected here."""


class Channel:
    """One end of a stream socket. Seconds are for a whole frame; None waits for ever."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, kind: bytes, body: bytes = b"", seconds: float | None = None) -> None:
        """Send one frame.

        Raises:
            Gone, Late: the other side does not take it.
        """
        self._end.settimeout(seconds)
        try:
            self._end.sendall(HEADER.pack(kind, len(body)) + body)
        except TimeoutError as exc:
            raise Late from exc
        except OSError as exc:
            raise Gone from exc

    def receive(self, longest: Mapping[bytes, int], seconds: float | None = None) -> tuple[bytes, bytes]:
        """Return the letter and the body of the next frame. *longest* has the most bytes of a body by letter.

        Raises:
            Gone, Late: it did not come.
            BadFrame: it is of no such letter, or longer.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        kind, length = HEADER.unpack(self._exactly(HEADER.size, deadline))
        if length > longest.get(kind, -1):
            raise BadFrame(f"a frame {kind!r} of {length} bytes")
        return kind, self._exactly(length, deadline)

    def _exactly(self, count: int, deadline: float | None) -> bytes:
        """Return the next *count* bytes; takes room only for what has come."""
        pieces, missing = [], count
        while missing:
            self._end.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-6))
            try:
                piece = self._end.recv(min(missing, 1 << 20))
            except TimeoutError as exc:
                raise Late from exc
            except OSError as exc:
                raise Gone from exc
            if not piece:
                raise Gone
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close this end; the other side sees it."""
        self._end.close()
