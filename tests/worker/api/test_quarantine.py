"""Versions in quarantine at the doors for programs: what is refused, to whom, and who may release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from tests.contracts.registry import OBJECTION, claimed, new_version
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from worker.records import Action, AuditQuery, ModelVersion

WHY = OBJECTION.why
REASON = "the file that it writes is its own cache"

Take = Callable[[Client, ModelVersion], httpx.Response]

TAKEN: dict[str, Take] = {
    "a file": lambda client, version: client.get(f"/v1/versions/{version.id}/files/a"),
    "all files": lambda client, version: client.get(f"/v1/versions/{version.id}/archive"),
    "the gradient client's list of files": lambda client, version: client.request(
        "GET", "/mlModels/listFiles", json={"id": version.id, "links": True}
    ),
}
INSISTING = ("a file", "all files")


def held(door: Door, id: str = "run-1", **more: Any) -> ModelVersion:
    return put(door, id, {"a": b"1"}, objection=OBJECTION, **more)


def release(client: Client, version: ModelVersion, reason: Any = REASON) -> httpx.Response:
    return client.post(f"/v1/versions/{version.id}/release", {"reason": reason})


@pytest.mark.parametrize("what", TAKEN)
def test_files_are_refused_with_why_until_a_person_releases_them(door: Door, admin: Client, what: str) -> None:
    version = held(door)
    answer = TAKEN[what](admin, version)
    said = answer.json()
    assert answer.status_code == 409
    assert f"(run-1@1) is in quarantine and not served: {WHY}; a person may release it" in said.get(
        "detail", said.get("message")
    )
    assert said.get("type", "urn:modelport:problem:quarantined") == "urn:modelport:problem:quarantined"
    assert release(admin, version).status_code == 200
    assert TAKEN[what](admin, version).status_code == 200


@pytest.mark.parametrize("what", INSISTING)
def test_who_looks_into_it_says_so(door: Door, admin: Client, what: str) -> None:
    version = held(door)
    address = f"/v1/versions/{version.id}/{'files/a' if what == 'a file' else 'archive'}"
    assert admin.get(address, params={"quarantined": "true"}).status_code == 200
    assert admin.get(address, params={"quarantined": "false"}).status_code == 409
    assert admin.get(address, params={"quarantined": "perhaps"}).status_code == 422
    [line] = door.registry.audit(AuditQuery("default", action=Action.VERSION_TAKEN))
    token = door.registry.tokens("default")[0].id
    assert (line.who, line.object_id, line.details) == (f"the token test ({token})", version.id, {"why": WHY})


def test_a_link_that_was_given_out_before_opens_nothing_any_more(door: Door, admin: Client) -> None:
    version = put(door, files={"a": b"1"})
    [file] = TAKEN["the gradient client's list of files"](admin, version).json()
    again = put(door, "run-2", {"a": b"1"}, experiment="mnist", objection=OBJECTION)
    link = urlsplit(file["url"].replace(version.id, again.id))
    assert door.client().get(f"{link.path}?{link.query}").status_code == 403, "it is for another version"
    judged = replace(OBJECTION, causes=("new",))
    seen = put_again(door, version, judged)
    assert seen.is_quarantined
    link = urlsplit(file["url"])
    answer = door.client().get(f"{link.path}?{link.query}")
    assert (answer.status_code, answer.json()["status"]) == (409, 409)


def put_again(door: Door, version: ModelVersion, objection: Any) -> ModelVersion:
    """Return *version* after its content was ingested again under another policy."""
    ingestion = claimed(door.registry, "again", name="run-1", experiment=version.experiment)
    found = door.registry.register(
        ingestion.id, "me", new_version(ingestion, version.digest, objection=objection), door.clock.now()
    )
    assert found is not None
    return found.version


def test_a_version_says_that_it_is_in_quarantine_and_who_released_it(door: Door, admin: Client) -> None:
    version, clean = held(door), put(door, "run-2", {"a": b"2"})
    rows = {row["id"]: row for row in admin.get("/v1/versions").json()["versions"]}
    now = "2026-11-20T12:00:00.000Z"
    assert (rows[clean.id]["quarantined"], rows[clean.id]["quarantine"]) == (False, None)
    assert rows[version.id]["quarantined"] is True
    assert rows[version.id]["quarantine"] == {"why": WHY, "dtSince": now, "released": None}
    assert [row["id"] for row in admin.get("/v1/versions?state=quarantined").json()["versions"]] == [version.id]
    assert admin.get("/v1/totals").json()["attention"]["quarantined"] == 1
    row = release(admin, version).json()
    token = door.registry.tokens("default")[0].id
    assert row["quarantined"] is False
    assert row["quarantine"]["released"] == {"by": f"the token test ({token})", "reason": REASON, "dtReleased": now}
    assert admin.get(f"/v1/versions/{version.id}").json()["quarantine"] == row["quarantine"]
    assert admin.get("/v1/totals").json()["attention"]["quarantined"] == 0


def test_a_release_may_be_sent_again_and_the_first_one_stands(door: Door, admin: Client) -> None:
    version = held(door)
    with capture_logs() as logs:
        first = release(admin, version).json()
        door.clock.sleep(60)
        assert release(admin, version, "another reason").json() == first
    assert [(one["version"], one["reason"]) for one in logs if one["event"] == "released"] == [(version.id, REASON)]
    actions = [line.action.value for line in door.registry.audit(AuditQuery("default"))]
    assert actions.count("version.released") == 1


def test_what_is_in_no_quarantine_is_not_released(door: Door, admin: Client) -> None:
    answer = release(admin, put(door))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:modelport:problem:wrong-state")


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501, None, 7, ["a"]])
def test_a_release_without_a_reason_is_refused(door: Door, admin: Client, reason: Any) -> None:
    version = held(door)
    assert release(admin, version, reason).status_code == 422
    assert admin.post(f"/v1/versions/{version.id}/release", {"reason": "x", "force": True}).status_code == 422
    now = door.registry.version("default", version.id)
    assert now is not None
    assert now.is_quarantined


def test_who_may_add_models_may_not_release_them(door: Door) -> None:
    version = held(door)
    sender = door.client().with_token(door.token("completion:write", "model:write", "model:read"))
    assert release(sender, version).status_code == 403
    assert release(door.client().with_token(door.token("operate")), version).status_code == 200


def test_what_is_in_quarantine_is_not_published(door: Door, admin: Client) -> None:
    version = held(door)
    answer = admin.request("PATCH", f"/v1/models/{version.id}", json={"published": True})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:modelport:problem:quarantined")
    release(admin, version)
    assert admin.request("PATCH", f"/v1/models/{version.id}", json={"published": True}).status_code == 200


def test_another_team_takes_nothing_out_of_it_and_is_not_told_who_released_it(door: Door, admin: Client) -> None:
    door.registry.create_team("red", door.clock.now())
    red, version = door.admin("red"), held(door)
    assert [take(red, version).status_code for take in TAKEN.values()] == [404] * 3
    door.registry.publish("default", version.id, True, door.clock.now())
    answer = red.get(f"/v1/versions/{version.id}/archive", params={"quarantined": "true"})
    assert answer.status_code == 409
    assert answer.json()["detail"].endswith("its team may release it")
    assert [take(red, version).status_code for take in TAKEN.values()] == [409] * 3
    assert release(red, version).status_code == 404
    release(admin, version)
    seen = red.get(f"/v1/versions/{version.id}").json()["quarantine"]["released"]
    assert (seen["by"], seen["reason"]) == (None, REASON)


def test_a_model_names_the_newest_version_that_is_served(door: Door, admin: Client) -> None:
    first = put(door, "run-1", {"a": b"1"}, model_name="net")
    second = put(door, "run-2", {"a": b"2"}, model_name="net", objection=OBJECTION)
    found = admin.get("/v1/models/net").json()
    assert (found["latest"]["id"], found["served"]["id"]) == (second.id, first.id)
    release(admin, second)
    assert admin.get("/v1/models/net").json()["served"]["id"] == second.id
    only = held(door, "run-3", model_name="other")
    found = admin.get("/v1/models/other").json()
    assert (found["latest"]["id"], found["served"]) == (only.id, None)
