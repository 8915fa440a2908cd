"""Files of a version on their way out."""

from __future__ import annotations

import asyncio
import gc
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from detectors.tree import FileTree
from tests.worker.api.client import HERE, Client
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import FILES, put, serving, spoil
from worker.api.app import make_app
from worker.api.files import CHUNK_BYTES, Span, span_of
from worker.api.problems import Problem
from worker.records import ModelVersion
from worker.registry.memory import MemoryRegistry

WEIGHTS = "model/model.onnx"


def test_every_file_comes_as_it_was_registered(admin: Client, door: Door) -> None:
    version = put(door)
    for file in admin.get(f"/v1/versions/{version.id}/files").json()["files"]:
        answer = admin.get(f"/v1/versions/{version.id}/files/{file['path']}")
        assert (answer.status_code, answer.content) == (200, FILES[file["path"]])
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["etag"] == f'"{file["sha256"]}"'
        assert answer.headers["content-length"] == str(file["size"])


def test_a_file_is_kept_under_its_name_and_never_shown(admin: Client, door: Door) -> None:
    version = put(door)
    answer = admin.get(f"/v1/versions/{version.id}/files/a b/é.txt")
    assert answer.headers["content-disposition"] == "attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A9.txt"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_that_nobody_registered_is_not_given(admin: Client, door: Door) -> None:
    version = put(door)
    for path in ("none", "model", "../model/model.onnx", "%2e%2e/x", "/etc/passwd"):
        assert admin.get(f"/v1/versions/{version.id}/files/{path}").status_code == 404


@pytest.mark.parametrize("address", ["archive", f"files/{WEIGHTS}"])
def test_who_goes_away_leaves_no_file_open(address: str) -> None:
    door = Door(MemoryRegistry(), is_loopback=True)
    version, held = put(door), []

    @contextmanager
    def noted(version: ModelVersion) -> Iterator[FileTree]:
        held.append("opened")
        try:
            with door.store.opened(version.url) as tree:
                yield tree
        finally:
            held.append("closed")

    async def left_alone() -> None:
        """Ask, and go away as the first bytes come; what is sent then waits for a reader for ever."""
        has_gone = asyncio.Event()

        async def receive() -> Message:
            await has_gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message.get("body"):
                has_gone.set()
                await asyncio.sleep(60)

        path = f"/v1/versions/{version.id}/{address}"
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"localhost")]}
        await make_app(replace(door.service, open_version=noted))(scope, receive, send)
        assert held == ["opened", "closed"]

    gc.disable()
    try:
        asyncio.run(left_alone())
    finally:
        gc.enable()


def test_head_reads_no_file(door: Door, admin: Client) -> None:
    version = put(door)
    files = admin.request("GET", "/mlModels/listFiles", json={"id": version.id}).json()
    [url] = [file["url"].removeprefix(HERE) for file in files if file["file"] == WEIGHTS]
    given = door.client().get(url)
    assert given.content == FILES[WEIGHTS]
    spoil(door, version, {"other": b""})
    told = door.client().request("HEAD", url)
    assert (told.status_code, told.content) == (200, b"")
    for answer in (told, given):
        del answer.headers["X-Request-ID"]
    assert told.headers == given.headers
    assert door.client().get(url).status_code == 503


def test_a_file_is_given_whatever_its_name_holds(admin: Client, door: Door) -> None:
    files = {"a": b"1", "a\n": b"22", "a\nb": b"333", "\n": b"4444", "a\r\nSet-Cookie: x": b"55555", ".. /%2e?#": b"666666"}
    version = put(door, files=files)
    for name, data in files.items():
        answer = admin.get(f"/v1/versions/{version.id}/files/{quote(name, safe='')}")
        assert (answer.status_code, answer.content) == (200, data)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "status", "found"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=9-99", 206, b"9"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"),
        ("bytes=5-2", 200, b"0123456789"),
    ],
)
def test_a_range_is_given(admin: Client, door: Door, asked: str, status: int, found: bytes) -> None:
    version = put(door)
    answer = admin.get(f"/v1/versions/{version.id}/files/a b/é.txt", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, found)


def test_a_range_across_chunks_and_behind_the_end(admin: Client, door: Door) -> None:
    address = f"/v1/versions/{put(door).id}/files/{WEIGHTS}"
    answer = admin.get(address, headers={"Range": "bytes=1048570-1048590"})
    assert answer.content == FILES[WEIGHTS][1048570:1048591]
    assert answer.headers["content-range"] == f"bytes 1048570-1048590/{len(FILES[WEIGHTS])}"
    beyond = admin.get(address, headers={"Range": "bytes=99999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(FILES[WEIGHTS])}")


def test_a_download_goes_on_only_with_the_same_bytes(admin: Client, door: Door) -> None:
    address = f"/v1/versions/{put(door).id}/files/a b/é.txt"
    etag = admin.get(address).headers["etag"]
    assert admin.get(address, headers={"If-None-Match": etag}).status_code == 304
    assert admin.get(address, headers={"Range": "bytes=0-1", "If-Range": etag}).content == b"01"
    assert admin.get(address, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).content == b"0123456789"


@pytest.mark.parametrize("size", [0, 1, 10])
@given(asked=st.none() | st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True))
def test_any_header_gives_a_range_of_the_file_all_of_it_or_a_refusal(asked: str | None, size: int) -> None:
    try:
        found = span_of(asked, size)
    except Problem:
        return
    assert found is None or 0 <= found.start < found.stop <= size


def test_a_range_of_all_is_all() -> None:
    assert span_of("bytes=0-", 10) == Span(0, 10)


@pytest.mark.parametrize("path", [WEIGHTS, "a b/é.txt"])
def test_a_file_that_is_not_what_was_registered_never_arrives_whole(door: Door, path: str) -> None:
    version, data = put(door), FILES[path]
    door.is_loopback = True
    spoil(door, version, FILES | {path: data[:-1] + b"?"})
    with serving(door) as client:
        address = f"/v1/versions/{version.id}/files/{path}"
        if len(data) < CHUNK_BYTES:
            assert client.get(address).status_code == 503
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(address)
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/v1/versions/{version.id}/archive")


@pytest.mark.parametrize("left", [{}, {WEIGHTS: b"short"}])
def test_a_file_that_is_gone_is_told_in_words(admin: Client, door: Door, left: dict[str, bytes]) -> None:
    version = put(door)
    spoil(door, version, left)
    answer = admin.get(f"/v1/versions/{version.id}/files/{WEIGHTS}")
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "model/model.onnx: it is not there any more as it was registered",
    )
    door.store.remove(version.url)
    answer = admin.get(f"/v1/versions/{version.id}/files/{WEIGHTS}")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:modelport:problem:storage-unavailable")


def test_all_files_come_as_a_zip_that_is_the_same_each_time(admin: Client, door: Door) -> None:
    version = put(door)
    first, second = (admin.get(f"/v1/versions/{version.id}/archive") for _ in range(2))
    assert first.content == second.content
    assert first.headers["content-disposition"] == "attachment; filename=\"run-1-1.zip\"; filename*=UTF-8''run-1-1.zip"
    with zipfile.ZipFile(io.BytesIO(first.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
