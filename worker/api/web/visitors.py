"""Who looks at a page, and whether they may: a browser that signed in, or a program that brings its token in a header.

Each route of the pages declares a `PagePolicy` as other routes declare a `Policy`; the same scopes open it, and the same
caller comes out. What a browser sends by itself proves nothing: a request that changes something must come from a page of ours,
by what the browser says and by a token that only our forms know.

Source: W3C Fetch Metadata for `Sec-Fetch-Site`; RFC 6454 for `Origin`; RFC 6265 for cookies.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import Depends, Request, Response

from worker.api.auth import (
    ANYBODY_HERE,
    OVERSEES,
    Caller,
    Policy,
    caller_by,
    is_sent_here,
    known_token,
    secret_in,
    unauthorized,
)
from worker.api.bodies import bounded, media_type
from worker.api.desk import Desk, desk_of
from worker.api.limits import count_failure
from worker.api.problems import READS, Problem
from worker.api.service import Service, service_of
from worker.api.web.sessions import (
    COOKIE,
    SESSION_SECONDS,
    Session,
    cookie_of,
    form_token,
    is_form_token,
    new_session,
    session_in,
)
from worker.records import TokenScope

FORM_FIELD, FORM_HEADER = "csrf", "x-csrf-token"
"""Where a form, or a request of htmx, brings the token that only our pages know."""

FORM = "application/x-www-form-urlencoded"

SIGN_IN_FIRST = "sign in first"


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who looks at a page: the *caller*, what the page calls them, and the token for forms.

    csrf is empty for a program that brought its token: it needs none. is_local is who came by a link of this machine.
    """

    caller: Caller
    who: str
    csrf: str
    is_local: bool = False


def key_of(service: Annotated[Service, Depends(service_of)]) -> bytes:
    """Return what cookies and links are signed with. A plain function: the first look asks the database."""
    return service.registry.signing_key()


Key = Annotated[bytes, Depends(key_of)]


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent, the last of each name. It is read once, whoever asks.

    Raises:
        Problem: it is too long, or is none.
    """
    known: dict[str, str] | None = getattr(request.state, "fields", None)
    if known is None:
        if media_type(request.headers) != FORM:
            raise Problem(415, "unsupported-media-type", f"content-type: expected {FORM}")
        text = (await bounded(request)).decode("utf-8", "replace")
        try:
            found = parse_qs(text, keep_blank_values=True, max_num_fields=1000)
        except ValueError as exc:
            raise Problem(400, "malformed", "the form has too many fields") from exc
        known = request.state.fields = {name: values[-1] for name, values in found.items()}
    return known


Fields = Annotated[dict[str, str], Depends(fields_of)]


async def brought_by(request: Request) -> str:
    """Return the token for forms that *request* brings in a header or in a plain form; empty for none.

    Raises:
        Problem: it brings none in a header, and is no plain form.
    """
    header = request.headers.get(FORM_HEADER)
    return header if header is not None else (await fields_of(request)).get(FORM_FIELD, "")


@dataclass(frozen=True, slots=True)
class PagePolicy(Policy):
    """What a page asks of who looks at it: one of the scopes. Used as a dependency it gives the visit, which the page's
    template finds too. *brought* reads the token of the form that a request brings.
    """

    brought: Callable[[Request], Awaitable[str]] = field(default=brought_by)

    async def __call__(self, request: Request, desk: Annotated[Desk, Depends(desk_of)], key: Key) -> Visit:  # type: ignore[override]
        try:
            visit = await visit_of(request, desk, key, self.brought)
        except Problem:
            if secret_in(request.headers) is not None:
                count_failure(request)
            raise
        request.state.visit = visit
        self.counted(request, visit.caller)
        return visit


Visitor = Annotated[Visit, Depends(PagePolicy(frozenset({TokenScope.MODEL_READ, TokenScope.OPERATE})))]
Editor = Annotated[Visit, Depends(PagePolicy(frozenset({TokenScope.MODEL_WRITE})))]
Overseer = Annotated[Visit, Depends(PagePolicy(OVERSEES, needs_all=True))]
Steward = Annotated[Visit, Depends(PagePolicy(frozenset({TokenScope.OPERATE})))]
Anybody = Annotated[Visit, Depends(PagePolicy(frozenset(TokenScope)))]
"""Who looks at pages, who may change models, who looks after all teams, who may steer the queue, and whoever signed in."""


async def visit_of(
    request: Request, desk: Desk, key: bytes, brought: Callable[[Request], Awaitable[str]] = brought_by
) -> Visit:
    """Return who sent *request*.

    Raises:
        Problem: nobody signed in, the session is over, or the request changes something and is not from a page of ours.
    """
    secret = secret_in(request.headers)
    if secret is not None:
        caller = caller_by(await known_token(secret, desk))
        return Visit(caller, f"{caller.team} · {caller.name}", "")
    cookie = request.cookies.get(COOKIE)
    session = None if cookie is None else session_in(key, cookie, desk.service.clock.now().timestamp())
    if session is None:
        raise unauthorized(SIGN_IN_FIRST if cookie is None else f"your session is over; {SIGN_IN_FIRST}")
    visit = await _visit_in(session, request, desk, key)
    if request.method not in READS:
        check_origin(request)
        if not is_form_token(key, session, await brought(request)):
            raise Problem(403, "not-our-form", "this form is not of your session; reload the page and send it again")
    return visit


async def _visit_in(session: Session, request: Request, desk: Desk, key: bytes) -> Visit:
    """Return whose session it is, as of now.

    Raises:
        Problem: its token was revoked or its time is over; or it was a link of this machine, and that is not enough any more.
    """
    csrf = form_token(key, session)
    if session.digest is not None:
        known = await desk.known(session.digest)
        caller = caller_by(known)
        return Visit(caller, f"{caller.team} · {known.token.name}" if known.token else caller.team, csrf)
    if not desk.service.is_loopback or (await desk.known(None)).has_tokens:
        raise unauthorized("there are tokens now; sign in with one")
    if not is_sent_here(request.headers):
        raise unauthorized("without a token only this machine is served")
    return Visit(ANYBODY_HERE, "local · one user", csrf, is_local=True)


def check_origin(request: Request) -> None:
    """Return where the browser says that a page of ours sent *request*.

    Raises:
        Problem: it says otherwise, or nothing.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_ours = site == "same-origin" if origin is None else _netloc(origin) == request.headers.get("host")
    if not is_ours or site not in (None, "same-origin"):
        raise Problem(403, "not-our-page", "this was not sent by a page of ours; nothing was done")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def sign_in(request: Request, answer: Response, key: bytes, digest: str | None, now: float) -> None:
    """Let *answer* begin a session of the token of *digest*, None for somebody at this machine."""
    cookie = cookie_of(key, new_session(digest, now, os.urandom))
    answer.set_cookie(
        COOKIE, cookie, max_age=SESSION_SECONDS, httponly=True, samesite="lax", path="/", secure=is_secure(request)
    )


def sign_out(request: Request, answer: Response) -> None:
    """Let *answer* end the session of its browser."""
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=is_secure(request))


def is_secure(request: Request) -> bool:
    """Tell whether the browser came by https, to us or to a proxy in front; a sender who lies harms its own cookie alone."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").strip().lower() == "https"
