"""A connection that waits for a request, and for somebody to take its answer, for a while, and no longer.

uvicorn closes what rests between two requests, but waits for ever for the rest of a request's head, and for the first one; and
for ever for who takes nothing of an answer, which is kept in memory meanwhile. Who sends a byte a minute on a thousand
connections, or asks for a thousand files and reads none, would keep them all. A body has a time of its own (`bodies`).
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.api.problems import HEADERS, Problem, problem_reply

HEAD_SECONDS = 20.0
"""How long the head of a request may take, from when the connection was made or its first byte came."""

TAKEN_SECONDS = 300.0
"""How long a client may take so little of an answer that no more of it finds room in the socket, which may hold some megabytes:
4 KiB in a second is enough.
"""

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
"""What is said to who was too slow (RFC 9110, 15.5.9), but not to who said nothing."""

NO_REQUEST = Problem(400, "malformed", "this is no HTTP request, or its head is too long", {"Connection": "close"})
"""What is said to who sends what h11 does not take."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose requests must begin within `head_seconds`, and whose answers must go on within `taken_seconds`; h11 bounds
    a head that comes in parts to 16 KiB.
    """

    head_seconds = HEAD_SECONDS
    taken_seconds = TAKEN_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _looks_again: asyncio.TimerHandle | None = None
    _has_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take up a connection."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        super().connection_lost(exc)
        self._rest()
        self._look_no_more()

    def data_received(self, data: bytes) -> None:
        """Take *data* as the next bytes of the connection."""
        self._has_begun = True
        super().data_received(data)
        self._watch()

    def pause_writing(self) -> None:
        """Wait until some of the answer is taken."""
        super().pause_writing()
        self._look_later()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        self._look_no_more()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request as every other error, and close the connection. Whose answer has begun by now, because it
        was not let in before its body came, gets no second one.
        """
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_reply(NO_REQUEST)
            head = h11.Response(status_code=answer.status_code, headers=[*answer.raw_headers, *HEADERS], reason=b"Bad Request")
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Set the deadline where a head is waited for and none is set; lift it where a request is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.head_seconds, self._give_up)

    def _rest(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._has_begun = None, False

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:  # a pipelined request began without new bytes
            return
        if self._has_begun and not self.transport.is_closing():
            self.transport.write(TOO_SLOW)
        self.transport.close()

    def _look_later(self) -> None:
        """Look after a while whether anything was taken of what waits now."""
        waiting = self.transport.get_write_buffer_size()
        self._looks_again = self.loop.call_later(self.taken_seconds, self._look, waiting)

    def _look_no_more(self) -> None:
        if self._looks_again is not None:
            self._looks_again.cancel()
        self._looks_again = None

    def _look(self, waiting: int) -> None:
        """Let go of a client that took nothing of the *waiting* bytes. Closing would wait for it again."""
        if self.transport.get_write_buffer_size() >= waiting:
            self.transport.abort()
        else:
            self._look_later()
