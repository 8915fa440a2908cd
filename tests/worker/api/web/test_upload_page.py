"""The page for uploads as a browser without a script uses it, and what a script is answered."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.builders import onnx
from tests.contracts.registry import event
from tests.worker.api.client import Client
from tests.worker.api.conftest import Door
from tests.worker.api.test_uploads import accepted, stored, zipped
from tests.worker.api.web.test_version_pages import HOSTILE, words
from tests.worker.api.web.visitor import OURS, Visitor
from worker.api import receiving
from worker.api.app import make_app
from worker.api.server import service_of_embedded
from worker.api.service import Uploading
from worker.api.web.upload_page import MOST_SHOWN
from worker.bootstrap import Embedded, embedded
from worker.records import Action, AuditQuery, End, IngestionState, VersionQuery
from worker.runner import Runner
from worker.teams import create_token

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


def part(name: str, value: bytes, file_name: bytes | None = None) -> bytes:
    """Return a part of a form as browsers write it."""
    of_file = b"" if file_name is None else b'; filename="' + file_name + b'"\r\nContent-Type: application/octet-stream'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
    return head + of_file + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class Uploader(Visitor):
    """Somebody with a browser, at the page for uploads."""

    def send(self, body: bytes, **headers: str) -> httpx.Response:
        """Send a form that is written out."""
        told = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} | OURS | headers | self._brought()
        return self._client.request("POST", "/upload", content=body, headers=told)

    def upload(
        self, name: str = "model.onnx", content: bytes = b"weights", fields: Mapping[str, str] | None = None, **headers: str
    ) -> httpx.Response:
        """Fill in the form and send it, as a browser does."""
        said = {"csrf": self.csrf(), **(fields or {})}
        parts = [part(key, value.replace("\n", "\r\n").encode()) for key, value in said.items()]
        return self.send(form(*parts, part("file", content, name.encode())), **headers)


@pytest.fixture
def editor(room: Door) -> Uploader:
    visitor = Uploader(make_app(room.service))
    assert visitor.sign_in(room.token("model:read", "model:write")).status_code == 303
    return visitor


SAID = {
    "name": "ziffern é",
    "type": "ONNX",
    "project": "vision",
    "tags": "gold, to production,",
    "summary": '{"f1": 0.5}',
    "notes": "one\n\ntwo — ñ",
}


def test_a_form_is_taken_with_all_that_it_says(room: Door, editor: Uploader) -> None:
    answer = editor.upload("modèl №1.onnx", b"weights", SAID)
    [ingestion] = accepted(room)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/upload/{ingestion.id}")
    assert stored(room, ingestion.version_id, "vision") == {"modèl №1.onnx": b"weights"}
    upload = room.registry.upload("default", ingestion.version_id)
    assert upload is not None
    said = upload.said
    assert (said.name, said.declared_type, said.project, said.tags) == (
        "ziffern é",
        "ONNX",
        "vision",
        ("gold", "to production"),
    )
    assert (said.summary, said.notes) == ({"f1": 0.5}, "one\n\ntwo — ñ")
    assert len(room.rung) == 1
    [line] = room.registry.audit(AuditQuery("default", action=Action.UPLOAD_BEGUN))
    assert line.who.startswith("the token test")


def test_what_is_left_empty_says_nothing(room: Door, editor: Uploader) -> None:
    assert editor.upload(fields=dict.fromkeys(SAID, "")).status_code == 303
    upload = room.registry.upload("default", accepted(room)[0].version_id)
    assert upload is not None
    said = upload.said
    assert (said.name, said.declared_type, said.project, said.tags) == (None, None, "default", ())
    assert (said.summary, said.notes) == (None, None)


def test_a_zip_is_a_folder_where_that_is_wanted(room: Door, editor: Uploader) -> None:
    body = zipped({"1/a": b"graph", "é": b"w"})
    for fields in ({"unpack": "yes"}, {}):
        assert editor.upload("run.ZIP", body, fields).status_code == 303
    folder, file = reversed(accepted(room))
    assert stored(room, folder.version_id) == {"1/a": b"graph", "é": b"w"}
    assert stored(room, file.version_id) == {"run.ZIP": body}
    assert editor.upload("model.keras", body, {"unpack": "yes"}).status_code == 303
    assert stored(room, accepted(room)[0].version_id) == {"model.keras": body}


REFUSED = [
    ({}, "", b"", "No file came; choose one first."),
    ({}, "m", b"", "The file 'm' is empty; nothing is in it to register."),
    ({"unpack": "yes"}, "m.zip", b"no zip", "expected a zip that ends with its directory, found something else at its end."),
    ({"name": "a@1"}, "m", b"1", "Name: 'a@1' would be taken for an id or a version; choose another."),
    ({"tags": "a,b\x07"}, "m", b"1", "Tags: expected printable text"),
    ({"tags": ",".join("t" * 101)}, "m", b"1", "Tags: expected at most 100, found 101."),
    ({"summary": "{"}, "m", b"1", "Summary: expected JSON"),
    ({"notes": "n" * 10_001}, "m", b"1", "Notes: expected at most 10000 characters, found 10001."),
    ({"project": "p" * 300}, "m", b"1", "Project: expected 1 to 255 characters, found 300."),
    ({}, "..", b"1", "The name of the file: expected one like model.onnx, found '..'."),
]


@pytest.mark.parametrize(("fields", "name", "content", "said"), REFUSED, ids=[one[3][:24] for one in REFUSED])
def test_what_cannot_be_taken_is_told_and_what_was_written_is_kept(
    room: Door, editor: Uploader, fields: dict[str, str], name: str, content: bytes, said: str
) -> None:
    answer = editor.upload(name, content, {"notes": "<mine>"} | fields)
    assert answer.status_code == 422
    assert said in words(answer)
    assert "Nothing was stored." in words(answer)
    assert fields or "&lt;mine&gt;</textarea>" in answer.text
    assert accepted(room) == []
    script = editor.upload(name, content, fields, **{"HX-Request": "true"})
    assert (script.status_code, script.headers["content-type"]) == (422, "application/problem+json")
    assert said.rstrip(".").casefold() in script.json()["detail"].casefold()


def test_the_wrong_field_is_marked(editor: Uploader) -> None:
    page = editor.upload(fields={"tags": "\x07"}).text
    assert re.findall(r'id="(\w+)"[^>]*aria-invalid="true" aria-describedby="tags-hint trouble-said"', page) == ["tags"]


DAMAGED = [
    (b"", {}, 400),
    (form(part("file", b"1", b"m"))[:-30], {}, 400),
    (b"--other\r\n\r\n", {}, 400),
    (form(part("file", b"1", b"m"), part("file", b"2", b"n")), {}, 400),
    (form(part("file", b"1", b"caf\xe9")), {}, 400),
    (form(part("name", b"caf\xe9"), part("file", b"1", b"m")), {}, 400),
    (form(*(part("name", b"x") for _ in range(101))), {}, 400),
    (form(part("notes", b"x" * ((1 << 20) + 1)), part("file", b"1", b"m")), {}, 413),
    (f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\n1\r\n--{BOUNDARY}--\r\n".encode(), {}, 400),
    (form(), {"Content-Type": "multipart/form-data"}, 400),
    (form(), {"Content-Type": "multipart/form-data; boundary=" + "b" * 71}, 400),
    (form(), {"Content-Type": "multipart/form-data; boundary=x; charset=latin-1"}, 415),
    (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    (b"{}", {"Content-Type": "application/json"}, 415),
]


@pytest.mark.parametrize(("body", "headers", "status"), DAMAGED)
def test_a_form_that_is_none_is_told_so(
    room: Door, editor: Uploader, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert editor.send(body, **({"X-CSRF-Token": editor.csrf()} | headers)).status_code == status
    assert accepted(room) == []


@pytest.mark.parametrize("size", range(1, 60))
def test_a_form_may_come_in_pieces_of_any_size(room: Door, size: int) -> None:
    """The end of a part is found wherever it is cut, and what looks like one stays in the file."""
    content = f"\r\n--{BOUNDARY[:-1]}\r\n--\r\n".encode()
    body = form(part("notes", "é".encode()), part("file", content, "№".encode()))

    async def pieces() -> Any:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    client = room.client().with_token(room.token("model:write"))
    assert client.request("POST", "/upload", content=pieces(), headers=headers).status_code == 303
    upload = room.registry.upload("default", accepted(room)[0].version_id)
    assert upload is not None
    assert (stored(room, upload.id), upload.said.notes) == ({"№": content}, "é")


def test_a_form_that_is_not_ours_is_turned_away_before_its_file_is_read(room: Door, editor: Uploader) -> None:
    file = part("file", b"1", b"m")
    for parts in ([file], [part("csrf", b"0" * 64), file], [file, part("csrf", editor.csrf().encode())]):
        assert editor.send(form(*parts)).status_code == 403
    right = form(part("csrf", editor.csrf().encode()), file)
    elsewhere = {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert editor.send(right, **elsewhere).status_code == 403
    assert accepted(room) == []
    assert editor.send(form(file), **{"X-CSRF-Token": editor.csrf()}).status_code == 303
    assert editor.send(right).status_code == 303


def test_who_may_only_read_sees_what_became_of_others_and_sends_nothing(room: Door, editor: Uploader) -> None:
    where = editor.upload().headers["location"]
    reader = Uploader(make_app(room.service))
    reader.sign_in(room.token("model:read"))
    assert "That takes one with the scope model:write" in words(reader.get("/upload"))
    assert 'type="file"' not in reader.get("/upload").text
    assert reader.get(where).status_code == 200
    assert reader.upload().status_code == 403
    assert len(accepted(room)) == 1


def test_the_latest_uploads_are_shown_whatever_came_after_them(room: Door, editor: Uploader) -> None:
    for number in range(MOST_SHOWN + 1):
        editor.upload(f"model-{number}.onnx")
    for number in range(300):
        room.registry.submit(event(f"run-{number}", experiment="runs"), room.clock.now())
    shown = words(editor.get("/upload"))
    assert [f"model-{number}.onnx" in shown for number in range(MOST_SHOWN + 1)] == [False] + [True] * MOST_SHOWN


class Asked:
    """A client that sends a long file, and says how much of it was taken."""

    def __init__(self) -> None:
        self.taken = 0

    async def body(self, count: int) -> Any:
        yield part("file", b"", b"m")[:-2]
        for _ in range(count):
            self.taken += 1 << 16
            yield b"x" * (1 << 16)


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_long_is_not_read_to_its_end(room: Door, announced: bool) -> None:
    room.uploading = Uploading(max_bytes=1 << 20, wait_seconds=0)
    client, asked = room.client().with_token(room.token("model:write")), Asked()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} | (
        {"Content-Length": "100000000"} if announced else {}
    )
    answer = client.request("POST", "/upload", content=asked.body(1000), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert asked.taken <= (0 if announced else (1 << 20) + (1 << 17))
    assert accepted(room) == []


@pytest.mark.parametrize("before", [True, False])
def test_what_is_no_part_of_a_form_has_an_end(room: Door, before: bool) -> None:
    room.uploading = Uploading(max_bytes=1 << 20, wait_seconds=0)
    client = room.client().with_token(room.token("model:write"))
    sent: list[bytes] = []

    async def body() -> Any:
        yield b"" if before else form(part("file", b"1", b"m"))
        while len(sent) < 1000:
            sent.append(b"\r\n" * (1 << 15))
            yield sent[-1]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    assert client.request("POST", "/upload", content=body(), headers=headers).status_code == 413
    assert len(sent) < 50
    assert accepted(room) == []


def test_a_session_that_ends_while_the_file_comes_uploads_nothing(room: Door, editor: Uploader) -> None:
    whole = form(part("csrf", editor.csrf().encode()), part("file", b"weights", b"m"))

    async def slow() -> Any:
        yield whole[:-60]
        room.registry.revoke_token("default", room.registry.tokens("default")[0].id, room.clock.now())
        yield whole[-60:]

    answer = editor.send(slow())  # type: ignore[arg-type]
    assert (answer.status_code, accepted(room)) == (401, [])
    assert "this token was revoked" in words(answer).casefold()


def test_the_file_lies_where_uploads_are_kept_and_is_gone_afterwards(
    room: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.uploading = Uploading(tmp_path, wait_seconds=0)
    folders = []
    plain = receiving.append
    monkeypatch.setattr(
        "worker.api.web.sent_form.append",
        lambda file, data: (folders.append(os.readlink(f"/proc/self/fd/{file.fileno()}")), plain(file, data)),
    )
    client = room.client().with_token(room.token("model:write"))
    assert client.request("POST", "/upload", files={"file": ("m", b"1")}).status_code == 303
    assert [Path(folder.removesuffix(" (deleted)")).parent for folder in folders] == [tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_who_sends_nothing_for_long_is_given_up(room: Door, editor: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "SILENT_SECONDS", 0.02)

    async def silent() -> Any:
        yield part("file", b"begins", b"m")[:-2]
        await asyncio.sleep(1)
        yield b""

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    client = room.client().with_token(room.token("model:write"))
    assert client.request("POST", "/upload", content=silent(), headers=headers).status_code == 408
    assert accepted(room) == []


def test_what_goes_on_is_told_with_a_way_to_look_again(room: Door, editor: Uploader) -> None:
    where = editor.upload("net.onnx").headers["location"]
    page = editor.get(where)
    assert "Queued. All its files are kept. A worker takes it as soon as one is free." in words(page)
    assert f'<a href="{where}">Look again</a>' in page.text
    place = editor.part(where)
    assert place.text.lstrip().startswith("<li")
    assert f'hx-get="{where}"' in place.text
    service = replace(room.service, living_workers=lambda: 0)
    alone = Client(make_app(service)).with_token(room.token("model:read"))
    assert "No worker runs just now" in words(alone.get(where))


ENDS = [
    (IngestionState.NOTHING_FOUND, None, "there is no model", "No model was found in it. There is no model."),
    (IngestionState.FAILED, "too-deep", "it nests too deep", "Not registered. It nests too deep. net.onnx · reason too-deep"),
]


@pytest.mark.parametrize(("state", "reason", "message", "said"), ENDS)
def test_an_end_without_a_version_is_told(
    room: Door, editor: Uploader, state: IngestionState, reason: str | None, message: str, said: str
) -> None:
    where = editor.upload("net.onnx").headers["location"]
    claimed = room.registry.claim_next("me", room.clock.now())
    assert claimed is not None
    room.registry.finish(claimed.id, "me", End(state, reason, message), room.clock.now())
    for path in (where, "/upload"):
        assert said.split(" net.onnx")[0] in words(editor.get(path))
    assert said in words(editor.get(where)).replace("just now ", "")
    assert "Look again" not in editor.get(where).text
    assert "hx-get" not in editor.part(where).text


def test_what_another_team_uploads_is_not_there(room: Door, editor: Uploader) -> None:
    where = editor.upload().headers["location"]
    room.registry.create_team("red", room.clock.now())
    other = Uploader(make_app(room.service))
    other.sign_in(room.token("model:read", team="red"))
    assert other.get(where).status_code == 404
    assert "None yet." in words(other.get("/upload"))


def test_a_hostile_name_is_text(room: Door, editor: Uploader) -> None:
    name = HOSTILE.replace('"', "%22").replace("/", "-")
    where = editor.upload(name, fields={"name": HOSTILE, "project": HOSTILE, "notes": HOSTILE}).headers["location"]
    refused = editor.upload(name, b"", dict.fromkeys(SAID, HOSTILE))
    for page in (editor.get(where), editor.get("/upload"), refused):
        assert "<script>alert" not in page.text
        assert "1111088889" not in page.text


@pytest.fixture
def service(home: Path, tmp_path: Path) -> Iterator[Embedded]:
    with embedded(os.environ, tmp_path) as service:
        yield service


def test_what_was_uploaded_is_shown_with_what_was_said_of_it(service: Embedded) -> None:
    """From the form to the version, with a real store and a real scan."""
    door = service_of_embedded(service, lambda: None, "127.0.0.1")
    token = create_token(service.registry, "default", "me", ["admin"], service.clock.now(), os.urandom)
    client = Client(make_app(door)).with_token(token.secret)
    model = onnx.model(onnx.graph(nodes=[onnx.node("Relu")], inputs=[onnx.value("x")], outputs=[onnx.value("y")]))
    # Nobody works as long as this waits, so it is not waited for: the page is looked at afterwards.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiving, "NOBODY_SECONDS", 0.0)
        fields = {"name": "net", "summary": '{"f1": 0.5}', "notes": "a\r\nb"}
        where = client.request("POST", "/upload", data=fields, files={"file": ("m.onnx", model)}).headers["location"]
    assert Runner(service.borders(), service.owner).work_next()
    [version] = service.registry.versions(VersionQuery())
    said = words(client.get(where))
    assert "net v1 just now Registered as v1. It can be used: nothing speaks against it. Complete No findings" in said
    assert f'href="/versions/{version.id}"' in client.get(where).text
    shown = client.get(f"/versions/{version.id}")
    assert '<p class="lines">a\nb</p>' in shown.text
    assert "Summary that people gave f1 0.5" in words(shown)
    service.registry.delete("default", version.id, service.clock.now(), "me")
    assert "Registered, and deleted since." in words(client.get(where))
