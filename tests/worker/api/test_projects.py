"""Projects by the API: what they are called, and that whoever uses an old name goes on as before."""

from __future__ import annotations

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import NOON, Door
from tests.worker.api.shelf import put

PROJECTS = "/v1/projects"
MADE = "2026-11-20T12:00:00.000Z"


def test_a_project_is_made_listed_and_renamed(admin: Client) -> None:
    made = admin.post(PROJECTS, {"name": " digits "})
    assert (made.status_code, made.json()) == (201, {"id": "digits", "name": "digits", "dtCreated": MADE})
    renamed = admin.request("PATCH", f"{PROJECTS}/digits", json={"name": "handwriting"})
    assert (renamed.status_code, renamed.json()) == (200, {"id": "digits", "name": "handwriting", "dtCreated": MADE})
    again = admin.request("PATCH", f"{PROJECTS}/handwriting", json={"name": "a/b c"})
    assert again.json()["name"] == "a/b c"
    assert admin.request("PATCH", f"{PROJECTS}/a/b%20c", json={"name": "a/b c"}).json()["id"] == "digits"
    assert admin.get(PROJECTS).json() == {"projects": [{"id": "digits", "name": "a/b c", "dtCreated": MADE}], "next": None}


def test_an_event_makes_one_and_finds_one_by_any_name(door: Door, admin: Client) -> None:
    assert admin.post("/v1/completions", {"experimentId": "e1", "projectId": "digits", "id": "1"}).status_code == 202
    admin.request("PATCH", f"{PROJECTS}/digits", json={"name": "handwriting"})
    for number, name in enumerate(["digits", "handwriting"], start=2):
        said = {"experimentId": "e1", "projectId": name, "id": str(number)}
        first, second = (admin.post("/v1/completions", said).json() for _ in range(2))
        assert (second["id"], second["known"]) == (first["id"], True)
    rows = admin.get("/v1/ingestions").json()["ingestions"]
    assert {row["projectId"] for row in rows} == {"digits"}
    assert [one["id"] for one in admin.get(PROJECTS).json()["projects"]] == ["digits"]


def test_lists_find_it_by_id_and_name_and_say_how_it_is_called(door: Door, admin: Client) -> None:
    version = put(door)
    assert admin.get("/v1/models").json()["models"][0]["project"] == "default"
    admin.request("PATCH", f"{PROJECTS}/default", json={"name": "handwriting"})
    for name in ("default", "handwriting"):
        for address, rows in (("/v1/models", "models"), ("/v1/versions", "versions")):
            [row] = admin.get(address, params={"projectId": name}).json()[rows]
            assert (row["projectId"], row["project"]) == ("default", "handwriting")
        shown = admin.get(f"/v1/models/{version.model_name}", params={"projectId": name}).json()
        assert (shown["latest"]["id"], shown["project"]) == (version.id, "handwriting")
        conditions = {"filter": {"where": {"and": [{"projectId": name}]}}}
        [listed] = admin.request("GET", "/mlModels/getModelList", json=conditions).json()["modelList"]
        assert listed["projectId"] == "default"
        one = {"filter": {"where": {"and": [{"projectId": name}, {"id": version.id}]}}}
        assert admin.request("GET", "/mlModels/getModelList", json=one).json()["displayTotal"] == 1
    assert admin.get(f"/v1/versions/{version.id}").json()["project"] == "handwriting"
    assert admin.get("/v1/models", params={"projectId": "another"}).json()["models"] == []


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("b", "another project has or had the name b; its id is b"),
        ("was b", "another project has or had the name was b; its id is b"),
        ("default", "name: default is where events go that name no project; choose another"),
        ("", "name: expected text, found none in it"),
        ("line\nbreak", "name: expected printable text"),
    ],
)
def test_a_name_that_cannot_be_given_is_refused(admin: Client, name: str, detail: str) -> None:
    for project in ("a", "b"):
        admin.post(PROJECTS, {"name": project})
    admin.request("PATCH", f"{PROJECTS}/b", json={"name": "was b"})
    admin.request("PATCH", f"{PROJECTS}/b", json={"name": "b"})
    answer = admin.request("PATCH", f"{PROJECTS}/a", json={"name": name})
    is_taken = detail.startswith("another project")
    assert (answer.status_code, answer.json()["type"]) == (
        (409, "urn:modelport:problem:name-taken") if is_taken else (422, "urn:modelport:problem:rejected")
    )
    assert detail in answer.json()["detail"]
    if is_taken:
        again = admin.post(PROJECTS, {"name": name})
        assert (again.status_code, again.json()["detail"]) == (409, f"name: a project has or had the name {name}")


def test_the_project_of_events_that_name_none_can_be_called_otherwise_and_back(door: Door, admin: Client) -> None:
    admin.post("/v1/completions", {"experimentId": "e1"})
    assert admin.request("PATCH", f"{PROJECTS}/default", json={"name": "misc"}).json()["id"] == "default"
    assert admin.request("PATCH", f"{PROJECTS}/misc", json={"name": "default"}).json()["name"] == "default"


def test_a_body_says_a_name_and_nothing_is_not_there(admin: Client) -> None:
    assert admin.request("PATCH", f"{PROJECTS}/nobody", json={"name": "x"}).status_code == 404
    for method, address in (("POST", PROJECTS), ("PATCH", f"{PROJECTS}/nobody")):
        assert admin.request(method, address, json={"title": "x"}).status_code == 422
        assert admin.request(method, address, json={"name": "x", "title": "x"}).status_code == 422
        assert admin.request(method, address, json=["x"]).status_code == 422
        assert admin.request(method, address, content=b"name=x").status_code == 415


def test_they_come_page_by_page_by_name(door: Door, admin: Client) -> None:
    for name in "dbac":
        door.registry.create_project("default", name, NOON)
    door.registry.rename_project("default", "b", "z", NOON)
    first = admin.get(PROJECTS, params={"limit": 2}).json()
    assert [one["name"] for one in first["projects"]] == ["a", "c"]
    second = admin.get(first["next"]).json()
    assert ([one["name"] for one in second["projects"]], second["next"]) == (["d", "z"], None)
    assert admin.get(PROJECTS, params={"after": "nobody"}).json() == {"projects": [], "next": None}


def test_a_team_sees_and_renames_its_own_alone(door: Door, admin: Client) -> None:
    door.registry.create_team("red", NOON)
    admin.post(PROJECTS, {"name": "ours"})
    theirs = door.admin("red")
    assert theirs.get(PROJECTS).json()["projects"] == []
    assert theirs.request("PATCH", f"{PROJECTS}/ours", json={"name": "x"}).status_code == 404
    assert theirs.post(PROJECTS, {"name": "ours"}).status_code == 201
