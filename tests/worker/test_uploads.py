"""Uploads from the first byte to the version: on a real database and store, through the door, the queue and a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import NoReturn

import pytest

from detectors.tree import MemoryTree
from tests.builders import onnx
from tests.worker.api.client import Client
from tests.worker.api.test_uploads import OCTETS, ZIP, zipped
from worker import uploads
from worker.api.app import make_app
from worker.api.server import service_of_embedded
from worker.bootstrap import Embedded, embedded
from worker.errors import NotFound, StorageUnavailable, WrongState
from worker.operations import UPLOAD_PATIENCE, check_leftovers, retry
from worker.records import IngestionQuery, NewUpload, Upload, VersionQuery
from worker.runner import Runner

MODEL = {"model.onnx": onnx.model()}


@pytest.fixture
def service(home: Path, tmp_path: Path) -> Iterator[Embedded]:
    with embedded(os.environ, tmp_path) as service:
        yield service


@pytest.fixture
def client(service: Embedded) -> Client:
    """Who brings an upload and does not wait for its end: nobody is at work."""
    inside = service_of_embedded(service, lambda: None, "127.0.0.1")
    return Client(make_app(replace(inside, uploading=replace(inside.uploading, wait_seconds=0.0))))


def borders_of(service: Embedded) -> uploads.Borders:
    return uploads.Borders(service.registry, service.store, service.clock, lambda: None, service.new_id)


def begun(service: Embedded) -> Upload:
    return service.registry.begin_upload(NewUpload("default", name="digits"), service.clock.now())


def held(service: Embedded) -> list[str]:
    return [version_id for version_id, _ in service.store.prefixes()]


def test_what_is_uploaded_becomes_the_version_that_was_promised(service: Embedded, client: Client) -> None:
    told = client.post(
        "/v1/uploads?fileName=m.onnx&name=digits&notes=mine&tag=gold", content=MODEL["model.onnx"], headers=OCTETS
    )
    model_id = told.json()["id"]
    assert Runner(service.borders(), service.owner).work_next()
    version = service.registry.version("default", model_id)
    assert version is not None
    assert (version.model_name, version.number, version.experiment, version.store) == ("digits", 1, None, "copy")
    assert (version.format, version.completeness, version.verdict) == ("onnx", "complete", "clean")
    assert (version.notes, version.tags, version.url.split("/")[-5:-2]) == (
        "mine",
        ("gold",),
        ["default", "default", "uploads"],
    )
    assert held(service) == [model_id]
    downloaded = client.get(f"/v1/versions/{model_id}/files/m.onnx")
    assert downloaded.content == MODEL["model.onnx"]
    assert client.request("DELETE", f"/v1/versions/{model_id}").status_code == 204
    assert held(service) == []


def test_the_same_folder_uploaded_twice_is_two_versions_of_one_model(service: Embedded, client: Client) -> None:
    ids = [client.post("/v1/uploads?fileName=m&name=digits", content=zipped(MODEL), headers=ZIP).json()["id"] for _ in range(2)]
    runner = Runner(service.borders(), service.owner)
    assert (runner.work_next(), runner.work_next()) == (True, True)
    second, first = service.registry.versions(VersionQuery())
    assert [(first.id, first.number), (second.id, second.number)] == [(ids[0], 1), (ids[1], 2)]
    assert second.duplicate_of == first.id


def test_an_upload_is_accepted_when_all_its_files_are_there_and_not_before(service: Embedded) -> None:
    """The law: it breaks off in the second of two files, and can be brought again."""

    class Breaking(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            if path == "z":
                raise StorageUnavailable("gone")
            return super().read(path, start, stop)

    upload = begun(service)
    with pytest.raises(StorageUnavailable):
        uploads.bring(upload, Breaking(MODEL | {"z": b"1"}), "m", borders_of(service))
    assert service.registry.ingestions(IngestionQuery()) == []
    assert held(service) == []
    ingestion = uploads.bring(upload, MemoryTree(MODEL), "m", borders_of(service))
    assert ingestion.version_id == upload.id


def test_two_who_bring_the_files_at_once_do_not_mix_them(service: Embedded) -> None:
    """The law: whichever of them is taken, what lies there is all of one."""
    upload, barrier, ended = begun(service), Barrier(2), []

    def bring(letter: str) -> None:
        tree = MemoryTree({name: letter.encode() * 1000 for name in ("one", "two")})
        barrier.wait()
        try:
            uploads.bring(upload, tree, "m", borders_of(service))
            ended.append(letter)
        except (WrongState, StorageUnavailable):
            pass

    threads = [Thread(target=bring, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [letter] = ended
    with service.store.opened(service.store.url(uploads.key_of(upload))) as tree:
        assert {tree.read(entry.path, 0, 1000) for entry in tree.files()} == {letter.encode() * 1000}


def test_who_was_silent_for_too_long_shows_nothing(service: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, overtaken = begun(service), []

    class Slow(MemoryTree):
        def read(self, path: str, start: int, stop: int) -> bytes:
            if not overtaken:
                later = service.clock.now() + 2 * UPLOAD_PATIENCE
                overtaken.append(service.registry.take_upload("default", upload.id, "another", later))
            return super().read(path, start, stop)

    with pytest.raises(WrongState, match="somebody else brings"):
        uploads.bring(upload, Slow(MODEL), "m", borders_of(service))
    assert overtaken == [True]
    assert service.registry.ingestions(IngestionQuery()) == []
    with pytest.raises(StorageUnavailable):
        service.store.opened(service.store.url(uploads.key_of(upload)))


def test_what_is_given_up_leaves_nothing(service: Embedded) -> None:
    upload = begun(service)
    uploads.bring(upload, MemoryTree(MODEL), "m", borders_of(service))
    uploads.give_up(upload, borders_of(service), "a person")
    assert held(service) == []
    assert [one.state for one in service.registry.ingestions(IngestionQuery())] == ["discarded"]
    with pytest.raises(NotFound):
        uploads.give_up(upload, borders_of(service), "a person")


def test_what_is_registered_while_it_is_given_up_is_deleted_with_its_files(
    service: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker registers it between the two steps of giving it up: no version is left whose files are gone."""
    upload = begun(service)
    uploads.bring(upload, MemoryTree(MODEL), "m", borders_of(service))
    end_upload = service.registry.end_upload

    def end_upload_late(team: str, upload_id: str, now: datetime, who: str) -> Upload | None:
        ended = end_upload(team, upload_id, now, who)
        assert Runner(service.borders(), service.owner).work_next()
        assert service.registry.version("default", upload.id) is not None
        return ended

    monkeypatch.setattr(service.registry, "end_upload", end_upload_late)
    uploads.give_up(upload, borders_of(service), "a person")
    assert service.registry.version("default", upload.id) is None
    assert held(service) == []


