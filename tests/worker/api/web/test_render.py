"""What every page says and does not say: headers, nothing inline, text as text, problems in words."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest
from jinja2 import UndefinedError

from tests.worker.api.conftest import Door
from tests.worker.api.web.shelf import put
from tests.worker.api.web.visitor import Visitor, seen
from worker.api.app import make_app
from worker.api.web import render
from worker.errors import RegistryUnavailable
from worker.records import VersionQuery
from worker.registry.memory import MemoryRegistry

TEMPLATES = sorted((Path(render.__file__).parent / "templates").glob("*.html"))
SCRIPTS = (
    "<script>alert(1)</script>",
    '" onfocus="alert(1)',
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "</bdi><img src=x onerror=alert(1)>",
)


def test_every_page_lets_nothing_in_from_elsewhere(room: Door, reader: Visitor) -> None:
    anybody = Visitor(make_app(room.service))
    for answer in (reader.get("/"), anybody.get("/"), reader.get("/nowhere"), reader.part("/"), anybody.get("/sign-in")):
        policy = dict(rule.partition(" ")[::2] for rule in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert set(policy.values()) == {"'none'", "'self'"}
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_anything_inline_or_from_elsewhere(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=|javascript:|data:|https?://|\|\s*safe|autoescape|<script(?! src=)", text)


def test_a_name_that_a_template_does_not_know_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render.ENVIRONMENT.from_string("{{ nothing }}").render()


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_from_outside_are_text(room: Door, reader: Visitor, script: str) -> None:
    put(room, script, [script], project=script, experiment=script)
    page = reader.get("/").text
    assert re.search(r"<script(?! src=\"/static/)|<img|\sonfocus=\"|href=\"javascript", page) is None
    escaped = str(render.ENVIRONMENT.from_string("{{ text }}").render(text=script))
    assert page.count(f"<bdi>{escaped}</bdi>") == 3  # name, tag, project
    assert page.count(f'<bdi class="mono">{escaped}</bdi>') == 1


def test_what_is_not_to_be_seen_is_told_with_a_backslash(room: Door, reader: Visitor) -> None:
    put(room, "a\x1b[31mb\u202ec")
    assert "<bdi>a\\x1b[31mb\\u202ec</bdi>" in reader.get("/").text


class Away(MemoryRegistry):
    """A registry whose lists do not answer, or break in a way that nobody foresaw."""

    error: Exception = RegistryUnavailable("10.0.0.7 hung up")

    def versions(self, query: VersionQuery) -> NoReturn:
        raise self.error

    def overview(self, team: str) -> NoReturn:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status", "heading", "said"),
    [
        (
            RegistryUnavailable("10.0.0.7 hung up"),
            503,
            "A part of the service does not answer",
            "nothing was changed, try again",
        ),
        (ZeroDivisionError("secret"), 500, "Something went wrong that nobody foresaw", "the log of the server tells more"),
    ],
)
def test_what_fails_is_told_in_words_without_insides(error: Exception, status: int, heading: str, said: str) -> None:
    door = Door(Away())
    visitor = Visitor(make_app(door.service))
    visitor.sign_in(door.token("model:read"))
    Away.error = error
    answer = visitor.get("/")
    assert seen(answer) == (status, heading)
    assert said in answer.text
    assert not re.search(r"10\.0\.0\.7|secret|Traceback", answer.text)
    assert ("<dt>Reference</dt>" in answer.text) == (status == 500)
    assert visitor.part("/").headers["content-type"] == "application/problem+json"


def test_an_address_without_a_page_says_so(reader: Visitor) -> None:
    answer = reader.get("/nowhere")
    assert seen(answer) == (404, "Nothing is here")
    assert "<code>404 not-found</code>" in answer.text
    assert seen(reader.post("/", {})) == (405, "This address does not take that")


def test_the_navigation_shows_what_is_there(reader: Visitor) -> None:
    assert re.findall(r'<li><a href="([^"]*)"( aria-current="page")?>', reader.get("/").text) == [
        *(("/", ' aria-current="page"'), ("/compare", ""), ("/upload", "")),
    ]


def test_the_clock_of_the_service_says_how_old_things_are(room: Door, reader: Visitor) -> None:
    put(room, "m")
    room.clock.at = datetime.fromisoformat("2026-11-20T15:00:05+00:00")
    page = reader.part("/").text
    assert '<time datetime="2026-11-20T12:00:00Z" title="20 Nov 2026, 12:00:00 UTC">3\N{NO-BREAK SPACE}h ago</time>' in page
