"""Who calls, and whether they may: each route declares a `Policy`, and `app` does not start with one that has none.

A token comes as `Authorization: Bearer` or `X-API-Key`, never in an address. It speaks for one team, and every look into the
registry is for that team, so that what another team has is not there: the same 404, byte for byte, as for what nobody has.

Without any token the door stands open to this machine alone, if it listens to no other. A page that a browser shows can send
requests to this machine too, so whoever brings no token must come by a name of this machine, from no foreign page, and through
no proxy (docs/decisions/0009).

Source: RFC 6750 for the header and its answers; RFC 6454 for `Origin`; W3C Fetch Metadata for `Sec-Fetch-Site`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from worker import tokens
from worker.api.desk import Desk, Known, desk_of
from worker.api.limits import address_of, count_call, count_failure
from worker.api.links import Signed
from worker.api.problems import Problem
from worker.api.service import is_loopback
from worker.records import DEFAULT_TEAM, Token, TokenScope

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Who comes with one of these came from somewhere else first."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request speaks for: its team, what it may do there, and how histories name it."""

    team: str
    scopes: frozenset[TokenScope]
    name: str


ANYBODY_HERE = Caller(DEFAULT_TEAM, tokens.ALL_SCOPES, "somebody at this machine")
"""Who calls an embedded server that nobody made a token for."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a route asks of who calls it: one of *scopes*, or all of them if it *needs_all*, and, if it *is_limited*, not too
    often. Used as a dependency it gives the caller.
    """

    scopes: frozenset[TokenScope]
    is_limited: bool = True
    needs_all: bool = False

    async def __call__(self, request: Request, desk: Annotated[Desk, Depends(desk_of)]) -> Caller:
        try:
            caller = await caller_of(request.headers, desk)
        except Problem:
            count_failure(request)
            raise
        return self.counted(request, caller)

    def counted(self, request: Request, caller: Caller) -> Caller:
        """Return *caller*, who may do what one of the scopes is for, and does not come too often.

        Raises:
            Problem: may not, or comes too often.
        """
        if self.is_limited:
            count_call(request, address_of(request) if caller is ANYBODY_HERE else caller.name)
        return self.admitted(caller)

    def admitted(self, caller: Caller) -> Caller:
        """Return *caller*, who may do what one of the scopes is for.

        Raises:
            Problem: may not.
        """
        if not self.is_met_by(caller.scopes):
            wanted = sorted(scope.value for scope in self.scopes)
            challenge = f'Bearer realm="modelport", error="insufficient_scope", scope="{" ".join(wanted)}"'
            detail = f"the token lacks the scope {(' and ' if self.needs_all else ' or ').join(wanted)}"
            raise Problem(403, "insufficient-scope", detail, {"WWW-Authenticate": challenge})
        return caller

    def is_met_by(self, held: frozenset[TokenScope]) -> bool:
        """Tell whether who holds the scopes *held* may come in."""
        if self.needs_all:
            return all(tokens.allows(held, {scope}) for scope in self.scopes)
        return tokens.allows(held, self.scopes)


@dataclass(frozen=True, slots=True)
class Public:
    """The policy of a route that asks nobody who they are: it tells nothing of any team."""

    async def __call__(self) -> None:
        return None


PUBLIC = Depends(Public())

OVERSEES = frozenset({TokenScope.OPERATE, TokenScope.OPERATE_ALL})

