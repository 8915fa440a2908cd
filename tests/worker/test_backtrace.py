"""Where an unforeseen error came from, in bounded words that hold nobody's values."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.backtrace import MOST_CALLS, MOST_CHARACTERS, MOST_ERRORS, MOST_SAID, backtrace_of, said

HERE = "tests/worker/test_backtrace.py"


def raised(error: BaseException, depth: int = 0, secret: str = "hunter2") -> BaseException:
    """Return *error*, raised that deep."""

    def descend(left: int, hidden: str) -> None:
        if left == 0:
            raise error
        descend(left - 1, hidden)

    try:
        descend(depth, secret)
    except type(error) as exc:
        return exc
    raise AssertionError


def test_the_calls_stand_below_what_the_error_says() -> None:
    first, *calls = backtrace_of(raised(ValueError("no such thing"))).splitlines()
    assert first == "ValueError: no such thing"
    assert [re.sub(r":\d+ ", ":0 ", call) for call in calls] == [f"  {HERE}:0 in raised", f"  {HERE}:0 in descend"]


def test_what_caused_it_stands_below_it() -> None:
    error = raised(ValueError("outer"))
    error.__cause__ = raised(KeyError("inner"))
    assert [line for line in backtrace_of(error).splitlines() if not line.startswith(" ")] == [
        "ValueError: outer",
        "KeyError: 'inner'",
    ]


def test_an_error_in_a_library_names_the_library_and_not_where_it_lies() -> None:
    with pytest.raises(ValueError, match="Expecting") as found:
        json.loads("{")
    told = backtrace_of(found.value)
    assert "  json/decoder.py:" in told
    assert "/usr" not in told


def test_a_note_belongs_to_it() -> None:
    error = ValueError("a")
    error.add_note("in the inspection\nat s3://kim:secret@store/x")
    assert backtrace_of(error).splitlines() == ["ValueError: a", "  in the inspection", "  at s3://***@store/x"]


def test_no_value_of_a_variable_is_told() -> None:
    error = raised(ValueError("cannot connect to postgresql://kim:hunter2@db/x"), secret="hunter2")
    assert "hunter2" not in backtrace_of(error)
    assert said(error) == "ValueError: cannot connect to postgresql://***@db/x"


def test_what_looks_like_a_secret_is_masked_as_in_the_log() -> None:
    token = "mp_c4n4ryC4N4RYc4n4ryC4N4RY"
    error = raised(ValueError(f"https://store/x?X-Amz-Signature={token}&a=b refused {token}"))
    error.add_note(f"Authorization: Bearer {token}")
    assert token not in backtrace_of(error)
    assert said(error) == "ValueError: https://store/x?X-Amz-Signature=***&a=b refused mp_***"


class Mute(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def test_an_error_that_cannot_say_what_it_is_is_told_all_the_same() -> None:
    assert said(Mute()) == "Mute: it cannot say what it is"


@given(some.text(max_size=3 * MOST_SAID), some.integers(0, 3 * MOST_CALLS), some.integers(0, 2 * MOST_ERRORS))
def test_a_backtrace_is_bounded(text: str, depth: int, causes: int) -> None:
    error = first = raised(ValueError(text), depth)
    for _ in range(causes):
        error.__cause__ = raised(KeyError(text), depth)
        error = error.__cause__
    told = backtrace_of(first)
    assert len(told) <= MOST_CHARACTERS
    assert told.count("\n  …") <= MOST_ERRORS + 1
    assert all(len(line) <= MOST_SAID + len("ValueError: ") for line in told.splitlines())


@pytest.mark.parametrize("depth", [MOST_CALLS - 2, MOST_CALLS - 1, 2 * MOST_CALLS])
def test_of_many_calls_the_first_and_the_last_are_told(depth: int) -> None:
    calls = backtrace_of(raised(ValueError("x"), depth)).splitlines()[1:]
    assert len(calls) == min(depth + 2, MOST_CALLS + 1)
    assert calls[0].endswith("in raised")
    assert calls[-1].endswith("in descend")
    left = [call for call in calls if "more calls" in call]
    assert left == ([] if depth + 2 <= MOST_CALLS else [f"  … {depth + 2 - MOST_CALLS} more calls"])
