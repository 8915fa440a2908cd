"""A link between two programs that a test can cut without a word: what a pulled cable or a forgetful router does.

In goes the port of a server on this machine, out comes another one that leads there. While it is cut nothing goes through,
neither bytes nor the news that a side has closed; both ends keep what looks like a connection. Connections that were cut
stay dead when the link is healed, and new ones go through: a router that lost its table forgets them for ever.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock, Thread

PIECE_BYTES = 64 << 10


@dataclass(eq=False)
class _Link:
    """What connections go through until it is cut."""

    is_cut: bool = False


class CuttingProxy:
    """Listens on *port* of the loopback interface for the server at *upstream*."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._link = _Link()
        self._lock = Lock()
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """Let nothing through any more, on any connection."""
        self._link.is_cut = True

    def heal(self) -> None:
        """Let new connections through; those that were cut stay dead."""
        self._link = _Link()

    def close(self) -> None:
        """End every connection, and wait until nothing runs any more."""
        with self._lock:
            sockets = list(self._sockets)
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes who waits in it, as closing alone does not
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = Thread(target=work, args=arguments, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._keep(near)
                if not self._link.is_cut:
                    self._join(near, self._link)

    def _join(self, near: socket.socket, link: _Link) -> None:
        """Connect *near* with the server; where nobody listens there, it is closed."""
        try:
            far = socket.create_connection(("127.0.0.1", self._upstream))
        except OSError:
            near.shutdown(socket.SHUT_RDWR)
            return
        self._keep(far)
        self._start(_pump, near, far, link)
        self._start(_pump, far, near, link)

    def _keep(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets.append(one)


def _pump(source: socket.socket, sink: socket.socket, link: _Link) -> None:
    """Carry what comes from *source* to *sink* until it ends or *link* is cut."""
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            if link.is_cut:
                return
            sink.sendall(piece)
    if not link.is_cut:
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def cutting_proxy(upstream: int) -> Iterator[CuttingProxy]:
    """Give a proxy for the server at the port *upstream* while the block runs."""
    proxy = CuttingProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
