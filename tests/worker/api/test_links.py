"""Links that open one file for a while."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from worker.api.links import LINK_SECONDS, PATH, Opened, link, opens

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_800_000_000.0

texts = st.text(min_size=1, max_size=20)
things = st.builds(Opened, texts, texts, texts)


def parts(address: str) -> tuple[Opened, int, str]:
    """Return what a server reads out of a link."""
    split = urlsplit(address)
    team, version_id, *path = split.path.removeprefix(PATH + "/").split("/")
    query = parse_qs(split.query)
    opened = Opened(unquote(team), unquote(version_id), "/".join(unquote(part) for part in path))
    return opened, int(query["expires"][0]), query["signature"][0]


@given(things, things)
def test_a_link_opens_the_file_that_it_was_made_for_until_its_time_is_over_and_nothing_else(one: Opened, other: Opened) -> None:
    opened, expires, signature = parts(link(KEY, one, NOW))
    assert (opened, expires) == (one, NOW + LINK_SECONDS)
    assert opens(KEY, one, expires, signature, NOW + LINK_SECONDS - 1)
    assert not opens(KEY, one, expires, signature, NOW + LINK_SECONDS)
    assert not opens(KEY, one, expires + 1, signature, NOW)
    assert not opens(OTHER, one, expires, signature, NOW)
    assert not opens(KEY, one, expires, signature[:-1], NOW)
    assert not opens(KEY, replace(one, path=one.path + "x"), expires, signature, NOW)
    assert opens(KEY, other, expires, signature, NOW) == (one == other)


def test_names_that_run_together_are_not_the_same() -> None:
    _, expires, signature = parts(link(KEY, Opened("ab", "c", "d"), NOW))
    assert not opens(KEY, Opened("a", "bc", "d"), expires, signature, NOW)
    assert not opens(KEY, Opened("ab", "c/d", ""), expires, signature, NOW)
