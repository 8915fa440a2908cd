"""Who may look at pages, and what a browser may be made to send."""

from __future__ import annotations

import re

import pytest

from tests.worker.api.client import HERE
from tests.worker.api.conftest import Door
from tests.worker.api.web.visitor import FORM, OURS, Visitor, seen
from worker.api.app import make_app
from worker.registry.memory import MemoryRegistry


def test_who_did_not_sign_in_is_asked_to_and_comes_to_where_they_wanted(room: Door, visitor: Visitor) -> None:
    asked = visitor.get("/?q=a%20b&type=ONNX")
    assert seen(asked) == (401, "Sign in")
    then = re.search(r'name="then" value="([^"]*)"', asked.text)
    assert then is not None
    assert then[1] == "/?q=a%20b&amp;type=ONNX"
    answer = visitor.sign_in(room.token("model:read"), "/?q=a%20b&type=ONNX")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=a%20b&type=ONNX")
    assert seen(visitor.get(answer.headers["location"]))[0] == 200


@pytest.mark.parametrize(
    "then", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "", "x", "/\r\nSet-Cookie: a"]
)
def test_signing_in_leads_to_no_other_site(room: Door, visitor: Visitor, then: str) -> None:
    assert visitor.sign_in(room.token("model:read"), then).headers["location"] == "/"


@pytest.mark.parametrize("secret", ["", "mp_nothing", "mp_" + "0" * 49])
def test_what_is_no_token_is_told_and_the_page_asks_again(visitor: Visitor, secret: str) -> None:
    answer = visitor.sign_in(secret, "/?q=x")
    assert seen(answer) == (401, "Sign in")
    assert "This is no token: a character is wrong, or part of it is missing." in answer.text
    assert 'name="then" value="/?q=x"' in answer.text
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_kept_from_scripts_and_from_other_sites_and_ends(room: Door, visitor: Visitor) -> None:
    said = visitor.sign_in(room.token("model:read")).headers["set-cookie"]
    assert said.split("; ", 1)[1] == "HttpOnly; Max-Age=43200; Path=/; SameSite=lax"


@pytest.mark.parametrize(("base_url", "headers"), [("https://models.example", {}), (HERE, {"X-Forwarded-Proto": "https"})])
def test_the_cookie_of_who_came_by_https_is_sent_by_https_alone(room: Door, base_url: str, headers: dict[str, str]) -> None:
    visitor = Visitor(make_app(room.service), base_url)
    fields = {"token": room.token("model:read"), "then": "/"}
    said = visitor.post("/sign-in", fields, {"Origin": base_url} | headers).headers["set-cookie"]
    assert said.endswith("; SameSite=lax; Secure")


def test_a_session_ends_with_its_twelve_hours(room: Door, reader: Visitor) -> None:
    room.clock.sleep(12 * 3600 - 1)
    assert reader.get("/").status_code == 200
    room.clock.sleep(1)
    answer = reader.get("/")
    assert seen(answer) == (401, "Sign in")
    assert "Your session is over; sign in first." in answer.text


def test_a_session_ends_with_its_token(room: Door, visitor: Visitor) -> None:
    visitor.sign_in(room.token("model:read", days=0.25))
    room.clock.sleep(6 * 3600 - 1)
    assert visitor.get("/").status_code == 200
    room.clock.sleep(1)
    assert "The time of this token is over." in visitor.get("/").text


def test_a_session_ends_when_its_token_is_revoked(room: Door, reader: Visitor) -> None:
    room.registry.revoke_token("default", room.registry.tokens("default")[0].id, room.clock.now())
    answer = reader.get("/")
    assert seen(answer) == (401, "Sign in")
    assert "This token was revoked." in answer.text
    assert reader.part("/").headers["hx-refresh"] == "true"


