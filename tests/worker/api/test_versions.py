"""Looking at versions and steering them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.registry import NOON
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import FILES, put
from worker.api.schemas import (
    Bill,
    Difference,
    Manifest,
    VersionFiles,
    VersionPage,
    VersionReport,
    VersionRow,
    VersionWithFiles,
)
from worker.verification import Outcome, Verified


@pytest.fixture
def four(door: Door) -> list[str]:
    """Four versions, oldest first, the last of them of another team."""
    ids = [put(door, f"run-{number}", {"model.onnx": bytes([number])}).id for number in range(3)]
    return [*ids, put(door, "theirs", team="red").id]


def names_of(page: dict[str, Any]) -> list[str]:
    return [row["name"] for row in page["versions"]]


def test_versions_are_listed_newest_first_and_page_by_page(admin: Client, four: list[str]) -> None:
    seen: list[str] = []
    address: str | None = "/v1/versions?limit=2"
    while address is not None:
        answer = admin.get(address)
        page = VersionPage.model_validate(answer.json())
        seen += [row.id for row in page.versions]
        assert answer.headers.get("link") == (f'<{page.next}>; rel="next"' if page.next else None)
        address = page.next
    assert seen == [four[2], four[1], four[0]]


def test_the_next_page_keeps_the_filters_though_its_first_version_is_deleted_meanwhile(admin: Client, four: list[str]) -> None:
    first = admin.get("/v1/versions", params={"q": "RUN", "type": "ONNX", "limit": 1}).json()
    assert first["next"] == f"/v1/versions?q=RUN&type=ONNX&after={four[2]}&limit=1"
    assert admin.request("DELETE", f"/v1/versions/{four[2]}").status_code == 204
    assert names_of(admin.get(first["next"]).json()) == ["run-1"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"model": "run-1"}, ["run-1"]),
        ({"model": "RUN-1"}, []),
        ({"q": "N-1"}, ["run-1"]),
        ({"type": "Custom"}, []),
        ({"projectId": "default"}, ["run-2", "run-1", "run-0"]),
        ({"projectId": "none"}, []),
        ({"experimentId": "mnist", "limit": 1}, ["run-2"]),
        ({"tag": "gold"}, ["run-0"]),
        ({"after": "mo?"}, []),
        ({"q": "\0"}, []),
    ],
)
def test_versions_are_found(door: Door, admin: Client, four: list[str], query: dict[str, Any], names: list[str]) -> None:
    door.registry.tag("default", four[0], ["gold"], [])
    assert names_of(admin.get("/v1/versions", params=query).json()) == names


def test_a_version_is_shown_with_its_files_its_report_and_its_digests(admin: Client, door: Door) -> None:
    version = put(door)
    shown = VersionWithFiles.model_validate(admin.get(f"/v1/versions/{version.id}").json())
    assert (shown.id, shown.name, shown.number, shown.digest) == (version.id, "run-1", 1, "sha256:run-1")
    assert {file.path: file.size for file in shown.files} == {path: len(data) for path, data in FILES.items()}
    report = admin.get(f"/v1/versions/{version.id}/report").json()
    assert VersionReport.model_validate(report).version.id == version.id
    assert (report["schema"], report["verdict"]) == ("modelport.scan/1", "clean")
    manifest = Manifest.model_validate(admin.get(f"/v1/versions/{version.id}/manifest").json())
    assert (manifest.digest, manifest.files) == (version.digest, shown.files)
    bill = Bill.model_validate(admin.get(f"/v1/versions/{version.id}/bom").json())
    hashes = [one["hashes"][0]["content"] for one in bill.metadata["component"]["components"]]
    assert hashes == [file.sha256 for file in shown.files]
    assert VersionFiles.model_validate(admin.get(f"/v1/versions/{version.id}/files").json()).files == shown.files


def test_a_model_is_renamed_and_its_version_tagged(admin: Client, door: Door) -> None:
    version = put(door)
    door.registry.tag("default", version.id, ["old", "both"], [])
    answer = admin.request("PATCH", f"/v1/versions/{version.id}", json={"name": "digits", "tags": ["both", "new"]})
    changed = VersionRow.model_validate(answer.json())
    assert (changed.name, changed.tags) == ("digits", ["both", "new"])
    assert VersionRow.model_validate(admin.request("PATCH", f"/v1/versions/{version.id}", json={"tags": []}).json()).tags == []


def test_a_tag_with_space_around_it_is_the_same_tag(admin: Client, door: Door) -> None:
    version = put(door)
    door.registry.tag("default", version.id, ["gold"], [])
    answer = admin.request("PATCH", f"/v1/versions/{version.id}", json={"tags": [" gold ", "new"]})
    assert VersionRow.model_validate(answer.json()).tags == ["gold", "new"]


@pytest.mark.parametrize(
    ("tag", "detail"),
    [
        ("x" * 256, "tags: expected 1 to 255 characters, found 256"),
        ("模" * 171, "tags: expected at most 512 bytes of UTF-8, found 513"),
    ],
)
def test_a_tag_that_cannot_be_kept_leaves_the_name_as_it_was(admin: Client, door: Door, tag: str, detail: str) -> None:
    version = put(door)
    answer = admin.request("PATCH", f"/v1/versions/{version.id}", json={"name": "digits", "tags": [tag]})
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    assert door.registry.version("default", version.id) == version


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "the body: expected name or notes or tags, found nothing"),
        ({"size": 1}, "the body: expected name or notes or tags, found size"),
        ([], "the body: expected a JSON object, found a list"),
        ({"tags": "gold"}, "tags: expected a list of at most 100 words"),
        ({"tags": [1]}, "tags: expected a list of at most 100 words"),
        ({"name": 7}, "name: expected text, found 7"),
        ({"name": " "}, "name: expected 1 to 255 characters, found 0"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_in_words(admin: Client, door: Door, body: Any, detail: str) -> None:
    version = put(door)
    put(door, "run-2", {"x": b"1"})
    answer = admin.request("PATCH", f"/v1/versions/{version.id}", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)


def test_a_deleted_version_and_its_copy_are_gone(admin: Client, door: Door) -> None:
    version = put(door)
    assert admin.request("DELETE", f"/v1/versions/{version.id}").status_code == 204
    for address in ("", "/files", "/report", "/manifest", "/bom", "/archive", "/files/empty"):
        assert admin.get(f"/v1/versions/{version.id}{address}").status_code == 404
    assert admin.request("DELETE", f"/v1/versions/{version.id}").status_code == 404
    assert list(door.store.prefixes()) == []


def test_what_another_team_has_is_the_same_404_as_what_nobody_has(admin: Client, four: list[str]) -> None:
    for method, address in [
        ("GET", ""), ("GET", "/files"), ("GET", "/files/empty"), ("GET", "/report"), ("GET", "/manifest"), ("GET", "/archive"),
        ("GET", "/bom"), ("PATCH", ""), ("DELETE", ""),
    ]:  # fmt: skip
        body = {"json": {"name": "mine"}} if method == "PATCH" else {}
        theirs = admin.request(method, f"/v1/versions/{four[3]}{address}", **body)
        nobodys = admin.request(method, f"/v1/versions/{'mo' + 'x' * (len(four[3]) - 2)}{address}", **body)
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text.replace(four[3], "") == nobodys.text.replace("mo" + "x" * (len(four[3]) - 2), "")


def test_who_may_only_read_changes_nothing(door: Door) -> None:
    version = put(door)
    reader = door.client().with_token(door.token("model:read"))
    assert reader.get(f"/v1/versions/{version.id}").status_code == 200
    assert reader.request("DELETE", f"/v1/versions/{version.id}").status_code == 403
    assert reader.request("PATCH", f"/v1/versions/{version.id}", json={"name": "x"}).status_code == 403


def test_two_versions_are_compared(admin: Client, door: Door) -> None:
    def report(size: int | None) -> str:
        signature = {"name": "g", "method": None, "inputs": [{"name": "x", "dtype": "float32", "shape": [size]}], "outputs": []}
        return json.dumps({"models": [{"primary": True, "format": "onnx", "facts": {"signatures": [signature]}}]})

    old = put(door, "old", {"a": b"1", "b": b"2"}, report=report(None))
    new = put(door, "new", {"a": b"1", "b": b"3"}, report=report(8))
    answer = admin.get(f"/v1/versions/{old.id}/diff", params={"with": new.id})
    found = Difference.model_validate(answer.json())
    assert (found.old.id, found.new.id, found.signature, found.files.same) == (old.id, new.id, "breaking", 1)
    [change] = found.signatureChanges
    assert (change.side, change.tensor, change.change, change.old, change.new) == ("input", "x", "shape", [None], [8])
    assert [[file.path for file in pair] for pair in found.files.changed] == [["b", "b"]]
    assert admin.get(f"/v1/versions/{old.id}/diff").status_code == 422
    assert admin.get(f"/v1/versions/{old.id}/diff", params={"with": put(door, "theirs", team="red").id}).status_code == 404


def test_the_last_load_check_of_a_version_is_shown(door: Door, admin: Client, four: list[str]) -> None:
    address = f"/v1/versions/{four[0]}"
    assert VersionWithFiles.model_validate(admin.get(address).json()).verification is None
    report = {"schema": "modelport.verification/1", "path": "run-0@1", "outcome": "failed", "models": []}
    assert door.registry.verifications.keep(four[0], Verified(Outcome.FAILED, json.dumps(report), NOON))
    shown = admin.get(address).json()["verification"]
    assert shown == report | {"dtVerified": "2026-11-20T12:00:00.123Z"}
