"""How things are written on pages."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.api.web.format import INVISIBLE, STEERING, age, format_name, iso, metric, short, size, utc, visible
from worker.figures import counted, exact

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
any_text = st.text(st.characters())
steering = st.sampled_from(sorted(STEERING))
steered = st.lists(st.one_of(any_text, steering, st.sampled_from("\0\t\n\r\x1b\x7f\x85\u2028\ud800"))).map("".join)


@given(steered)
def test_what_is_visible_has_no_character_that_steers_a_terminal_or_turns_the_direction_of_text_and_is_utf_8(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(character) in INVISIBLE or character in STEERING for character in shown)
    shown.encode()


@given(any_text.filter(lambda text: not any(unicodedata.category(c) in INVISIBLE or c in STEERING for c in text)))
def test_text_without_such_characters_is_visible_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_backslash_says_what_is_not_seen() -> None:
    assert visible("a\x1b[31m\tb\nc\x00\x85\u202e\ud83d") == "a\\x1b[31m\\tb\\nc\\x00\\x85\\u202e\\ud83d"
    assert visible("C:\\n · é · 日本 · 👩‍🔬") == "C:\\n · é · 日本 · 👩‍🔬"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (59_420, "59.4 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (3_274_634, "3.27 M"),
        (109_483_778, "109 M"),
        (175 * 10**9, "175 G"),
        (10**15, "1000 T"),
    ],
)
def test_large_numbers_have_three_digits(number: int, said: str) -> None:
    assert short(number) == said.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (999, "999 B"), (13_200_000, "13.2 MB"), (4_960_000, "4.96 MB"), (141 * 10**6, "141 MB")]
)
def test_sizes_are_in_decimal_units(count: int, said: str) -> None:
    assert size(count) == said.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.9911, "0.9911"),
        (0.99114999, "0.9911"),
        (0, "0"),
        (12_000, "12,000"),
        (0.0, "0.0000"),
        (-2.081, "-2.0810"),
        (1234.5, "1,234.5000"),
        (1e-7, "1e-07"),
        (3.2e12, "3.2e+12"),
        ("NaN", "not a number"),
        ("-Infinity", "minus infinite"),
        (float("nan"), "not a number"),
        (float("inf"), "infinite"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_metrics_have_four_decimals_and_what_is_no_number_is_a_word(value: float | str, said: str) -> None:
    assert metric(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-60, "just now"),
        (0, "just now"),
        (9, "just now"),
        (10, "10 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (2460, "41 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (86_400 * 364, "364 d ago"),
        (86_400 * 800, "2 y ago"),
    ],
)
def test_ages_have_one_unit(seconds: int, said: str) -> None:
    assert age(NOON - timedelta(seconds=seconds), NOON) == (
        said if said == "just now" else said.replace(" ", "\N{NO-BREAK SPACE}", 1)
    )


def test_the_rest_is_written_as_people_write_it() -> None:
    assert utc(NOON + timedelta(hours=1, seconds=5)) == "20 Nov 2026, 13:00:05 UTC"
    assert iso(NOON) == "2026-11-20T12:00:00Z"
    assert (exact(3_274_634), counted(1, "model"), counted(1394, "version")) == ("3,274,634", "1 model", "1,394 versions")
    assert (format_name("tensorflow_savedmodel"), format_name("some_new_thing")) == ("SavedModel", "some new thing")
