"""The lines of a log, as whoever reads them meets them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import structlog

from worker import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_line_holds_time_level_event_and_fields_and_cannot_be_broken(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger("x").info("claimed", path="/runs/\x1b[2J\nall is well", attempt=1)
    said = capsys.readouterr()
    assert said.out == ""
    when, rest = said.err.split(" ", 1)
    assert re.fullmatch(r"timestamp='20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z'", when)
    assert rest == "level='info' event='claimed' path='/runs/\\x1b[2J\\nall is well' attempt=1\n"


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("WARNING")
    log = structlog.get_logger("x")
    log.info("claimed")
    log.warning("freed")
    assert [line.split("event=")[1] for line in capsys.readouterr().err.splitlines()] == ["'freed'"]
