"""One browser for the tests of a module, and a server on a socket for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.seat import Seat, browsing, chromium, seat
from tests.servers.process import skip_without
from tests.worker.api.conftest import Door
from tests.worker.api.shelf import serving
from worker.registry.memory import MemoryRegistry


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: other tests want the event loop of this thread."""
    skip_without(chromium, "WITHOUT_CHROMIUM")
    with browsing() as browser:
        yield browser


@pytest.fixture
def room() -> Door:
    return Door(MemoryRegistry())


@pytest.fixture
def url(room: Door) -> Iterator[str]:
    """The address at which the room is served."""
    with serving(room) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def stranger(browser: Browser, url: str) -> Iterator[Seat]:
    """A window of somebody who has not signed in."""
    with seat(browser, url) as here:
        yield here


@pytest.fixture
def reader(stranger: Seat, room: Door) -> Seat:
    """A window of somebody who may read."""
    stranger.sign_in(room.token("model:read"))
    return stranger
