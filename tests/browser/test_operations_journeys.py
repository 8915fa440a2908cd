"""What operators do with the page of their team's work, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.seat import DESK, PHONE, SMALL_PHONE, Seat, seat
from tests.browser.test_journeys import LEGIBLE
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import serving
from tests.worker.api.web import work
from worker.records import STEPS, End, IngestionState, Took
from worker.set_aside import MemorySetAside
from worker.stranded import wrapped

pytestmark = pytest.mark.slow

LIST = "/operations/ingestions"
MESSAGES = "/operations/messages"

SOON = 15_000
"""Milliseconds in which the page has asked again, also on a busy machine."""


@pytest.fixture
def operator(stranger: Seat, room: Door) -> Seat:
    """A window of somebody who may steer the queue."""
    stranger.sign_in(room.token("operate"))
    return stranger


def states(door: Door) -> dict[IngestionState, int]:
    return {state: count for state, count in door.registry.queue(door.clock.now()).states.items() if count}


def test_the_page_goes_on_by_itself_and_keeps_focus(operator: Seat, room: Door) -> None:
    work.health(room)
    page = operator.page
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("heading", name="Healthy")).to_be_visible(timeout=SOON)
    operator.run("window.stayed = true")
    page.locator("#retry-incomplete").focus()
    room.clock.sleep(301)
    work.fail(room, ["late"], "broken", "no whole model is there")
    expect(page.get_by_text("Live, 12:45:05")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("heading", name="Nobody works")).to_be_visible()
    expect(page.locator("#retry-broken")).to_be_visible(timeout=SOON)
    expect(page.locator("#retry-incomplete")).to_be_focused()
    room.clock.sleep(301)
    expect(page.get_by_role("heading", name="Stalled")).to_be_visible(timeout=SOON)
    assert operator.run("window.stayed") is True
    operator.keep("operations-live")


CALLS = "ValueError: no such\n" + "\n".join(f"  worker/module_{number}.py:17 in {'call' * 30}" for number in range(30))


def test_what_was_opened_and_scrolled_stays_so(operator: Seat, room: Door) -> None:
    one = work.run(room, "1", "worker-1")
    room.registry.finish(one.id, "worker-1", End(IngestionState.FAILED, "unforeseen", "x", backtrace=CALLS), room.clock.now())
    page = operator.page
    operator.go("/operations")
    page.get_by_text("Where it came from").click()
    operator.run("document.getElementById('calls-unforeseen-lines').scrollTo(120, 0)")
    operator.run("window.scrollTo(0, 200)")
    page.locator("#calls-unforeseen summary").focus()
    room.clock.sleep(5)
    expect(page.get_by_text("Live, 12:00:05")).to_be_visible(timeout=SOON)
    expect(page.locator("#calls-unforeseen")).to_have_attribute("open", "")
    left = "document.getElementById('calls-unforeseen-lines').scrollLeft"
    assert (operator.run(left), operator.run("window.scrollY")) == (120, 200)


@pytest.mark.parametrize("has_script", [True, False])
def test_one_team_of_all_is_chosen_and_kept(browser: Browser, url: str, room: Door, has_script: bool) -> None:
    room.registry.create_team("red", room.clock.now())
    work.fail(room, ["1", "2"], "incomplete", work.SHARD, team="red")
    work.fail(room, ["3"], "incomplete", work.SHARD)
    with seat(browser, url, java_script_enabled=has_script) as here:
        page = here.page
        here.sign_in(room.token("operate", "operate:all"))
        here.go("/operations")
        expect(page.get_by_role("link", name="Retry all 3…")).to_be_visible()
        page.get_by_label("Team").select_option("red")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="Retry all 2…").click()
        page.get_by_role("button", name="Retry 2").click()
        expect(page.get_by_text("2 were queued again.")).to_be_visible()
    known = states(room)
    assert (known[IngestionState.RECEIVED], known[IngestionState.FAILED]) == (2, 1)


def test_a_server_that_does_not_answer_is_told_and_so_is_when_it_does_again(operator: Seat, room: Door) -> None:
    page = operator.page
    operator.go("/operations")
    expect(page.get_by_text("Live, 12:00:00")).to_be_visible(timeout=SOON)
    page.route("**/operations?told=*", lambda route: route.fulfill(status=503, body="{}"))
    expect(page.get_by_text("What you see is as it was before")).to_be_visible(timeout=SOON)
    expect(page.locator(".live.stale")).to_be_visible(timeout=SOON)
    page.unroute("**/operations?told=*")
    expect(page.locator(".live.stale")).to_have_count(0, timeout=SOON)
    expect(page.get_by_text("What you see is as it was before")).to_be_hidden(timeout=SOON)
    assert all("503" in said for said in operator.complaints)
    operator.complaints.clear()


@pytest.mark.parametrize("has_script", [True, False])
def test_all_of_a_reason_are_retried_and_one_is_discarded(browser: Browser, url: str, room: Door, has_script: bool) -> None:
    work.trouble(room)
    with seat(browser, url, java_script_enabled=has_script) as here:
        page = here.page
        here.sign_in(room.token("operate"))
        here.go("/operations")
        page.get_by_role("link", name="Retry all 11…").press("Enter")
        expect(page.get_by_role("heading", name="Retry 11 ingestions?")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.type("the shard is there")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Retry 11")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text("11 were queued again.")).to_be_visible()
        page.get_by_role("link", name="Operations").first.click()
        page.locator("#to-rejected-location").click()
        page.locator("#ingestions tbody a").first.click()
        page.get_by_role("link", name="Discard…").click()
        page.get_by_role("button", name="Discard it").click()
        expect(page.get_by_text("It is discarded, and is not tried again.")).to_be_visible()
    known = states(room)
    assert (known[IngestionState.RECEIVED], known[IngestionState.FAILED], known[IngestionState.DISCARDED]) == (31, 41, 1)


@pytest.mark.parametrize("has_script", [True, False])
def test_the_queue_is_paused_and_resumed_by_keys(browser: Browser, url: str, room: Door, has_script: bool) -> None:
    work.trouble(room)
    with seat(browser, url, java_script_enabled=has_script) as here:
        page = here.page
        here.sign_in(room.token("operate"))
        here.go("/operations")
        page.get_by_role("link", name="Pause…").press("Enter")
        expect(page.get_by_role("heading", name="Pause the queue?")).to_be_focused()
        page.get_by_label("Note for the log").fill("the store moves")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Paused")).to_be_visible()
        expect(page.get_by_text("“the store moves”")).to_be_visible()
        assert room.registry.claim_next("w", room.clock.now()) is None
        page.get_by_role("link", name="Resume…").press("Enter")
        page.get_by_role("button", name="Resume").press("Enter")
        expect(page.get_by_role("heading", name="Stalled")).to_be_visible()
    assert room.registry.halts("default") == []


def test_a_pause_by_another_is_told_without_reloading(operator: Seat, room: Door) -> None:
    work.health(room)
    operator.go("/operations")
    expect(operator.page.get_by_role("heading", name="Healthy")).to_be_visible()
    room.registry.pause_queue("default", False, room.clock.now(), "kim at the command line")
    expect(operator.page.get_by_role("heading", name="Paused")).to_be_visible(timeout=SOON)
    expect(operator.page.get_by_role("link", name="Resume…")).to_be_visible()


def test_messages_that_nobody_could_read_fit_and_do_nothing(browser: Browser, url: str, room: Door) -> None:
    bodies = (bytes(range(256)), b"x" * 100_000, b"<script>window.done = 1</script>")
    room.set_aside = MemorySetAside([wrapped(body, "q" * 300, "w" * 300, room.clock.now()) for body in bodies])
    with serving(room) as client, seat(browser, str(client.base_url).rstrip("/")) as here:
        here.sign_in(room.token("model:read", "operate", "operate:all"))
        here.go("/operations")
        here.page.get_by_role("link", name="Look at them").click()
        assert here.run("window.done") is None
        for path in (MESSAGES, f"{MESSAGES}?ask=all"):
            here.go(path)
            assert here.run(LEGIBLE) == []
            for width in (DESK, PHONE, SMALL_PHONE):
                here.page.set_viewport_size({"width": width, "height": 900})
                assert not here.is_wider_than_window(), (path, width)


def test_a_list_follows_its_filters(operator: Seat, room: Door) -> None:
    work.trouble(room)
    page = operator.page
    operator.go(LIST)
    operator.run("window.stayed = true")
    page.get_by_label("State").select_option("Failed")
    expect(page.get_by_role("link", name="Retry all 53…")).to_be_visible()
    page.get_by_label("Reason").select_option("incomplete")
    expect(page.locator("#ingestions tbody tr")).to_have_count(11)
    expect(page).to_have_url(f"{operator.url}{LIST}?state=failed&reason=incomplete")
    page.get_by_label("Experiment").fill("es1795180003")
    expect(page.locator("#ingestions tbody tr")).to_have_count(1)
    assert operator.run("window.stayed") is True
    page.get_by_label("Experiment").fill("nothing")
    page.get_by_role("link", name="Clear the filters").click()
    expect(page).to_have_url(f"{operator.url}{LIST}")


@pytest.mark.parametrize("state", ["trouble", "health", "empty"])
def test_the_pages_fit_and_can_be_read(browser: Browser, url: str, room: Door, state: str) -> None:
    """In light and dark, on a desk and on phones; with a name that has no end."""
    if state != "empty":
        getattr(work, state)(room)
        work.fail(room, ["x" * 200], "y" * 200, "z" * 200, model_path="/" + "p" * 300, experiment="e" * 200)
        room.registry.create_team("t" * 63, room.clock.now())
        long = work.run(room, "l", "worker-1", team="t" * 63)
        end = End(IngestionState.FAILED, "unforeseen", "m" * 300, format="tensorflow_savedmodel", backtrace=CALLS)
        room.registry.finish(long.id, "worker-1", end, room.clock.now())
        room.registry.took([Took(step, 3.0) for step in STEPS])
        room.clock.sleep(60)
        work.run(room, "r", "w" * 100, model_path="/" + "p" * 300, experiment="e" * 200)
        work.see(room, "w" * 100, "h" * 200)
    one = next(iter(work.fail(room, ["last"], "incomplete", work.SHARD))) if state != "empty" else None
    whose = ["operate", "operate:all"] if state != "empty" else ["operate"]
    paths = ["/operations", LIST, f"{LIST}?state=failed&ask=retry", *([f"{LIST}/{one.id}?ask=discard"] if one else [])]
    for scheme in ("light", "dark"):
        with seat(browser, url, color_scheme=scheme) as here:
            here.sign_in(room.token(*whose))
            for path in paths:
                here.go(path)
                here.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert here.run(LEGIBLE) == [], path
                for width in (DESK, 900, PHONE, SMALL_PHONE):
                    here.page.set_viewport_size({"width": width, "height": 900})
                    assert not here.is_wider_than_window(), (path, width)
            here.go("/operations")
            here.keep(f"operations-{state}-{scheme}")
