"""Looking at deliveries, all of one team: what others were told of what happened, and what they have not taken yet."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from worker.api.auth import Reader
from worker.api.pages import Limit, Text, page_reply
from worker.api.schemas import DeliveryPage, answers
from worker.api.service import Inside
from worker.delivery import DeliveryQuery, DeliveryState
from worker.errors import RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.views import delivery_row

FILTERS = {"state", "destination", "versionId"}

Version = Annotated[str | None, Query(alias="versionId", max_length=MAX_ID_CHARACTERS)]

router = APIRouter(prefix="/v1", tags=["deliveries"])


@router.get("/deliveries", responses=answers(DeliveryPage, 401, 403, 422, 503))
def list_deliveries(
    request: Request,
    caller: Reader,
    service: Inside,
    state: DeliveryState | None = None,
    destination: Text = None,
    version: Version = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List deliveries, newest first. `next` is the address of the next page, null on the last."""
    outbox = service.registry.outbox
    if after is not None and outbox.delivery(caller.team, after) is None:
        raise RejectedEvent(f"after: there is no delivery {after[:80]!a}")
    found = outbox.deliveries(DeliveryQuery(caller.team, state, destination, version, after, limit + 1))
    return page_reply(request, "deliveries", found, limit, FILTERS, delivery_row)
