"""Connections whose sender takes its time, by sockets: they end, and nobody else's does."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
import uvicorn

from tests.servers.process import until
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker.api import bodies
from worker.api.patience import PatientProtocol
from worker.api.server import configuration
from worker.records import IngestionQuery, ModelVersion
from worker.registry.memory import MemoryRegistry

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
REPORT = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
PATIENCE = 0.4


class SlowRegistry(MemoryRegistry):
    """Takes longer to look at a queue than a head may take."""

    def ingestions(self, query: IngestionQuery):  # type: ignore[no-untyped-def]
        time.sleep(2 * PATIENCE)
        return super().ingestions(query)


@pytest.fixture
def door() -> Door:
    return Door(SlowRegistry(), is_loopback=True)


@pytest.fixture
def port(door: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server as it runs, but for its patience."""
    monkeypatch.setattr(PatientProtocol, "head_seconds", PATIENCE)
    monkeypatch.setattr(PatientProtocol, "taken_seconds", 2 * PATIENCE)
    monkeypatch.setattr(bodies, "BODY_SECONDS", 4 * PATIENCE)
    server = uvicorn.Server(configuration(door.service, "127.0.0.1", 0))
    thread = Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started, 20)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def told(connection: socket.socket, said: list[bytes], pause: float = PATIENCE / 4) -> bytes:
    """Return all that comes while *said* is sent with pauses, until the connection ends."""
    connection.settimeout(pause)
    heard = bytearray()
    for part in [*said, *[b""] * 100]:
        try:
            connection.sendall(part)
            some = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except OSError:
            return bytes(heard)
        if not some:
            return bytes(heard)
        heard += some
    raise AssertionError(f"it never ended; heard {bytes(heard)!r}")


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_who_says_nothing_is_let_go_without_a_word(port: int) -> None:
    with connected(port) as connection:
        began = time.monotonic()
        assert told(connection, []) == b""
        assert PATIENCE / 2 < time.monotonic() - began < 20


def test_a_head_that_drips_in_ends_in_408(port: int) -> None:
    drops = [bytes([byte]) for byte in HEAD[:-2]]
    with connected(port) as connection:
        assert told(connection, drops).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


def test_so_does_the_head_of_a_second_request(port: int) -> None:
    with connected(port) as connection:
        heard = told(connection, [HEAD, *(bytes([byte]) for byte in HEAD[:-2])])
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 408 Request Timeout" in heard


def test_an_answer_may_take_longer_than_a_question(port: int) -> None:
    asked = b"GET /v1/ingestions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connected(port) as connection:
        heard = told(connection, [asked])
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert heard.endswith(b'{"ingestions": [], "next": null}')


def test_who_rests_between_two_requests_is_not_hurried(port: int) -> None:
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(HEAD)
            heard = b""
            while not heard.endswith(b'{"status": "ok"}'):
                heard += connection.recv(1 << 16) or b"it ended"
                assert heard.startswith(b"HTTP/1.1 200 OK")
                assert not heard.endswith(b"it ended")
            time.sleep(1.5 * PATIENCE)


def test_requests_that_come_in_one_piece_are_all_answered(port: int) -> None:
    with connected(port) as connection:
        heard = told(connection, [HEAD * 3 + HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
    assert heard.count(b"HTTP/1.1 200 OK") == 4


def test_a_body_that_drips_in_ends_in_408_and_leaves_nothing(port: int, door: Door) -> None:
    with connected(port) as connection:
        heard = told(connection, [REPORT % 1000 + b'{"experimentId": "e"', *[b" "] * 50])
    assert heard.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"urn:modelport:problem:too-slow" in heard
    assert MemoryRegistry.ingestions(door.registry, IngestionQuery("default")) == []  # type: ignore[arg-type]


def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    body = b'{"experimentId": "e"}'
    with connected(port) as connection:
        parts = [
            REPORT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % len(body),
            *(body[at : at + 4] for at in range(0, 21, 4)),
        ]
        assert told(connection, parts).startswith(b"HTTP/1.1 202 Accepted")


def test_a_body_that_nobody_reads_keeps_no_connection(port: int) -> None:
    refused = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with connected(port) as connection:
        heard = told(connection, [refused, *[b" "] * 60])
    assert heard.startswith(b"HTTP/1.1 404 Not Found")


def test_a_damaged_body_that_comes_after_its_answer_ends_the_connection(port: int, caplog: pytest.LogCaptureFixture) -> None:
    refused = b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(port) as connection:
        heard = told(connection, [refused, b"", b"no length of a chunk\r\n"])
    assert heard.startswith(b"HTTP/1.1 404 Not Found")
    assert heard.count(b"HTTP/1.1") == 1
    assert not [record for record in caplog.records if record.exc_info]


LARGE = {"weights": bytes(range(256)) * 65_536}


def taken(version: ModelVersion, port: int, before: float, between: float) -> int:
    """Return how much comes of a large file when it is read after *before* seconds, with pauses of *between* seconds."""
    heard = 0
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", port))
        asked = b"GET /v1/versions/%s/files/weights HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(asked % version.id.encode())
        time.sleep(before)
        while some := connection.recv(1 << 16):
            heard += len(some)
            time.sleep(between)
    return heard


def test_who_takes_nothing_of_an_answer_is_let_go(port: int, door: Door) -> None:
    assert taken(put(door, files=LARGE), port, 3 * PATIENCE, 0.0) < len(LARGE["weights"])


def test_who_takes_an_answer_slowly_gets_all_of_it(port: int, door: Door) -> None:
    assert taken(put(door, files=LARGE), port, PATIENCE, 0.005) > len(LARGE["weights"])


def test_a_head_without_an_end_is_refused(port: int) -> None:
    with connected(port) as connection:
        heard = told(connection, [HEAD[:-2] + b"X-Long: ", *[b"x" * 8192] * 30], pause=0.05)
    assert heard.startswith(b"HTTP/1.1 400 Bad Request")


def test_what_is_no_request_is_told_so_as_of_every_other_error(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        heard = told(connection, [b"\x00 what is this\r\n\r\n"])
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"cache-control: no-store" in head.lower()
    assert json.loads(body)["type"] == "urn:modelport:problem:malformed"
