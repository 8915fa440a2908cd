"""Signing in with a token or a link of this machine, and signing out.

A token is pasted into a form and never stands in an address. Where nobody made a token and the door stands open to this machine
alone, a link that the terminal shows signs in once (docs/decisions/0015).
"""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from worker.api.auth import PUBLIC, caller_by, is_sent_here, known_token
from worker.api.desk import Desk, desk_of
from worker.api.limits import count_failure
from worker.api.problems import Problem
from worker.api.web.failures import sign_in_page
from worker.api.web.sessions import LINK_PATH, OnceOnly, link_in
from worker.api.web.visitors import Anybody, Fields, Key, check_origin, sign_in, sign_out
from worker.tokens import digest

MAX_LINK_CHARACTERS = 300

router = APIRouter(tags=["page"])
log = structlog.get_logger("modelport.api")

AtDesk = Annotated[Desk, Depends(desk_of)]


@router.get("/sign-in", include_in_schema=False, dependencies=[PUBLIC])
async def show_sign_in(request: Request) -> Response:
    """Show the page on which a person signs in."""
    return sign_in_page(request, "")


@router.post("/sign-in", include_in_schema=False, dependencies=[PUBLIC, Depends(check_origin)])
async def take_token(request: Request, fields: Fields, desk: AtDesk, key: Key) -> Response:
    """Begin a session with a token and go on to where the person was."""
    secret, then = fields.get("token", "").strip(), place(fields.get("then", "/"))
    try:
        known = await known_token(secret, desk)
        caller = caller_by(known)
    except Problem as problem:
        count_failure(request)
        return sign_in_page(request, problem.detail, 401, then)
    answer = RedirectResponse(then, 303)
    sign_in(request, answer, key, digest(secret), known.at.timestamp())
    log.info("signed in", team=caller.team, who=caller.name)
    return answer


@router.get(LINK_PATH, include_in_schema=False, dependencies=[PUBLIC])
async def take_link(
    request: Request, desk: AtDesk, key: Key, link: Annotated[str, Query(max_length=MAX_LINK_CHARACTERS)] = ""
) -> Response:
    """Begin a session with a link that the terminal of this machine showed."""
    if not desk.service.is_loopback or (await desk.known(None)).has_tokens or not is_sent_here(request.headers):
        return sign_in_page(request, "a link does not sign in here; a token does", 401)
    now, once = desk.service.clock.now().timestamp(), request.app.state.once
    assert isinstance(once, OnceOnly)
    said = link_in(key, link, now)
    if said is None or not once.use(said, now):
        return sign_in_page(request, "this link was used before, or its time is over; get another", 401)
    answer = RedirectResponse("/", 303)
    sign_in(request, answer, key, None, now)
    log.info("signed in", who="somebody at this machine, by link")
    return answer


@router.post("/sign-out", include_in_schema=False)
async def leave(request: Request, visit: Anybody) -> Response:
    """End the session of this browser."""
    answer = RedirectResponse("/sign-in", 303)
    sign_out(request, answer)
    return answer


def place(then: str) -> str:
    """Return the page of ours to go on to; the first one where *then* names something else."""
    is_ours = then.startswith("/") and not then.startswith(("//", "/\\")) and then.isascii() and then.isprintable()
    return then if is_ours else "/"
