"""The door that work comes in by: completions and re-scans. 202 is said after the commit, and never before.

A completion is a plain object, or a CloudEvent in structured mode (the body holds it whole) or in binary mode (its attributes
are headers, its data is the body). Messages of object storage come by the same door, and are hints at runs.

Source: CloudEvents 1.0.2, HTTP Protocol Binding, 3.1 "Binary Content Mode", 3.1.3.2 "HTTP header values", 3.2 "Structured
Content Mode".
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import structlog
from fastapi import APIRouter, Depends, Request, Response
from starlette.datastructures import Headers

from worker.api.auth import Reporter, Writer
from worker.api.bodies import JSON, Body, expect, json_of, media_type, only_value
from worker.api.desk import Desk, desk_of
from worker.api.problems import Problem, reply
from worker.api.schemas import CLOUDEVENT_HEADERS, COMPLETION_BODY, RESCAN_BODY, Accepted, AcceptedHints, answers
from worker.api.service import Service
from worker.errors import ConflictingEvent
from worker.events import completion_from_cloudevent, completion_from_json, rescan_from_json
from worker.locations import check_from_afar
from worker.records import DEFAULT_TEAM, CompletionEvent
from worker.s3_events import hints_from_json, is_s3_message
from worker.submission import end_at_once
from worker.tracing import traceparent_in

STRUCTURED = "application/cloudevents+json"
PREFIX = "ce-"

router = APIRouter(prefix="/v1", tags=["completions"])
log = structlog.get_logger("modelport.api")


@router.post(
    "/completions",
    status_code=202,
    responses=answers(Accepted | AcceptedHints, 400, 401, 403, 409, 413, 415, 422, 503, status=202),
    openapi_extra={"requestBody": COMPLETION_BODY, "parameters": CLOUDEVENT_HEADERS},
)
async def report_completion(
    request: Request, caller: Reporter, body: Body, desk: Annotated[Desk, Depends(desk_of)]
) -> Response:
    """Report that an experiment finished. A repeated event is the same ingestion, with `known: true`.

    An event notification of object storage is a hint that its run is to be looked at.
    """
    announced = media_type(request.headers)
    expect(announced, JSON, STRUCTURED)
    value, attributes = json_of(body), _attributes(request.headers)
    if announced == STRUCTURED:
        return await _accept(completion_from_cloudevent(value, caller.team), desk, request)
    if attributes:
        return await _accept(completion_from_cloudevent(attributes | {"data": value}, caller.team), desk, request)
    if is_s3_message(value):
        return await _accept_hints(value, caller.team, desk)
    return await _accept(completion_from_json(value, caller.team), desk, request)


@router.post(
    "/rescans",
    status_code=202,
    responses=answers(Accepted, 400, 401, 403, 409, 413, 415, 422, 503, status=202),
    openapi_extra={"requestBody": RESCAN_BODY},
)
async def ask_for_rescan(request: Request, caller: Writer, body: Body, desk: Annotated[Desk, Depends(desk_of)]) -> Response:
    """Have a path looked at again; `force` even where nothing changed."""
    expect(media_type(request.headers), JSON)
    return await _accept(rescan_from_json(json_of(body), caller.team, desk.service.new_id()), desk, request)


async def _accept(event: CompletionEvent, desk: Desk, request: Request) -> Response:
    check_place(event, desk.service)
    sent = replace(event, traceparent=traceparent_in(request.headers.get("traceparent")))
    return reply(await accepted(sent, desk), 202)


async def _accept_hints(message: Any, team: str, desk: Desk) -> Response:
    """Accept what a *message* of object storage hints at. Where one event is refused, the others may be accepted; the same
    message again finds them known.
    """
    hints = hints_from_json(message, team, desk.service.s3_runs, desk.service.quiet_seconds)
    for event in hints.events:
        check_place(event, desk.service)
    answers = await asyncio.gather(*(accepted(event, desk) for event in hints.events), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return reply({"ingestions": answers, "passedOver": hints.passed_over}, 202)


async def accepted(event: CompletionEvent, desk: Desk) -> dict[str, Any]:
    """Return what the sender of *event* is told once it is kept. It follows from the span of the request, where it is one."""
    span = desk.service.traces.current()
    try:
        ingestion, known = await desk.accept(replace(event, traceparent=span.traceparent or event.traceparent))
    except ConflictingEvent as exc:
        log.warning("refused", team=event.team, why=str(exc))
        raise
    span.tell(ingestion=ingestion.id, known=known)
    if not known:
        log.info("accepted", ingestion=ingestion.id, team=event.team, trigger=event.trigger.value, state=ingestion.state.value)
    return {"id": ingestion.id, "state": ingestion.state.value, "known": known}


def check_place(event: CompletionEvent, service: Service) -> None:
    """Raise where the event would have us look at what its sender is not to reach.

    Raises:
        RejectedLocation: no roots are set, the path leads through no mount, and the sender may be on another machine or of
            another team than the one that owns this one.
    """
    is_of_this_machine = service.is_loopback and event.team == DEFAULT_TEAM
    is_looked_at = service.is_failed_scanned or end_at_once(event) is None
    if is_looked_at and not is_of_this_machine:
        check_from_afar(event, service.places)


def _attributes(headers: Headers) -> dict[str, Any]:
    """Return the attributes of a CloudEvent in binary mode; empty where the request is none.

    Raises:
        Problem: one is given twice, or is not UTF-8.
    """
    given = [name for name in headers if name.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): _decoded(name, only_value(headers, name)) for name in given}


def _decoded(name: str, value: str) -> str:
    """Return what the *value* of the header *name* says. Bytes are not replaced: two ids would become one.

    Raises:
        Problem: its bytes are not UTF-8.
    """
    try:
        return unquote_to_bytes(value.strip('"').encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Problem(400, "malformed", f"{name[:80]}: expected UTF-8, found {value[:80]!a}") from exc
