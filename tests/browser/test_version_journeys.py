"""What people do with one version and with two, in a real browser; of runs that were really scanned."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.seat import DESK, PHONE, SMALL_PHONE, Seat, seat
from tests.browser.test_journeys import LEGIBLE
from tests.builders import onnx
from tests.worker.api.conftest import Door
from tests.worker.api.web.run import dangerous, digits, ingest, onnx_run, small
from tests.worker.api.web.test_version_pages import HOSTILE
from worker.records import ModelVersion, Trigger, VersionQuery

pytestmark = pytest.mark.slow

LONG = "recsys-two-tower-candidates-2026q4-no-history-ablation-" + "x" * 190


@pytest.fixture
def version(room: Door, tmp_path: Path) -> ModelVersion:
    """The example run, as an experiment left it."""
    return ingest(room, digits(tmp_path / "digits"), "digits", experiment="e7", trigger=Trigger.COMPLETION)


@pytest.fixture
def pair(room: Door, tmp_path: Path) -> list[ModelVersion]:
    """Two versions of a model, of which the second is better and breaks its callers."""
    y = onnx.value("y", dims=("batch", 10))
    shapes, accuracies = (("batch", 784), ("batch", 28, 28)), ([0.8, 0.9, 0.9895], [0.85, 0.93, 0.9911])
    return [
        ingest(room, onnx_run(tmp_path / str(at), small([onnx.value("image", dims=shape)], [y]), {"accuracy": told}), "net")
        for at, (shape, told) in enumerate(zip(shapes, accuracies, strict=True))
    ]


@pytest.fixture
def hostile(room: Door, tmp_path: Path) -> ModelVersion:
    """A version that is called by text which wants to be more than text, wherever something has a name."""
    model = small([onnx.value(HOSTILE)], [onnx.value(HOSTILE)], op=HOSTILE)
    folder = onnx_run(tmp_path / "hostile", model, {HOSTILE: [0.5, 0.6]}, HOSTILE.replace("/", "-") + ".onnx")
    (folder / "gradient-model-metadata.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    named = dict.fromkeys(("project", "experiment", "source", "git_sha", "git_ref"), HOSTILE)
    version = ingest(room, folder, HOSTILE, **named)
    room.registry.tag("default", version.id, [HOSTILE], [])
    return version


@pytest.fixture
def editor(stranger: Seat, room: Door) -> Seat:
    """A window of somebody who may change models."""
    stranger.sign_in(room.token("model:read", "model:write"))
    return stranger


def versions(room: Door) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.model_name, one.tags) for one in room.registry.versions(VersionQuery())]


def test_a_person_finds_a_model_and_downloads_it(reader: Seat, version: ModelVersion) -> None:
    page = reader.page
    reader.go("/")
    page.get_by_role("link", name="digits", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("digits v1")
    with page.expect_download() as given:
        page.get_by_role("link", name="Download 257 kB").click()
    assert given.value.suggested_filename == "digits-1.zip"
    assert "1767261900/saved_model.pb" in ZipFile(given.value.path()).namelist()
    with page.expect_download() as given:
        page.get_by_role("link", name="digits.onnx", exact=True).click()
    assert given.value.path().stat().st_size == 10_146


def test_a_model_is_renamed_and_tagged_in_place(editor: Seat, room: Door, version: ModelVersion) -> None:
    page = editor.page
    editor.go("/models/digits")
    page.get_by_role("link", name="Rename").click()
    field = page.get_by_label("Name of the model")
    expect(field).to_be_focused()
    field.fill("faces@2")
    field.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="choose another")).to_be_visible()
    expect(field).to_have_value("faces@2")
    editor.keep("version-rename-refused")
    field.fill("faces")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("faces v1")
    expect(page.get_by_role("status")).to_contain_text("The model has another name now")
    page.get_by_role("link", name="Add a tag").click()
    expect(page.get_by_role("textbox", name="Tag")).to_be_focused()
    page.get_by_role("textbox", name="Tag").fill("production")
    page.get_by_role("textbox", name="Tag").press("Enter")
    expect(page.get_by_role("complementary").get_by_text("production").last).to_be_visible()
    assert versions(room) == [("faces", ("production",))]
    page.get_by_role("link", name="Change").click()
    page.get_by_role("button", name="Remove the tag production").click()
    expect(page.get_by_role("status")).to_contain_text("The tag was removed.")
    assert versions(room) == [("faces", ())]


def test_a_version_is_deleted_after_a_question(editor: Seat, room: Door, pair: list[ModelVersion]) -> None:
    page = editor.page
    editor.go("/models/net")
    page.get_by_role("link", name="Delete v2…").click()
    question = page.get_by_role("form", name="Delete v2?")
    expect(question).to_be_in_viewport()
    expect(question).to_contain_text("goes for good. The other version of the model stays.")
    editor.keep("version-delete")
    page.get_by_role("link", name="Keep it").click()
    expect(question).to_have_count(0)
    assert len(versions(room)) == 2
    page.get_by_role("link", name="Delete v2…").click()
    page.get_by_role("button", name="Delete v2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("net v1")
    page.get_by_role("link", name="Delete v1…").click()
    page.get_by_label("Type net").fill("no")
    page.get_by_role("button", name="Delete v1").click()
    expect(page.get_by_role("alert").filter(has_text="type the name of the model")).to_be_visible()
    page.get_by_label("Type net").fill("net")
    page.get_by_role("button", name="Delete v1").click()
    expect(page.get_by_role("status").filter(has_text="The last version was deleted")).to_be_visible()
    assert versions(room) == []


def test_another_look_is_queued(editor: Seat, room: Door, version: ModelVersion) -> None:
    editor.go("/models/digits")
    editor.page.get_by_role("link", name="Scan again…").click()
    editor.page.get_by_label("Read every byte").check()
    editor.page.get_by_role("button", name="Scan again").click()
    expect(editor.page.get_by_role("status")).to_contain_text("Another look at its path is queued.")
    claimed = room.registry.claim_next("me", room.clock.now())
    assert claimed is not None
    assert (claimed.event.model_path, claimed.event.is_forced) == (version.location.removeprefix("file://"), True)


def test_what_is_dangerous_is_downloaded_by_who_was_told(reader: Seat, room: Door, tmp_path: Path) -> None:
    ingest(room, dangerous(tmp_path / "run"), "vendor")
    page = reader.page
    reader.go("/models/vendor")
    reader.keep("version-trouble")
    page.get_by_role("link", name="Download anyway…").first.click()
    question = page.get_by_role("form", name="Download v1 in spite of 1 finding?")
    expect(question).to_contain_text("link-outside")
    with page.expect_download() as given:
        question.get_by_role("button", name="Download 18.3 kB anyway").click()
    assert ZipFile(given.value.path()).namelist() == ["1/saved_model.pb", "1/variables/variables.index"]


def test_two_versions_are_compared_and_swapped(reader: Seat, pair: list[ModelVersion]) -> None:
    page = reader.page
    reader.go("/models/net")
    page.get_by_role("link", name="Compare with v1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("net: v2 against v1")
    expect(page.locator(".lede")).to_contain_text("Better on the only eval metric")
    expect(page.locator(".lede strong")).to_have_text("not a drop-in replacement")
    expect(page.get_by_text("input image wants rank 3 where v1 took rank 2.")).to_be_visible()
    expect(page.get_by_role("img", name="eval accuracy by step, v2 against v1")).to_be_visible()
    reader.keep("compare")
    page.get_by_role("link", name="Swap").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("net: v1 against v2")
    expect(page.locator(".lede")).to_contain_text("Worse on the only eval metric")
    page.get_by_label("Old").select_option("net v1")
    page.get_by_label("New").select_option("net v2")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("net: v2 against v1")


def test_models_that_were_selected_in_the_list_are_compared(
    reader: Seat, version: ModelVersion, pair: list[ModelVersion]
) -> None:
    reader.go("/")
    for name in ("digits", "net"):
        reader.page.get_by_label(f"Select {name} for comparison").check()
    reader.page.get_by_role("button", name="Compare selected").click()
    expect(reader.page.get_by_role("heading", level=1)).to_have_text("net v2 against digits v1")


def test_everything_works_without_a_script(
    browser: Browser, url: str, room: Door, version: ModelVersion, pair: list[ModelVersion]
) -> None:
    with seat(browser, url, java_script_enabled=False) as here:
        page = here.page
        page.goto(url)
        page.get_by_role("textbox", name="Token").fill(room.token("model:read", "model:write"))
        page.get_by_role("button", name="Sign in").click()
        page.goto(f"{url}/models/digits")
        page.get_by_role("link", name="Rename").click()
        page.get_by_label("Name of the model").fill("faces")
        page.get_by_role("button", name="Rename").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("faces v1")
        page.goto(f"{url}/models/net")
        page.get_by_role("link", name="Delete v2…").click()
        page.get_by_role("button", name="Delete v2").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("net v1")
        expect(page.get_by_role("img", name="accuracy by step")).to_be_visible()


@pytest.mark.parametrize("query", ["", "?ask=rename", "?ask=tag", "?ask=rescan", "?ask=delete"])
def test_names_from_outside_are_text_and_do_nothing(editor: Seat, hostile: ModelVersion, query: str) -> None:
    """The seat complains of every dialog, every broken policy and every request to elsewhere."""
    editor.go(f"/versions/{hostile.id}{query}")
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    assert editor.texts("h1 bdi" if query != "?ask=rename" else "nav bdi")[-1] == shown
    assert shown in editor.texts(".facts bdi")
    assert editor.texts("script:not([src]), svg script, b, i, img") == []
    editor.keep(f"version-hostile{query.partition('=')[2]}")
    if query == "?ask=tag":
        editor.page.get_by_role("button", name="Remove").click()
        expect(editor.page.get_by_role("status")).to_contain_text("The tag was removed.")
        expect(editor.page.locator(".tags .tag")).to_have_count(0)


def test_names_from_outside_are_text_in_a_comparison(reader: Seat, hostile: ModelVersion, version: ModelVersion) -> None:
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b")
    for query in (f"a={hostile.id}&b={version.id}", f"a={version.id}&b={hostile.id}"):
        reader.go(f"/compare?{query}")
        assert f"{shown} v1" in reader.texts("h1 bdi")
        assert reader.texts("script:not([src]), svg script, b, i, img") == []


PAGES = ("", "?ask=rename", "?ask=tag", "?ask=rescan", "?ask=delete")


@pytest.mark.parametrize("width", [SMALL_PHONE, PHONE, 768, 1024, DESK])
def test_no_page_of_a_version_is_wider_than_its_window(
    browser: Browser, url: str, room: Door, version: ModelVersion, hostile: ModelVersion, tmp_path: Path, width: int
) -> None:
    long = ingest(room, onnx_run(tmp_path / "long", small([onnx.value(LONG)], op=LONG), {LONG: [0.5]}), LONG, experiment=LONG)
    trouble = ingest(room, dangerous(tmp_path / "run"), "vendor")
    with seat(browser, url, viewport={"width": width, "height": 800}) as here:
        here.sign_in(room.token("model:read", "model:write"))
        for one in (version, hostile, long, trouble):
            for query in PAGES if one is version else PAGES[:1]:
                here.go(f"/versions/{one.id}{query}")
                assert not here.is_wider_than_window(), (one.model_name, query)
                here.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert not here.is_wider_than_window(), (one.model_name, query, "opened")
                here.keep(f"version-{one.model_name[:6].strip('</>')}{query.partition('=')[2]}")
        for at, ids in enumerate(((version, trouble), (hostile, long), (version, hostile, long, trouble))):
            here.go("/compare?" + "&".join(f"id={one.id}" for one in ids))
            assert not here.is_wider_than_window(), at
            here.keep(f"compare-{at}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_legible_by_day_and_by_night(
    browser: Browser, url: str, room: Door, version: ModelVersion, pair: list[ModelVersion], tmp_path: Path, scheme: str
) -> None:
    trouble = ingest(room, dangerous(tmp_path / "run"), "vendor")
    paths = [f"/versions/{version.id}{query}" for query in PAGES]
    paths += [f"/versions/{trouble.id}?ask=download", f"/compare?a={pair[0].id}&b={pair[1].id}", "/compare"]
    with seat(browser, url, color_scheme=scheme) as here:
        here.sign_in(room.token("model:read", "model:write"))
        for at, path in enumerate(paths):
            here.go(path)
            assert here.page.evaluate(LEGIBLE) == [], path
            here.keep(f"version-{scheme}-{at}")


def test_a_picture_is_told_to_who_listens(reader: Seat, version: ModelVersion) -> None:
    reader.go("/models/digits")
    picture = reader.page.get_by_role("img", name="accuracy by step")
    expect(picture).to_have_accessible_name("accuracy by step eval rises from 0.8580 at step 300 to 0.9450 at step 1,200.")
