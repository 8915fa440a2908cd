"""The proxy forwards, and goes silent without a word."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.servers.proxy import CuttingProxy, cutting_proxy

PAUSE_SECONDS = 0.3


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def proxy(server: socket.socket) -> Iterator[CuttingProxy]:
    with cutting_proxy(server.getsockname()[1]) as proxy:
        yield proxy


def connected(proxy: CuttingProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def test_it_carries_bytes_and_ends_both_ways(proxy: CuttingProxy, server: socket.socket) -> None:
    with connected(proxy) as near, server.accept()[0] as far:
        near.sendall(b"question")
        assert far.recv(100) == b"question"
        far.sendall(b"answer")
        assert near.recv(100) == b"answer"
        near.close()
        assert far.recv(100) == b""


def test_a_cut_connection_brings_neither_bytes_nor_an_end_and_stays_dead(proxy: CuttingProxy, server: socket.socket) -> None:
    with connected(proxy) as near, server.accept()[0] as far:
        near.sendall(b"before")
        assert far.recv(100) == b"before"
        proxy.cut()
        far.sendall(b"lost")
        far.close()
        near.settimeout(PAUSE_SECONDS)
        with pytest.raises(TimeoutError):
            near.recv(100)
        proxy.heal()
        near.sendall(b"into the void")
        with pytest.raises(TimeoutError):
            near.recv(100)


def test_connections_made_after_the_cut_go_through_when_it_is_healed(proxy: CuttingProxy, server: socket.socket) -> None:
    proxy.cut()
    server.settimeout(PAUSE_SECONDS)
    with connected(proxy) as dead:
        dead.sendall(b"void")
        with pytest.raises(TimeoutError):
            server.accept()
        proxy.heal()
        with connected(proxy) as near, server.accept()[0] as far:
            near.sendall(b"through")
            assert far.recv(100) == b"through"


def test_where_no_server_listens_the_connection_ends(proxy: CuttingProxy, server: socket.socket) -> None:
    server.close()
    with connected(proxy) as near:
        assert near.recv(100) == b""