Reporter = Annotated[Caller, Depends(Policy(frozenset({TokenScope.COMPLETION_WRITE}), is_limited=False))]
Writer = Annotated[Caller, Depends(Policy(frozenset({TokenScope.MODEL_WRITE})))]
Operator = Annotated[Caller, Depends(Policy(frozenset({TokenScope.OPERATE})))]
Reader = Annotated[Caller, Depends(Policy(frozenset({TokenScope.MODEL_READ, TokenScope.OPERATE})))]
Watcher = Annotated[Caller, Depends(Policy(frozenset({TokenScope.OPERATE_ALL}), is_limited=False))]
Overseer = Annotated[Caller, Depends(Policy(OVERSEES, needs_all=True))]
Asker = Annotated[Caller, Depends(Policy(frozenset({TokenScope.MODEL_READ, TokenScope.OPERATE, TokenScope.COMPLETION_WRITE})))]
"""Callers, by what they must be allowed to do. An overseer both steers and watches all teams: a token that was made to read
figures does not. An asker may also be who reported a completion and wants to know its end. A
reporter is never told to come later: what ends does so when it ends, ten thousand at once if it must be. Nor is a watcher,
which is a machine and may be several.
"""


def policy_of(route: APIRoute) -> Policy | Public | Signed | None:
    """Return the policy that *route* declares, None where it forgot to."""
    return _policy_in(route.dependant)


def _policy_in(dependant: Dependant) -> Policy | Public | Signed | None:
    for one in dependant.dependencies:
        found = one.call if isinstance(one.call, (Policy, Public, Signed)) else _policy_in(one)
        if found is not None:
            return found
    return None


async def caller_of(headers: Mapping[str, str], desk: Desk) -> Caller:
    """Return whom a request with these headers speaks for.

    Raises:
        Problem: it brings no token where one is needed, or one that opens nothing.
    """
    secret = secret_in(headers)
    if secret is not None:
        return caller_by(await known_token(secret, desk))
    if not desk.service.is_loopback or (await desk.known(None)).has_tokens:
        raise unauthorized("a token is needed, as Authorization: Bearer or X-API-Key")
    if not _is_from_here(headers):
        raise unauthorized("without a token only programs of this machine are served; make one with `modelport token create`")
    return ANYBODY_HERE


def secret_in(headers: Mapping[str, str]) -> str | None:
    """Return the token that a request brings, None where it brings none."""
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key")


async def known_token(secret: str, desk: Desk) -> Known:
    """Return what is known of the token *secret*, valid or not.

    Raises:
        Problem: it is no token, or nobody knows it.
    """
    if not tokens.is_whole(secret):
        raise unauthorized("this is no token: a character is wrong, or part of it is missing", "invalid_token")
    known = await desk.known(tokens.digest(secret))
    if known.token is None or not tokens.opens(secret, known.token):
        raise unauthorized("nobody knows this token", "invalid_token")
    return known


def caller_by(known: Known) -> Caller:
    """Return whom a token that is known speaks for.

    Raises:
        Problem: it was revoked, or its time is over.
    """
    kept = known.token
    if kept is None:
        raise unauthorized("nobody knows this token", "invalid_token")
    if kept.revoked is not None:
        raise unauthorized("this token was revoked", "invalid_token")
    if tokens.is_expired(kept, known.at):
        raise unauthorized("the time of this token is over", "invalid_token")
    return Caller(kept.team, kept.scopes, _called(kept))


def _called(token: Token) -> str:
    return f"the token {token.name} ({token.id})"


def unauthorized(detail: str, error: str | None = None) -> Problem:
    """Return the answer to who is not known, or brings what opens nothing."""
    challenge = 'Bearer realm="modelport"' + (f', error="{error}"' if error else "")
    return Problem(401, "unauthorized", detail, {"WWW-Authenticate": challenge})


def _is_from_here(headers: Mapping[str, str]) -> bool:
    """Tell whether a program of this machine made the request by itself, not for a page from elsewhere or through a proxy."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    return is_sent_here(headers) and _is_here(headers.get("origin", "//localhost"))


def is_sent_here(headers: Mapping[str, str]) -> bool:
    """Tell whether a request was sent to a name of this machine, and through no proxy."""
    return not any(name in headers for name in PROXY_HEADERS) and _is_here("//" + headers.get("host", ""))


def _is_here(address: str) -> bool:
    try:
        return is_loopback(urlsplit(address).hostname or "")
    except ValueError:
        return False
