"""The log of what people did: who may read it, and that every door of the API writes into it whom it acted for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.registry import OBJECTION, claimed, event, failed
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import put
from tests.worker.api.test_policies import IN_BODY, ROUTES, body_for
from worker.api.app import make_app
from worker.records import AuditQuery
from worker.registry.memory import MemoryRegistry
from worker.set_aside import MemorySetAside

LOG = "/v1/audit"

NEW_WORK = {"/v1/completions", "/v1/rescans", "/versions/{version_id}/rescan"}
"""Routes whose trace is an ingestion, with who asked for it and every step that it took."""

NO_CHANGE = {"/sign-out", "/versions/{version_id}/archive"}
"""Routes that end a session, or give files."""

CHANGING = [(method, path) for method, path, _ in ROUTES if method not in ("GET", "HEAD") and path not in NEW_WORK | NO_CHANGE]


@pytest.mark.parametrize(("method", "path"), CHANGING, ids=[" ".join(one) for one in CHANGING])
def test_every_change_by_the_api_names_who_asked_for_it(method: str, path: str) -> None:
    door = Door(MemoryRegistry())
    secret = door.token("admin")
    [token] = door.registry.tokens("default")
    version = put(door, files={"a": b"1"}, objection=OBJECTION if path.endswith("/release") else None)
    door.registry.tag("default", version.id, ["old"], [])
    ingestion = claimed(door.registry, "lost")
    door.registry.finish(ingestion.id, "me", failed("x"), door.clock.now())
    if "undecodable" in path or "messages" in path:
        door.set_aside = MemorySetAside([b"garbage"])
        secret = door.token("operate", "operate:all")
        token = door.registry.tokens("default")[0]
    if path.endswith("/resume"):
        door.registry.pause_queue("default", False, door.clock.now())
    filled = path.format(version_id=version.id, model=version.id, ingestion_id=ingestion.id, project="default")
    client = Client(make_app(door.service)).with_token(secret)
    if path == "/v1/uploads":
        body: dict[str, Any] = {"params": {"fileName": "m"}, "content": b"1"}
    elif path == "/upload":
        body = {"files": {"file": ("m.onnx", b"1")}}
    elif path.startswith(("/versions/", "/operations/")):
        name = version.model_name if path.endswith("/delete") else "other"
        body = {"data": {"name": name, "add": "x", "notes": "x", "reason": "x", "state": "failed", "all": "yes"}}
    else:
        body = {"json": body_for(path, version.id)} if method in IN_BODY else {}
    answer = client.request(method, filled, **body)
    assert answer.status_code in (200, 201, 202, 204, 303)
    line = door.registry.audit(AuditQuery("default"))[0]
    assert (line.who, line.at) == (f"the token test ({token.id})", door.clock.now())
    assert (
        line.object_id in (version.id, ingestion.id, "default", "other", "queue")
        or line.object_id in answer.text + answer.headers.get("location", "")
        or path == "/upload"
    )


def test_a_line_says_when_who_did_what_to_what(door: Door, admin: Client) -> None:
    version = put(door)
    assert admin.request("PATCH", f"/v1/versions/{version.id}", json={"name": "digits", "tags": ["gold"]}).status_code == 200
    tagged, renamed, made = admin.get(LOG).json()["audit"]
    token = door.registry.tokens("default")[0]
    assert {key: value for key, value in tagged.items() if key != "id"} == {
        "at": "2026-11-20T12:00:00.000Z",
        "who": f"the token test ({token.id})",
        "action": "version.tagged",
        "objectId": version.id,
        "object": "digits@1",
        "details": {"added": ["gold"]},
    }
    assert (renamed["action"], renamed["object"], renamed["details"]) == ("model.renamed", "digits", {"before": "run-1"})
    assert (made["action"], made["objectId"], made["who"]) == ("token.created", token.id, "somebody who gave no name")


def test_without_a_token_it_was_somebody_at_this_machine(door: Door) -> None:
    door.is_loopback = True
    version = put(door)
    assert door.client().request("DELETE", f"/v1/versions/{version.id}").status_code == 204
    [line] = door.client().get(LOG).json()["audit"]
    assert (line["who"], line["action"], line["object"]) == ("somebody at this machine", "version.deleted", "run-1@1")


def test_it_is_filtered_and_comes_page_by_page(door: Door, admin: Client) -> None:
    version = put(door)
    for number in range(3):
        admin.request("PATCH", f"/v1/versions/{version.id}", json={"tags": [f"{number}"]})
    token = door.registry.tokens("default")[0].id
    first = admin.get(LOG, params={"who": token, "action": "version.tagged", "limit": 2}).json()
    assert [line["details"]["added"] for line in first["audit"]] == [["2"], ["1"]]
    assert "action=version.tagged" in first["next"]
    second = admin.get(first["next"]).json()
    assert ([line["details"]["added"] for line in second["audit"]], second["next"]) == ([["0"]], None)
    assert admin.get(LOG, params={"who": "tk?"}).json() == {"audit": [], "next": None}
    assert admin.get(LOG, params={"action": "version.framed"}).status_code == 422


def test_a_team_reads_its_own_log_alone(door: Door, admin: Client) -> None:
    door.registry.create_team("red", door.clock.now())
    theirs = door.admin("red")
    assert [line["action"] for line in theirs.get(LOG).json()["audit"]] == ["token.created", "team.created"]
    assert [line["action"] for line in admin.get(LOG).json()["audit"]] == ["token.created"]


def test_who_only_reads_models_does_not_read_the_log(door: Door) -> None:
    assert door.client().with_token(door.token("model:read", "model:write")).get(LOG).status_code == 403
    assert door.client().with_token(door.token("operate")).get(LOG).status_code == 200


def test_reading_writes_no_line(door: Door, admin: Client) -> None:
    version = put(door)
    waiting, _ = door.registry.submit(event("waiting"), door.clock.now())
    before = admin.get(LOG).json()
    for path in ("models", "versions", f"versions/{version.id}/report", f"ingestions/{waiting.id}", "queue", "audit"):
        assert admin.get(f"/v1/{path}").status_code == 200
    assert admin.get(LOG).json() == before
