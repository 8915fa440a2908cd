"""Cookies that nobody else can write, and links that sign in once."""

from __future__ import annotations

import string
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from worker.api.web.sessions import (
    LINK_SECONDS,
    SESSION_SECONDS,
    OnceOnly,
    OneTimeLink,
    Session,
    cookie_of,
    form_token,
    is_form_token,
    link_in,
    new_link,
    new_session,
    session_in,
)

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_800_000_000.0

digests = st.one_of(st.none(), st.text(string.hexdigits, min_size=64, max_size=64))
sessions = st.builds(Session, digests, st.integers(1, 2**40), st.text(string.hexdigits, max_size=32))
changes = st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(string.ascii_letters + string.digits + ".-_=é\ud800"))


def zeros(size: int) -> bytes:
    return bytes(size)


def changed(text: str, change: tuple[float, str]) -> str:
    place = int(change[0] * len(text))
    return text[:place] + change[1] + text[place + 1 :]


@given(sessions, changes)
def test_a_session_is_read_as_it_was_made_until_its_time_is_over_and_not_at_all_with_any_character_changed(
    session: Session, change: tuple[float, str]
) -> None:
    cookie = cookie_of(KEY, session)
    assert session_in(KEY, cookie, session.ends - 1) == session
    assert session_in(KEY, cookie, session.ends) is None
    assert session_in(OTHER, cookie, 0) is None
    other = changed(cookie, change)
    assert other == cookie or session_in(KEY, other, 0) is None


@given(sessions, sessions, changes)
def test_what_opens_a_form_of_one_session_opens_no_form_of_another(
    session: Session, other: Session, change: tuple[float, str]
) -> None:
    token = form_token(KEY, session)
    assert is_form_token(KEY, session, token)
    assert is_form_token(KEY, other, token) == (session == other)
    assert not is_form_token(OTHER, session, token)
    assert changed(token, change) == token or not is_form_token(KEY, session, changed(token, change))
    assert not is_form_token(KEY, session, "")


@given(changes)
def test_a_link_signs_in_until_its_time_is_over_and_not_at_all_with_any_character_changed(change: tuple[float, str]) -> None:
    text = new_link(KEY, NOW, zeros)
    assert link_in(KEY, text, NOW + LINK_SECONDS - 1) == OneTimeLink(int(NOW), "00" * 16)
    assert link_in(KEY, text, NOW + LINK_SECONDS) is None
    assert link_in(OTHER, text, NOW) is None
    assert changed(text, change) == text or link_in(KEY, changed(text, change), NOW) is None


def test_a_session_lasts_for_twelve_hours() -> None:
    session = new_session(None, NOW, zeros)
    assert session == Session(None, int(NOW) + 12 * 3600, "00" * 16)
    assert SESSION_SECONDS == 43_200


def test_what_was_signed_for_one_purpose_is_nothing_for_another() -> None:
    assert session_in(KEY, new_link(KEY, NOW, zeros), NOW) is None
    assert link_in(KEY, cookie_of(KEY, new_session(None, NOW, zeros)), NOW) is None
    assert session_in(KEY, "", NOW) is session_in(KEY, ".", NOW) is None


def test_a_link_is_used_once_and_never_where_it_is_older_than_who_remembers() -> None:
    once, link = OnceOnly(NOW), OneTimeLink(int(NOW), "a")
    assert once.use(link, NOW)
    assert not once.use(link, NOW)
    assert once.use(replace(link, nonce="b"), NOW)
    assert not once.use(OneTimeLink(int(NOW) - 1, "c"), NOW)
    assert not once.use(link, NOW + LINK_SECONDS - 1)
