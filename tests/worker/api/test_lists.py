"""Lists over the API: orders, pages, states, totals; and what teams publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contracts.lists import SERIOUS, keep, measured
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api.schemas import ModelPage, ModelRow, Totals, VersionPage
from worker.records import ModelVersion, VersionQuery

INCOMPLETE = {"completeness": "incomplete", "verdict": "findings", "findings": ()}


@pytest.fixture
def ids(door: Door) -> list[str]:
    """Versions of the models b, a, b, C; the accuracy of the second is unknown; one of another team."""
    made = [
        ("b", 0.9, 3, {}),
        ("a", None, 1, INCOMPLETE),
        ("b", 0.7, 1, {"findings": SERIOUS}),
        ("C", 0.8, 2, {"findings": ()}),
    ]
    found = []
    for number, (name, value, size, seen) in enumerate(made):
        metrics = () if value is None else measured(accuracy=value)
        changes: dict[str, Any] = {"findings": ()} | seen | {"metrics": metrics, "size_bytes": size}
        found.append(keep(door.registry, number, changes, name=name).id)
    keep(door.registry, 9, {"metrics": measured(accuracy=1.0)}, team="red", name="secret")
    return found


@pytest.mark.parametrize(
    ("sort", "found"),
    [
        (None, [3, 2, 1, 0]),
        ("created", [0, 1, 2, 3]),
        ("name", [1, 0, 2, 3]),
        ("-name", [3, 2, 0, 1]),
        ("size", [1, 2, 3, 0]),
        ("-size", [0, 3, 2, 1]),
        ("metric:accuracy", [2, 3, 0, 1]),
        ("-metric:accuracy", [0, 3, 2, 1]),
        ("-metric:nobody's", [3, 2, 1, 0]),
    ],
)
def test_versions_are_sorted_page_by_page(admin: Client, ids: list[str], sort: str | None, found: list[int]) -> None:
    seen: list[str] = []
    address: str | None = "/v1/versions?" + urlencode({"limit": "1"} | ({} if sort is None else {"sort": sort}))
    while address is not None:
        page = VersionPage.model_validate(admin.get(address).json())
        seen += [row.id for row in page.versions]
        address = page.next
    assert seen == [ids[place] for place in found]


def test_models_are_sorted_by_their_latest_versions(admin: Client, ids: list[str]) -> None:
    rows = ModelPage.model_validate(admin.get("/v1/models", params={"sort": "-metric:accuracy"}).json()).models
    assert [row.latest.id for row in rows] == [ids[3], ids[2], ids[1]]


def test_an_order_that_there_is_not_is_refused_in_words(admin: Client) -> None:
    for path in ("/v1/models", "/v1/versions"):
        answer = admin.get(path, params={"sort": "accuracy"})
        assert (answer.status_code, answer.json()["detail"]) == (
            422,
            "sort: expected created, name, size or metric:NAME, or one of them after a -, found 'accuracy'",
        )
        assert admin.get(path, params={"state": "bad"}).status_code == 422


@pytest.mark.parametrize(
    ("state", "found"), [("needs-look", [2, 1]), ("incomplete", [1]), ("findings", [2]), ("not-fully-read", [])]
)
def test_what_needs_a_look_is_listed_by_its_reason(admin: Client, ids: list[str], state: str, found: list[int]) -> None:
    for path, rows in (("/v1/models", "models"), ("/v1/versions", "versions")):
        listed = admin.get(path, params={"state": state}).json()[rows]
        assert [row.get("latest", row)["id"] for row in listed] == [ids[place] for place in found]


def test_totals_are_the_teams_own(door: Door, admin: Client, ids: list[str]) -> None:
    told = Totals.model_validate(admin.get("/v1/totals").json())
    assert (told.models, told.versions) == (3, 4)
    assert told.attention == {"needs-look": 2, "incomplete": 1, "findings": 1, "not-fully-read": 0} | {
        "quarantined": 0,
        "gate-failed": 0,
    }
    door.registry.create_team("blue", door.clock.now())
    assert door.admin("blue").get("/v1/totals").json()["versions"] == 0


def test_a_published_model_is_read_by_other_teams_and_changed_by_none(door: Door, admin: Client, ids: list[str]) -> None:
    door.registry.create_team("red", door.clock.now())
    red = door.admin("red")
    before = [red.get(path).text for path in ("/v1/models", "/v1/versions", "/v1/totals", "/v1/models?published=true")]
    reading = [
        f"/v1/versions/{ids[0]}{part}" for part in ("", "/files", "/report", "/manifest", "/bom", f"/diff?with={ids[2]}")
    ]
    assert {red.get(path).status_code for path in reading} == {404}
    published = admin.request("PATCH", "/v1/models/b", json={"published": True})
    assert ModelRow.model_validate(published.json()).latest.published
    assert {red.get(path).status_code for path in reading} == {200}
    shown = ModelPage.model_validate(red.get("/v1/models?published=true").json())
    assert [row.latest.id for row in shown.models] == [ids[2]]
    assert [red.get(path).text for path in ("/v1/models", "/v1/versions", "/v1/totals")] == before[:3]
    for method, body in (("PATCH", {"name": "mine"}), ("PATCH", {"tags": ["mine"]}), ("DELETE", None)):
        assert red.request(method, f"/v1/versions/{ids[0]}", json=body).status_code == 404
    assert red.request("PATCH", f"/v1/models/{ids[0]}", json={"published": False}).status_code == 404
    old_face = red.request("GET", "/mlModels/getModelList", json={"filter": {"where": {"id": ids[0]}}}).json()
    assert [(row["id"], row["isPublic"]) for row in old_face["modelList"]] == [(ids[0], True)]
    assert red.request("GET", "/mlModels/listFiles", json={"id": ids[0]}).status_code == 200
    assert red.request("POST", "/mlModels/deleteModel", json={"id": ids[0]}).status_code == 404
    admin.request("PATCH", "/v1/models/b", json={"published": False})
    assert {red.get(path).status_code for path in reading} == {404}
    assert red.get("/v1/models?published=true").text == before[3]


def test_what_a_published_version_equals_is_its_teams_secret(door: Door, admin: Client) -> None:
    first = keep(door.registry, 1, {"digest": "same"}, experiment="one")
    second = keep(door.registry, 2, {"digest": "same"}, experiment="two")
    admin.request("PATCH", f"/v1/models/{second.id}", json={"published": True})
    door.registry.create_team("red", door.clock.now())
    assert admin.get(f"/v1/versions/{second.id}").json()["duplicateOf"] == first.id
    red = door.admin("red")
    assert red.get(f"/v1/versions/{second.id}").json()["duplicateOf"] is None
    assert red.get("/v1/versions?published=true").json()["versions"][0]["duplicateOf"] is None


@pytest.mark.parametrize(("body", "found"), [({}, "nothing"), ({"other": 1}, "other")])
def test_nothing_else_of_a_model_is_changed(admin: Client, ids: list[str], body: dict[str, Any], found: str) -> None:
    answer = admin.request("PATCH", "/v1/models/b", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"the body: expected name or published, found {found}")


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("/v1/versions", ("versions", 0)),
        ("/v1/models", ("models", 0, "latest")),
        ("/v1/models/b", ("versions", 0)),
        ("/mlModels/getModelList", ("modelList", 0)),
    ],
)
def test_a_list_reads_no_report(
    door: Door, admin: Client, ids: list[str], monkeypatch: pytest.MonkeyPatch, path: str, row: tuple[str | int, ...]
) -> None:
    """One may be megabytes long, a page a thousand rows, and no row shows anything of it."""
    asked: list[VersionQuery] = []
    found = door.registry.versions

    def versions(query: VersionQuery) -> Sequence[ModelVersion]:
        asked.append(query)
        return found(query)

    monkeypatch.setattr(door.registry, "versions", versions)
    said: Any = admin.get(path).json()
    for step in row:
        said = said[step]
    assert said["id"] in ids
    assert [query.is_brief for query in asked] == [True]
