"""What the URL of a broker comes to: which transport, and whether TLS is spoken."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import free_port
from worker.celery_app import make_app
from worker.doorbell import broker_ssl, look_at_broker
from worker.redis_transport import Transport
from worker.settings import load

TLS_HANDSHAKE = 0x16
"""The first byte of a record that begins a handshake. Source: RFC 8446, 5.1."""


def connection_to(url: str, tmp_path: Path) -> Any:
    return make_app(load({"MODELPORT_HOME": str(tmp_path), "MODELPORT_BROKER_URL": url}, tmp_path)).connection_for_write()


def first_byte_sent_to(url: str, call: Callable[[str], object]) -> int:
    """Return the first byte that *call* sends to a listener, which then is gone; its port is put into *url*."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def listen() -> None:
        taken, _ = listener.accept()
        listener.close()
        heard.append(taken.recv(1))
        taken.close()

    thread = threading.Thread(target=listen)
    thread.start()
    call(url.format(port=port))
    thread.join(10)
    return heard[0][0]


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_redis_is_served_by_our_transport_under_its_own_scheme(scheme: str, tmp_path: Path) -> None:
    connection = connection_to(f"{scheme}://:hunter2@127.0.0.1:{free_port()}/0", tmp_path)
    assert connection.get_transport_cls() is Transport
    assert connection.as_uri().startswith(f"{scheme}://")
    assert "hunter2" not in connection.as_uri()


def test_a_secure_broker_is_asked_for_its_certificate_unless_the_url_says_otherwise(tmp_path: Path) -> None:
    assert connection_to("rediss://h:1/0", tmp_path).ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    assert connection_to("rediss://h:1/0?ssl_cert_reqs=none", tmp_path).ssl == {"ssl_cert_reqs": ssl.CERT_NONE}
    assert not connection_to("redis://h:1/0", tmp_path).ssl
    assert broker_ssl("amqps://h:1//") is None


def test_nothing_is_said_in_the_clear_to_a_secure_broker(tmp_path: Path) -> None:
    def connect(url: str) -> None:
        with pytest.raises(Exception):  # noqa: B017 - the listener is no Redis; what counts is what it heard
            connection_to(url, tmp_path).transport.establish_connection()

    assert first_byte_sent_to("rediss://:hunter2@127.0.0.1:{port}/0", connect) == TLS_HANDSHAKE
    assert first_byte_sent_to("rediss://:hunter2@127.0.0.1:{port}/0", lambda url: look_at_broker(url, 2.0)) == TLS_HANDSHAKE
    assert first_byte_sent_to("redis://127.0.0.1:{port}/0", connect) == ord("*")
