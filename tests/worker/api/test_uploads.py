"""Uploads through the API: what is accepted lies in the store whole, under the id that its sender was told."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit
from zipfile import ZipFile

import pytest

from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from worker.api import receiving
from worker.api.links import LINK_SECONDS
from worker.api.service import Uploading
from worker.records import End, Ingestion, IngestionQuery, IngestionState, StoreKey, Trigger

OCTETS = {"Content-Type": "application/octet-stream"}
ZIP = {"Content-Type": "application/zip"}
BOUNDARY = b"0123456789abcdef" * 2


def zipped(files: Mapping[str, bytes]) -> bytes:
    body = io.BytesIO()
    with ZipFile(body, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return body.getvalue()


def enveloped(content: bytes) -> bytes:
    """Return *content* as the client of the original system sends it."""
    head = b'Content-Disposition: form-data; name="file"; filename="m"\r\n\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head + content + b"\r\n--" + BOUNDARY + b"--\r\n"


def stored(door: Door, model_id: str, project: str = "default", team: str = "default") -> dict[str, bytes]:
    """Return the files that the store holds for an upload."""
    with door.store.opened(door.store.url(StoreKey(team, project, None, model_id))) as tree:
        return {entry.path: tree.read(entry.path, 0, entry.size) for entry in tree.files()}


def accepted(door: Door) -> list[Ingestion]:
    return list(door.registry.ingestions(IngestionQuery()))


def created(client: Client, query: str = "name=digits&modelType=ONNX") -> str:
    answer = client.post(f"/mlModels/createModelV2?{query}")
    assert answer.status_code == 200
    return str(answer.json()["id"])


def link_for(client: Client, model_id: str, name: str = "model.onnx") -> str:
    answer = client.get("/mlModels/getPresignedModelUrl", params={"fileName": name, "modelHandle": model_id, "contentType": ""})
    assert answer.status_code == 200
    split = urlsplit(answer.json())
    return f"{split.path}?{split.query}"


def test_a_file_is_kept_under_the_id_that_was_told(door: Door, admin: Client) -> None:
    query = "fileName=some/folder/model.onnx&name=digits&type=onnx&notes=mine&tag=gold&project=p&summary=%7B%22f1%22:0.5%7D"
    answer = admin.post(f"/v1/uploads?{query}", content=b"weights", headers=OCTETS)
    assert answer.status_code == 202
    model_id, ingestion = answer.json()["id"], accepted(door)[0]
    assert answer.json()["ingestion"] == {
        "id": ingestion.id, "state": "received", "reason": None, "message": None, "answer": None
    }  # fmt: skip
    assert answer.headers["Location"] == f"/v1/ingestions/{ingestion.id}"
    assert stored(door, model_id, "p") == {"model.onnx": b"weights"}
    assert (ingestion.version_id, ingestion.event.trigger, ingestion.event.model_path) == (
        model_id,
        Trigger.UPLOAD,
        "model.onnx",
    )
    upload = door.registry.upload("default", model_id)
    assert upload is not None
    said = upload.said
    assert (said.name, said.declared_type, said.notes, said.tags, said.summary) == (
        "digits",
        "ONNX",
        "mine",
        ("gold",),
        {"f1": 0.5},
    )
    assert len(door.rung) == 1


def test_a_zip_is_a_folder_only_where_it_is_announced_as_one(door: Door, admin: Client) -> None:
    body = zipped({"1/saved_model.pb": b"graph", "1/variables/v": b"w"})
    folder = admin.post("/v1/uploads?fileName=run.zip", content=body, headers=ZIP).json()["id"]
    file = admin.post("/v1/uploads?fileName=run.zip", content=body, headers=OCTETS).json()["id"]
    assert stored(door, folder) == {"1/saved_model.pb": b"graph", "1/variables/v": b"w"}
    assert stored(door, file) == {"run.zip": body}


@pytest.mark.parametrize(
    ("query", "body", "headers", "status", "said"),
    [
        ("fileName=m", b"no zip", ZIP, 422, "expected a zip"),
        ("fileName=m", zipped({"../m": b"1"}), ZIP, 422, "inside of the folder"),
        ("fileName=..", b"1", OCTETS, 422, "the name of the file"),
        ("fileName=m&summary=%7B", b"1", OCTETS, 422, "summary: expected JSON"),
        ("fileName=m&name=%00", b"1", OCTETS, 422, "name"),
        ("fileName=m", b"1", {"Content-Type": "multipart/form-data; boundary=x"}, 415, "content-type"),
        ("", b"1", OCTETS, 422, "fileName"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words_and_leaves_nothing(
    door: Door, admin: Client, query: str, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = admin.post(f"/v1/uploads?{query}&project=new", content=body, headers=headers)
    assert (answer.status_code, accepted(door), list(door.store.prefixes())) == (status, [], [])
    assert said in answer.json()["detail"]
    assert admin.get("/v1/projects").json()["projects"] == []
    assert [one["action"] for one in admin.get("/v1/audit").json()["audit"]] == ["token.created"]


def test_what_turns_out_to_be_damaged_on_the_way_is_given_up(door: Door, admin: Client) -> None:
    damaged = zipped({"a": b"1", "m": b"weights"}).replace(b"weights", b"weightz")
    answer = admin.post("/v1/uploads?fileName=m", content=damaged, headers=ZIP)
    assert (answer.status_code, accepted(door), list(door.store.prefixes())) == (422, [], [])
    assert "expected bytes with CRC" in answer.json()["detail"]
    actions = [one["action"] for one in admin.get("/v1/audit").json()["audit"]]
    assert actions == ["upload.ended", "upload.begun", "token.created"]


def test_a_body_that_is_too_large_is_refused_before_and_while_it_comes(door: Door) -> None:
    door.uploading = replace(door.uploading, max_bytes=10)
    admin = door.admin()
    assert admin.post("/v1/uploads?fileName=m", content=b"x" * 11, headers=OCTETS).status_code == 413

    async def without_length():  # type: ignore[no-untyped-def]
        for _ in range(11):
            yield b"x"

    assert admin.post("/v1/uploads?fileName=m", content=without_length(), headers=OCTETS).status_code == 413
    assert accepted(door) == []


def test_a_client_that_sends_nothing_is_not_waited_for(door: Door, admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SILENT_SECONDS", 0.05)

    async def silent():  # type: ignore[no-untyped-def]
        import asyncio

        yield b"x"
        await asyncio.sleep(30)

    assert admin.post("/v1/uploads?fileName=m", content=silent(), headers=OCTETS).status_code == 408
    assert accepted(door) == []


def test_a_token_that_is_revoked_while_a_file_comes_uploads_nothing(door: Door, admin: Client) -> None:
    async def slow():  # type: ignore[no-untyped-def]
        yield b"wei"
        door.registry.revoke_token("default", door.registry.tokens("default")[0].id, door.clock.now())
        yield b"ghts"

    answer = admin.post("/v1/uploads?fileName=m&project=new", content=slow(), headers=OCTETS)
    assert (answer.status_code, answer.json()["detail"]) == (401, "this token was revoked")
    assert (accepted(door), list(door.store.prefixes())) == ([], [])


def test_the_original_client_creates_then_puts(door: Door, admin: Client) -> None:
    model_id = created(admin, "name=digits&modelType=Tensorflow&notes=mine&summary=%7B%22a%22:1%7D&projectId=p")
    answer = door.client().request("PUT", link_for(admin, model_id), content=enveloped(b"weights"))
    assert (answer.status_code, stored(door, model_id, "p")) == (200, {"model.onnx": b"weights"})
    upload = door.registry.upload("default", model_id)
    assert upload is not None
    assert (upload.said.name, upload.said.notes, upload.said.summary) == ("digits", "mine", {"a": 1})


def test_what_is_said_may_also_stand_in_a_body(door: Door, admin: Client) -> None:
    body = {"name": "digits", "modelType": "Custom", "summary": {"a": 1}, "notes": "n"}
    model = admin.post("/mlModels/createModelV2", json=body).json()
    assert (model["name"], model["modelType"], model["summary"], model["notes"]) == ("digits", "Custom", {"a": 1}, "n")
    assert admin.post("/mlModels/createModelV2/?name=&modelType=").json()["name"] is None


def test_a_folder_of_the_original_client_is_unpacked_and_another_zip_is_not(door: Door, admin: Client) -> None:
    body = zipped({"a/b": b"1"})
    folder, file = created(admin), created(admin)
    door.client().request("PUT", link_for(admin, folder, "model.zip"), content=enveloped(body))
    door.client().request("PUT", link_for(admin, file, "mine.zip"), content=enveloped(body))
    assert (stored(door, folder), stored(door, file)) == ({"a/b": b"1"}, {"mine.zip": body})


def test_a_link_takes_the_file_it_was_made_for_and_nothing_else(door: Door, admin: Client) -> None:
    mine, other = created(admin), created(admin)
    address = link_for(admin, mine)
    nobody = door.client()
    assert nobody.request("PUT", address.replace(mine, other), content=b"1").status_code == 403
    assert nobody.request("PUT", address.replace("model.onnx", "model.zip"), content=b"1").status_code == 403
    assert nobody.request("PUT", address.replace("/uploads/", "/files/"), content=b"1").status_code == 405
    assert nobody.get(address.replace("/uploads/", "/files/")).status_code == 403
    door.clock.sleep(LINK_SECONDS)
    assert nobody.request("PUT", address, content=b"1").status_code == 403
    assert accepted(door) == []


def test_files_come_once(door: Door, admin: Client) -> None:
    model_id = created(admin)
    address = link_for(admin, model_id)
    assert door.client().request("PUT", address, content=b"1").status_code == 200
    again = door.client().request("PUT", address, content=b"2")
    assert (again.status_code, "are there already" in again.json()["message"]) == (409, True)
    assert stored(door, model_id) == {"model.onnx": b"1"}


def test_a_model_whose_files_never_came_is_deleted(door: Door, admin: Client) -> None:
    model_id = created(admin)
    address = link_for(admin, model_id)
    assert admin.post("/mlModels/deleteModel", json={"id": model_id}).status_code == 204
    assert admin.post("/mlModels/deleteModel", json={"id": model_id}).status_code == 404
    assert door.client().request("PUT", address, content=b"1").status_code == 404


def test_an_upload_that_is_deleted_before_it_is_registered_leaves_nothing(door: Door, admin: Client) -> None:
    model_id = created(admin)
    door.client().request("PUT", link_for(admin, model_id), content=b"1")
    assert admin.post("/mlModels/deleteModel/", json={"id": model_id}).status_code == 204
    assert [one.state for one in accepted(door)] == ["discarded"]
    assert list(door.store.prefixes()) == []


def test_tags_are_given_before_the_files_are_registered(door: Door, admin: Client) -> None:
    model_id = created(admin)
    body = {"entity": "mlModel", "entityId": model_id, "tags": ["gold", "b"]}
    assert admin.request("PUT", "/entityTags/updateTags", json=body).json() == {"tags": ["b", "gold"]}
    tags = admin.get(f"/entityTags/getTags?entity=mlModel&entityIds={model_id}").json()
    assert tags == {model_id: [{"tag": {"name": "b"}}, {"tag": {"name": "gold"}}]}


def test_another_team_has_no_part_in_an_upload(door: Door, admin: Client) -> None:
    door.registry.create_team("red", door.clock.now())
    model_id, red = created(admin), door.admin("red")
    asked = {"fileName": "m", "modelHandle": model_id}
    assert red.get("/mlModels/getPresignedModelUrl", params=asked).status_code == 404
    assert red.post("/mlModels/deleteModel", json={"id": model_id}).status_code == 404
    body = {"entity": "mlModel", "entityId": model_id, "tags": []}
    assert red.request("PUT", "/entityTags/updateTags", json=body).status_code == 404


def test_a_dataset_is_none_of_ours(admin: Client) -> None:
    answer = admin.post("/mlModels/createModelV2?name=x&modelType=Custom&datasetRef=d")
    assert (answer.status_code, "upload the files" in answer.json()["message"]) == (422, True)


def test_who_puts_a_file_is_told_how_its_ingestion_ended(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers are quick here: they end it when the bell rings."""
    door.uploading = Uploading(wait_seconds=20)
    ends = [End(IngestionState.NOTHING_FOUND, "nothing-found", "no model in the one file"), None]

    def ring() -> None:
        running, end = door.registry.claim_next("me", door.clock.now()), ends.pop(0)
        assert running is not None
        if end is not None:
            door.registry.finish(running.id, "me", end, door.clock.now())
        else:
            door.registry.discard("default", running.id, "a person", door.clock.now())

    monkeypatch.setattr(door, "ring", ring)
    admin = door.admin()
    address = link_for(admin, created(admin))
    told = door.client().request("PUT", address, content=b"1")
    assert (told.status_code, told.json()["message"]) == (422, "model.onnx: no model in the one file")
    answer = admin.post("/v1/uploads?fileName=m", content=b"1", headers=OCTETS)
    assert (answer.status_code, answer.json()["ingestion"]["state"]) == (202, "discarded")


def test_notes_are_changed_and_shown(door: Door, admin: Client) -> None:
    from tests.worker.api.shelf import put

    version = put(door)
    changed = admin.request("PATCH", f"/v1/versions/{version.id}", json={"notes": "for the fair"})
    assert (changed.status_code, changed.json()["notes"]) == (200, "for the fair")
    assert json.loads(admin.get("/mlModels/getModelList").text)["modelList"][0]["notes"] == "for the fair"
    assert admin.request("PATCH", f"/v1/versions/{version.id}", json={"notes": ""}).json()["notes"] is None
