"""Every error in one shape, without insides."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api.problems import meaning
from worker.api.schemas import Problem
from worker.errors import (
    BadSetting,
    ConflictingEvent,
    NotFound,
    RegistryUnavailable,
    RejectedEvent,
    RejectedLocation,
    StorageHangs,
    StorageUnavailable,
    WorkerError,
    WrongState,
)
from worker.records import Queue, Token
from worker.registry.memory import MemoryRegistry


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RejectedEvent("why"), 422, "rejected"),
        (ConflictingEvent("why"), 409, "conflicting-event"),
        (RejectedLocation("why"), 422, "rejected-location"),
        (WrongState("why"), 409, "wrong-state"),
        (NotFound("why"), 404, "not-found"),
        (StorageUnavailable("why"), 503, "storage-unavailable"),
    ],
)
def test_what_a_sender_can_change_is_told_in_its_own_words(error: WorkerError, status: int, code: str) -> None:
    problem = meaning(error, "POST")
    assert problem is not None
    assert (problem.status, problem.code, problem.detail) == (status, code, "why")


def test_what_a_sender_cannot_change_is_not_told() -> None:
    assert meaning(StorageHangs(5.0, "/secret/place"), "POST") is None
    assert meaning(BadSetting("secret"), "POST") is None


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("GET", "the registry does not answer; nothing was changed, try again"),
        ("HEAD", "the registry does not answer; nothing was changed, try again"),
        (
            "POST",
            "the registry does not answer; what was asked for may or may not have been done, send the same request again",
        ),
    ],
)
def test_only_what_reads_has_certainly_changed_nothing(method: str, says: str) -> None:
    problem = meaning(RegistryUnavailable("10.0.0.7 hung up"), method)
    assert problem is not None
    assert (problem.status, problem.detail, problem.headers) == (503, says, {"Retry-After": "5"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/ingestions/", 404, "not-found"),
        ("GET", "/docs", 404, "not-found"),
        ("GET", "/%00%ff", 404, "not-found"),
        ("DELETE", "/v1/ingestions", 405, "method-not-allowed"),
        ("GET", "/v1/completions", 405, "method-not-allowed"),
        ("POST", "/livez", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(door: Door, method: str, path: str, status: int, code: str) -> None:
    answer = door.client().request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    said = Problem.model_validate(answer.json())
    assert (said.type, said.status) == (f"urn:modelport:problem:{code}", status)
    assert ("allow" in answer.headers) == (status == 405)


class Broken(MemoryRegistry):
    """A registry with a bug."""

    def queue(self, now: datetime, team: str | None = None) -> Queue:
        raise ZeroDivisionError("the password is hunter2")


class Lost(MemoryRegistry):
    """A registry that raises what is none of a sender's business."""

    def queue(self, now: datetime, team: str | None = None) -> Queue:
        raise StorageHangs(5.0, "the password is hunter2")


@pytest.mark.parametrize("registry", [Broken(), Lost()])
def test_what_nobody_foresaw_is_500_with_a_reference_and_logged_under_it(
    registry: MemoryRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = Door(registry).admin().get("/v1/queue")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    said = answer.json()
    assert said["type"] == "urn:modelport:problem:unforeseen"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    logged = capfd.readouterr().out
    assert said["reference"] in logged
    assert "hunter2" in logged


class BrokenAtTheDoor(MemoryRegistry):
    def token_by_digest(self, digest: str, now: datetime) -> Token | None:
        raise ZeroDivisionError


def test_what_nobody_foresaw_with_a_token_at_hand_does_not_log_it(capfd: pytest.CaptureFixture[str]) -> None:
    door = Door(BrokenAtTheDoor())
    secret = door.token("admin")
    assert door.client().with_token(secret).get("/v1/queue").status_code == 500
    logged = capfd.readouterr().out
    assert "ZeroDivisionError" in logged
    assert secret not in logged


@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/nowhere", 404), ("/v1/queue", 401)])
def test_no_answer_is_kept_or_guessed_at(door: Door, path: str, status: int) -> None:
    answer = door.client().get(path)
    assert answer.status_code == status
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_a_path_with_half_a_surrogate_pair_is_answered(admin: Client) -> None:
    assert admin.get("/v1/ingestions/%ED%A0%80").status_code == 404
