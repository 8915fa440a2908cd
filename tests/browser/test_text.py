"""Whatever stands in a field is text on the page: it runs nothing, asks nobody, and reads as it was written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.browser.scripts import SCRIPTS
from tests.browser.seat import Seat
from tests.worker.api.conftest import Door
from tests.worker.api.web.shelf import put
from worker.api.web.format import visible

pytestmark = pytest.mark.slow

LIST = Path(os.environ.get("MODELPORT_HOSTILE", "/nowhere")) / "blns.json"

AT_ONCE = 45
"""Strings on one page, each in every field of a row."""


def put_everywhere(door: Door, text: str) -> None:
    """Register a version that has *text* wherever a list shows what comes from outside."""
    put(
        door,
        text,
        [text],
        project=text,
        experiment=text,
        format=text,
        completeness="incomplete",
        verdict="findings",
        report=json.dumps(
            {
                "models": [
                    {
                        "primary": True,
                        "facts": {"framework": {"name": text, "version": text}},
                        "completeness": {"problems": [{"path": "", "problem": text}]},
                    }
                ],
                "metrics": {"values": [{"name": text, "value": text, "step": 1, "session": "eval"}]},
                "findings": [{"rule": text, "severity": "medium", "path": text, "place": text, "message": text}],
            }
        ),
    )


FIELDS = {
    "name": "#models tbody .name",
    "tag": "#models tbody .tag",
    "project": "#models tbody th .sub bdi:first-child",
    "experiment": "#models tbody th .sub bdi.mono",
    "problem": "#models tbody td.full .sub",
    "metric": "#models tbody td[data-label=Metric] .sub",
}
"""Where a list shows what comes from outside, and nothing else."""


def check_texts(reader: Seat, door: Door, strings: Sequence[str]) -> None:
    """Show *strings* in every field and look at what the browser made of them."""
    for text in reversed(strings):
        put_everywhere(door, text)
    expected = [visible(text) for text in strings]
    reader.go("/")
    for field, selector in FIELDS.items():
        assert reader.texts(selector) == expected, field
    formats = reader.texts("#models tbody td[data-label=Format]")
    assert all(text in shown for text, shown in zip(expected, formats, strict=True))
    offered = set(reader.texts("#f-projectId option")) & set(reader.texts("#f-tag option"))
    assert {" ".join(text.split()) for text in offered} >= {" ".join(text.split()) for text in expected}
    assert reader.run("window.ran") is None
    reader.run("document.querySelectorAll('[tabindex], a, input, details').forEach((e) => e.focus())")
    reader.run("document.querySelectorAll('#models *').forEach((e) => e.dispatchEvent(new MouseEvent('mouseover')))")
    assert reader.run("window.ran") is None


def batches(strings: Sequence[str]) -> list[Sequence[str]]:
    return [strings[start : start + AT_ONCE] for start in range(0, len(strings), AT_ONCE)]


def naughty() -> list[str]:
    """Return the list of naughty strings, each once, but for those that no registry keeps: empty, or with a zero character."""
    found = json.loads(LIST.read_text(encoding="utf-8")) if LIST.exists() else []
    return [text for text in dict.fromkeys(found) if text and "\0" not in text and len(text.encode()) <= 512]


def test_there_are_sixty_scripts_at_least() -> None:
    assert len(set(SCRIPTS)) >= 60


@pytest.mark.parametrize("strings", batches(SCRIPTS), ids=lambda strings: strings[0])
def test_no_script_runs_and_each_reads_as_it_was_written(reader: Seat, room: Door, strings: Sequence[str]) -> None:
    check_texts(reader, room, strings)


@pytest.mark.skipif(
    not LIST.exists() and "CI" not in os.environ, reason="MODELPORT_HOSTILE does not name a folder with blns.json"
)
def test_the_list_of_naughty_strings_is_there() -> None:
    assert len(naughty()) > 400


@pytest.mark.parametrize("strings", batches(naughty()), ids=range(len(batches(naughty()))))
def test_naughty_strings_read_as_they_were_written(reader: Seat, room: Door, strings: Sequence[str]) -> None:
    check_texts(reader, room, strings)


def test_what_is_searched_for_is_text(reader: Seat, room: Door) -> None:
    put(room, "mnist")
    for script in SCRIPTS:
        reader.go(f"/?q={quote(script)}")
        assert reader.run("document.querySelector('#f-q').value") == script
        assert script in reader.texts(".note bdi")
        assert reader.run("window.ran") is None


def test_what_is_filtered_while_typing_is_text(reader: Seat, room: Door) -> None:
    for script in SCRIPTS[::10]:
        put(room, script)
        reader.go("/")
        reader.page.get_by_label("Search").fill(script)
        reader.page.wait_for_url(lambda url: "q=" in url)
        reader.page.wait_for_function("document.querySelectorAll('#models tbody tr').length === 1")
        assert reader.names() == [script]
        assert reader.run("window.ran") is None


def test_an_address_is_text(reader: Seat, stranger: Seat) -> None:
    for script in SCRIPTS[::5]:
        reader.go(f"/{quote(script)}")
        assert reader.texts("h1") == ["Nothing is here"]
        reader.go(f"/sign-in?then={quote(script)}")
        assert reader.run("window.ran") is None
