"""The page on which a person uploads a model, and what it says became of it.

The form works without a script: the whole of it is sent, and the next page says what became of the file. A script sends the
same form, makes a zip of a folder before, and shows how far it is (`static/upload.js`). Both come to the same use case as
`POST /v1/uploads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from detectors.facts import ModelType
from worker import tokens, uploads
from worker.api.desk import Desk, desk_of
from worker.api.receiving import Received, taken
from worker.api.schemas import MAX_NOTES_CHARACTERS, MAX_TAGS
from worker.api.service import Inside, Service
from worker.api.web.became import Became, became, sentence
from worker.api.web.render import is_part, page
from worker.api.web.sent_form import SentForm, brought_by_form, form_of, scratch
from worker.api.web.visitors import Key, PagePolicy, Visit, Visitor, visit_of
from worker.errors import NotFound, RejectedEvent, RejectedUpload
from worker.records import Ingestion, IngestionQuery, NewUpload, TokenScope, Trigger

FIELDS = ("name", "type", "project", "tags", "summary", "notes")
"""What a person may say of a model, by the names of the fields of the form."""

ZIP_ENDING = ".zip"

MOST_SHOWN = 8
"""How many of the latest uploads are shown."""

UPLOADERS = frozenset({TokenScope.MODEL_WRITE})

Uploader = Annotated[Visit, Depends(PagePolicy(UPLOADERS, brought=brought_by_form))]

router = APIRouter(tags=["page"])


@router.get("/upload", include_in_schema=False)
def show_upload(request: Request, visit: Visitor, service: Inside) -> Response:
    """Show the form, and what became of the latest uploads of the team."""
    return _shown(request, visit, service)


@router.get("/upload/{ingestion_id}", include_in_schema=False)
def show_became(request: Request, ingestion_id: str, visit: Visitor, service: Inside) -> Response:
    """Show what became of one upload; as a part, its place in the list."""
    ingestion = service.registry.ingestion(visit.caller.team, ingestion_id)
    if ingestion is None or ingestion.event.trigger is not Trigger.UPLOAD:
        raise NotFound(f"there is no upload {ingestion_id[:80]!a}")
    template = "upload_item.html" if is_part(request) else "upload_became.html"
    return page(request, template, "Upload", one=_became(ingestion, service, _has_workers(service)), now=service.clock.now())


@router.post("/upload", include_in_schema=False)
async def take_upload(
    request: Request,
    visit: Uploader,
    service: Inside,
    desk: Annotated[Desk, Depends(desk_of)],
    key: Key,
    form: Annotated[SentForm, Depends(form_of)],
) -> Response:
    """Take a file, and lead to what became of it."""
    with scratch(service.uploading) as file:
        body = await form.file_into(file)
        await visit_of(request, desk, key, brought_by_form)  # it may have come for hours
        try:
            ingestion = await _taken(form, body, visit, service)
        except (RejectedEvent, RejectedUpload) as exc:
            if is_part(request):
                raise
            return await run_in_threadpool(_shown, request, visit, service, str(exc), form.fields)
    return RedirectResponse(f"/upload/{ingestion.id}", 303)


async def _taken(form: SentForm, body: Received, visit: Visit, service: Service) -> Ingestion:
    """Return the ingestion that was accepted for what came with *form*.

    Raises:
        RejectedEvent, RejectedUpload: it cannot be taken; nothing was kept.
    """
    caller = visit.caller
    said = said_of(form.fields, caller.team)
    if not form.file_name:
        raise RejectedUpload("no file came; choose one first")
    name = uploads.file_name(form.file_name)
    if not body.size:
        raise RejectedUpload(f"the file {name[:80]!r} is empty; nothing is in it to register")
    is_folder = "unpack" in form.fields and name.lower().endswith(ZIP_ENDING)
    return await taken(said, body, name, is_folder, service, caller.name)


def said_of(fields: Mapping[str, str], team: str) -> NewUpload:
    """Return what the *fields* of the form say of a model of *team*; an empty one says nothing.

    Raises:
        RejectedEvent: one of them says what cannot be; its message begins with the name of the field.
    """
    given = {name: fields.get(name, "").strip() or None for name in FIELDS}
    for name in ("notes", "summary"):
        if len(given[name] or "") > MAX_NOTES_CHARACTERS:
            raise RejectedEvent(f"{name}: expected at most {MAX_NOTES_CHARACTERS} characters, found {len(given[name] or '')}")
    tags = [word for word in (given["tags"] or "").split(",") if word.strip()]
    if len(tags) > MAX_TAGS:
        raise RejectedEvent(f"tags: expected at most {MAX_TAGS}, found {len(tags)}")
    return uploads.said_of(team, given, tags, "tags")


def _shown(
    request: Request, visit: Visit, service: Service, trouble: str = "", given: Mapping[str, str] | None = None
) -> Response:
    """Return the form with the latest uploads; where one cannot be taken, with the *trouble* and what was *given*."""
    wrong = trouble.partition(":")[0]
    said = {
        "may_upload": tokens.allows(visit.caller.scopes, UPLOADERS),
        "trouble": sentence(trouble),
        "wrong": wrong if wrong in FIELDS else ("file" if trouble else ""),
        "given": {name: (given or {}).get(name, "") for name in FIELDS},
        "unpack": given is None or "unpack" in given,
        "types": [("", "Find out from the content"), *((kind.value, kind.value) for kind in ModelType)],
        "projects": [project.name for project in service.registry.projects(visit.caller.team)],
        "max_bytes": service.uploading.max_bytes,
        "most_notes": MAX_NOTES_CHARACTERS,
        "latest": latest(service, visit.caller.team),
        "now": service.clock.now(),
    }
    return page(request, "upload.html", "Upload", 422 if trouble else 200, **said)


def latest(service: Service, team: str) -> list[Became]:
    """Return what became of the latest uploads of *team*, the newest first."""
    found = service.registry.ingestions(IngestionQuery(team, limit=MOST_SHOWN, trigger=Trigger.UPLOAD))
    has_workers = _has_workers(service)
    return [_became(one, service, has_workers) for one in found]


def _has_workers(service: Service) -> bool:
    return service.living_workers() > 0


def _became(ingestion: Ingestion, service: Service, has_workers: bool) -> Became:
    answered = ingestion.answered_version
    version = None if answered is None else service.registry.version(ingestion.event.team, answered)
    return became(ingestion, version, has_workers)
