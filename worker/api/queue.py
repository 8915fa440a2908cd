"""The queue as a whole: how it stands, and whether workers begin anything from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from worker import operations, tokens
from worker.api.auth import Caller, Operator, Policy, Reader
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.problems import reply
from worker.api.schemas import PAUSE_BODY, QueuePauses, QueueState, answers
from worker.api.service import Inside, Service
from worker.fields import Object, flag, object_with, text
from worker.records import IngestionState, TokenScope
from worker.views import halt_json, timestamp

OVER_ALL = Policy(frozenset({TokenScope.OPERATE_ALL}))
"""What it takes to steer what all teams share, beside what it takes to steer one's own."""

router = APIRouter(prefix="/v1", tags=["queue"])
log = structlog.get_logger("modelport.api")


@router.get("/queue", responses=answers(QueueState, 401, 403, 422, 503))
def show_queue(caller: Reader, service: Inside) -> Response:
    """Show how many of the team's ingestions stand in each state, what may be worked on now, how many workers live, and whether
    they begin anything.
    """
    queue = service.registry.queue(service.clock.now(), caller.team)
    counted = {
        "states": {state.value: queue.states.get(state, 0) for state in IngestionState},
        "due": queue.due,
        "oldest": None if queue.oldest is None else timestamp(queue.oldest),
        "workers": service.living_workers(),
    }
    return reply(counted | _pauses(caller, service))


@router.post(
    "/queue/pause",
    responses=answers(QueuePauses, 400, 401, 403, 413, 415, 422, 503),
    openapi_extra={"requestBody": PAUSE_BODY},
)
def pause_queue(request: Request, caller: Operator, body: Body, service: Inside) -> Response:
    """Let no worker begin anything of the team, or with `all` of any; what runs goes on, and completions are accepted. Harmless
    where it is so already.
    """
    is_all, note = _asked(request, body, caller)
    pause(service, caller, caller.team, is_all, note)
    return reply(_pauses(caller, service))


@router.post(
    "/queue/resume",
    responses=answers(QueuePauses, 400, 401, 403, 413, 415, 422, 503),
    openapi_extra={"requestBody": PAUSE_BODY},
)
def resume_queue(request: Request, caller: Operator, body: Body, service: Inside) -> Response:
    """Let workers begin again. Harmless where they do; a team stays paused where the queue of all teams is."""
    is_all, note = _asked(request, body, caller)
    resume(service, caller, caller.team, is_all, note)
    return reply(_pauses(caller, service))


def pause(service: Service, caller: Caller, team: str, is_all: bool, note: str | None) -> None:
    """Let no worker begin anything of *team*, or of any if *is_all*, for *caller*, who may do so; and log it."""
    halt = operations.pause(service.registry, team, is_all, caller.name, service.clock.now(), note)
    log.warning("paused", all=is_all, team=team, who=caller.name, by=halt.by, note=halt.note)


def resume(service: Service, caller: Caller, team: str, is_all: bool, note: str | None) -> None:
    """Let workers begin again, and tell them and the log, unless nothing kept them."""
    was = operations.resume(service.registry, team, is_all, caller.name, service.clock.now(), note)
    if was is not None:
        service.ring()
        log.warning("resumed", all=is_all, team=team, who=caller.name, note=note)


def said_in(request: Request, body: bytes, names: Collection[str]) -> Object:
    """Return the members of a *body* that may be left out, which are among *names*.

    Raises:
        Problem, RejectedEvent: it is no such object.
    """
    if not body.strip():
        return {}
    expect(media_type(request.headers), JSON)
    said = json_of(body)
    return {} if said == {} else object_with("the body", said, names)


def note_in(said: Object) -> str | None:
    """Return why somebody does something, None where they do not say."""
    return text(said, "note", operations.MAX_NOTE_CHARACTERS)


def may_steer_all(caller: Caller) -> bool:
    """Tell whether *caller* may steer what all teams share."""
    return tokens.allows(caller.scopes, OVER_ALL.scopes)


def _asked(request: Request, body: bytes, caller: Caller) -> tuple[bool, str | None]:
    """Return whether all teams are meant, and why it is done.

    Raises:
        Problem: all teams are, and *caller* may steer only their own.
    """
    said = said_in(request, body, ("all", "note"))
    is_all = flag(said, "all")
    if is_all:
        OVER_ALL.admitted(caller)
    return is_all, note_in(said)


def _pauses(caller: Caller, service: Service) -> dict[str, Any]:
    """Return whether the team's work is paused, and by what. Who paused all teams is told to who may do so too."""
    found = service.registry.halts(caller.team)
    told = [halt_json(halt, halt.team is not None or may_steer_all(caller)) for halt in found]
    return {"paused": bool(told), "pauses": told}