def test_a_token_that_may_not_read_is_told_so(room: Door, visitor: Visitor) -> None:
    visitor.sign_in(room.token("completion:write"))
    answer = visitor.get("/")
    assert seen(answer) == (403, "This is not allowed")
    assert "the token lacks the scope model:read or operate" in answer.text
    assert "Sign out" in answer.text


def test_signing_out_makes_the_browser_forget(reader: Visitor) -> None:
    answer = reader.post("/sign-out", {"csrf": reader.csrf()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert reader.cookie is None
    assert reader.get("/").status_code == 401


FOREIGN = [
    pytest.param({}, id="nobody says where from"),
    pytest.param({"Origin": "https://elsewhere.example"}, id="another site"),
    pytest.param({"Origin": "null"}, id="no site"),
    pytest.param({"Origin": "http://127.0.0.1:8001"}, id="another port"),
    pytest.param({"Origin": "http://127.0.0.1:8000.elsewhere.example"}, id="a longer name"),
    pytest.param({"Origin": "http://[::1"}, id="no address"),
    pytest.param({"Origin": HERE, "Sec-Fetch-Site": "cross-site"}, id="across sites"),
    pytest.param({"Origin": HERE, "Sec-Fetch-Site": "same-site"}, id="a sister site"),
    pytest.param({"Sec-Fetch-Site": "none"}, id="no page"),
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_what_no_page_of_ours_sent_is_not_done(room: Door, reader: Visitor, headers: dict[str, str]) -> None:
    cookie = reader.cookie
    answer = reader.post("/sign-out", {"csrf": reader.csrf()}, headers)
    assert seen(answer) == (403, "This is not allowed")
    assert reader.cookie == cookie
    reader.cookie = None
    assert reader.post("/sign-in", {"token": room.token("model:read")}, headers).status_code == 403
    assert reader.cookie is None


@pytest.mark.parametrize("headers", [OURS, {"Origin": HERE}, {"Sec-Fetch-Site": "same-origin"}])
def test_a_page_of_ours_is_believed_by_either_sign(reader: Visitor, headers: dict[str, str]) -> None:
    assert reader.post("/sign-out", {"csrf": reader.csrf()}, headers).status_code == 303


def test_a_form_without_the_token_of_its_session_is_not_done(room: Door, reader: Visitor) -> None:
    other = Visitor(make_app(room.service))
    other.sign_in(room.token("model:read"))
    for fields in ({}, {"csrf": ""}, {"csrf": other.csrf()}, {"csrf": "é"}):
        assert reader.post("/sign-out", fields).status_code == 403
    assert reader.post("/sign-out", {}, OURS | {"X-CSRF-Token": reader.csrf()}).status_code == 303


def test_what_is_no_form_is_not_taken(reader: Visitor) -> None:
    assert reader.post("/sign-out", {"csrf": reader.csrf()}, OURS | {"Content-Type": "text/plain"}).status_code == 415
    many = {f"f{number}": "" for number in range(1001)}
    assert reader.post("/sign-out", many, OURS | {"Content-Type": FORM}).status_code == 400


def test_a_program_looks_at_pages_with_its_token_and_needs_no_form(room: Door) -> None:
    client = room.client().with_token(room.token("model:read"))
    assert client.get("/").status_code == 200
    assert client.post("/sign-out").status_code == 303


def test_a_cookie_of_somebody_else_opens_nothing(room: Door, visitor: Visitor) -> None:
    stranger = Door(MemoryRegistry())
    elsewhere = Visitor(make_app(stranger.service))
    elsewhere.sign_in(stranger.token("admin"))
    assert elsewhere.cookie is not None
    for cookie in (elsewhere.cookie, "x", "", "é", "W10.x"):
        visitor.cookie = cookie
        assert visitor.get("/").status_code == 401


def test_programs_are_answered_as_before(visitor: Visitor, room: Door) -> None:
    for path in ("/v1/models", "/v1/nothing", "/mlModels/getModelList"):
        assert "html" not in visitor.get(path).headers["content-type"]
    answer = room.client().get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
