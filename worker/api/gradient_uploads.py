"""Uploads as the client of the original system makes them: it names a model, asks where to put its file, and puts it there.

The id is given out first, and whatever follows may fail: then the client deletes what it named. Its files come in an envelope,
folders as a zip called `model.zip` (docs/gradient.md).

Source: the requests of gradient 2.99.4, recorded.
"""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from worker import uploads
from worker.api.auth import Writer
from worker.api.bodies import Body, json_of
from worker.api.limits import counted_by_address
from worker.api.links import UPLOAD_PATH, Opened, Signed, link
from worker.api.pages import Text
from worker.api.paths import FILE
from worker.api.problems import Problem, reply
from worker.api.receiving import kept, received, unwrapped
from worker.api.schemas import MAX_NOTES_CHARACTERS
from worker.api.service import Inside
from worker.api.slashes import both
from worker.errors import NotFound, RejectedUpload
from worker.events import MAX_ID_CHARACTERS
from worker.fields import object_of, text
from worker.records import IngestionState
from worker.views import draft_json

UNKNOWN = "Unable to find model"

BAD_ENDS = frozenset({IngestionState.FAILED, IngestionState.NOTHING_FOUND, IngestionState.DISCARDED})
"""Ends after which there is no model of the id that was given out."""

TEXTS = (("name", "name"), ("type", "modelType"), ("notes", "notes"), ("project", "projectId"))
"""What a client says of a model as text: our name of it, and its own."""

FIELDS = (*(theirs for _, theirs in TEXTS), "summary", "datasetRef")

router = APIRouter()
log = structlog.get_logger("modelport.api")


@both(router, "POST", "/mlModels/createModelV2")
def create_model(request: Request, caller: Writer, body: Body, service: Inside) -> Response:
    """Give out the id of a model whose files are to come. What is said of it stands in the address or in a JSON body."""
    sent: dict[str, Any] = dict(object_of("the body", json_of(body))) if body else {}
    fields = sent | {name: request.query_params[name] for name in FIELDS if name in request.query_params}
    if text(fields, "datasetRef", MAX_ID_CHARACTERS):
        raise RejectedUpload("datasetRef: no datasets are kept here; upload the files of the model")
    given = {
        ours: text(fields, theirs, MAX_NOTES_CHARACTERS if ours == "notes" else MAX_ID_CHARACTERS) for ours, theirs in TEXTS
    }
    said = uploads.said_of(caller.team, given | {"summary": fields.get("summary")})
    upload = service.registry.begin_upload(said, service.clock.now(), caller.name)
    log.info("promised", version=upload.id, team=caller.team, who=caller.name)
    return reply(draft_json(upload))


@both(router, "GET", "/mlModels/getPresignedModelUrl")
def get_upload_link(
    request: Request,
    caller: Writer,
    service: Inside,
    file_name: Annotated[str, Query(alias="fileName", max_length=MAX_ID_CHARACTERS)] = "",
    handle: Annotated[str, Query(alias="modelHandle", max_length=MAX_ID_CHARACTERS)] = "",
    content_type: Annotated[Text, Query(alias="contentType")] = None,
    cluster: Annotated[Text, Query(alias="clusterId")] = None,
) -> Response:
    """Give the address that takes the file, for an hour, as a JSON string."""
    name = uploads.file_name(file_name)
    upload = service.registry.upload(caller.team, handle)
    if upload is None:
        raise NotFound(UNKNOWN)
    opened = Opened(caller.team, upload.id, name, is_upload=True)
    key, now = service.registry.signing_key(), service.clock.now().timestamp()
    return reply(str(request.base_url).rstrip("/") + link(key, opened, now))


@router.put(UPLOAD_PATH + "/{team}/{version_id}/" + FILE, include_in_schema=False, dependencies=[Depends(counted_by_address)])
async def put_file(request: Request, opened: Annotated[Opened, Depends(Signed(is_upload=True))], service: Inside) -> Response:
    """Take the file that a link was given for, and say what became of it."""
    upload = await run_in_threadpool(service.registry.upload, opened.team, opened.version_id)
    if upload is None:
        raise NotFound(UNKNOWN)
    async with received(request, service.uploading) as body:
        ingestion = await kept(upload, unwrapped(body), opened.path, opened.path == uploads.FOLDER, service)
    log.info("uploaded", version=upload.id, ingestion=ingestion.id, team=opened.team, who="a link", bytes=body.size)
    if ingestion.state in BAD_ENDS:
        raise Problem(422, "rejected-upload", f"{opened.path}: {ingestion.message}")
    return Response(None, 200)
