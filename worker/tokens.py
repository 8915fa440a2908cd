"""What opens the door: making a token, telling a whole one from a typo, and what a kept one allows.

A token is `mp_`, 43 characters for 32 random bytes, and 6 for their checksum, so that a typo and a secret scanner see what it
is without asking anybody. It is shown once; what is kept is its SHA-256, which is enough: nobody guesses 256 random bits.
Pure; the random bytes and the time are given, the keeping is left to the registry.

Laws (each has a test of the same name):
    a token that was made is whole, and with any one character changed, lost or doubled it is not;
    what is kept of a token does not open the door.
"""

from __future__ import annotations

import hashlib
import hmac
import string
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from worker.errors import RejectedEvent
from worker.records import Token, TokenScope

PREFIX = "mp_"
RANDOM_BYTES = 32
BODY_CHARS = 43
"""Digits in base 62 of the largest number of 32 bytes."""

CHECK_CHARS = 6
"""Digits in base 62 of the largest CRC-32."""

TOKEN_CHARS = len(PREFIX) + BODY_CHARS + CHECK_CHARS

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase

TOUCH_SECONDS = 60
"""How exactly it is known when a token was used last: noting it costs a write."""

ALL_SCOPES = frozenset(TokenScope)


def make(random_bytes: bytes) -> str:
    """Return the token of 32 random bytes.

    Raises:
        ValueError: they are not 32.
    """
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"expected {RANDOM_BYTES} random bytes, found {len(random_bytes)}")
    body = _in_base_62(int.from_bytes(random_bytes), BODY_CHARS)
    return PREFIX + body + _check_of(body)


def is_whole(text: str) -> bool:
    """Tell whether *text* looks like a token that lost nothing on its way; whether anybody knows it, the registry tells."""
    if len(text) != TOKEN_CHARS or not text.startswith(PREFIX) or not set(text[len(PREFIX) :]) <= set(DIGITS):
        return False
    body, check = text[len(PREFIX) : -CHECK_CHARS], text[-CHECK_CHARS:]
    return hmac.compare_digest(_check_of(body), check)


def digest(token: str) -> str:
    """Return what is kept of a token: its SHA-256 in lower-case hex."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def opens(token: str, kept: Token) -> bool:
    """Tell whether *kept* is what is kept of *token*; the answer takes as long wherever the two differ."""
    return hmac.compare_digest(digest(token), kept.digest)


def is_expired(kept: Token, now: datetime) -> bool:
    """Tell whether the time of a token is over at *now*."""
    return kept.expires is not None and kept.expires <= now


def is_valid(kept: Token, now: datetime) -> bool:
    """Tell whether a token opens the door at *now*: it was not revoked, and its time is not over."""
    return kept.revoked is None and not is_expired(kept, now)


def is_worth_noting(kept: Token, now: datetime) -> bool:
    """Tell whether it is to be written down that a token is used at *now*: it is valid, and the last note is old enough."""
    is_old = kept.last_used is None or kept.last_used + timedelta(seconds=TOUCH_SECONDS) <= now
    return is_old and is_valid(kept, now)


def allows(held: Iterable[TokenScope], wanted: Iterable[TokenScope]) -> bool:
    """Tell whether who holds the scopes *held* may do what any one of *wanted* suffices for; `admin` is every scope
    of a team, and so not `operate:all`."""
    scopes = frozenset(held)
    if TokenScope.ADMIN in scopes:
        scopes |= ALL_SCOPES - {TokenScope.OPERATE_ALL}
    return not scopes.isdisjoint(wanted)


def scopes_of(words: Iterable[str]) -> frozenset[TokenScope]:
    """Return the scopes that *words* name.

    Raises:
        RejectedEvent: a word is none, or there is no word.
    """
    known = {scope.value: scope for scope in TokenScope}
    given = list(words)
    wrong = [word for word in given if word not in known]
    if wrong or not given:
        raise RejectedEvent(f"scope: expected one or more of {', '.join(known)}, found {wrong[0] if wrong else 'nothing'}")
    return frozenset(known[word] for word in given)


def _check_of(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode("ascii")), CHECK_CHARS)


def _in_base_62(number: int, chars: int) -> str:
    """Return *number* in base 62, filled with zeros to *chars* digits."""
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, len(DIGITS))
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))
