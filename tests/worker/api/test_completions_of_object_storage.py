"""The door that messages of object storage come by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.test_s3_events import AMAZON, TEST, record
from worker.api.schemas import AcceptedHints
from worker.locations import Places
from worker.records import Trigger
from worker.s3_events import RunsBelow


@pytest.fixture
def teller(door: Door) -> Client:
    """A client that may report completions where runs lie in a bucket."""
    door.s3_runs = (RunsBelow("s3://models/runs/{experiment_id}", "digits"),)
    return door.client().with_token(door.token("completion:write"))


def told(client: Client, *records: Any) -> AcceptedHints:
    answer = client.post("/v1/completions", {"Records": records})
    assert answer.status_code == 202
    return AcceptedHints.model_validate(answer.json())


def test_a_message_for_several_runs_gives_several_ingestions(door: Door, teller: Client) -> None:
    said = told(teller, record("runs/7/a"), record("runs/8/a"), record("runs/7/b"), record("loose"))
    assert [(one.known, one.state.value) for one in said.ingestions] == [(False, "received")] * 2
    assert said.passedOver == 1
    kept = [door.registry.ingestion("default", one.id) for one in said.ingestions]
    assert [one and (one.event.model_path, one.event.project, one.event.trigger) for one in kept] == [
        ("s3://models/runs/7", "digits", Trigger.NOTIFICATION),
        ("s3://models/runs/8", "digits", Trigger.NOTIFICATION),
    ]
    assert door.rung


def test_another_object_of_the_same_period_is_known_and_a_later_one_is_not(teller: Client) -> None:
    [first] = told(teller, record("runs/7/a", time="2026-11-20T12:00:05Z")).ingestions
    [again] = told(teller, record("runs/7/b", time="2026-11-20T12:00:55Z")).ingestions
    [later] = told(teller, record("runs/7/a", time="2026-11-20T12:01:00Z")).ingestions
    assert (again.id, again.known) == (first.id, True)
    assert (later.id != first.id, later.known) == (True, False)


def test_a_hundred_messages_at_once_are_one_ingestion(door: Door, teller: Client) -> None:
    answers = teller.post_at_once("/v1/completions", AMAZON, times=100)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["ingestions"][0]["id"] for answer in answers}) == 1
    assert sum(door.registry.queue(door.clock.now()).states.values()) == 1


def test_the_test_message_is_answered_and_does_nothing(door: Door, teller: Client) -> None:
    answer = teller.post("/v1/completions", TEST)
    assert (answer.status_code, answer.json()) == (202, {"ingestions": [], "passedOver": 0})
    assert door.rung == []


def test_the_team_is_the_tokens(door: Door) -> None:
    door.registry.create_team("red", door.clock.now())
    door.s3_runs = (RunsBelow("s3://models/{team}/{experiment_id}"),)
    said = told(door.admin("red"), record("red/7/a"), record("blue/8/a"))
    assert said.passedOver == 1
    [accepted] = said.ingestions
    kept = door.registry.ingestion("red", accepted.id)
    assert kept is not None
    assert (kept.event.team, kept.event.experiment) == ("red", "7")


@pytest.mark.parametrize("roots", [None, ("s3://models/kept",)])
def test_a_place_that_may_not_be_reached_is_treated_as_for_every_completion(
    door: Door, teller: Client, roots: tuple[str, ...] | None
) -> None:
    """Without roots the door refuses it. With roots they decide when the path is resolved."""
    door.places = Places(roots=roots)
    client = door.client().with_token(door.token("completion:write"))
    hint = client.post("/v1/completions", AMAZON)
    plain = client.post("/v1/completions", {"id": "1", "modelPath": "s3://models/runs/7"})
    assert hint.status_code == plain.status_code
    assert hint.json().get("type") == plain.json().get("type")


def test_a_malformed_record_is_422_and_named_and_nothing_is_kept(door: Door, teller: Client) -> None:
    answer = teller.post("/v1/completions", {"Records": [record(), record(time="noon")]})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    said = "Records[1].eventTime: expected a time such as 2026-11-20T12:00:00.000Z, found 'noon'"
    assert answer.json()["detail"] == said
    assert sum(door.registry.queue(door.clock.now()).states.values()) == 0


def test_where_nobody_said_where_runs_lie_a_message_is_422(admin: Client) -> None:
    answer = admin.post("/v1/completions", AMAZON)
    assert answer.status_code == 422
    assert "MODELPORT_S3_RUNS" in answer.json()["detail"]
