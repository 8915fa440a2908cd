"""What people do at the page for uploads, in a real browser, with a real store, a worker and a real scan."""

from __future__ import annotations

import io
import os
import re
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import uvicorn
from playwright.sync_api import Browser, Route, expect

from tests.browser.seat import DESK, PHONE, SMALL_PHONE, Seat, seat
from tests.browser.test_journeys import LEGIBLE
from tests.servers.process import until
from tests.worker.api.web.run import DIGITS, small
from worker.api.app import make_app
from worker.api.server import service_of_embedded
from worker.api.web.assets import FOLDER
from worker.archive import ZipTree
from worker.bootstrap import Embedded, embedded
from worker.records import IngestionQuery, VersionQuery
from worker.runner import Runner
from worker.teams import create_token

pytestmark = pytest.mark.slow


class House:
    """A server on a socket with everything behind it; its worker works while `is_working`."""

    def __init__(self, service: Embedded, url: str) -> None:
        self.service, self.url = service, url

    def versions(self) -> list[tuple[str, str, list[str]]]:
        """Return the name, the format and the files of every version."""
        registry = self.service.registry
        return [
            (one.model_name, one.format, [file.path for file in registry.files(one.id)])
            for one in registry.versions(VersionQuery())
        ]

    def left(self) -> list[str]:
        """Return what lies in the store, or is on its way."""
        return [version_id for version_id, _ in self.service.store.prefixes()] + [
            path.name for path in self.service.settings.home.glob("upload-*")
        ]

    def ingestions(self) -> int:
        return len(self.service.registry.ingestions(IngestionQuery()))


