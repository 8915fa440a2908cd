"""Looking at ingestions, and steering them; all of one team."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from worker import operations
from worker.api.auth import Asker, Caller, Operator, Reader
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.pages import Experiment, Limit, Text, page_reply
from worker.api.problems import reply
from worker.api.queue import note_in, said_in
from worker.api.schemas import (
    DISCARD_BODY,
    NOTE_BODY,
    RETRY_BODY,
    IngestionPage,
    IngestionRow,
    IngestionWithHistory,
    MovedIngestions,
    answers,
)
from worker.api.service import Inside
from worker.errors import NotFound, RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.fields import object_of, text, word
from worker.operations import Moved
from worker.records import IngestionQuery, IngestionState
from worker.registry.counters import SOUGHT_FORMATS
from worker.views import history_json, ingestion_row

FILTERS = {"state", "experimentId", "reason", "format"}

KINDS = {format.replace("_", ""): format for format in SOUGHT_FORMATS}

Found = Annotated[str | None, Query(max_length=40, json_schema_extra={"enum": [*SOUGHT_FORMATS, None]})]

STATES = {state.value.replace("_", ""): state for state in IngestionState}

router = APIRouter(prefix="/v1", tags=["ingestions"])
log = structlog.get_logger("modelport.api")


@router.get("/ingestions", responses=answers(IngestionPage, 401, 403, 422, 503))
def list_ingestions(
    request: Request,
    caller: Reader,
    service: Inside,
    state: IngestionState | None = None,
    experiment: Experiment = None,
    reason: Text = None,
    format: Found = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List ingestions, newest first. `next` is the address of the next page, null on the last.

    `format` is that of the model that was found, also where it could not be kept.
    """
    if format is not None and format not in SOUGHT_FORMATS:
        raise RejectedEvent(f"format: expected one of {', '.join(SOUGHT_FORMATS)}, found {format!a}")
    if after is not None and service.registry.ingestion(caller.team, after) is None:
        raise RejectedEvent(f"after: there is no ingestion {after[:80]!a}")
    query = IngestionQuery(caller.team, state, experiment, reason, after, limit + 1, format=format)
    found = service.registry.ingestions(query)
    return page_reply(request, "ingestions", found, limit, FILTERS, ingestion_row)


@router.get("/ingestions/{ingestion_id}", responses=answers(IngestionWithHistory, 401, 403, 404, 422, 503))
def show_ingestion(ingestion_id: str, caller: Asker, service: Inside) -> Response:
    """Show one ingestion and every step it took."""
    found = service.registry.ingestion(caller.team, ingestion_id)
    if found is None:
        raise NotFound(f"there is no ingestion {ingestion_id}")
    return reply(ingestion_row(found) | {"history": [history_json(entry) for entry in service.registry.history(found.id)]})


@router.post(
    "/ingestions/retry",
    responses=answers(MovedIngestions, 400, 401, 403, 413, 415, 422, 503),
    openapi_extra={"requestBody": RETRY_BODY},
)
def retry_ingestions(request: Request, caller: Operator, body: Body, service: Inside) -> Response:
    """Let the failed ingestions that a filter finds be tried again from the beginning."""
    query, note = _query(request, body, caller)
    moved = operations.retry_all(service.registry, query, caller.name, service.clock.now(), note)
    if moved.ids:
        service.ring()
    return _moved(moved, "retried", caller)


@router.post(
    "/ingestions/discard",
    responses=answers(MovedIngestions, 400, 401, 403, 413, 415, 422, 503),
    openapi_extra={"requestBody": DISCARD_BODY},
)
def discard_ingestions(request: Request, caller: Operator, body: Body, service: Inside) -> Response:
    """End the ingestions that a filter finds and that have not ended well."""
    query, note = _query(request, body, caller)
    gone = operations.discard_all(service.registry, query, caller.name, service.clock.now(), note)
    return _moved(gone, "discarded", caller)


@router.post(
    "/ingestions/{ingestion_id}/retry",
    responses=answers(IngestionRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": NOTE_BODY},
)
def retry_ingestion(request: Request, ingestion_id: str, caller: Operator, body: Body, service: Inside) -> Response:
    """Let a failed ingestion be tried again from the beginning."""
    note = note_in(said_in(request, body, ("note",)))
    again = operations.retry(service.registry, caller.team, ingestion_id, caller.name, service.clock.now(), note)
    service.ring()
    log.info("retried", ingestion=again.id, team=caller.team, who=caller.name)
    return reply(ingestion_row(again))


@router.post(
    "/ingestions/{ingestion_id}/discard",
    responses=answers(IngestionRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": NOTE_BODY},
)
def discard_ingestion(request: Request, ingestion_id: str, caller: Operator, body: Body, service: Inside) -> Response:
    """End an ingestion that has not ended well. Whoever works on it registers nothing any more."""
    note = note_in(said_in(request, body, ("note",)))
    gone = operations.discard(service.registry, caller.team, ingestion_id, caller.name, service.clock.now(), note)
    log.info("discarded", ingestion=gone.id, team=caller.team, who=caller.name)
    return reply(ingestion_row(gone))


def _query(request: Request, body: bytes, caller: Caller) -> tuple[IngestionQuery, str | None]:
    """Return which ingestions the filter in *body* means, and why they are to be moved. An empty filter, and one with a word
    that nobody knows, would mean more than its sender thought.

    Raises:
        Problem, RejectedEvent: there is no such filter.
    """
    expect(media_type(request.headers), JSON)
    fields = dict(object_of("the body", json_of(body)))
    note = note_in({"note": fields.pop("note", None)})
    given = {key for key, value in fields.items() if value is not None}
    if not given or not given <= FILTERS:
        found = ", ".join(sorted(given - FILTERS))[:80]
        raise RejectedEvent(f"the body: expected {', '.join(sorted(FILTERS))}, at least one, found {found or 'nothing'}")
    experiment, reason = (text(fields, key, MAX_ID_CHARACTERS) for key in ("experimentId", "reason"))
    state, format = word(fields, "state", STATES), word(fields, "format", KINDS)
    return IngestionQuery(caller.team, state, experiment, reason, format=format), note


def _moved(moved: Moved, what: str, caller: Caller) -> Response:
    """Log what was moved, and why no more where that is so, and return the answer."""
    if moved.trouble is not None:
        log.error("the registry does not answer", why=moved.trouble)
    log.info(what, count=len(moved.ids), team=caller.team, who=caller.name)
    return reply({"ids": list(moved.ids), "more": moved.more_are_left})
