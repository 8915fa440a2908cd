"""What people do with the pages, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.seat import DESK, PHONE, SMALL_PHONE, Seat, seat
from tests.worker.api.conftest import Door
from tests.worker.api.web.shelf import finding, put, report
from worker.records import TokenScope

pytestmark = pytest.mark.slow

LONG = "recsys-two-tower-candidates-2026q4-no-history-ablation-" + "x" * 200


@pytest.fixture
def room(room: Door) -> Door:
    """A door with models in every state, one with a name that has no end."""
    scalar = {"value": 0.9911, "step": 12_000, "session": "eval"}
    problems = [{"path": "v", "problem": "1 of 2 shards missing"}]
    put(room, LONG, [LONG], experiment=LONG, report=report(values=[{"name": LONG, **scalar}]))
    put(room, "t5-small", verdict="inconclusive", report=report(unread=[{"path": "a", "reason": "size limit"}]))
    put(room, "mnist", ["production"], report=report(values=[{"name": "accuracy", **scalar}]))
    put(room, "mnist", ["production"], report=report(values=[{"name": "accuracy", **scalar}]))
    put(room, "vendor", completeness="incomplete", verdict="findings", report=report(findings=[finding("critical")]))
    put(room, "cassava", project="field", completeness="incomplete", verdict="findings", report=report(problems=problems))
    return room


def test_a_person_signs_in_and_out(stranger: Seat, room: Door) -> None:
    page = stranger.page
    stranger.go("/?q=mnist")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("textbox", name="Token").fill("mp_wrong")
    page.get_by_role("textbox", name="Token").press("Enter")
    expect(page.get_by_text("This is no token: a character is wrong, or part of it is missing.")).to_be_visible()
    stranger.keep("sign-in-refused")
    page.get_by_role("textbox", name="Token").fill(room.token("model:read"))
    page.get_by_role("textbox", name="Token").press("Enter")
    expect(page).to_have_url(f"{stranger.url}/?q=mnist")
    assert stranger.names() == ["mnist"]
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{stranger.url}/sign-in")
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert stranger.names() == []


def test_the_list_follows_what_is_typed_and_stays_where_it_is(reader: Seat) -> None:
    page = reader.page
    reader.go("/")
    assert reader.names() == ["cassava", "vendor", "mnist", "t5-small", LONG]
    reader.run("window.stayed = true")
    page.get_by_label("Search").press_sequentially("mni")
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page.get_by_label("Search")).to_be_focused()
    expect(page).to_have_url(f"{reader.url}/?q=mni")
    page.get_by_label("Search").fill("")
    expect(page.locator("#models tbody tr")).to_have_count(5)
    page.get_by_label("State").select_option("Not complete")
    expect(page.locator("#models tbody tr")).to_have_count(2)
    page.get_by_label("Project").select_option("field")
    expect(page.locator("#models tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{reader.url}/?projectId=field&state=incomplete")
    page.get_by_label("Search").fill("zzz")
    expect(page.get_by_text("No model matches.")).to_be_visible()
    assert reader.run("window.stayed") is True
    reader.keep("models-none-match")
    page.get_by_role("link", name="Clear the filters").click()
    expect(page).to_have_url(f"{reader.url}/")
    assert len(reader.names()) == 5


def test_everything_works_without_a_script(browser: Browser, url: str, room: Door) -> None:
    with seat(browser, url, java_script_enabled=False) as here:
        page = here.page
        page.goto(url)
        page.get_by_role("textbox", name="Token").fill(room.token("model:read"))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Search").fill("mnist")
        page.get_by_label("State").select_option("Any state")
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("#models tbody tr")).to_have_count(1)
        expect(page.get_by_role("button", name="Copy")).to_have_count(0)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_is_over_asks_again_while_somebody_types(reader: Seat, room: Door) -> None:
    reader.go("/")
    room.registry.revoke_token("default", room.registry.tokens("default")[0].id, room.clock.now())
    reader.page.get_by_label("Search").fill("mnist")
    expect(reader.page.get_by_text("This token was revoked.")).to_be_visible()


def test_a_server_that_does_not_answer_is_told_and_the_list_stays(reader: Seat) -> None:
    reader.go("/")
    reader.page.route("**/*", lambda route: route.abort())
    reader.page.get_by_label("Search").fill("mnist")
    expect(reader.page.get_by_role("alert")).to_have_text("The server does not answer. What you see is as it was before.")
    assert len(reader.names()) == 5
    reader.page.unroute("**/*")
    reader.page.get_by_label("Search").fill("mni")
    expect(reader.page.locator("#models tbody tr")).to_have_count(1)
    expect(reader.page.locator("#trouble")).to_be_hidden()
    assert any("htmx:sendError" in said for said in reader.complaints)
    reader.complaints.clear()


COLUMNS = ("Model", "Metric", "Size", "Registered")
"""Columns whose heads sort the list."""


def test_keys_alone_lead_through_the_page_in_order(reader: Seat) -> None:
    reader.go("/")
    order: list[str] = []
    while len(order) < 40 and "vendor" not in order:
        reader.page.keyboard.press("Tab")
        element = "document.activeElement"
        order.append(reader.run(f"({element}.labels?.[0] ?? {element}).textContent.trim() || {element}.ariaLabel"))
        assert reader.run(f"getComputedStyle({element}).outlineStyle + {element}.matches(':focus-visible')") == "solidtrue", (
            order
        )
    sections = reader.texts(".top nav a")
    assert sections[0] == "Models"
    buttons = reader.texts("main .head .actions a")
    head = ["Skip to content", "modelport", *sections, "Sign out", "3 need a look", *buttons]
    assert order[: order.index("Apply") + 1] == [*head, "Search", "Project", "Type", "State", "Tag", "Sort by", "Apply"]
    assert [word for word in order[order.index("Apply") + 1 :] if not word.startswith("Select ")] == [
        *COLUMNS,
        "cassava",
        "vendor",
    ]


def test_the_first_key_leads_past_the_navigation(reader: Seat) -> None:
    reader.go("/")
    reader.page.keyboard.press("Tab")
    expect(reader.page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    reader.page.keyboard.press("Enter")
    reader.page.keyboard.press("Tab")
    expect(reader.page.get_by_role("link", name="3 need a look")).to_be_focused()


LEGIBLE = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent.trim()).join("");
    if (!text || !element.checkVisibility() || element.closest("option")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(text);
  }
  return poor;
}"""
"""Which texts have less contrast than WCAG 2.2, 1.4.3 asks for."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_is_legible_by_day_and_by_night(browser: Browser, url: str, room: Door, scheme: str) -> None:
    with seat(browser, url, color_scheme=scheme) as here:
        here.go("/")
        assert here.page.evaluate(LEGIBLE) == []
        here.keep(f"sign-in-{scheme}")
        here.sign_in(room.token("model:read"))
        ground = here.run("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(253, 253, 252)", "dark": "rgb(19, 20, 22)"}[scheme]
        for name, path in (("models", "/"), ("models-none-match", "/?q=zzz"), ("not-found", "/nowhere")):
            here.go(path)
            assert here.page.evaluate(LEGIBLE) == [], path
            here.keep(f"{name}-{scheme}")


@pytest.mark.parametrize("width", [SMALL_PHONE, PHONE, 768, 1024, DESK])
def test_no_page_is_wider_than_its_window(browser: Browser, url: str, room: Door, width: int) -> None:
    with seat(browser, url, viewport={"width": width, "height": 800}) as here:
        here.go("/")
        assert not here.is_wider_than_window()
        here.keep("sign-in")
        here.sign_in(room.token("model:read"))
        for name, path in (("models", "/"), ("models-none-match", "/?q=" + "z" * 200), ("not-found", "/" + "x" * 200)):
            here.go(path)
            assert not here.is_wider_than_window(), path
            here.keep(name)


def test_fingers_find_what_they_press(browser: Browser, url: str, room: Door) -> None:
    """Controls are 44 pixels high where a finger is the pointer, links in text are as high as their line at least."""
    phone = {"viewport": {"width": PHONE, "height": 800}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    with seat(browser, url, **phone) as here:
        here.sign_in(room.token("model:read"))
        here.go("/")
        controls = here.page.locator(".btn:visible, input[type=search]:visible, select:visible")
        assert [box["height"] for control in controls.all() if (box := control.bounding_box()) and box["height"] < 44] == []
        here.keep("models-touch")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_where_there_is_no_model_the_next_step_is_shown(browser: Browser, url: str, room: Door, width: int) -> None:
    room.registry.create_team("new", room.clock.now())
    with seat(browser, url, viewport={"width": width, "height": 800}) as here:
        here.sign_in(room.token(TokenScope.MODEL_READ.value, team="new"))
        expect(here.page.get_by_role("heading", name="No models yet")).to_be_visible()
        assert not here.is_wider_than_window()
        here.keep("empty")


def test_a_table_is_a_table_to_who_listens(browser: Browser, url: str, room: Door) -> None:
    """Also on a phone, where its rows are shown as cards."""
    for width in (PHONE, DESK):
        with seat(browser, url, viewport={"width": width, "height": 800}) as here:
            here.sign_in(room.token("model:read"))
            table = here.page.get_by_role("table", name="Models, the newest version of each, newest first")
            expect(table.get_by_role("row")).to_have_count(6)
            expect(table.get_by_role("rowheader", name=re.compile("^mnist v2"))).to_have_count(1)
            expect(here.page.get_by_role("status")).to_contain_text("5 models")
