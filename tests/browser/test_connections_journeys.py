"""What operators see of what the service leans on, in a real browser: as it changes, and at every width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.seat import DESK, PHONE, SMALL_PHONE, Seat, seat
from tests.browser.test_journeys import LEGIBLE
from tests.worker.api.conftest import NOON, Door
from tests.worker.api.web import work
from tests.worker.api.web.test_reached import ALL, away
from worker.connections import Connection, Leaned, Room
from worker.storage.probe import look_at_folder

pytestmark = pytest.mark.slow

SOON = 15_000
"""Milliseconds in which the page has asked again, also on a busy machine."""


@pytest.fixture
def operator(stranger: Seat, room: Door) -> Seat:
    """A window of somebody who may steer the queue."""
    stranger.sign_in(room.token("operate"))
    return stranger


def test_a_store_that_goes_away_is_told_without_reloading(operator: Seat, room: Door, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def looked() -> tuple[Connection, ...]:
        answer = look_at_folder(store)
        found = Connection(Leaned.STORE, "/srv/store", answer.trouble and "it is no folder", answer.room, 0.01, NOON)
        return (*(one for one in ALL if one.what is not Leaned.STORE), found)

    work.health(room)
    room.connections = looked()
    operator.go("/operations")
    page = operator.page
    expect(page.get_by_role("heading", name="Healthy")).to_be_visible()
    expect(page.get_by_role("row", name="Store").get_by_text("Reachable")).to_be_visible()
    store.write_text("the mount is gone")
    room.connections = looked()
    expect(page.get_by_role("heading", name="Store unreachable")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("row", name="Store").get_by_text("Unreachable")).to_be_visible()
    expect(page.get_by_role("status").get_by_text("Nothing is lost.")).to_be_visible()
    store.unlink()
    room.connections = looked()
    expect(page.get_by_role("heading", name="Healthy")).to_be_visible(timeout=SOON)


def test_the_connections_fit_and_can_be_read(browser: Browser, url: str, room: Door) -> None:
    """In light and dark, on a desk and on phones; with a place that has no end."""
    work.trouble(room)
    *others, store, home = ALL
    long = replace(away(store), where="s3://models/" + "p" * 300, trouble="s3://models/" + "p" * 300 + ": no server answers")
    full = replace(home, room=Room(1_000_000_000_000, 9_000_000_000))
    for name, seen in (
        ("long", (*others, long, replace(full, where="/" + "h" * 300))),
        ("trouble", (*others, away(store), full)),
        ("health", ALL),
    ):
        room.connections = seen
        for scheme in ("light", "dark"):
            with seat(browser, url, color_scheme=scheme) as here:
                here.sign_in(room.token("operate"))
                here.go("/operations")
                assert here.run(LEGIBLE) == []
                for width in (SMALL_PHONE, 900, PHONE, DESK):
                    here.page.set_viewport_size({"width": width, "height": 900})
                    assert not here.is_wider_than_window(), (name, width)
                    if width in (PHONE, DESK):
                        here.keep(f"connections-{name}-{scheme}")
