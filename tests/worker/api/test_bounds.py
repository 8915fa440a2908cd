"""How much a request may be, asked of every route there is: nothing is read, kept or decoded without a bound."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.contracts.registry import event
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker.api import bodies
from worker.api.app import make_app
from worker.api.bodies import MAX_BODY_BYTES
from worker.api.limits import MAX_HEADERS, MAX_TARGET_BYTES
from worker.registry.memory import MemoryRegistry

CHUNK = b" " * (64 << 10)

TAKES_LONG_BODIES: set[str] = set()
"""Routes with a bound of their own, which their own tests hold."""


def routes() -> Iterator[tuple[str, str]]:
    for route in make_app(Door(MemoryRegistry()).service).routes:
        assert isinstance(route, APIRoute)
        if route.path_format not in TAKES_LONG_BODIES:
            yield from ((method, route.path_format) for method in sorted(route.methods or ()))


ROUTES = list(routes())

every_route = pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(one) for one in ROUTES])


class Asked:
    """A door, an address of its own thing for every route, and a token that opens it."""

    def __init__(self) -> None:
        self.door = Door(MemoryRegistry())
        self.version = put(self.door, files={"a": b"1"})
        self.ingestion, _ = self.door.registry.submit(event("waiting"), self.door.clock.now())
        self.app = make_app(self.door.service)
        self.secret = self.door.token("admin")

    def filled(self, path: str) -> str:
        names = {"version_id": self.version.id, "model": self.version.id, "ingestion_id": self.ingestion.id}
        return path.format(**names, path="a", digest="0", name="a", project="default", team="default")

    def flooded(self, method: str, path: str, announced: bool) -> tuple[int, int]:
        """Return the status that an endless body gets, and how many bytes of it were taken."""
        taken = 0
        status = 0

        async def receive() -> dict[str, Any]:
            nonlocal taken
            taken += len(CHUNK)
            assert taken <= 8 * MAX_BODY_BYTES, "it reads for ever"
            return {"type": "http.request", "body": CHUNK, "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        headers = [(b"host", b"127.0.0.1"), (b"x-api-key", self.secret.encode()), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},  # with 2.3 who streams looks whether the asker went away
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": self.filled(path),
            "raw_path": self.filled(path).encode(),
            "root_path": "",
            "query_string": f"with={self.version.id}".encode(),
            "headers": [*headers, (b"content-length", b"1000000000")] if announced else headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        asyncio.run(self.app(scope, receive, send))  # type: ignore[arg-type]
        return status, taken

    def client(self) -> Client:
        return Client(self.app, {"X-API-Key": self.secret, "Content-Type": "application/json"})


@every_route
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
def test_no_route_reads_a_body_without_an_end(method: str, path: str, announced: bool) -> None:
    """Who takes a body refuses it: at once where its length is told, else after the longest one. Others do not look at it."""
    status, taken = Asked().flooded(method, path, announced)
    if status == 413:
        assert taken <= (0 if announced else MAX_BODY_BYTES + len(CHUNK))
    else:
        assert taken == 0


def test_every_route_that_writes_from_a_body_refuses_a_long_one() -> None:
    """So that the test above cannot pass because nobody reads bodies any more."""
    asked = Asked()
    refusing = {path for method, path in ROUTES if asked.flooded(method, path, announced=True)[0] == 413}
    assert {"/v1/completions", "/v1/rescans", "/v1/projects", "/v1/versions/{version_id}", "/v1/ingestions/retry"} <= refusing
    assert {"/mlModels/updateModel", "/entityTags/updateTags", "/mlModels/getModelList"} <= refusing


@every_route
def test_no_route_takes_more_headers_than_are_sane(method: str, path: str) -> None:
    asked = Asked()
    many = {f"X-Header-{number}": "1" for number in range(MAX_HEADERS)}
    assert asked.client().request(method, asked.filled(path), headers=many).status_code == 431


@every_route
def test_no_route_takes_an_address_longer_than_is_sane(method: str, path: str) -> None:
    asked = Asked()
    answer = asked.client().request(method, asked.filled(path), params={"q": "n" * MAX_TARGET_BYTES})
    assert answer.status_code == 414


DEEP = b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HUGE = b'{"name": 1' + b"0" * 10_000 + b"}"
MANY = json.dumps({f"key {number}": number for number in range(50_000)}).encode()


@every_route
@pytest.mark.parametrize("body", [DEEP, HUGE, MANY], ids=["deep", "huge number", "many keys"])
def test_no_route_stumbles_over_a_strange_body(method: str, path: str, body: bytes) -> None:
    """What it says of one is its own matter; a failure of the server it is not."""
    asked = Asked()
    answer = asked.client().request(method, asked.filled(path), content=body, params={"with": asked.version.id})
    assert answer.status_code < 500


def test_a_body_that_is_slow_in_coming_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    asked = Asked()

    async def body() -> Any:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.02)

    answer = asked.client().request("POST", "/v1/completions", content=body())
    assert (answer.status_code, answer.headers["Connection"]) == (408, "close")
    assert answer.json()["type"] == "urn:modelport:problem:too-slow"


@pytest.mark.parametrize("said", ["%FF", "caf%E9", "%ED%A0%80", "a%C3"])
def test_a_name_that_is_not_utf8_is_refused_and_not_guessed(said: str) -> None:
    client = Asked().client()
    for method, address in (("POST", "/v1/uploads?fileName=m&project={}"), ("PATCH", "/v1/projects/{}")):
        answer = client.request(method, address.format(said), content=b"1")
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:modelport:problem:malformed")
        assert "expected an address in UTF-8, found b'" in answer.json()["detail"]
    assert client.get(f"/v1/models?q={said}").json()["models"] == []
