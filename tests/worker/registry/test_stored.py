"""The stored forms of text, moments and JSON, and the types of columns made of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from worker.registry.columns import AnyText, Json, Moment
from worker.registry.stored import MARK, MOMENT_CHARS, is_storable, json_text, original_text, stored_moment, stored_text

texts = st.text(st.characters(), max_size=20) | st.text(st.characters(categories=["Cs", "Cc", "Po"]), max_size=10).map(
    lambda text: MARK + text
)
moments = st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-3))), min_value=datetime(2, 1, 1))


@given(texts)
@example("\ud83d\ude00")
@example("\udcff\0")
@example(MARK)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert original_text(stored_text(text)) == text


@given(texts, texts)
@example("\0", MARK + "\\x00")
def test_no_two_texts_are_stored_alike(one: str, other: str) -> None:
    assert (stored_text(one) == stored_text(other)) == (one == other)


@given(texts)
def test_what_is_stored_is_taken_by_every_database(text: str) -> None:
    assert is_storable(stored_text(text))
    stored_text(text).encode("utf-8")


def test_ordinary_text_is_stored_as_it_is() -> None:
    assert stored_text("модель \\ 🦆\n") == "модель \\ 🦆\n"


def test_odd_text_stays_readable() -> None:
    assert stored_text("runs/\udcff\0") == "escaped:runs/\\udcff\\x00"


@given(moments, moments)
def test_moments_sort_as_their_stored_text_does(one: datetime, other: datetime) -> None:
    assert (stored_moment(one) < stored_moment(other)) == (one < other)


@given(moments)
def test_a_moment_comes_back_in_utc(moment: datetime) -> None:
    dialect = sqlite.dialect()
    stored = Moment().process_bind_param(moment, dialect)
    assert stored is not None
    assert len(stored) == MOMENT_CHARS
    back = Moment().process_result_value(stored, dialect)
    assert back == moment
    assert back.tzinfo is UTC


def test_a_moment_is_iso_8601() -> None:
    assert stored_moment(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T02:04:05.000006Z"


def test_a_moment_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="expected a time with its zone, found 2026-01-02T00:00:00"):
        stored_moment(datetime(2026, 1, 2))


def test_json_is_ascii_and_takes_any_mapping() -> None:
    assert json_text(MappingProxyType({"é": (1, MappingProxyType({}))})) == '{"\\u00e9": [1, {}]}'


def test_what_is_no_json_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="expected plain JSON, found bytes"):
        json_text({"a": b""})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_comes_back_as_it_was(value: object) -> None:
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize("kind", [AnyText(), Moment(), Json()])
def test_null_stays_null(kind: AnyText | Moment | Json) -> None:
    dialect = postgresql.dialect()
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
