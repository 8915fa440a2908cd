"""Who may come in, and as whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api.app import make_app
from worker.api.service import is_loopback
from worker.records import TokenScope
from worker.registry.memory import MemoryRegistry
from worker.tokens import make

LISTED = "/v1/ingestions"


@pytest.fixture
def here() -> Door:
    """An embedded server that nobody made a token for."""
    return Door(MemoryRegistry(), is_loopback=True)


def test_a_token_opens_as_bearer_and_as_api_key(door: Door) -> None:
    secret = door.token("model:read")
    for headers in ({"Authorization": f"Bearer {secret}"}, {"authorization": f"bearer  {secret}"}, {"X-API-Key": secret}):
        assert door.client().get(LISTED, headers=headers).status_code == 200


def test_a_proxys_own_authorization_does_not_hide_the_api_key(door: Door) -> None:
    headers = {"Authorization": "Basic dTpw", "X-API-Key": door.token("model:read")}
    assert door.client().get(LISTED, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "a token is needed, as Authorization: Bearer or X-API-Key"),
        ({"Authorization": "Basic dTpw"}, "a token is needed, as Authorization: Bearer or X-API-Key"),
        ({"Authorization": "Bearer"}, "this is no token: a character is wrong, or part of it is missing"),
        ({"Authorization": "Bearer x"}, "this is no token: a character is wrong, or part of it is missing"),
        ({"X-API-Key": ""}, "this is no token: a character is wrong, or part of it is missing"),
        ({"X-API-Key": "mp_" + "\xff" * 49}, "this is no token: a character is wrong, or part of it is missing"),
        ({"X-API-Key": make(b"?" * 32)}, "nobody knows this token"),
    ],
)
def test_what_opens_nothing_is_401(door: Door, headers: dict[str, str], detail: str) -> None:
    door.token("admin")
    answer = door.client().get(LISTED, headers={name: value.encode("latin-1") for name, value in headers.items()})
    assert answer.status_code == 401
    assert answer.json() == {
        "type": "urn:modelport:problem:unauthorized",
        "title": "Unauthorized",
        "status": 401,
        "detail": detail,
    }
    assert answer.headers["www-authenticate"].startswith('Bearer realm="modelport"')


def test_a_token_opens_until_its_time_is_over(door: Door) -> None:
    client = door.client().with_token(door.token("model:read", days=1))
    assert client.get(LISTED).status_code == 200
    door.clock.sleep(86_400)
    assert client.get(LISTED).json()["detail"] == "the time of this token is over"


def test_a_revoked_token_opens_nothing_from_the_next_request(door: Door) -> None:
    client = door.client().with_token(door.token("model:read"))
    assert client.get(LISTED).status_code == 200
    door.registry.revoke_token("default", door.registry.tokens("default")[0].id, door.clock.now())
    answer = client.get(LISTED)
    assert (answer.status_code, answer.json()["detail"]) == (401, "this token was revoked")


ROUTES = {
    "POST /v1/completions": {"completion:write"},
    "POST /v1/rescans": {"model:write"},
    "GET /v1/ingestions": {"model:read", "operate"},
    "GET /v1/ingestions/in1": {"completion:write", "model:read", "operate"},
    "POST /v1/ingestions/retry": {"operate"},
    "POST /v1/ingestions/discard": {"operate"},
    "POST /v1/ingestions/in1/retry": {"operate"},
    "POST /v1/ingestions/in1/discard": {"operate"},
    "GET /v1/queue": {"model:read", "operate"},
}


@pytest.mark.parametrize("route", ROUTES)
def test_each_scope_opens_what_it_is_for_and_admin_everything(route: str) -> None:
    door = Door(MemoryRegistry())
    method, path = route.split()
    client = door.client()
    for scope in TokenScope:
        answer = client.with_token(door.token(scope.value)).request(method, path)
        assert (answer.status_code != 403) == (scope.value in ROUTES[route] | {"admin"}), scope
        assert answer.status_code != 401


def test_a_scope_that_is_lacking_is_named(door: Door) -> None:
    answer = door.client().with_token(door.token("model:read")).post("/v1/completions", {})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "the token lacks the scope completion:write"
    assert 'error="insufficient_scope", scope="completion:write"' in answer.headers["www-authenticate"]


def test_nobody_is_asked_for_a_body_before_they_are_known(door: Door) -> None:
    assert door.client().post("/v1/completions", content=b"x" * (2 << 20)).status_code == 401


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/rescans", "/v1/ingestions/retry"])
def test_a_token_that_is_revoked_while_the_body_comes_opens_nothing(door: Door, path: str) -> None:
    client = door.admin()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"path": "/late", "experimentId"'
        door.registry.revoke_token("default", door.registry.tokens("default")[0].id, door.clock.now())
        await asyncio.sleep(0.1)
        yield b': "late"}'

    answer = client.post(path, content=slow(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "this token was revoked")
    assert door.rung == []


def test_a_token_whose_time_is_over_when_the_body_has_come_opens_nothing(door: Door) -> None:
    client = door.client().with_token(door.token("completion:write", days=1))

    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.1)
        door.clock.sleep(86_400)
        yield b'{"experimentId": "late", "state": "failed"}'

    answer = client.post("/v1/completions", content=slow(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (401, "the time of this token is over")


def test_what_another_team_has_is_not_there_byte_for_byte(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    red, blue = door.admin("red"), door.admin()
    theirs = red.post("/v1/completions", {"experimentId": "e"}).json()["id"]
    nobodys = theirs[:-1] + ("a" if theirs[-1] != "a" else "b")
    for method, tail in (("GET", ""), ("POST", "/retry"), ("POST", "/discard")):
        foreign = blue.request(method, f"{LISTED}/{theirs}{tail}")
        missing = blue.request(method, f"{LISTED}/{nobodys}{tail}")
        assert foreign.status_code == missing.status_code == 404
        assert foreign.content.replace(theirs.encode(), nobodys.encode()) == missing.content
        assert [one for one in foreign.headers.items() if one[0] != "x-request-id"] == [
            one for one in missing.headers.items() if one[0] != "x-request-id"
        ]
    for one in (theirs, nobodys):
        assert blue.get(LISTED, params={"after": one}).status_code == 422
    assert blue.get(LISTED).json()["ingestions"] == []
    assert blue.post(f"{LISTED}/discard", {"experimentId": "e"}).json() == {"ids": [], "more": False}
    assert sum(blue.get("/v1/queue").json()["states"].values()) == 0
    assert red.get(f"{LISTED}/{theirs}").json()["state"] == "received"


def test_the_same_event_of_two_teams_is_two_ingestions(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    ids = {client.post("/v1/completions", {"experimentId": "e"}).json()["id"] for client in (door.admin("red"), door.admin())}
    assert len(ids) == 2


def test_a_team_in_the_body_changes_nothing(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    door.admin("red").post("/v1/completions", {"experimentId": "e", "team": "default"})
    assert len(door.admin("red").get(LISTED).json()["ingestions"]) == 1


def test_without_any_token_this_machine_is_served(here: Door) -> None:
    client = here.client()
    answer = client.post("/v1/completions", {"experimentId": "e"})
    assert answer.status_code == 202
    assert here.registry.ingestion("default", answer.json()["id"]) is not None
    assert client.post(f"{LISTED}/{answer.json()['id']}/discard").status_code == 200
    assert here.registry.history(answer.json()["id"])[-1].message == "by somebody at this machine"


def test_the_first_token_closes_the_door_and_its_revocation_does_not_open_it(here: Door) -> None:
    client = here.client()
    here.token("model:read")
    assert client.get(LISTED).status_code == 401
    here.registry.revoke_token("default", here.registry.tokens("default")[0].id, here.clock.now())
    assert client.get(LISTED).status_code == 401


def test_a_door_that_other_machines_reach_demands_tokens() -> None:
    assert Door(MemoryRegistry(), is_loopback=False).client().get(LISTED).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "modelport.example"},
        {"Host": "127.0.0.1.example"},
        {"Host": "localhost.example:8000"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "https://page.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
    ],
)
def test_without_a_token_a_foreign_page_and_a_proxy_are_not_served(here: Door, headers: dict[str, str]) -> None:
    answer = here.client().get(LISTED, headers=headers)
    assert answer.status_code == 401
    assert "without a token only programs of this machine are served" in answer.json()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8000"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:8000"},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_without_a_token_a_page_of_this_machine_is_served(here: Door, headers: dict[str, str]) -> None:
    assert here.client().get(LISTED, headers=headers).status_code == 200


def test_a_foreign_page_cannot_send_what_needs_no_leave(here: Door) -> None:
    """A form or a plain fetch announces one of these types, and no other."""
    for announced in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = here.client().post("/v1/completions", content=b'{"experimentId": "e"}', headers={"Content-Type": announced})
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("modelport.example", False),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it


def test_a_token_is_never_told_again(door: Door, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in answers, and not in what is logged: neither a good one nor one that opens nothing."""
    good, unknown = door.token("admin"), make(b"?" * 32)
    client = Client(make_app(door.service))
    told: list[str] = []
    requests: list[Callable[[Client], str]] = [
        lambda client: client.post("/v1/completions", {"experimentId": "e"}).text,
        lambda client: client.post("/v1/completions", {"experimentId": 3}).text,
        lambda client: client.get("/v1/ingestions").text,
        lambda client: client.get("/nowhere").text,
    ]
    for secret in (good, unknown):
        told += [ask(client.with_token(secret)) for ask in requests]
    told += capfd.readouterr()
    assert good not in "".join(told)
    assert unknown not in "".join(told)
    assert door.registry.tokens("default")[0].digest not in "".join(told)
