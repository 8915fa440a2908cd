"""Names of places on object storage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.s3_url import S3Url, is_s3, odd_part, parse_s3

PARTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"), min_size=1, max_size=20)


@given(st.lists(PARTS.filter(lambda part: part not in (".", "..")), max_size=6))
def test_the_text_of_a_place_leads_back_to_it(parts: list[str]) -> None:
    place = S3Url("my-bucket", "/".join(parts))
    assert parse_s3(str(place)) == parse_s3(f"{place}/") == place


@given(st.text(max_size=60))
def test_no_part_of_a_key_is_empty_or_dots(text: str) -> None:
    """No part of a key is empty, "." or ".."."""
    try:
        place = parse_s3(f"s3://bucket/{text}")
    except ValueError:
        return
    assert place.key == "" or not {"", ".", ".."} & set(place.key.split("/"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("/mnt/x", "expected s3://BUCKET/KEY"),
        ("S3://bucket/x", "expected s3://BUCKET/KEY"),
        ("s3://", "expected the name of a bucket after s3://"),
        ("s3:///key", "expected the name of a bucket after s3://"),
        ("s3://user:secret@bucket/key", "expected the name of a bucket"),
        ("s3://b/key", "expected the name of a bucket after s3://"),
        ("s3://bucket/a/../b", "one of its parts is '..'"),
        ("s3://bucket//a", "one of its parts is empty"),
        ("s3://bucket/a\0", "it holds a zero byte"),
        ("s3://bucket/\udcff", "expected a key in UTF-8"),
        ("s3://bucket/" + "k" * 1025, "expected a key of at most 1024 bytes; it has 1025"),
    ],
)
def test_what_names_no_place_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_s3(text)
    assert why in str(raised.value)


def test_a_key_is_taken_as_it_stands() -> None:
    assert parse_s3("s3://bucket/a%20b?c#d+e/") == S3Url("bucket", "a%20b?c#d+e")
    assert parse_s3("s3://bucket") == parse_s3("s3://bucket/") == S3Url("bucket", "")


def test_any_case_of_the_scheme_is_meant_as_object_storage() -> None:
    assert is_s3("s3://x")
    assert is_s3("S3://x")
    assert not is_s3("/s3://x")


def test_an_odd_part_is_told() -> None:
    assert odd_part("a/b") is None
    assert odd_part("a/./b") == "one of its parts is '.'"
