"""What the fuzzers found once, and what they begin with: read as promised, in time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.judge import wrong_with
from tests.fuzz.targets import TARGETS

FOUND = sorted(path for path in (Path(__file__).parent / "found").rglob("*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_a_fuzzer_begins_with_what_is_read_well(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in seeds:
        assert wrong_with(TARGETS[name], seed) is None


def test_what_was_found_once_is_read_as_promised() -> None:
    """What readers of others stumbled over stands there too, as long as no fuzzer found anything."""
    assert FOUND
    wrong = {path.name: wrong_with(TARGETS[path.parent.name], path.read_bytes()) for path in FOUND}
    assert {name: mistake for name, mistake in wrong.items() if mistake} == {}


def test_a_mistake_would_be_told() -> None:
    def divide(data: bytes) -> object:
        return 1 // len(data)

    target = type(TARGETS["json"])("mistaken", divide, lambda: [b""])
    assert "ZeroDivisionError" in (wrong_with(target, b"") or "")
    assert wrong_with(target, b"x") is None