@contextmanager
def housed(service: Embedded, works: bool = True) -> Iterator[House]:
    server = uvicorn.Server(
        uvicorn.Config(make_app(service_of_embedded(service, lambda: None, "0.0.0.0")), port=0, log_level="critical")
    )
    over = threading.Event()
    threads = [threading.Thread(target=server.run)]
    if works:
        threads.append(threading.Thread(target=Runner(service.borders(), service.owner).run, args=(over,)))
    for thread in threads:
        thread.start()
    try:
        assert until(lambda: server.started, 20)
        port = server.servers[0].sockets[0].getsockname()[1]
        if works:
            with service.seen_as_worker():
                assert until(lambda: service.living_workers() > 0, 10)
                yield House(service, f"http://127.0.0.1:{port}")
        else:
            yield House(service, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, which the environment names."""
    monkeypatch.setenv("MODELPORT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def service(home: Path, tmp_path: Path) -> Iterator[Embedded]:
    with embedded(os.environ, tmp_path) as service:
        yield service


@pytest.fixture
def house(service: Embedded) -> Iterator[House]:
    with housed(service) as house:
        yield house


@contextmanager
def uploader(browser: Browser, house: House, **how: Any) -> Iterator[Seat]:
    """Give a window of somebody who may upload, at the page for it."""
    service = house.service
    scopes = ["model:read", "model:write"]
    secret = create_token(service.registry, "default", "kim", scopes, service.clock.now(), os.urandom).secret
    with seat(browser, house.url, **how) as here:
        here.sign_in(secret)
        here.go("/upload")
        yield here


@pytest.fixture
def here(browser: Browser, house: House) -> Iterator[Seat]:
    with uploader(browser, house) as seat_:
        yield seat_


DROP = """({selector, files}) => {
  // A dropped thing as a browser gives it: entries of files and folders, a hundred at a time.
  const file = (path, content) => new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], path.split("/").pop());
  const folder = (name, below) => ({
    isFile: false, isDirectory: true, name,
    createReader: () => { let at = 0; return { readEntries: (done) => { done(below.slice(at, at + 100)); at += 100; } }; },
  });
  const leaf = (name, given) => ({ isFile: true, isDirectory: false, name, file: (done) => done(given) });
  const grow = (files) => {
    const tops = new Map();
    for (const [path, content] of files) {
      const [top, ...rest] = path.split("/");
      if (!tops.has(top)) tops.set(top, []);
      tops.get(top).push([rest.join("/"), content]);
    }
    return [...tops].map(([name, below]) => below[0][0] === "" && below.length === 1 && below[0][1] !== null
      ? leaf(name, file(name, below[0][1])) : folder(name, grow(below.filter(([path]) => path))));
  };
  const items = grow(files).map((entry) => ({ kind: "file", webkitGetAsEntry: () => entry, getAsFile: () => null }));
  const event = new Event("drop", { bubbles: true, cancelable: true });
  event.dataTransfer = { items };
  document.querySelector(selector).dispatchEvent(event);
}"""


def drop(here: Seat, files: Mapping[str, bytes | None]) -> None:
    """Drop *files* on the page; None is a folder without anything in it."""
    told = [[path, None if data is None else b64encode(data).decode()] for path, data in files.items()]
    here.page.evaluate(DROP, {"selector": "#drop", "files": told})


def upload(here: Seat) -> None:
    here.page.get_by_role("button", name="Upload and scan").click()


def test_a_file_is_chosen_and_becomes_a_version(here: Seat, house: House) -> None:
    page = here.page
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Upload")).to_have_attribute(
        "aria-current", "page"
    )
    page.get_by_label("Drop a file or folder here").set_input_files(
        {"name": "kleines Modell é.onnx", "mimeType": "", "buffer": small()}
    )
    expect(page.locator("#chosen")).to_contain_text("kleines Modell é.onnx")
    page.get_by_label("Name", exact=True).fill("net")
    page.get_by_label("Tags").fill("gold, new")
    upload(here)
    expect(page.locator("#uploads li").first).to_contain_text("Registered as v1.")
    expect(page.locator("#said")).to_have_text("Registered as v1. It can be used: nothing speaks against it.")
    expect(page.locator("#uploads li a").first).to_be_focused()
    here.keep("upload-result")
    assert house.versions() == [("net", "onnx", ["kleines Modell é.onnx"])]
    page.locator("#uploads li a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("net v1")


def test_a_file_is_dropped(here: Seat, house: House) -> None:
    drop(here, {"model.onnx": small()})
    expect(here.page.locator("#chosen")).to_contain_text("model.onnx 78")
    upload(here)
    expect(here.page.locator("#uploads li").first).to_contain_text("Registered as v1.")
    assert house.versions() == [("model", "onnx", ["model.onnx"])] or house.versions()[0][1:] == ("onnx", ["model.onnx"])


def test_a_folder_is_dropped_with_thousands_of_files_and_strange_names(here: Seat, house: House) -> None:
    strange = {
        f"run/{name}": b"x"
        for name in ("a b", "é №", "e\u0301", "<img src=x>", "\u202egnp", "日本/語", "100%", "'\"", "emp.ty")
    }
    many = {f"run/logs/{number:05}.txt": b"%d" % number for number in range(2500)}
    drop(here, {"run/model.onnx": small(), "run/empty": b"", **strange, **many})
    expect(here.page.locator("#chosen")).to_contain_text("folder, 2,511 files")
    upload(here)
    expect(here.page.locator("#uploads li").first).to_contain_text("Registered as v1.", timeout=60_000)
    [(_, format_, files)] = house.versions()
    assert format_ == "onnx"
    assert sorted(files) == sorted(path.removeprefix("run/") for path in ("run/model.onnx", "run/empty", *strange, *many))
    assert here.run("window.ran") is None


SIZES = (5_000_000_000, 7, 0xFFFFFFFF, 0xFFFFFFFE, 1)

WRITTEN = """([code, sizes]) => {
  const written = "localHeader, directoryEntry, directoryEnd";
  const {localHeader, directoryEntry, directoryEnd} = new Function(`${code} return {${written}};`)();
  const joined = (parts) => parts.map((part) => String.fromCharCode(...new Uint8Array(part.buffer || part))).join("");
  const heads = [], directory = [];
  let at = 0;
  sizes.forEach((size, number) => {
    const name = new TextEncoder().encode(`é${number}`);
    heads.push(joined(localHeader(name, 0, size)));
    directory.push(joined(directoryEntry(name, 0, size, at)));
    at += heads[number].length + size;
  });
  const entries = directory.join("");
  return [heads, entries + joined(directoryEnd(sizes.length, entries.length, at))];
}"""


@pytest.mark.parametrize("sizes", [SIZES, (1,) * 65_535], ids=["large", "many"])
def test_what_no_narrow_field_holds_is_written_wide(stranger: Seat, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    """The headers that the script writes, around data that are holes in a file."""
    script = (FOLDER / "upload.js").read_text(encoding="utf-8")
    code = script[script.index("  class Fields") : script.index("  function nameBytes")]
    constants = "".join(re.findall(r"  const (?:WIDE|MANY) = .*", script))
    stranger.page.goto("about:blank")
    heads, end = stranger.page.evaluate(WRITTEN, [constants + code, sizes])
    with (tmp_path / "holes.zip").open("w+b") as file:
        for head, size in zip(heads, sizes, strict=True):
            file.write(head.encode("latin-1"))
            file.seek(size, os.SEEK_CUR)
        file.write(end.encode("latin-1"))
        with ZipTree(file) as tree:
            assert {entry.path: entry.size for entry in tree.files()} == {f"é{at}": size for at, size in enumerate(sizes)}


def test_a_folder_is_chosen_and_its_bytes_are_the_same(here: Seat, house: House, tmp_path: Path) -> None:
    page = here.page
    page.locator("#folder").set_input_files(DIGITS)
    expect(page.locator("#chosen")).to_contain_text("digits folder")
    upload(here)
    expect(page.locator("#uploads li").first).to_contain_text("Registered as v1.")
    with page.expect_download() as given:
        page.locator("#uploads li a").first.click()
        page.get_by_role("link", name=re.compile("^Download")).first.click()
    with ZipFile(given.value.path()) as archive:
        got = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    wanted = {str(path.relative_to(DIGITS)): path.read_bytes() for path in DIGITS.rglob("*") if path.is_file()}
    assert {name.split("/", 1)[1] if set(got) != set(wanted) else name: data for name, data in got.items()} == wanted


def test_what_cannot_be_sent_is_told_in_words(here: Seat, house: House) -> None:
    page, wrong = here.page, here.page.locator("#wrong")
    upload(here)
    expect(wrong).to_have_text("Choose a file or a folder first.")
    drop(here, {"empty-run": None})
    expect(wrong).to_contain_text("The folder is empty")
    drop(here, {"nothing.onnx": b""})
    expect(wrong).to_contain_text("nothing.onnx is empty (0 bytes)")
    drop(here, {"run/a\\b": b"1", "run/c": b"1"})
    upload(here)
    expect(wrong).to_contain_text("a\\b: a name with a backslash means a folder elsewhere.")
    drop(here, {"bad.zip": b"no zip at all"})
    expect(page.get_by_label("Unpack a file that ends in .zip")).to_be_visible()
    page.get_by_label("Tags").fill("gold")
    upload(here)
    expect(wrong).to_contain_text("expected a zip that ends with its directory", ignore_case=True)
    expect(wrong.locator(".sub")).to_have_text("Reason rejected-upload")
    expect(page.get_by_label("Tags")).to_have_value("gold")
    here.keep("upload-refused")
    assert house.left() == []
    assert house.ingestions() == 0


def test_progress_is_shown_and_a_cancelled_upload_leaves_nothing(here: Seat, house: House, tmp_path: Path) -> None:
    page = here.page
    (tmp_path / "big.bin").write_bytes(os.urandom(30_000_000))
    session = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 1_000_000}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Drop a file or folder here").set_input_files(tmp_path / "big.bin")
    upload(here)
    expect(page.locator("#sending-state")).to_have_text("Uploading")
    assert until(lambda: float(here.run("document.getElementById('sending-bar').value")) > 0.05, 30)
    share = float(here.run("document.getElementById('sending-bar').value"))
    assert 0 < share < 1
    expect(page.get_by_role("button", name="Upload and scan")).to_be_hidden()
    assert re.search(r"of 30\sMB", here.texts("#sending-words")[0])
    here.keep("upload-progress")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#said")).to_have_text("Cancelled. Nothing was stored.")
    expect(page.locator("#sending")).to_be_hidden()
    assert until(lambda: house.left() == [], 10)
    assert house.ingestions() == 0
    session.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    upload(here)
    expect(page.locator("#uploads li").first).to_contain_text("No model was found in it.", timeout=30_000)


def answered(status: int, route: Route) -> None:
    route.fulfill(status=status, body="{}")


def test_a_line_that_breaks_and_a_session_that_is_over_are_told(here: Seat, house: House) -> None:
    page, wrong = here.page, here.page.locator("#wrong")
    drop(here, {"model.onnx": small()})
    page.route("**/upload", lambda route: route.abort("connectionreset"))
    upload(here)
    expect(wrong).to_contain_text("The connection broke off. Nothing was registered; try again.")
    here.complaints.clear()
    for status, said in (
        (413, "larger than the server takes"),
        (415, "does not take this kind"),
        (429, "Too many requests"),
        (507, "no room"),
    ):
        page.unroute("**/upload")
        page.route("**/upload", partial(answered, status))
        upload(here)
        expect(wrong).to_contain_text(said)
    page.unroute("**/upload")
    page.context.clear_cookies()
    upload(here)
    expect(wrong).to_contain_text("Your session is over. Sign in again in another tab")
    assert house.ingestions() == 0
    here.complaints[:] = [one for one in here.complaints if "ERR_" not in one]


def test_an_upload_that_waits_for_a_worker_is_looked_at_again(browser: Browser, service: Embedded) -> None:
    with housed(service, works=False) as house, uploader(browser, house) as here:
        drop(here, {"model.onnx": small()})
        upload(here)
        first = here.page.locator("#uploads li").first
        expect(first).to_contain_text("Queued.", timeout=20_000)
        here.keep("upload-queued")
        assert Runner(service.borders(), service.owner).work_next()
        expect(first).to_contain_text("Registered as v1.")
        expect(here.page.locator("#said")).to_contain_text("Registered as v1.")


def test_all_of_it_works_without_a_script(browser: Browser, house: House) -> None:
    body = io.BytesIO()
    with ZipFile(body, "w") as archive:
        archive.writestr("1/model.onnx", small())
    with uploader(browser, house, java_script_enabled=False, viewport={"width": DESK, "height": 900}) as here:
        page = here.page
        expect(page.get_by_role("button", name="Choose a folder")).to_be_hidden()
        here.keep("upload-no-script")
        page.get_by_label("Choose a file").set_input_files(
            {"name": "run.zip", "mimeType": "application/zip", "buffer": body.getvalue()}
        )
        page.get_by_label("Name", exact=True).fill("a@1")
        upload(here)
        expect(page.get_by_role("alert").first).to_contain_text("would be taken for an id or a version; choose another.")
        page.get_by_label("Choose a file").set_input_files(
            {"name": "run.zip", "mimeType": "application/zip", "buffer": body.getvalue()}
        )
        page.get_by_label("Name", exact=True).fill("net")
        upload(here)
        expect(page.get_by_role("heading", level=1)).to_have_text("What became of it")
        expect(page.get_by_role("main")).to_contain_text("Registered as v1.")
        here.keep("upload-became")
        page.get_by_role("link", name="Open net v1").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("net v1")
    assert house.versions() == [("net", "onnx", ["1/model.onnx"])]


def test_the_page_is_worked_with_keys_alone(here: Seat) -> None:
    page, seen = here.page, []
    page.get_by_label("Drop a file or folder here").focus()
    for _ in range(8):
        seen.append(here.run("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
        page.keyboard.press("Tab")
    assert seen == ["file", "choose-folder", "name", "type", "project", "tags", "summary", "go"]
    with page.expect_file_chooser() as asked:
        page.get_by_label("Drop a file or folder here").press("Enter")
    asked.value.set_files({"name": "m.onnx", "mimeType": "", "buffer": small()})
    page.get_by_role("button", name="Upload and scan").press("Enter")
    expect(page.locator("#said")).to_contain_text("Registered as v1.")


LOW = """[...document.querySelectorAll('main :is(.btn, input, select, .check)')]
  .filter((one) => one.offsetParent && one.type !== "checkbox" && !one.matches(".sr")
    && one.getBoundingClientRect().height < 43.5)
  .map((one) => one.id || one.className)"""
"""What is lower than a finger needs."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE, SMALL_PHONE])
def test_the_page_fits_and_is_legible(browser: Browser, house: House, width: int, scheme: str) -> None:
    how = {
        "viewport": {"width": width, "height": 900},
        "color_scheme": scheme,
        "has_touch": width < DESK,
        "is_mobile": width < DESK,
    }
    with uploader(browser, house, **how) as here:
        page = here.page
        drop(here, {"run/model.onnx": small(), "run/" + "x" * 200: b"1"})
        page.get_by_label("Name", exact=True).fill("classifier-" + "x" * 100)
        upload(here)
        expect(page.locator("#uploads li").first).to_contain_text("Registered")
        drop(here, {"nothing.bin": b"0123"})
        upload(here)
        expect(page.locator("#uploads li").first).to_contain_text("No model was found in it.")
        drop(here, {"run/model.onnx": small(), "run/b": b"1"})
        assert not here.is_wider_than_window()
        assert page.evaluate(LEGIBLE) == []
        if width < DESK:
            assert here.run(LOW) == []
        here.keep(f"upload-{scheme}")
