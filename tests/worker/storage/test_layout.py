"""The laws of names and URLs in a store."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import StorageUnavailable
from worker.records import StoreKey
from worker.storage.layout import file_parts, is_part, parts_of, prefix_parts, safe_part, url_of

any_text = st.text(st.characters(codec=None, exclude_categories=()))
names = st.one_of(st.text("aA.%~-/ ", max_size=5), any_text, st.text("a~", min_size=120, max_size=140))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("run-7_b.2", "run-7_b.2"),
        ("", "%"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("é", "%C3%A9"),
        ("\udcff", "%ED%B3%BF"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 63 + "~" + hashlib.sha256(b"x" * 129).hexdigest()),
    ],
)
def test_a_name_becomes_a_part(name: str, part: str) -> None:
    assert safe_part(name) == part


@given(names)
@example("\0")
def test_a_part_is_a_plain_file_name_of_at_most_max_part_bytes_whatever_the_name_holds(name: str) -> None:
    part = safe_part(name)
    assert 1 <= len(part.encode("ascii")) <= 128
    assert part not in (".", "..")
    assert not set(part) & set("/\0\n ")
    assert is_part(part)


@given(names, names)
@example("%2E", ".")
@example("a/b", "a%2Fb")
@example("", "%")
@example("x" * 63 + "~" + hashlib.sha256(b"x" * 129).hexdigest(), "x" * 129)
def test_no_two_names_become_the_same_part(one: str, other: str) -> None:
    assert (safe_part(one) == safe_part(other)) == (one == other)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "a\n", "x" * 129])
def test_what_no_name_becomes_is_no_part(name: str) -> None:
    assert not is_part(name)


def test_a_key_becomes_team_project_experiment_version() -> None:
    assert prefix_parts(StoreKey("t", "p", "e 1", "mo1")) == ("t", "p", "e%201", "mo1")
    assert prefix_parts(StoreKey("t", "p", None, "mo1")) == ("t", "p", "uploads", "mo1")


@given(st.tuples(names, names, st.none() | names, names))
def test_a_url_leads_back_to_its_parts(key: tuple[str, str, str | None, str]) -> None:
    parts = prefix_parts(StoreKey(*key))
    assert parts_of("file:///root", url_of("file:///root", parts)) == parts


@given(st.one_of(any_text, st.text("abm/.%2E:del", max_size=30).map("file:///root/".__add__)))
@example("file:///root/a/b/c/d/model/")
@example("file:///root/a/b/c/d/model?x")
@example("file:///root/a/b/c/%64/model")
@example("file:///root/a/b/../d/model")
@example("file:///root/a/b/%2e%2e/d/model")
@example("file:///root2/a/b/c/d/model")
def test_no_other_text_leads_to_parts(url: str) -> None:
    try:
        parts = parts_of("file:///root", url)
    except StorageUnavailable:
        return
    assert url_of("file:///root", parts) == url


def test_the_path_of_a_file_is_its_folders_and_its_name() -> None:
    assert file_parts("a/.../b.c") == ["a", "...", "b.c"]
