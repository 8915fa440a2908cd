"""The link that signs in once, on a machine where nobody made a token."""

from __future__ import annotations

import os

import pytest

from tests.worker.api.conftest import Door
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.api.web.sessions import LINK_SECONDS, link_address
from worker.registry.memory import MemoryRegistry


@pytest.fixture
def here() -> Door:
    """An embedded server that nobody made a token for."""
    return Door(MemoryRegistry(), is_loopback=True)


@pytest.fixture
def guest(here: Door) -> Visitor:
    return Visitor(make_app(here.service))


def link(door: Door) -> str:
    return link_address(door.registry.signing_key(), door.clock.now().timestamp(), os.urandom)


def test_the_page_tells_where_the_link_is(guest: Visitor) -> None:
    answer = guest.get("/")
    assert seen(answer) == (401, "Sign in")
    assert "use the link in the terminal" in answer.text
    assert "<code>modelport sign-in</code>" in answer.text
    assert "<code>modelport sign-in --port 8123</code>" in guest.get("/", Host="localhost:8123").text
    assert "<code>modelport sign-in</code>" in guest.get("/", Host="localhost:99999").text


def test_a_link_signs_in_once(here: Door, guest: Visitor) -> None:
    address = link(here)
    answer = guest.get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "local · one user" in guest.get("/").text
    other = Visitor(guest._client.app)
    assert seen(other.get(address)) == (401, "Sign in")
    assert "This link was used before, or its time is over; get another." in other.get(address).text
    assert other.get("/").status_code == 401
    assert other.get(link(here)).status_code == 303


def test_a_link_is_over_after_twelve_hours_and_after_a_restart(here: Door, guest: Visitor) -> None:
    address = link(here)
    here.clock.sleep(1)
    assert Visitor(make_app(here.service)).get(address).status_code == 401
    here.clock.sleep(LINK_SECONDS - 1)
    assert guest.get(address).status_code == 401


@pytest.mark.parametrize(
    "address", ["/sign-in/once", "/sign-in/once?link=", "/sign-in/once?link=x.y", "/sign-in/once?link=%ff"]
)
def test_what_is_no_link_signs_nobody_in(guest: Visitor, address: str) -> None:
    assert guest.get(address).status_code == 401
    assert guest.cookie is None


def test_the_first_token_ends_what_links_began(here: Door, guest: Visitor) -> None:
    guest.get(link(here))
    address = link(here)
    here.token("admin")
    answer = guest.get("/")
    assert seen(answer) == (401, "Sign in")
    assert "There are tokens now; sign in with one." in answer.text
    assert guest.get(address).status_code == 401


@pytest.mark.parametrize("headers", [{"Host": "modelport.example"}, {"X-Forwarded-For": "10.0.0.7"}, {"Via": "1.1 proxy"}])
def test_a_session_of_this_machine_is_nothing_elsewhere(here: Door, guest: Visitor, headers: dict[str, str]) -> None:
    assert guest.get(link(here), **headers).status_code == 401
    guest.get(link(here))
    assert guest.get("/").status_code == 200
    assert guest.get("/", **headers).status_code == 401


def test_a_link_opens_no_server_that_others_reach(room: Door, visitor: Visitor) -> None:
    answer = visitor.get(link(room))
    assert seen(answer) == (401, "Sign in")
    assert "A link does not sign in here; a token does." in answer.text


def test_who_came_by_a_link_needs_the_forms_of_the_page_too(here: Door, guest: Visitor) -> None:
    guest.get(link(here))
    assert guest.post("/sign-out", {}).status_code == 403
    assert guest.post("/sign-out", {"csrf": guest.csrf()}).status_code == 303
