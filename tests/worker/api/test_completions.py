"""The door that work comes in by."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import NOON, Door
from worker.api.schemas import Accepted
from worker.errors import RegistryUnavailable
from worker.locations import Mount, Places
from worker.records import CompletionEvent, End, Ingestion, IngestionState, Trigger
from worker.registry.memory import MemoryRegistry

COMPLETION = {"id": "run-1", "source": "ci", "experimentId": "mnist-7", "projectId": "digits"}
CLOUDEVENT = {
    "specversion": "1.0",
    "type": "experiment.completed",
    "source": "ci",
    "id": "run-1",
    "data": {"experimentId": "mnist-7", "projectId": "digits"},
}
BINARY = {"ce-specversion": "1.0", "ce-type": "experiment.completed", "ce-source": "ci", "ce-id": "run-1"}
STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}


def stored(door: Door, id: str) -> Ingestion:
    found = door.registry.ingestion("default", id)
    assert found is not None
    return found


def test_a_completion_is_accepted_after_the_commit_and_before_the_bell(door: Door, admin: Client) -> None:
    answer = admin.post("/v1/completions", COMPLETION)
    assert answer.status_code == 202
    said = Accepted.model_validate(answer.json())
    assert (said.state, said.known) == (IngestionState.RECEIVED, False)
    assert stored(door, said.id).event == CompletionEvent(
        source="ci",
        id="run-1",
        model_path="",
        team="default",
        project="digits",
        experiment="mnist-7",
        trigger=Trigger.COMPLETION,
    )
    assert door.rung == [1]
    assert [project.name for project in door.registry.projects("default")] == ["digits"]


def test_a_repeated_completion_is_the_same_ingestion(door: Door, admin: Client) -> None:
    first = admin.post("/v1/completions", COMPLETION).json()
    again = admin.post("/v1/completions", COMPLETION)
    assert (again.status_code, again.json()) == (202, first | {"known": True})


def test_three_ways_to_say_it_are_one_event(admin: Client) -> None:
    answers = [
        admin.post("/v1/completions", COMPLETION),
        admin.post("/v1/completions", content=json.dumps(CLOUDEVENT), headers=STRUCTURED),
        admin.post("/v1/completions", CLOUDEVENT["data"], headers=BINARY),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.json()["known"] for answer in answers] == [False, True, True]


def test_headers_of_a_cloudevent_are_percent_decoded(door: Door, admin: Client) -> None:
    headers = BINARY | {"ce-source": "%2Fci%2F%C3%A9", "ce-id": '"a b"'}
    event = stored(door, admin.post("/v1/completions", CLOUDEVENT["data"], headers=headers).json()["id"]).event
    assert (event.source, event.id) == ("/ci/é", "a b")


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"ce-id": "1"}, "specversion: expected 1.0, found nothing"),
        (BINARY | {"ce-type": "other"}, "type: expected experiment.completed, found 'other'"),
        (BINARY | {"ce-source": ""}, "source: expected text, found none in it"),
    ],
)
def test_a_half_cloudevent_in_headers_is_refused(admin: Client, headers: dict[str, str], detail: str) -> None:
    answer = admin.post("/v1/completions", COMPLETION, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


@pytest.mark.parametrize(
    ("value", "found"), [(b"%FF", "'%FF'"), (b"%ED%A0%80", "'%ED%A0%80'"), (b"\xff", "'\\xff'"), (b"a%C3", "'a%C3'")]
)
def test_a_header_of_a_cloudevent_that_is_not_utf8_is_400(admin: Client, value: bytes, found: str) -> None:
    """Replaced bytes would make one id of two, and the second completion would be taken for the first."""
    headers = {key.encode(): text.encode() for key, text in BINARY.items()} | {b"ce-subject": value}
    answer = admin.post("/v1/completions", CLOUDEVENT["data"], headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:modelport:problem:malformed")
    assert answer.json()["detail"] == f"ce-subject: expected UTF-8, found {found}"


@pytest.mark.parametrize(
    ("name", "values"), [("ce-id", ("run-1", "run-2")), ("content-type", ("application/json", "application/json"))]
)
def test_a_header_that_is_given_twice_is_400(admin: Client, name: str, values: tuple[str, str]) -> None:
    once = {"content-type": "application/json"} | BINARY
    headers = [*((key, value) for key, value in once.items() if key != name), *((name, value) for value in values)]
    answer = admin.post("/v1/completions", headers=headers, content=json.dumps(CLOUDEVENT["data"]))
    assert (answer.status_code, answer.json()["detail"]) == (400, f"{name}: expected once, found 2 times")


def test_an_event_that_said_something_else_before_is_409(door: Door, admin: Client, capfd: pytest.CaptureFixture[str]) -> None:
    first = admin.post("/v1/completions", COMPLETION).json()["id"]
    answer = admin.post("/v1/completions", COMPLETION | {"modelPath": "/elsewhere"})
    assert answer.status_code == 409
    assert answer.json() == {
        "type": "urn:modelport:problem:conflicting-event",
        "title": "Conflict",
        "status": 409,
        "detail": f"the event run-1 of ci was accepted as {first} and said something else then",
    }
    assert "said something else" in capfd.readouterr().out
    assert door.rung == [1]


def test_what_failed_is_recorded_and_ignored(door: Door, admin: Client) -> None:
    answer = admin.post("/v1/completions", COMPLETION | {"state": 7})
    assert (answer.status_code, answer.json()["state"]) == (202, "ignored")
    assert door.rung == []


def test_what_failed_is_looked_at_where_that_is_wanted(door: Door) -> None:
    door.is_failed_scanned = True
    assert door.admin().post("/v1/completions", COMPLETION | {"state": "failed"}).json()["state"] == "received"


def test_a_wrong_field_is_422_and_named(admin: Client) -> None:
    answer = admin.post("/v1/completions", COMPLETION | {"modelPath": 3})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:modelport:problem:rejected",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "modelPath: expected text, found 3",
    }


def test_a_name_that_no_database_index_holds_is_422(admin: Client) -> None:
    answer = admin.post("/v1/completions", COMPLETION | {"projectId": "🦆" * 200})
    assert (answer.status_code, answer.json()["detail"]) == (422, "projectId: expected at most 512 bytes of UTF-8, found 800")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/completions", COMPLETION | {"modelPath": "/runs/\ud800"}, "modelPath"),
        ("/v1/rescans", {"path": "/runs/\ud800"}, "path"),
    ],
)
def test_a_path_that_no_file_can_have_is_422(admin: Client, path: str, body: dict[str, object], field: str) -> None:
    answer = admin.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    detail = f"{field}: expected a path, found U+D800 in it, which no file name has"
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


@pytest.mark.parametrize("id", ["\ud800", "a\0b", "escaped:x", "🦆", "' OR 1=1 --", "x" * 1024])
def test_any_id_is_answered(admin: Client, id: str) -> None:
    body = json.dumps(COMPLETION | {"id": id})
    for known in (False, True):
        answer = admin.post(
            "/v1/completions", content=body.replace("\\u0000", ""), headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["known"]) == (202, known)
    assert admin.get(f"/v1/ingestions/{answer.json()['id']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is no JSON"),
        (b"{", "the body is no JSON"),
        (b"\xff", "expected UTF-8"),
        (b"[" * 100_000, "nests deeper than 200"),
        (b"{" + b'"a":{' * 100_000, "nests deeper than 200"),
    ],
)
def test_what_is_no_json_is_400(admin: Client, body: bytes, detail: str) -> None:
    answer = admin.post("/v1/completions", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:modelport:problem:malformed")
    assert detail in answer.json()["detail"]


@pytest.mark.parametrize("announced", ["", "text/plain", "application/xml", "application/cloudevents-batch+json"])
def test_what_is_not_announced_as_json_is_415(admin: Client, announced: str) -> None:
    answer = admin.post("/v1/completions", content=json.dumps(COMPLETION), headers={"Content-Type": announced})
    assert answer.status_code == 415
    assert "expected application/json or application/cloudevents+json, found" in answer.json()["detail"]


def test_another_encoding_than_utf8_is_415(admin: Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-16"}
    answer = admin.post("/v1/completions", content=json.dumps(COMPLETION).encode("utf-16"), headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (415, "content-type: expected UTF-8, found 'utf-16'")


def padded(size: int) -> bytes:
    body = json.dumps(COMPLETION).encode()
    return body + b" " * (size - len(body))


def test_a_body_of_a_mebibyte_is_taken_and_one_more_byte_is_413(admin: Client) -> None:
    headers = {"Content-Type": "application/json"}
    assert admin.post("/v1/completions", content=padded(1 << 20), headers=headers).status_code == 202
    answer = admin.post("/v1/completions", content=padded((1 << 20) + 1), headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body is longer than 1048576 bytes")


def test_a_body_that_hides_its_length_is_cut_off_too(admin: Client) -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 65_536

    answer = admin.post("/v1/completions", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


class Away(MemoryRegistry):
    """A registry whose database went away after the token was read."""

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        raise RegistryUnavailable("connection to 10.0.0.7 refused, password hunter2")


def test_a_registry_that_does_not_answer_is_503_and_tells_no_insides() -> None:
    door = Door(Away())
    answer = door.admin().post("/v1/completions", COMPLETION)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    said = "the registry does not answer; what was asked for may or may not have been done, send the same request again"
    assert answer.json()["detail"] == said
    assert door.rung == []


class Forgetful(MemoryRegistry):
    """A registry that loses its connection after the commit of the first event."""

    is_lost = False

    def submit(
        self, event: CompletionEvent, now: datetime, owner: str | None = None, end: End | None = None
    ) -> tuple[Ingestion, bool]:
        answer = super().submit(event, now, owner, end)
        if not self.is_lost:
            self.is_lost = True
            raise RegistryUnavailable("the connection was lost")
        return answer


def test_a_completion_that_was_answered_with_503_may_come_again() -> None:
    door = Door(Forgetful())
    admin = door.admin()
    assert admin.post("/v1/completions", COMPLETION).status_code == 503
    again = admin.post("/v1/completions", COMPLETION)
    assert (again.status_code, again.json()["known"]) == (202, True)
    assert door.rung == [1]


def test_a_path_is_scanned_again(door: Door, admin: Client) -> None:
    answer = admin.post("/v1/rescans", {"path": "/runs/x", "force": True})
    assert (answer.status_code, Accepted.model_validate(answer.json()).known) == (202, False)
    event = stored(door, answer.json()["id"]).event
    assert (event.source, event.id, event.model_path, event.trigger, event.is_forced) == (
        "rescan",
        "new-1",
        "/runs/x",
        Trigger.RESCAN,
        True,
    )
    assert door.rung == [1]
    assert admin.post("/v1/rescans", {"path": "/runs/x"}).json()["id"] != answer.json()["id"]


def test_a_rescan_of_a_relative_path_is_422(admin: Client) -> None:
    answer = admin.post("/v1/rescans", {"path": "runs"})
    assert (answer.status_code, answer.json()["detail"]) == (422, "path: expected an absolute path or a URL, found 'runs'")


def test_a_hundred_senders_of_one_completion_get_one_ingestion(door: Door, admin: Client) -> None:
    answers = admin.post_at_once("/v1/completions", COMPLETION, times=100)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert [answer.json()["known"] for answer in answers].count(False) == 1
    assert door.registry.queue(NOON).states == {IngestionState.RECEIVED: 1}


WITHOUT_ROOTS = Places((Mount("/storage", "/mnt/{team}"),))


@pytest.mark.parametrize(
    ("team", "is_loopback", "path", "status"),
    [
        ("vision", True, "/etc", 422),
        ("vision", True, "/storage/../etc", 422),
        ("vision", True, "/storage/run", 202),
        ("default", False, "/etc", 422),
        ("default", False, "/storage/run", 202),
        ("default", True, "/home/me/run", 202),
    ],
)
def test_without_roots_a_token_reaches_only_what_mounts_give_but_for_the_team_of_this_machine(
    door: Door, team: str, is_loopback: bool, path: str, status: int
) -> None:
    door.registry.create_team("vision", door.clock.now())
    door.places, door.is_loopback = WITHOUT_ROOTS, is_loopback
    client = door.admin(team)
    completion = client.post("/v1/completions", COMPLETION | {"modelPath": path})
    rescan = client.post("/v1/rescans", {"path": path})
    assert (completion.status_code, rescan.status_code) == (status, status)
    if status == 422:
        assert completion.json()["type"] == "urn:modelport:problem:rejected-location"
        assert sum(door.registry.queue(door.clock.now()).states.values()) == 0


def test_an_experiment_that_is_only_recorded_may_name_any_path(door: Door) -> None:
    door.places = WITHOUT_ROOTS
    answer = door.admin().post("/v1/completions", COMPLETION | {"modelPath": "/etc", "state": "failed"})
    assert (answer.status_code, answer.json()["state"]) == (202, "ignored")
