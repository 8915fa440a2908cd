"""Whether the process lives, whether it can work, and what it understands: for machines, without a token."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from worker.api.auth import PUBLIC
from worker.api.problems import reply
from worker.api.schemas import Health, answers
from worker.api.service import Service, service_of

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


@router.get("/livez", responses=answers(Health))
async def livez() -> Response:
    """Tell that the process answers; nothing else is asked."""
    return reply({"status": "ok"})


@router.get("/readyz", responses=answers(Health, 503))
def readyz(service: Annotated[Service, Depends(service_of)]) -> Response:
    """Tell whether completions can be accepted: the registry answers. A broker that is away is no hindrance."""
    service.registry.is_due(service.clock.now())
    return reply({"status": "ok"})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the description of this API."""
    described: dict[str, Any] = request.app.openapi()
    return reply(described)
