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
from worker.api.links import UPLOAD_PATH, Opened, Signed, link
from worker.api.pages import Text
from worker.api.problems import Problem, reply
from worker.api.receiving import kept, received, unwrapped
from worker.api.schemas import MAX_NOTES_CHARACTERS
from worker.api.service import Inside
from worker.api.slashes import both
from worker.errors import NotFound, RejectedUpload
from worker.events import MAX_ID_CHARACTERS, checked_model_name, checked_name
from worker.fields import Object, json_text_of, object_of, text
from worker.model_types import model_type
from worker.records import DEFAULT_PROJECT, IngestionState, NewUpload
from worker.views import draft_json

UNKNOWN = "Unable to find model"

BAD_ENDS = frozenset({IngestionState.FAILED, IngestionState.NOTHING_FOUND, IngestionState.DISCARDED})
"""Ends after which there is no model of the id that was given out."""

FIELDS = ("name", "modelType", "summary", "notes", "projectId", "datasetRef")

router = APIRouter()
log = structlog.get_logger("modelport.api")


@both(router, "POST", "/mlModels/createModelV2")
def create_model(request: Request, caller: Writer, body: Body, service: Inside) -> Response:
    """Give out the id of a model whose files are to come. What is said of it stands in the address or in a JSON body."""
    given: dict[str, Any] = dict(object_of("the body", json_of(body))) if body else {}
    fields = given | {name: request.query_params[name] for name in FIELDS if name in request.query_params}
    if text(fields, "datasetRef", MAX_ID_CHARACTERS):
        raise RejectedUpload("datasetRef: no datasets are kept here; upload the files of the model")
    said = NewUpload(
        caller.team,
        checked_name("project", text(fields, "projectId", MAX_ID_CHARACTERS) or None) or DEFAULT_PROJECT,
        checked_model_name(text(fields, "name", MAX_ID_CHARACTERS) or None),
        model_type(text(fields, "modelType", MAX_ID_CHARACTERS) or None),
        _summary(fields),
        text(fields, "notes", MAX_NOTES_CHARACTERS) or None,
    )
    upload = service.registry.begin_upload(said, service.clock.now(), caller.name)
    log.info("promised", version=upload.id, team=caller.team, who=caller.name)
    return reply(draft_json(upload))


def _summary(fields: Object) -> Any:
    """Return what the sender says of the model's metrics: JSON as text, or as it is in a body."""
    value = fields.get("summary")
    return json_text_of("summary", value) if isinstance(value, str) and value else value or None


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


@router.put(UPLOAD_PATH + "/{team}/{version_id}/{path:path}", include_in_schema=False)
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
