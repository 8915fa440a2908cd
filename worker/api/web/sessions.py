"""Sessions of browsers: who signed in, until when, in a cookie that nobody else can write; and links that sign in once.

A cookie says which token signed in, by the digest that is kept of it, or that it was a link of this machine; when it ends; and
a random word that makes it unlike any other. It is signed with a key made from the registry's, so every server that shares the
registry knows it, and nothing is kept on a server. What the token may do, and whether it is still valid, is asked of the
registry at each request: a cookie is no more than a token that was shown once. Pure; key, time and randomness are given.

Laws (each has a test of the same name):
    a session is read as it was made until its time is over, and not at all with any character changed;
    what opens a form of one session opens no form of another;
    a link signs in until its time is over, and not at all with any character changed.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

COOKIE = "modelport_session"
"""The name of the cookie."""

SESSION_SECONDS = 12 * 3600
"""How long a session lasts: a long day of work. It is not prolonged."""

LINK_SECONDS = 12 * 3600
"""How long a link that nobody used yet can be used: it is printed at the start, and may be wanted hours later."""

LINK_PATH = "/sign-in/once"

NONCE_BYTES = 16

RandomBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that signed in: with the token of *digest*, or by a link of this machine for None. It *ends* at a time in
    seconds since 1970.
    """

    digest: str | None
    ends: int
    nonce: str


@dataclass(frozen=True, slots=True)
class OneTimeLink:
    """What a link that signs in once says: when it was *made*, in seconds since 1970, and a random word."""

    made: int
    nonce: str


def new_session(digest: str | None, now: float, random_bytes: RandomBytes) -> Session:
    """Return a session that begins *now*."""
    return Session(digest, int(now) + SESSION_SECONDS, random_bytes(NONCE_BYTES).hex())


def cookie_of(key: bytes, session: Session) -> str:
    """Return *session* as the value of a cookie."""
    return _sealed(key, "session", [session.digest, session.ends, session.nonce])


def session_in(key: bytes, cookie: str, now: float) -> Session | None:
    """Return the session in the value of a cookie; None where it is not one of ours, or its time is over."""
    said = _opened(key, "session", cookie)
    session = None if said is None else Session(*said)
    return session if session is not None and now < session.ends else None


def form_token(key: bytes, session: Session) -> str:
    """Return what a form of this session must bring to be believed."""
    return _signature(key, "form", cookie_of(key, session))


def is_form_token(key: bytes, session: Session, token: str) -> bool:
    """Tell whether *token* is that of this session; the answer takes as long wherever they differ."""
    return hmac.compare_digest(form_token(key, session).encode(), token.encode("utf-8", "surrogatepass"))


def link_address(key: bytes, now: float, random_bytes: RandomBytes) -> str:
    """Return the address, below the server's own, of a new link."""
    return f"{LINK_PATH}?link={new_link(key, now, random_bytes)}"


def new_link(key: bytes, now: float, random_bytes: RandomBytes) -> str:
    """Return what the address of a link that signs in once ends with."""
    return _sealed(key, "link", [int(now), random_bytes(NONCE_BYTES).hex()])


def link_in(key: bytes, text: str, now: float) -> OneTimeLink | None:
    """Return what the link says, used or not (`OnceOnly` knows); None where it is not one of ours, or its time is over."""
    said = _opened(key, "link", text)
    link = None if said is None else OneTimeLink(*said)
    return link if link is not None and now < link.made + LINK_SECONDS else None


class OnceOnly:
    """Remembers which links were used since *started*. Links that are older opened nothing then, and open nothing now: whether
    they were used is not known.

    It is one process's memory: a door that stands open to this machine alone is one process.
    """

    def __init__(self, started: float) -> None:
        self._started = int(started)
        self._used: dict[str, int] = {}

    def use(self, link: OneTimeLink, now: float) -> bool:
        """Tell whether the link may be used, and remember that it was."""
        self._used = {nonce: made for nonce, made in self._used.items() if now < made + LINK_SECONDS}
        if link.made < self._started or link.nonce in self._used:
            return False
        self._used[link.nonce] = link.made
        return True


def _sealed(key: bytes, what: str, values: list[Any]) -> str:
    text = urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"{text}.{_signature(key, what, text)}"


def _opened(key: bytes, what: str, sealed: str) -> list[Any] | None:
    """Return the values in what was sealed with this key for this purpose, None for anything else."""
    text, _, signature = sealed.partition(".")
    if not hmac.compare_digest(_signature(key, what, text).encode(), signature.encode("utf-8", "surrogatepass")):
        return None
    values = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert isinstance(values, list)
    return values


def _signature(key: bytes, what: str, text: str) -> str:
    """Return the signature of *text* for one purpose: what was signed for another is nothing here."""
    purpose = hmac.new(key, f"modelport page {what}".encode(), "sha256").digest()
    return hmac.new(purpose, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
