"""Tokens: what a whole one looks like, what is kept of it, and what a kept one allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RejectedEvent
from worker.records import Token, TokenScope
from worker.tokens import DIGITS, allows, digest, is_expired, is_valid, is_whole, is_worth_noting, make, opens, scopes_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

ZEROS = "mp_" + "0" * 43 + "2CZclj"
"""The token of 32 zero bytes: the CRC-32 of 43 zeros is 0x7849568f, which is 2CZclj in base 62."""

ONES = "mp_" + "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1" + "3sRzl1"
"""The token of 32 bytes 0xff."""

TOKENS = st.binary(min_size=32, max_size=32).map(make)


def kept(**changes: object) -> Token:
    token = Token("tk1", "default", "ci", digest(ZEROS), frozenset({TokenScope.MODEL_READ}), NOON)
    return replace(token, **changes)  # type: ignore[arg-type]


def test_a_token_is_its_random_bytes_in_base_62_and_their_checksum() -> None:
    assert make(bytes(32)) == ZEROS
    assert make(b"\xff" * 32) == ONES


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_token_has_32_random_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=f"expected 32 random bytes, found {size}"):
        make(bytes(size))


@given(TOKENS, st.integers(3, 51), st.sampled_from(DIGITS))
def test_a_token_that_was_made_is_whole_and_with_any_one_character_changed_lost_or_doubled_it_is_not(
    token: str, at: int, other: str
) -> None:
    assert is_whole(token)
    assert is_whole(token[:at] + other + token[at + 1 :]) == (token[at] == other)
    assert not is_whole(token[:at] + token[at + 1 :])
    assert not is_whole(token[:at] + token[at] + token[at:])


@pytest.mark.parametrize(
    "text", ["", "mp_", ZEROS.upper(), " " + ZEROS, ZEROS + "\n", "xx_" + ZEROS[3:], "mp_" + "٠" * 49, "mp_" + "\udcff" * 49]
)
def test_what_is_no_token_is_not_whole(text: str) -> None:
    assert not is_whole(text)


@given(TOKENS)
def test_what_is_kept_of_a_token_does_not_open_the_door(token: str) -> None:
    held = kept(digest=digest(token))
    assert opens(token, held)
    assert not opens(held.digest, held)
    assert token not in repr(held)
    assert held.digest not in repr(held)


def test_a_digest_is_a_sha_256_in_hex() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_token_is_valid_until_its_time_is_over_or_it_is_revoked() -> None:
    assert is_valid(kept(), NOON)
    assert is_valid(kept(expires=NOON + SECOND), NOON)
    assert is_expired(kept(expires=NOON), NOON)
    assert not is_valid(kept(expires=NOON), NOON)
    assert not is_valid(kept(revoked=NOON), NOON)


def test_the_use_of_a_valid_token_is_worth_a_note_each_minute() -> None:
    assert is_worth_noting(kept(), NOON)
    assert not is_worth_noting(kept(last_used=NOON), NOON + 59 * SECOND)
    assert is_worth_noting(kept(last_used=NOON), NOON + 60 * SECOND)
    assert not is_worth_noting(kept(revoked=NOON), NOON)


def test_one_of_the_wanted_scopes_suffices_and_admin_is_every_scope() -> None:
    read, write = TokenScope.MODEL_READ, TokenScope.MODEL_WRITE
    assert allows({read}, {read, write})
    assert not allows({read}, {write})
    assert not allows(set(), {read})
    assert not allows({read}, set())
    assert all(allows({TokenScope.ADMIN}, {scope}) for scope in TokenScope if scope is not TokenScope.OPERATE_ALL)
    assert not allows({TokenScope.ADMIN}, {TokenScope.OPERATE_ALL})
    assert not any(allows({scope}, {TokenScope.ADMIN}) for scope in TokenScope if scope is not TokenScope.ADMIN)


def test_scopes_are_read_from_words() -> None:
    assert scopes_of(["model:read", "operate", "operate"]) == {TokenScope.MODEL_READ, TokenScope.OPERATE}


@pytest.mark.parametrize(("words", "found"), [([], "nothing"), (["model:read", "root"], "root"), ([""], "")])
def test_a_word_that_is_no_scope_is_refused_with_those_that_are(words: list[str], found: str) -> None:
    expected = "completion:write, model:read, model:write, operate, operate:all, admin"
    with pytest.raises(RejectedEvent, match=f"^scope: expected one or more of {expected}, found {found}$"):
        scopes_of(words)
