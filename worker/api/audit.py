"""The log of what people did, for those who steer a team."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from worker.api.auth import Operator
from worker.api.pages import Limit, Text, page_reply
from worker.api.schemas import AuditPage, answers
from worker.api.service import Inside
from worker.records import Action, AuditQuery
from worker.views import audit_json

FILTERS = ("who", "action")

router = APIRouter(prefix="/v1", tags=["audit"])


@router.get("/audit", responses=answers(AuditPage, 401, 403, 422, 503))
def list_audit(
    request: Request,
    caller: Operator,
    service: Inside,
    who: Text = None,
    action: Action | None = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List what people did in the team, newest first; `who` is a name as a line has it, or a token's id. `next` is the address
    of the next page, null on the last.
    """
    found = service.registry.audit(AuditQuery(caller.team, who, action, after, limit + 1))
    return page_reply(request, "audit", found, limit, FILTERS, audit_json)
