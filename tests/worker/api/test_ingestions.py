"""Looking at ingestions and at the queue, and steering them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker import operations
from worker.api.schemas import IngestionPage, IngestionRow, IngestionWithHistory, MovedIngestions, QueueState
from worker.errors import RegistryUnavailable
from worker.records import End, IngestionState


@pytest.fixture
def five(door: Door, admin: Client) -> list[str]:
    """Five ingestions, oldest first: two failed in two ways, the second with a model, one runs, two are received."""
    ids = [admin.post("/v1/completions", {"experimentId": f"e{number}"}).json()["id"] for number in range(5)]
    for id, reason, format in zip(ids[:2], ("unreadable", "kept-changing"), (None, "tensorflow_savedmodel"), strict=True):
        door.registry.claim(id, "me", door.clock.now())
        end = End(IngestionState.FAILED, reason, "it may not be read", format=format)
        door.registry.finish(id, "me", end, door.clock.now())
    door.registry.claim(ids[2], "me", door.clock.now())
    door.rung.clear()
    return ids


def ids_of(page: dict[str, Any]) -> list[str]:
    return [row["id"] for row in page["ingestions"]]


def test_ingestions_are_listed_newest_first_and_page_by_page(admin: Client, five: list[str]) -> None:
    seen: list[str] = []
    address: str | None = "/v1/ingestions?limit=2"
    while address is not None:
        answer = admin.get(address)
        page = IngestionPage.model_validate(answer.json())
        seen += [row.id for row in page.ingestions]
        assert answer.headers.get("link") == (f'<{page.next}>; rel="next"' if page.next else None)
        address = page.next
    assert seen == five[::-1]


def test_the_next_page_keeps_the_filters(admin: Client, five: list[str]) -> None:
    first = admin.get("/v1/ingestions", params={"state": "failed", "limit": 1}).json()
    assert first["next"] == f"/v1/ingestions?state=failed&after={five[1]}&limit=1"
    second = admin.get(first["next"]).json()
    assert (ids_of(second), second["next"]) == ([five[0]], None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "received"}, [4, 3]),
        ({"state": "failed", "reason": "unreadable"}, [0]),
        ({"experimentId": "e2"}, [2]),
        ({"experimentId": "e2", "state": "failed"}, []),
        ({"reason": "\0"}, []),
        ({"format": "tensorflow_savedmodel"}, [1]),
        ({"format": "none", "state": "failed"}, [0]),
        ({"unknown": "x"}, [4, 3, 2, 1, 0]),
    ],
)
def test_ingestions_are_filtered(admin: Client, five: list[str], query: dict[str, str], found: list[int]) -> None:
    assert ids_of(admin.get("/v1/ingestions", params=query).json()) == [five[number] for number in found]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"limit": "0"}, "limit: input should be greater than or equal to 1, found '0'"),
        ({"limit": "1001"}, "limit: input should be less than or equal to 1000, found '1001'"),
        ({"limit": "x"}, "limit: input should be a valid integer"),
        ({"format": "ONNX"}, "format: expected one of coreml, custom, gguf"),
        ({"state": "done"}, "state: input should be 'received', 'waiting'"),
        ({"after": "in?"}, "after: there is no ingestion 'in?'"),
        ({"reason": "x" * 1025}, "reason: string should have at most 1024 characters"),
    ],
)
def test_a_wrong_question_is_422(admin: Client, query: dict[str, str], says: str) -> None:
    answer = admin.get("/v1/ingestions", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"].startswith(says)


def test_one_ingestion_is_shown_with_its_steps_and_times_with_a_zone(admin: Client, five: list[str]) -> None:
    answer = admin.get(f"/v1/ingestions/{five[0]}")
    shown = IngestionWithHistory.model_validate(answer.json())
    assert (shown.state, shown.reason, shown.experimentId) == (IngestionState.FAILED, "unreadable", "e0")
    assert [step.state for step in shown.history] == ["received", "running", "failed"]
    assert answer.json()["dtCreated"] == "2026-11-20T12:00:00.000Z"


def test_a_failed_one_is_tried_again(door: Door, admin: Client, five: list[str]) -> None:
    answer = admin.post(f"/v1/ingestions/{five[0]}/retry")
    assert IngestionRow.model_validate(answer.json()).state is IngestionState.RECEIVED
    last = door.registry.history(five[0])[-1]
    assert last.message is not None
    assert last.message.startswith("by the token test (tk")
    assert len(door.rung) == 1


def test_what_runs_is_discarded(door: Door, admin: Client, five: list[str]) -> None:
    answer = admin.post(f"/v1/ingestions/{five[2]}/discard")
    assert IngestionRow.model_validate(answer.json()).state is IngestionState.DISCARDED
    assert door.rung == []


@pytest.mark.parametrize(("which", "what", "says"), [(3, "retry", "only a failed one can be tried again"), (0, "discard", "")])
def test_what_cannot_be_done_as_it_stands_is_409(admin: Client, five: list[str], which: int, what: str, says: str) -> None:
    if what == "discard":
        admin.post(f"/v1/ingestions/{five[which]}/discard")
        says = "it has ended, and there is nothing to discard"
    answer = admin.post(f"/v1/ingestions/{five[which]}/{what}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:modelport:problem:wrong-state")
    assert answer.json()["detail"].endswith(says)


def test_the_failed_ones_that_a_filter_finds_are_tried_again(door: Door, admin: Client, five: list[str]) -> None:
    answer = admin.post("/v1/ingestions/retry", {"reason": "unreadable"})
    assert MovedIngestions.model_validate(answer.json()).ids == [five[0]]
    assert admin.post("/v1/ingestions/retry", {"state": "failed"}).json() == {"ids": [five[1]], "more": False}
    assert len(door.rung) == 2
    assert admin.post("/v1/ingestions/retry", {"state": "failed"}).json() == {"ids": [], "more": False}
    assert len(door.rung) == 2


def test_those_of_one_format_are_moved(admin: Client, five: list[str]) -> None:
    assert admin.post("/v1/ingestions/retry", {"format": "onnx"}).json()["ids"] == []
    assert admin.post("/v1/ingestions/retry", {"format": "tensorflow_savedmodel"}).json()["ids"] == [five[1]]
    assert admin.get(f"/v1/ingestions/{five[1]}").json()["format"] == "tensorflow_savedmodel"
    assert admin.post("/v1/ingestions/discard", {"format": "none", "state": "failed"}).json()["ids"] == [five[0]]


def test_what_has_not_ended_well_and_a_filter_finds_is_discarded(admin: Client, five: list[str]) -> None:
    assert admin.post("/v1/ingestions/discard", {"experimentId": "e2"}).json()["ids"] == [five[2]]
    assert admin.post("/v1/ingestions/discard", {"state": "received"}).json()["ids"] == [five[4], five[3]]
    assert admin.get("/v1/queue").json()["states"]["discarded"] == 3


def test_more_than_is_moved_at_once_is_told(admin: Client, five: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_AT_ONCE", 1)
    assert admin.post("/v1/ingestions/retry", {"state": "failed"}).json() == {"ids": [five[1]], "more": True}
    assert admin.post("/v1/ingestions/retry", {"state": "failed"}).json() == {"ids": [five[0]], "more": False}


def go_away_after(calls: int, door: Door, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registry answer *what* so often, and then no more."""
    left, answered = iter(range(calls)), getattr(door.registry, what)

    def call(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise RegistryUnavailable("the connection was lost")
        return answered(*arguments)

    monkeypatch.setattr(door.registry, what, call)


@pytest.mark.parametrize(("what", "moved"), [("retry", [1]), ("discard", [4])])
def test_what_was_moved_before_the_registry_went_away_is_told_and_logged(
    door: Door,
    admin: Client,
    five: list[str],
    what: str,
    moved: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    filter = {"state": {"retry": "failed", "discard": "received"}[what]}
    with monkeypatch.context() as patched:
        go_away_after(1, door, what, patched)
        answer = admin.post(f"/v1/ingestions/{what}", filter)
    assert (answer.status_code, answer.json()) == (200, {"ids": [five[number] for number in moved], "more": True})
    assert len(door.rung) == {"retry": 1, "discard": 0}[what]
    logged = capfd.readouterr()
    assert "the connection was lost" in logged.out + logged.err
    assert "count=1" in logged.out + logged.err
    rest = admin.post(f"/v1/ingestions/{what}", filter).json()
    assert (len(rest["ids"]), rest["more"]) == (1, False)


def test_a_registry_that_goes_away_before_anything_was_moved_is_503(
    door: Door, admin: Client, five: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_away_after(0, door, "retry", monkeypatch)
    answer = admin.post("/v1/ingestions/retry", {"state": "failed"})
    assert answer.status_code == 503
    assert "may or may not have been done" in answer.json()["detail"]
    assert door.rung == []


@pytest.mark.parametrize(
    ("filter", "says"),
    [
        ({}, "the body: expected experimentId, format, reason, state, at least one, found nothing"),
        ({"state": None}, "the body: expected experimentId, format, reason, state, at least one, found nothing"),
        ({"stat": "failed"}, "the body: expected experimentId, format, reason, state, at least one, found stat"),
        ({"state": "failed", "x": 1}, "the body: expected experimentId, format, reason, state, at least one, found x"),
        ({"state": "registered"}, "state: expected one of failed, found registered"),
        ({"state": 1}, "state: expected one of received"),
        ({"reason": 1}, "reason: expected text, found 1"),
        ([], "the body: expected a JSON object, found a list"),
    ],
)
def test_a_filter_that_might_mean_everything_is_422(admin: Client, five: list[str], filter: Any, says: str) -> None:
    answer = admin.post("/v1/ingestions/retry", filter)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(says)
    assert admin.get("/v1/queue").json()["states"]["failed"] == 2


def test_the_queue_is_counted_for_the_team(door: Door, admin: Client, five: list[str]) -> None:
    door.registry.create_team("red", door.clock.now())
    door.admin("red").post("/v1/completions", {"experimentId": "theirs"})
    queue = QueueState.model_validate(admin.get("/v1/queue").json())
    assert {state.value: count for state, count in queue.states.items() if count} == {"failed": 2, "running": 1, "received": 2}
    assert set(queue.states) == set(IngestionState)
    assert (queue.due, queue.workers) == (2, 2)
    assert admin.get("/v1/queue").json()["oldest"] == "2026-11-20T12:00:00.000Z"


def test_an_empty_queue_has_no_oldest(admin: Client) -> None:
    assert admin.get("/v1/queue").json()["oldest"] is None
