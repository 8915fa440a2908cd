"""A way to an S3 server on which a test can put time, refusals and broken answers, and which counts what goes through.

Requests are handed on as they were signed: the name of the host that the client meant is part of what the server checks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from threading import Condition, Lock
from typing import ClassVar

from tests.servers.http import QuietHandler, serving

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
PIECE_BYTES = 256 << 10
LOST = ("connection", "transfer-encoding", "keep-alive")


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came: *query* begins after the question mark, range is the header, None where there is none.

    size is the length of its body.
    """

    method: str
    path: str
    query: str
    range: str | None
    size: int = 0


@dataclass(eq=False)
class Faults:
    """What is done to requests from now on; the counts go down by one with each that it was done to.

    broken breaks answers to GET off after *broken_after* bytes; spoiled flips a bit in what PUT carries. hook is called before
    a request is handed on, with its number from 0.
    """

    latency_seconds: float = 0.0
    slow_downs: int = 0
    broken: int = 0
    broken_after: int = 0
    spoiled: int = 0
    hook: Callable[[int, Request], None] = lambda number, request: None
    requests: list[Request] = field(default_factory=list)
    bytes_down: int = 0
    bytes_up: int = 0
    _lock: Lock = field(default_factory=Lock)
    _changed: Condition = field(default_factory=Condition)
    _count: int = 0

    def take(self, name: str) -> bool:
        """Tell whether the fault *name* is still to be done, and count it down."""
        with self._lock:
            left: int = getattr(self, name)
            setattr(self, name, max(0, left - 1))
            return left > 0

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count the block as a request that is under way."""
        with self._changed:
            self._count += 1
        try:
            yield
        finally:
            with self._changed:
                self._count -= 1
                self._changed.notify_all()

    def wait_until_quiet(self) -> None:
        """Come back once no request is under way; one goes on though its client has died."""
        with self._changed:
            self._changed.wait_for(lambda: not self._count)

    def count_up(self, size: int) -> None:
        """Count *size* bytes that a PUT carries."""
        with self._lock:
            self.bytes_up += size

    def count_down(self, size: int) -> None:
        """Count *size* bytes of an answer."""
        with self._lock:
            self.bytes_down += size

    def note(self, request: Request) -> int:
        with self._lock:
            self.requests.append(request)
            return len(self.requests) - 1


class _Handler(QuietHandler):
    protocol_version = "HTTP/1.1"
    upstream: ClassVar[int]
    faults: ClassVar[Faults]

    def handle_one(self) -> None:
        with self.faults.under_way():
            self._handle()

    def _handle(self) -> None:
        faults = self.faults
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, query, self.headers.get("Range"), len(body))
        faults.count_up(len(body) if self.command == "PUT" else 0)
        faults.hook(faults.note(request), request)
        time.sleep(faults.latency_seconds)
        if faults.slow_downs and faults.take("slow_downs"):
            self._answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
            return
        if self.command == "PUT" and body and faults.spoiled and faults.take("spoiled"):
            body = bytes([body[0] ^ 1]) + body[1:]
        self._forward(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one

    def _forward(self, body: bytes) -> None:
        with closing(HTTPConnection("127.0.0.1", self.upstream, timeout=60)) as upstream:
            self._exchange(upstream, body)

    def _exchange(self, upstream: HTTPConnection, body: bytes) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", *LOST):
                upstream.putheader(name, value)
        upstream.endheaders(body or None)
        answer = upstream.getresponse()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in LOST]
        faults = self.faults
        if self.command == "GET" and faults.broken and answer.status in (200, 206) and faults.take("broken"):
            self._head(answer.status, headers)
            self.wfile.write(answer.read(faults.broken_after))
            self.close_connection = True
            return
        if answer.getheader("Content-Length") is None and self.command != "HEAD":
            self._answer(answer.status, headers, answer.read())
        else:
            self._head(answer.status, headers)
            while piece := answer.read(PIECE_BYTES):
                faults.count_down(len(piece))
                self.wfile.write(piece)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._head(status, [*headers, ("Content-Length", str(len(body)))])
        self.wfile.write(body)

    def _head(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def s3_proxy(upstream: int) -> Iterator[tuple[str, Faults]]:
    """Give the address of a proxy for the S3 server at the port *upstream*, and what it does to requests."""
    faults = Faults()
    handler = type("Handler", (_Handler,), {"upstream": upstream, "faults": faults})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}", faults
