"""Pausing and resuming the queue: who may, what is answered, and what is written down."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.registry import claimed, event, failed
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.operations import MAX_NOTE_CHARACTERS
from worker.records import AuditQuery

PAUSE, RESUME = "/v1/queue/pause", "/v1/queue/resume"
NOON = "2026-11-20T12:00:00.000Z"
NOT_PAUSED: dict[str, Any] = {"paused": False, "pauses": []}


@pytest.fixture
def operator(door: Door) -> Client:
    return door.client().with_token(door.token("operate"))


@pytest.fixture
def overseer(door: Door) -> Client:
    return door.client().with_token(door.token("operate", "operate:all"))


def notes(door: Door, team: str = "default") -> list[tuple[str, str, Any]]:
    found = door.registry.audit(AuditQuery(team))
    return [
        (line.action.value, line.object_name, line.details.get("note"))
        for line in reversed(found)
        if line.action.value.startswith(("queue.", "ingestion."))
    ]


def test_an_operator_pauses_and_resumes_the_work_of_the_team(door: Door, operator: Client) -> None:
    door.registry.submit(event("1"), door.clock.now())
    door.registry.submit(event("2", team="red"), door.clock.now())
    token = door.registry.tokens("default")[0]
    paused = {"of": "team", "since": NOON, "by": f"the token test ({token.id})", "note": "the disk is full"}
    answer = operator.post(PAUSE, {"note": "  the disk\n is full "})
    assert (answer.status_code, answer.json()) == (200, {"paused": True, "pauses": [paused]})
    door.clock.sleep(60)
    assert operator.post(PAUSE, {"note": "again"}).json()["pauses"] == [paused]
    told = operator.get("/v1/queue").json()
    assert (told["paused"], told["pauses"], told["due"]) == (True, [paused], 1)
    claimed_by_worker = [door.registry.claim_next("w", door.clock.now()) for _ in range(2)]
    assert [one.event.team for one in claimed_by_worker if one] == ["red"]
    rings = len(door.rung)
    assert operator.post(RESUME, {"note": "there is room"}).json() == NOT_PAUSED
    assert operator.post(RESUME).json() == NOT_PAUSED
    assert len(door.rung) == rings + 1
    assert notes(door) == [
        ("queue.paused", "the queue of the team default", "the disk is full"),
        ("queue.resumed", "the queue of the team default", "there is room"),
    ]


def test_completions_are_accepted_while_it_is_paused(door: Door, operator: Client) -> None:
    operator.post(PAUSE)
    answer = door.admin().post("/v1/completions", {"experimentId": "e"})
    assert (answer.status_code, answer.json()["state"]) == (202, "received")
    assert door.registry.claim_next("w", door.clock.now()) is None


def test_all_teams_are_paused_by_who_may_and_others_are_not_told_who_did(
    door: Door, operator: Client, overseer: Client
) -> None:
    refused = operator.post(PAUSE, {"all": True})
    assert (refused.status_code, refused.json()["detail"]) == (403, "the token lacks the scope operate:all")
    scraper = door.client().with_token(door.token("operate:all"))
    assert scraper.post(PAUSE, {"all": True}).status_code == 403
    [told] = overseer.post(PAUSE, {"all": True, "note": "the store moves"}).json()["pauses"]
    assert (told["of"], told["note"]) == ("all", "the store moves")
    assert told["by"].startswith("the token test (")
    door.registry.create_team("red", door.clock.now())
    theirs = door.client().with_token(door.token("operate", team="red"))
    assert theirs.get("/v1/queue").json()["pauses"] == [told | {"by": None}]
    assert theirs.post(PAUSE).json()["pauses"][1]["of"] == "team"
    assert theirs.post(RESUME, {"all": True}).status_code == 403
    assert len(overseer.post(RESUME).json()["pauses"]) == 1
    assert overseer.post(RESUME, {"all": True}).json() == NOT_PAUSED
    assert theirs.get("/v1/queue").json()["paused"] is True


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"everything": True}, "the body: expected all or note, found everything"),
        ({"all": "yes"}, "all: expected true or false, found 'yes'"),
        ({"note": "x" * (MAX_NOTE_CHARACTERS + 1)}, "note: expected at most 500 characters, found 501"),
        ({"note": 7}, "note: expected text, found 7"),
    ],
)
def test_a_body_that_says_something_else_is_refused(operator: Client, body: dict[str, Any], says: str) -> None:
    answer = operator.post(PAUSE, body)
    assert (answer.status_code, answer.json()["detail"]) == (422, says)
    assert operator.get("/v1/queue").json()["paused"] is False


def test_why_an_ingestion_is_retried_or_discarded_is_written_down(door: Door, operator: Client) -> None:
    ids = []
    for id in ("1", "2"):
        one = claimed(door.registry, id)
        door.registry.finish(one.id, "me", failed(), door.clock.now())
        ids.append(one.id)
    assert operator.post(f"/v1/ingestions/{ids[0]}/retry", {"note": "the disk is back"}).status_code == 200
    assert operator.post(f"/v1/ingestions/{ids[0]}/discard").status_code == 200
    assert operator.post("/v1/ingestions/retry", {"state": "failed", "note": "all of them"}).json()["ids"] == [ids[1]]
    assert operator.post("/v1/ingestions/discard", {"state": "received", "note": "no more"}).json()["ids"] == [ids[1]]
    assert operator.post(f"/v1/ingestions/{ids[0]}/retry", {"why": "x"}).status_code == 422
    assert operator.post("/v1/ingestions/retry", {"note": "a note is no filter"}).status_code == 422
    assert [note for _, _, note in notes(door)] == ["the disk is back", None, "all of them", "no more"]
