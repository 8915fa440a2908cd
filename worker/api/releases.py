"""Letting a version go that a policy keeps from being served.

Who may is whoever may steer the work of the team (`operate`), and not whoever may add models: else a training job's token would
release what it uploaded itself.
"""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request, Response

from worker import repository
from worker.api.auth import Operator
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.problems import reply
from worker.api.schemas import RELEASE_BODY, VersionRow, answers
from worker.api.service import Inside
from worker.errors import NotFound
from worker.fields import object_with, required_text
from worker.views import version_json

router = APIRouter(prefix="/v1", tags=["versions"])
log = structlog.get_logger("modelport.api")


@router.post(
    "/versions/{version_id}/release",
    responses=answers(VersionRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": RELEASE_BODY},
)
def release_version(request: Request, version_id: str, caller: Operator, body: Body, service: Inside) -> Response:
    """Let a version go that is in quarantine. Where somebody did so before, their reason stands."""
    expect(media_type(request.headers), JSON)
    fields = object_with("the body", json_of(body), {"reason"})
    reason = required_text(fields, "reason", repository.MAX_REASON_CHARACTERS)
    version = service.registry.version(caller.team, version_id)
    if version is None:
        raise NotFound(f"there is no version {version_id[:80]!a}")
    free = repository.release(service.registry, version, reason, service.clock.now(), caller.name)
    if version.is_quarantined:
        log.warning("released", version=version.id, team=caller.team, who=caller.name, reason=reason)
    return reply(version_json(free))
