"""`modelport sign-in`, where nobody made a token and where somebody did."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from worker.api.web.sessions import link_in
from worker.bootstrap import embedded
from worker.cli import run


def test_it_prints_a_link_that_is_signed_with_the_key_of_the_registry(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sign-in", "--port", "8123"]) == 0
    address, _, link = capsys.readouterr().out.strip().partition("?link=")
    assert address == "http://127.0.0.1:8123/sign-in/once"
    with embedded(os.environ, Path.cwd()) as service:
        assert link_in(service.registry.signing_key(), link, time.time()) is not None


def test_where_there_are_tokens_it_says_that_one_signs_in(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["token", "create", "kim", "--scope", "model:read"])
    capsys.readouterr()
    assert run(["sign-in"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "modelport: there are tokens; sign in with one, made with `modelport token create`\n"
