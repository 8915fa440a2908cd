"""Registered models, each with its latest version."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.registry import claimed, new_version
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api.schemas import ModelPage, ModelRow, ModelWithVersions


def put(door: Door, name: str, number: int, **changes: Any) -> str:
    """Return the id of the version *number* of the model *name*."""
    ingestion = claimed(door.registry, f"{name} {number} {changes}", name=name, **changes)
    registration = door.registry.register(ingestion.id, "me", new_version(ingestion, f"{name} {number}"), door.clock.now())
    assert registration is not None
    return registration.version.id


@pytest.fixture
def ids(door: Door) -> list[str]:
    """Two versions of the model `digits`, one of `a/b`, a `digits` of another project, and one of another team."""
    found = [put(door, "digits", 1), put(door, "digits", 2), put(door, "a/b", 1), put(door, "digits", 1, project="P")]
    put(door, "theirs", 1, team="red")
    return found


def test_models_are_listed_by_their_latest_versions_and_page_by_page(admin: Client, ids: list[str]) -> None:
    seen: list[tuple[str, str]] = []
    address: str | None = "/v1/models?limit=2"
    while address is not None:
        answer = admin.get(address)
        page = ModelPage.model_validate(answer.json())
        seen += [(row.name, row.latest.id) for row in page.models]
        assert answer.headers.get("link") == (f'<{page.next}>; rel="next"' if page.next else None)
        address = page.next
    assert seen == [("digits", ids[3]), ("a/b", ids[2]), ("digits", ids[1])]


@pytest.mark.parametrize(
    ("query", "found"),
    [({"projectId": "P"}, [3]), ({"q": "A/"}, [2]), ({"tag": "gold"}, []), ({"tag": "new"}, [1]), ({"type": "Custom"}, [])],
)
def test_filters_are_of_the_latest_versions(
    door: Door, admin: Client, ids: list[str], query: dict[str, str], found: list[int]
) -> None:
    door.registry.tag("default", ids[0], ["gold"], [])
    door.registry.tag("default", ids[1], ["new"], [])
    rows = admin.get("/v1/models", params=query).json()["models"]
    assert [row["latest"]["id"] for row in rows] == [ids[place] for place in found]


@pytest.mark.parametrize(("model", "project"), [("digits", "default"), ("digits@1", "default"), ("a/b", None), (0, None)])
def test_a_model_is_shown_as_people_name_it(admin: Client, ids: list[str], model: str | int, project: str | None) -> None:
    named = ids[model] if isinstance(model, int) else model
    answer = admin.get(f"/v1/models/{named}", params={} if project is None else {"projectId": project})
    shown = ModelWithVersions.model_validate(answer.json())
    expected = ("a/b", [ids[2]]) if model == "a/b" else ("digits", [ids[1], ids[0]])
    assert (shown.name, [version.id for version in shown.versions]) == expected
    assert shown.latest.id == expected[1][0]


def test_a_name_of_two_projects_wants_the_project(admin: Client, ids: list[str]) -> None:
    answer = admin.get("/v1/models/digits")
    assert answer.status_code == 422
    assert "projects P, default each have a model of this name; name the project too" in answer.json()["detail"]


def test_a_model_is_renamed_with_all_its_versions(admin: Client, ids: list[str]) -> None:
    answer = admin.request("PATCH", f"/v1/models/{ids[0]}", json={"name": "faces"})
    row = ModelRow.model_validate(answer.json())
    assert (row.name, row.latest.id) == ("faces", ids[1])
    assert admin.get("/v1/models/digits").json()["projectId"] == "P"
    taken = admin.request("PATCH", "/v1/models/faces", json={"name": "a/b"})
    assert (taken.status_code, taken.json()["detail"]) == (409, "another model of the project default has the name a/b")


def test_what_another_team_has_is_not_there(admin: Client, ids: list[str]) -> None:
    theirs, nobodys = admin.get("/v1/models/theirs"), admin.get("/v1/models/nobody")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.text.replace("theirs", "") == nobodys.text.replace("nobody", "")
