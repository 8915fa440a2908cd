"""Problems as pages: each that the API answers is called by its name."""

from __future__ import annotations

import re
from pathlib import Path

from tests.worker.api.conftest import Door
from tests.worker.api.web.test_version_pages import words
from tests.worker.api.web.visitor import Visitor, seen
from worker import api
from worker.api.app import make_app
from worker.api.limits import Rates
from worker.api.web.failures import SAID

SIGN_IN, UNFORESEEN = 401, 500
"""What has a page of its own, and what nobody foresaw."""


def test_every_problem_has_words_of_its_own() -> None:
    texts = [path.read_text(encoding="utf-8") for path in Path(api.__file__).parent.rglob("*.py")]
    answered = {int(status) for text in texts for status in re.findall(r"\bProblem\(\s*(\d{3})\b", text)}
    assert {404, 429, 507} < answered
    assert answered - {SIGN_IN, UNFORESEEN} <= SAID.keys()


def test_who_asks_too_often_is_told_so_and_when_to_come_again(room: Door) -> None:
    room.rates = Rates(reads=1)
    visitor = Visitor(make_app(room.service))
    visitor.sign_in(room.token("model:read"))
    assert visitor.get("/").status_code == 200
    answer = visitor.get("/")
    assert seen(answer) == (429, "Too many requests came at once")
    assert "come again in 60 s" in words(answer)
    assert answer.headers["retry-after"] == "60"
