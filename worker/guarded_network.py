"""Connections to servers that others may have named: to the address that was looked at, or not at all.

A `NetworkBackend` for httpcore. The name is resolved once; every address that it has must be one that may be sent to, and it is
one of those that is connected to, as a number. So a name that means something else a moment later changes nothing, and the
certificate is still compared with the name. Nothing lasts beyond a moment that is said before, but for the look at the name,
which the system ends when it likes.

Laws (each has a test of the same name):
    nothing is sent to what is refused, not even a connection;
    a name of which one address is refused is refused;
    the address that was looked at is the one that is connected to;
    nothing lasts longer than it may.

Source: httpcore 1.0, "Network Backends".
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore
from httpcore import NetworkBackend, NetworkStream

from worker.public_addresses import Allowed, refusal

MOST_ADDRESSES = 8
"""Of one name that are tried, one after another."""


class Refused(Exception):
    """Nothing may be sent there."""


Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host.

Raises:
    OSError: it has none.
"""


def resolve(host: str, port: int) -> Sequence[str]:
    """Return all addresses of *host*, those to be tried first in front. What is written as a number, in whatever way the system
    takes, is one too.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class GuardedBackend(NetworkBackend):
    """Connects to what *may* be sent to besides what is public, until the moment *until* of the monotonic clock; to that alone
    where *is_plain*, because everybody on the way reads along.
    """

    def __init__(self, may: Allowed, until: float, is_plain: bool = False, resolve: Resolve = resolve) -> None:
        self._may, self._until, self._is_plain, self._resolve = may, until, is_plain, resolve
        self._inner = httpcore.SyncBackend()

    def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of *host*.

        Raises:
            Refused: one of them must not be connected to.
            httpcore.ConnectError: there are none.
        """
        try:
            found = self._resolve(host, port)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"{host} has no address: {getattr(exc, 'strerror', None) or exc}") from exc
        if not found:
            raise httpcore.ConnectError(f"{host} has no address")
        for address in found:
            why = refusal(host, address, self._may)
            if why is None and self._is_plain and not self._may.has(host, ip_address(address)):
                why = f"{address} would be told without encryption"
            if why is not None:
                raise Refused(why if why.startswith(f"{host} ") else f"{host}: {why}")
        return found[:MOST_ADDRESSES]

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        failure: Exception = httpcore.ConnectTimeout("the time is over")
        for address in self.addresses(host, port):
            try:
                left = self._left(timeout, httpcore.ConnectTimeout)
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
                return _Bounded(stream, self._left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> NetworkStream:
        raise Refused("a socket on this machine")

    def _left(self, timeout: float | None, late: type[Exception]) -> float:
        """Return how long the next step may take."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise late("the time is over")
        return left if timeout is None else min(left, timeout)


class _Bounded(NetworkStream):
    """A stream that ends in time, however slowly it drips."""

    def __init__(self, inner: NetworkStream, left: Callable[[float | None, type[Exception]], float]) -> None:
        self._inner, self._left = inner, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, left), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
