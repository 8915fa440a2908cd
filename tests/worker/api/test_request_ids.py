"""Each request has a name, which its lines in the log bear."""

from __future__ import annotations

import re

import pytest
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.worker.api.client import Client

RUN = {"experimentId": "e7", "modelPath": "/runs/e7"}


def test_a_name_that_is_given_stands_in_the_lines_and_in_the_answer(admin: Client) -> None:
    with capture_logs(processors=[merge_contextvars]) as said:
        answer = admin.post("/v1/completions", RUN, headers={"X-Request-ID": "hook-7.a_b"})
    assert answer.status_code == 202
    assert answer.headers["X-Request-ID"] == "hook-7.a_b"
    assert [(line["event"], line["request"]) for line in said] == [("accepted", "hook-7.a_b")]
    assert get_contextvars() == {}


def test_a_name_is_made_where_none_is_given(admin: Client) -> None:
    names = {admin.get("/livez").headers["X-Request-ID"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)


@pytest.mark.parametrize("odd", ["", "two words", "x" * 65, "a'b", "<script>", "ü"])
def test_an_odd_name_is_passed_over(odd: str, admin: Client) -> None:
    headers = [(b"x-request-id", odd.encode())]
    assert re.fullmatch("[0-9a-f]{16}", admin.get("/livez", headers=headers).headers["X-Request-ID"])


def test_what_is_refused_is_named_too(admin: Client) -> None:
    answer = admin.get("/v1/nothing", headers={"X-Request-ID": "r1"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (404, "r1")
