"""The calls of the original system's client, as they were recorded."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import FILES, put
from worker.api.app import make_app
from worker.api.auth import Policy, policy_of
from worker.api.links import LINK_SECONDS, Signed
from worker.api.problems import OLD_FACES

LIST = "/mlModels/getModelList/?limit=-1"


@pytest.fixture
def ids(door: Door) -> list[str]:
    """Three versions, oldest first, and one of another team."""
    found = [put(door, f"run-{number}", {"model.onnx": bytes([number])}).id for number in range(3)]
    put(door, "theirs", team="red")
    return found


def listed(client: Client, body: Any = None, path: str = LIST) -> dict[str, Any]:
    answer = client.request("GET", path, json=body) if body is not None else client.get(path)
    assert answer.status_code == 200
    value: dict[str, Any] = answer.json()
    return value


def ids_of(answer: dict[str, Any]) -> list[str]:
    return [model["id"] for model in answer["modelList"]]


def where(**conditions: str) -> dict[str, Any]:
    return {"filter": {"where": {"and": [conditions]}}}


def test_every_address_is_there_with_and_without_a_slash_and_asks_who_calls(door: Door) -> None:
    declared: dict[str, list[str]] = {}
    for route in make_app(door.service).routes:
        assert isinstance(route, APIRoute)
        if route.path.startswith(OLD_FACES):
            policy = policy_of(route)
            scopes = sorted(policy.scopes) if isinstance(policy, Policy) else [type(policy).__name__]
            declared |= {f"{method} {route.path}": scopes for method in route.methods or ()}
    reading, writing = ["model:read", "operate"], ["model:write"]
    expected = {
        "GET /mlModels/getModelList": reading,
        "POST /mlModels/createModelV2": writing,
        "GET /mlModels/getPresignedModelUrl": writing,
        "POST /mlModels/deleteModel": writing,
        "POST /mlModels/updateModel": writing,
        "GET /mlModels/listFiles": reading,
        "GET /entityTags/getTags": reading,
        "PUT /entityTags/updateTags": writing,
    }
    links = {f"{method} /mlModels/files/{{team}}/{{version_id}}/{{path:file}}": [Signed.__name__] for method in ("GET", "HEAD")}
    links["PUT /mlModels/uploads/{team}/{version_id}/{path:file}"] = [Signed.__name__]
    assert declared == expected | {f"{one}/": scopes for one, scopes in expected.items()} | links


def test_models_are_listed_newest_first_with_how_many_there_are(admin: Client, ids: list[str]) -> None:
    answer = listed(admin)
    assert (ids_of(answer), answer["total"], answer["displayTotal"]) == (ids[::-1], 3, 3)
    answer = listed(admin, path="/mlModels/getModelList?limit=1")
    assert (ids_of(answer), answer["total"], answer["displayTotal"]) == ([ids[2]], 3, 3)


def test_a_model_has_the_fields_that_the_client_shows(admin: Client, ids: list[str]) -> None:
    [model] = listed(admin, where(id=ids[0]))["modelList"]
    assert (model["id"], model["name"], model["modelType"], model["projectId"]) == (ids[0], "run-0", "ONNX", "default")
    assert model["summary"] == {"loss": {"scalar": "loss", "result": {"max": 0.5}}}
    assert model["detail"] == [{"session": "eval", "scalars": []}]
    assert (model["deploymentState"], model["isDeleted"], model["tags"], model["tag"]) == ("Stopped", False, [], None)
    assert model["dtCreated"] == "2026-11-20T12:00:00.000Z"


def test_metrics_that_are_no_numbers_are_words(door: Door, admin: Client) -> None:
    result = {"max": float("nan"), "min": float("-inf"), "mean": float("inf")}
    put(door, files={"a": b"1"}, summary={"loss": {"scalar": "loss", "result": result}}, detail=({"at": [float("nan")]},))
    [model] = listed(admin)["modelList"]
    assert model["summary"]["loss"]["result"] == {"max": "NaN", "min": "-Infinity", "mean": "Infinity"}
    assert model["detail"] == [{"at": ["NaN"]}]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, [2, 1, 0]),
        (where(projectId="default"), [2, 1, 0]),
        (where(projectId="none"), []),
        (where(experimentId="mnist"), [2, 1, 0]),
        ({"filter": {"where": {"projectId": "default"}}}, [2, 1, 0]),
        ({"tagFilter": ["gold"]}, [1, 0]),
        ({"tagFilter": ["gold", "new"]}, [1]),
        ({"filter": {"where": {"and": [{"projectId": "default"}]}}, "tagFilter": []}, [2, 1, 0]),
    ],
)
def test_models_are_found(door: Door, admin: Client, ids: list[str], body: dict[str, Any], found: list[int]) -> None:
    door.registry.tag("default", ids[0], ["gold"], [])
    door.registry.tag("default", ids[1], ["gold", "new"], [])
    answer = listed(admin, body)
    assert (ids_of(answer), answer["total"], answer["displayTotal"]) == ([ids[place] for place in found], 3, len(found))


def test_details_of_what_is_not_there_or_elsewhere_are_an_empty_list(admin: Client, ids: list[str]) -> None:
    for conditions in ({"id": "mo?"}, {"id": ids[0], "projectId": "none"}, {"id": ids[0], "experimentId": "none"}):
        assert ids_of(listed(admin, where(**conditions))) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (where(color="red"), "filter.where: expected experimentId, id, projectId, found 'color'"),
        ({"filter": [1]}, "filter: expected a JSON object, found a list"),
        ({"filter": {"where": {"and": {}}}}, "filter.where.and: expected a list, found an object"),
        ({"tagFilter": "gold"}, "tagFilter: expected a list of at most 100 words, found 'gold'"),
        ([1], "the body: expected a JSON object, found a list"),
    ],
)
def test_a_filter_that_nobody_knows_is_refused_in_the_shape_that_the_client_prints(
    admin: Client, body: Any, message: str
) -> None:
    answer = admin.request("GET", LIST, json=body)
    assert (answer.status_code, answer.json()) == (422, {"status": 422, "message": message})


def test_a_wrong_key_is_told_in_the_shape_that_the_client_prints(door: Door) -> None:
    answer = Client(make_app(door.service), {"X-API-Key": "wrong"}).get(LIST)
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert answer.json()["message"] == "this is no token: a character is wrong, or part of it is missing"


def test_a_model_is_renamed_tagged_and_deleted(admin: Client, door: Door, ids: list[str]) -> None:
    renamed = admin.post("/mlModels/updateModel", {"id": ids[0], "upd": {"name": "digits"}})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "digits")
    tags = {"entity": "mlModel", "entityId": ids[0], "tags": ["b", "a"]}
    assert admin.request("PUT", "/entityTags/updateTags", json=tags).status_code == 200
    told = admin.get("/entityTags/getTags/", params={"entity": "mlModel", "entityIds": ids[0]}).json()
    assert told == {ids[0]: [{"tag": {"name": "a"}}, {"tag": {"name": "b"}}]}
    assert admin.post("/mlModels/deleteModel/", {"id": ids[0]}).status_code == 204
    answer = admin.post("/mlModels/deleteModel/", {"id": ids[0]})
    assert (answer.status_code, answer.json()) == (404, {"status": 404, "message": "Unable to find model"})


def test_every_file_is_listed_with_a_link_that_needs_no_key(door: Door, admin: Client) -> None:
    version = put(door)
    files = admin.request("GET", "/mlModels/listFiles/", json={"id": version.id, "links": True}).json()
    assert {file["file"]: file["size"] for file in files} == {path: len(data) for path, data in FILES.items()}
    for file in files:
        assert file["url"].startswith("http://127.0.0.1:8000/mlModels/files/default/")
        assert fetched(door, file["url"]).content == FILES[file["file"]]


def test_a_link_opens_nothing_else_and_not_for_ever(door: Door, admin: Client) -> None:
    version = put(door, files={"a": b"1", "b": b"2"})
    [first, _] = admin.request("GET", "/mlModels/listFiles", json={"id": version.id, "links": "True"}).json()
    url = first["url"]
    assert fetched(door, url.replace("/a?", "/b?")).status_code == 403
    assert fetched(door, url.split("?")[0]).status_code == 403
    door.clock.sleep(LINK_SECONDS)
    answer = fetched(door, url)
    assert (answer.status_code, answer.json()["status"]) == (403, 403)


def test_a_link_opens_a_file_whose_name_ends_a_line(door: Door, admin: Client) -> None:
    version = put(door, files={"a": b"1", "a\n": b"2"})
    files = admin.request("GET", "/mlModels/listFiles", json={"id": version.id}).json()
    assert {file["file"]: fetched(door, file["url"]).content for file in files} == {"a": b"1", "a\n": b"2"}


def test_a_link_to_what_was_deleted_says_so(door: Door, admin: Client) -> None:
    version = put(door, files={"a": b"1"})
    [file] = admin.request("GET", "/mlModels/listFiles", json={"id": version.id}).json()
    admin.post("/mlModels/deleteModel", {"id": version.id})
    assert fetched(door, file["url"]).status_code == 404


def fetched(door: Door, url: str) -> httpx.Response:
    """Fetch *url* without a key."""
    return door.client().get(url.removeprefix("http://127.0.0.1:8000"))