def test_what_holds_no_model_leaves_nothing(service: Embedded, client: Client) -> None:
    told = client.post("/v1/uploads?fileName=notes.txt", content=b"no model", headers=OCTETS).json()
    assert held(service) == [told["id"]]
    assert Runner(service.borders(), service.owner).work_next()
    assert [one.state for one in service.registry.ingestions(IngestionQuery())] == ["nothing_found"]
    assert held(service) == []
    assert check_leftovers(service.borders(), repair=False).state == "ok"


def test_what_holds_no_model_and_cannot_be_removed_goes_by_a_look_through_the_store(
    service: Embedded, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(url: str) -> NoReturn:
        raise StorageUnavailable("gone")

    client.post("/v1/uploads?fileName=notes.txt", content=b"no model", headers=OCTETS)
    with monkeypatch.context() as broken:
        broken.setattr(service.store, "remove", away)
        assert Runner(service.borders(), service.owner).work_next()
    assert [one.state for one in service.registry.ingestions(IngestionQuery())] == ["nothing_found"]
    assert check_leftovers(service.borders(), repair=True).state == "repaired"
    assert held(service) == []


def test_the_files_of_a_failed_upload_stay_for_another_try(service: Embedded, client: Client) -> None:
    def unforeseen(*given: object) -> NoReturn:
        raise RuntimeError("nobody thought of it")

    model_id = client.post("/v1/uploads?fileName=m.onnx", content=MODEL["model.onnx"], headers=OCTETS).json()["id"]
    borders = service.borders()
    assert Runner(replace(borders, inspect=unforeseen), service.owner).work_next()
    [failed] = service.registry.ingestions(IngestionQuery())
    assert failed.state == "failed"
    assert check_leftovers(borders, repair=True).state == "ok"
    retry(service.registry, "default", failed.id, "a person", service.clock.now())
    assert Runner(borders, service.owner).work_next()
    assert service.registry.version("default", model_id) is not None


def test_files_that_nobody_finished_are_looked_after_for_a_day(service: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begun(service)
    monkeypatch.setattr(type(service.registry), "seal_upload", lambda *given: None)
    with pytest.raises(WrongState):
        uploads.bring(upload, MemoryTree(MODEL), "m", borders_of(service))
    assert held(service) == [upload.id]
    assert check_leftovers(service.borders(), repair=True).state == "ok"
    monkeypatch.setattr("worker.operations.UPLOAD_PATIENCE", -UPLOAD_PATIENCE)
    assert check_leftovers(service.borders(), repair=True).state == "repaired"
