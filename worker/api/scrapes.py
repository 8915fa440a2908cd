"""Figures about the work of all teams, for machines that watch them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from fastapi import APIRouter, Request, Response

from worker.api.auth import Watcher
from worker.api.schemas import bytes_answers
from worker.api.service import Inside, Service
from worker.bootstrap import LIVING_SECONDS
from worker.connections import Connection, Leaned
from worker.errors import ServerUnavailable
from worker.telemetry import exposition

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses=bytes_answers("text/plain", 401, 403, 503))
def show_metrics(request: Request, caller: Watcher, service: Inside) -> Response:
    """Tell how the work of all teams and what it leans on stand, as Prometheus reads it. No team is named."""
    connections, now = service.connections(), service.clock.now()
    pulse = service.registry.pulse(now, now - timedelta(seconds=LIVING_SECONDS))
    given = request.headers.get("accept", "")
    told, media_type = exposition(pulse, now, given, connections, _undecodable(service, connections))
    return Response(told, headers={"Content-Type": media_type})


def _undecodable(service: Service, connections: Sequence[Connection]) -> int | None:
    """Return how many messages no worker could read; None where the broker does not tell, or is known to be away."""
    if any(one.what is Leaned.BROKER and not one.is_up for one in connections):
        return None
    try:
        return service.set_aside.count()
    except ServerUnavailable:
        return None
