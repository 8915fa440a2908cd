"""That nothing is connected to but what may be: somebody counts who comes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import httpcore
import pytest

from tests.servers.process import free_port, until
from tests.servers.receiver import Doorkeeper, doorkeeper
from worker.guarded_network import GuardedBackend, Refused, resolve
from worker.public_addresses import Allowed, allowed

HERE, NOBODY = allowed(["127.0.0.0/8"]), Allowed()


@pytest.fixture(scope="module")
def door() -> Iterator[Doorkeeper]:
    with doorkeeper() as kept:
        yield kept


def guard(may: Allowed = NOBODY, seconds: float = 5.0, **more: object) -> GuardedBackend:
    return GuardedBackend(may, time.monotonic() + seconds, **more)  # type: ignore[arg-type]


def names(**known: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    """Return a name service that knows these names besides what the system knows."""
    return lambda host, port: known[host.partition(".")[0]] if host.endswith(".test") else resolve(host, port)


ZONE = names(
    home=["127.0.0.1"],
    cloud=["169.254.169.254"],
    mixed=["93.184.216.34", "127.0.0.1"],
    other=["127.0.0.1", "93.184.216.34"],
    six=["2606:4700::1111", "::1"],
    mapped=["::ffff:127.0.0.1"],
    lan=["10.0.0.1"],
)

ARRIVING = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0",
    "0.0.0.0",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::",
    "localhost",
    "LOCALHOST",
]
"""Forms by which whoever is not guarded comes to this machine."""

OTHERS = [
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::80ff:fffe",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "::ffff:169.254.169.254",
    "fd00:ec2::254",
    "fe80::1",
    "224.0.0.1",
    "255.255.255.255",
    "home.test",
    "cloud.test",
    "mixed.test",
    "other.test",
    "six.test",
    "mapped.test",
    "lan.test",
]


@pytest.mark.parametrize("host", ARRIVING)
def test_a_form_arrives_where_nobody_guards(host: str, door: Doorkeeper) -> None:
    """So that the count of the next test means something."""
    if ":" in host and not door.has_both:
        return
    before = door.visits
    httpcore.SyncBackend().connect_tcp(host, door.port, 5).close()
    assert until(lambda: door.visits == before + 1, 5)


@pytest.mark.parametrize("scheme", [b"https", b"http"])
def test_nothing_is_sent_to_what_is_refused_not_even_a_connection(scheme: bytes, door: Doorkeeper) -> None:
    before, forms = door.visits, [*ARRIVING, *OTHERS, socket.gethostname()]
    assert len(forms) >= 30
    for host in forms:
        with httpcore.ConnectionPool(network_backend=guard(is_plain=scheme == b"http", resolve=ZONE)) as pool:
            with pytest.raises((Refused, httpcore.ConnectError)) as raised:
                pool.request("POST", httpcore.URL(scheme=scheme, host=host.encode(), port=door.port, target=b"/"))
            assert isinstance(raised.value, Refused) or "has no address" in str(raised.value), host
    socket.create_connection(("127.0.0.1", door.port)).close()  # whoever came before is counted before
    assert until(lambda: door.visits > before, 5)
    assert door.visits == before + 1


def test_what_is_allowed_arrives(door: Doorkeeper) -> None:
    for host, entry in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("2130706433", "127.0.0.0/8"), ("home.test", "home.test")]:
        before = door.visits
        if door.has_both or ":" not in host:
            guard(allowed([entry]), is_plain=True, resolve=ZONE).connect_tcp(host, door.port, 5).close()
            assert until(lambda before=before: door.visits == before + 1, 5)


def test_by_plain_http_only_what_is_allowed_is_sent_to() -> None:
    public = names(hooks=["93.184.216.34"])
    assert guard(resolve=public).addresses("hooks.test", 443) == ["93.184.216.34"]
    with pytest.raises(Refused, match=r"^hooks.test: 93.184.216.34 would be told without encryption$"):
        guard(is_plain=True, resolve=public).addresses("hooks.test", 80)
    assert guard(allowed(["93.184.216.0/24"]), is_plain=True, resolve=public).addresses("hooks.test", 80)


@pytest.mark.parametrize("host", ["mixed.test", "other.test", "six.test"])
def test_a_name_of_which_one_address_is_refused_is_refused(host: str) -> None:
    with pytest.raises(Refused, match=f"^{host}: .* is loopback$"):
        guard(resolve=ZONE).addresses(host, 443)


@pytest.mark.parametrize(("first", "then"), [("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2")])
def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(first: str, then: str) -> None:
    """A name that means something else from the second look on leads where it was looked at."""
    answers = iter([[first], [then], [then]])
    with socket.create_server((first, free_port())) as looked_at:
        port = looked_at.getsockname()[1]
        with socket.create_server((then, port)) as other:
            other.settimeout(0.2)
            stream = guard(allowed([first]), resolve=lambda host, port: next(answers)).connect_tcp("rebinds.test", port, 5)
            assert stream.get_extra_info("server_addr") == (first, port)
            stream.close()
            with pytest.raises(TimeoutError):
                other.accept()
    assert list(answers) == [[then], [then]]


def test_of_several_addresses_the_next_is_tried_where_one_is_closed() -> None:
    with socket.create_server(("127.0.0.3", 0)) as listening:
        port = listening.getsockname()[1]
        backend = guard(HERE, resolve=lambda host, port: ["127.0.0.2", "127.0.0.3"])
        stream = backend.connect_tcp("two.test", port, 5)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.3"
        stream.close()


def test_a_name_without_an_address_is_said_to_have_none() -> None:
    for addresses in (lambda host, port: [], lambda host, port: "x".encode("idna") and socket.getaddrinfo("a" * 70, port)):
        with pytest.raises(httpcore.ConnectError, match=r"^gone\.test has no address"):
            guard(resolve=addresses).addresses("gone.test", 443)


def test_a_socket_on_this_machine_is_refused() -> None:
    with pytest.raises(Refused):
        guard().connect_unix_socket("/var/run/docker.sock")


@pytest.mark.parametrize("drips", [b"H", b"HTTP/1.1 200 OK\r\nX: "], ids=["before its status", "in its headers"])
def test_nothing_lasts_longer_than_it_may(drips: bytes) -> None:
    """A server that sends a byte now and then is left when the time is over."""
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        visitor, _ = listening.accept()
        with visitor, suppress(OSError):
            visitor.sendall(drips)
            while not over.wait(0.05):
                visitor.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        began = time.monotonic()
        try:
            url = httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=listening.getsockname()[1], target=b"/")
            patient = {"timeout": {"read": 10.0, "connect": 10.0}}
            with httpcore.ConnectionPool(network_backend=guard(HERE, seconds=0.5)) as pool, pytest.raises(httpcore.ReadTimeout):
                pool.request("POST", url, extensions=patient)
        finally:
            over.set()
            thread.join(5)
        assert 0.4 < time.monotonic() - began < 5


def test_what_is_begun_too_late_is_not_begun(door: Doorkeeper) -> None:
    before = door.visits
    with pytest.raises(httpcore.ConnectTimeout, match="the time is over"):
        guard(HERE, seconds=0).connect_tcp("127.0.0.1", door.port, 5)
    assert door.visits == before
