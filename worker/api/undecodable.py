"""The messages that no worker could read: they are of no team, so only who looks after all of them sees and removes them."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from worker import operations
from worker.api.auth import Caller, Overseer
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.pages import Text
from worker.api.problems import reply
from worker.api.queue import note_in
from worker.api.schemas import MESSAGES_BODY, Removed, UndecodableMessages, answers
from worker.api.service import Inside, Service
from worker.errors import NotFound, RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.fields import flag, object_with, text
from worker.views import aside_json, stranded_json

MOST = 100
"""Messages of one answer."""

router = APIRouter(prefix="/v1", tags=["queue"])
log = structlog.get_logger("modelport.api")


@router.get("/queue/undecodable", responses=answers(UndecodableMessages, 401, 403, 404, 422, 503))
def list_undecodable(
    caller: Overseer, service: Inside, id: Text = None, limit: Annotated[int, Query(ge=1, le=MOST)] = 20
) -> Response:
    """List the messages that no worker could read, newest first; the one with this `id` with all bytes that are kept of it."""
    if id is None:
        return reply(aside_json(service.set_aside.look(limit)))
    found = service.set_aside.find(id)
    if found is None:
        raise NotFound(f"there is no message {id[:80]!a}")
    return reply(aside_json(service.set_aside.look(0)) | {"messages": [stranded_json(found, is_whole=True)]})


@router.post(
    "/queue/undecodable/discard",
    responses=answers(Removed, 400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra={"requestBody": MESSAGES_BODY},
)
def discard_undecodable(request: Request, caller: Overseer, body: Body, service: Inside) -> Response:
    """Remove a message that no worker could read, or all of them. No work is lost with them: each was only a bell."""
    expect(media_type(request.headers), JSON)
    said = object_with("the body", json_of(body), ("id", "all", "note"))
    id, is_all, note = text(said, "id", MAX_ID_CHARACTERS), flag(said, "all"), note_in(said)
    if (id is None) != is_all:
        raise RejectedEvent("the body: expected the id of a message, or all, and not both")
    return reply({"removed": remove(service, caller, id, note)})


def remove(service: Service, caller: Caller, message_id: str | None, note: str | None) -> int:
    """Remove a message for *caller*, who may do so, None for all; log it, and return how many that were."""
    now, registry = service.clock.now(), service.registry
    removed = operations.remove_messages(service.set_aside, registry, caller.team, message_id, caller.name, now, note)
    log.warning("messages removed", count=removed, message=message_id, who=caller.name)
    return removed
