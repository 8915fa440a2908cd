"""Messages that no worker could read: who sees them, how much of them, and how they go; by the API and on the page."""

from __future__ import annotations

import base64
import re

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.web.test_operations_page import plain
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.errors import ServerUnavailable
from worker.records import AuditQuery
from worker.set_aside import MemorySetAside, NothingSetAside
from worker.stranded import MAX_KEPT_BYTES, Aside, wrapped

LIST, DISCARD, PAGE = "/v1/queue/undecodable", "/v1/queue/undecodable/discard", "/operations/messages"
HOSTILE = b"<script>alert(1)</script>\x00\x1b[31m\xff"


class Away(NothingSetAside):
    """A broker that does not answer."""

    def look(self, most: int) -> Aside:
        raise ServerUnavailable("the broker does not tell what was set aside: TimeoutError")

    def count(self) -> int:
        raise ServerUnavailable("the broker does not tell what was set aside: TimeoutError")


@pytest.fixture
def overseer(door: Door) -> Client:
    now = door.clock.now()
    kept = [wrapped(body, "modelport", "JSONDecodeError: no", now) for body in (HOSTILE, b"x" * 2 * MAX_KEPT_BYTES)]
    door.set_aside = MemorySetAside([*kept, b"of an earlier release"])
    return door.client().with_token(door.token("operate", "operate:all"))


@pytest.fixture
def visitor(door: Door, overseer: Client) -> Visitor:
    visitor = Visitor(make_app(door.service))
    visitor.sign_in(door.token("model:read", "operate", "operate:all"))
    return visitor


def test_they_are_listed_without_their_bytes_and_one_is_shown_with_them(overseer: Client) -> None:
    told = overseer.get(LIST, params={"limit": 2}).json()
    assert (told["kept"], told["broker"], len(told["messages"])) == (3, "redis", 2)
    first, long = told["messages"]
    assert {key: value for key, value in first.items() if key != "id"} == {
        "at": "2026-11-20T12:00:00.000Z",
        "queue": "modelport",
        "why": "JSONDecodeError: no",
        "size": len(HOSTILE),
        "preview": "<script>alert(1)</script>\\x00\\x1b[31m\\xff",
        "body": None,
    }
    assert (long["size"], len(long["preview"]), long["body"]) == (2 * MAX_KEPT_BYTES, 257, None)
    [whole] = overseer.get(LIST, params={"id": first["id"]}).json()["messages"]
    assert base64.b64decode(whole["body"]) == HOSTILE
    [cut] = overseer.get(LIST, params={"id": long["id"]}).json()["messages"]
    assert len(base64.b64decode(cut["body"])) == MAX_KEPT_BYTES
    assert overseer.get(LIST, params={"id": "nobody"}).status_code == 404


def test_one_or_all_are_removed_and_that_is_written_down(door: Door, overseer: Client) -> None:
    id = overseer.get(LIST).json()["messages"][0]["id"]
    assert overseer.post(DISCARD, {"id": id, "note": "a scan"}).json() == {"removed": 1}
    assert overseer.post(DISCARD, {"id": id}).status_code == 404
    assert [overseer.post(DISCARD, {"all": True}).json()["removed"] for _ in range(2)] == [2, 0]
    lines = [line for line in door.registry.audit(AuditQuery("default")) if line.action == "queue.message_removed"]
    assert [(line.object_id, line.object_name, dict(line.details)) for line in lines] == [
        ("queue", "all messages that could not be read", {}),
        (id, "a message that could not be read", {"note": "a scan"}),
    ]
    for body in ({}, {"id": id, "all": True}, {"all": False}, {"note": "x"}, {"every": True}):
        assert overseer.post(DISCARD, body).status_code == 422


def test_a_broker_that_is_away_is_told_and_left_out_of_the_figures(door: Door, overseer: Client) -> None:
    assert "modelport_undecodable_messages 3.0" in overseer.get("/metrics").text
    door.set_aside = Away()
    away = door.client().with_token(door.token("operate", "operate:all"))
    answer = away.get(LIST)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:modelport:problem:broker-unavailable")
    assert "modelport_undecodable_messages" not in away.get("/metrics").text


def test_the_page_shows_their_bytes_as_text_that_does_nothing(visitor: Visitor) -> None:
    answer = visitor.get(PAGE)
    assert seen(answer) == (200, "Messages that could not be read")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x00\\x1b[31m\\xff" in answer.text
    assert len(answer.text) < 20_000
    told = plain(answer)
    assert "JSONDecodeError: no from modelport ," in told
    assert "of an earlier release nobody noted why" in told
    part = visitor.part(PAGE)
    assert "3 messages could not be read." in plain(part)


def test_one_or_all_are_removed_on_the_page_after_a_question(door: Door, visitor: Visitor) -> None:
    [first, *_] = re.findall(rf'href="{PAGE}\?ask=(\w{{40}})"', visitor.get(PAGE).text)
    asked = visitor.get(f"{PAGE}?ask={first}")
    assert "Remove this message?" in plain(asked)
    assert visitor.post(f"{PAGE}/discard", {"csrf": visitor.csrf(), "id": first}).status_code == 303
    asked = visitor.get(f"{PAGE}?ask=all")
    assert "Remove 2 messages?" in plain(asked)
    answer = visitor.post(f"{PAGE}/discard", {"csrf": visitor.csrf(), "all": "yes", "note": "all junk"})
    assert answer.headers["location"] == f"{PAGE}?done=yes&count=2"
    assert "2 were removed." in plain(visitor.get(answer.headers["location"]))
    assert door.registry.audit(AuditQuery("default"))[0].details == {"note": "all junk"}


def test_who_steers_one_team_is_not_shown_the_way(door: Door) -> None:
    operator = Visitor(make_app(door.service))
    operator.sign_in(door.token("operate"))
    assert PAGE not in operator.get("/operations").text
    assert operator.get(PAGE).status_code == 403
    assert door.admin().get(LIST).status_code == 403
