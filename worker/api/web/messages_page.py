"""The page of the messages that no worker could read: their bytes as text that does nothing, and how to be rid of them.

They are of no team, so only who looks after all teams sees them.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from worker.api import undecodable
from worker.api.pages import Text
from worker.api.service import Inside
from worker.api.web.render import is_part, page
from worker.api.web.visitors import Fields, Overseer
from worker.errors import NotFound, RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.operations import MAX_NOTE_CHARACTERS
from worker.stranded import MAX_KEPT

MOST = 50
"""Messages on the page, the newest."""

Count = Annotated[int, Query(ge=0, le=MAX_KEPT)]

router = APIRouter(tags=["page"])


@router.get("/operations/messages", include_in_schema=False)
def show_messages(
    request: Request, visit: Overseer, service: Inside, ask: Text = None, done: Text = None, count: Count = 0
) -> Response:
    """Show what was set aside; as a part, how much that is, for the page of operations."""
    if is_part(request):
        return page(request, "messages_count.html", kept=service.set_aside.count())
    aside = service.set_aside.look(MOST)
    asked = None if ask in (None, "all") else service.set_aside.find(ask or "")
    if ask not in (None, "all") and asked is None:
        raise NotFound(f"there is no message {(ask or '')[:80]!a}")
    context: dict[str, Any] = {
        "aside": aside,
        "ask": "" if ask is None or not aside.kept else ask,
        "asked": asked,
        "done": f"{count:,} {'was' if count == 1 else 'were'} removed." if done else "",
        "now": service.clock.now(),
        "longest_note": MAX_NOTE_CHARACTERS,
    }
    return page(request, "messages.html", "Operations", **context)


@router.post("/operations/messages/discard", include_in_schema=False)
def discard_messages(visit: Overseer, service: Inside, fields: Fields) -> Response:
    """Remove one of them, or all."""
    id = fields.get("id", "")
    if bool(id) == (fields.get("all") == "yes") or len(id) > MAX_ID_CHARACTERS:
        raise RejectedEvent("expected the id of a message, or all, and not both")
    removed = undecodable.remove(service, visit.caller, id or None, fields.get("note"))
    return RedirectResponse(f"/operations/messages?{urlencode({'done': 'yes', 'count': removed})}", 303)
