"""A receiver of webhooks in this process, by http or by https, which keeps what it is sent; and one who counts who comes."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from tests.servers.http import QuietHandler, serving


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """What came so far. answer is given each message, and returns the status, and the headers that go with it."""

    port: int = 0
    answer: Callable[[Message], tuple[int, Mapping[str, str]]] = lambda message: (204, {})
    messages: list[Message] = field(default_factory=list)
    asked_for: list[str | None] = field(default_factory=list)
    """The names that were asked for in TLS."""

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook?key=t0p"

    def ids(self) -> list[str]:
        return [message.headers["webhook-id"] for message in self.messages]


@contextmanager
def receiver(context: ssl.SSLContext | None = None, at: str = "127.0.0.1", port: int = 0) -> Iterator[Receiver]:
    """Give a receiver that listens; by https where it has a *context*."""
    kept = Receiver()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            message = Message(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            kept.messages.append(message)
            status, headers = kept.answer(message)
            with suppress(OSError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is not None:
                request.settimeout(10)
                with suppress(OSError), context.wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)
            else:
                super().finish_request(request, client_address)

    if context is not None:
        context.sni_callback = lambda _, name, __: kept.asked_for.append(name)
    server = Server((at, port), Handler)
    kept.port = server.server_port
    with serving(server):
        yield kept


@dataclass(slots=True)
class Doorkeeper:
    """Somebody at a port of all interfaces who counts who comes and says nothing; has_both tells whether by IPv6 too."""

    port: int
    has_both: bool
    visits: int = 0


@contextmanager
def doorkeeper() -> Iterator[Doorkeeper]:
    """Give one who listens."""
    with _everywhere() as listening:
        kept = Doorkeeper(listening.getsockname()[1], listening.family == socket.AF_INET6)

        def count() -> None:
            with suppress(OSError):
                while True:
                    visitor, _ = listening.accept()
                    kept.visits += 1
                    visitor.close()

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _everywhere() -> socket.socket:
    try:
        return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        return socket.create_server(("0.0.0.0", 0))
