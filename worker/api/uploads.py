"""Uploads: a file, or a folder as a zip, that becomes a version like every other.

What is said of the model stands in the address, the body is the file itself, as `curl -T` sends it. 202 is said when the files
are kept and the event is accepted; where the ingestion ends soon, with its end.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from worker import uploads
from worker.api.auth import Writer, caller_of
from worker.api.bodies import media_type
from worker.api.desk import Desk, desk_of
from worker.api.files import OCTETS
from worker.api.problems import Problem, reply
from worker.api.receiving import received, taken
from worker.api.schemas import MAX_NOTES_CHARACTERS, MAX_TAGS, UPLOAD_BODY, ZIP, UploadAccepted, answers
from worker.api.service import Inside
from worker.events import MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS
from worker.views import ingestion_json

router = APIRouter(prefix="/v1", tags=["uploads"])

Name = Annotated[str | None, Query(max_length=MAX_NAME_CHARACTERS)]
Tag = Annotated[str, Query(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Long = Annotated[str | None, Query(max_length=MAX_NOTES_CHARACTERS)]


@router.post(
    "/uploads",
    status_code=202,
    responses=answers(UploadAccepted, 400, 401, 403, 408, 409, 413, 415, 422, 503, 507, status=202),
    openapi_extra={"requestBody": UPLOAD_BODY},
)
async def upload_model(
    request: Request,
    caller: Writer,
    service: Inside,
    desk: Annotated[Desk, Depends(desk_of)],
    file_name: Annotated[str, Query(alias="fileName", min_length=1, max_length=MAX_ID_CHARACTERS)],
    name: Name = None,
    declared: Annotated[str | None, Query(alias="type", max_length=64)] = None,
    project: Name = None,
    summary: Long = None,
    notes: Long = None,
    tag: Annotated[list[Tag] | None, Query(max_length=MAX_TAGS)] = None,
) -> Response:
    """Upload a file, or a folder as a zip (`Content-Type: application/zip`), which is unpacked."""
    announced = media_type(request.headers)
    if announced not in ("", OCTETS, ZIP):
        raise Problem(415, "unsupported-media-type", f"content-type: expected {OCTETS} or {ZIP}, found {announced[:80]!a}")
    kept_name = uploads.file_name(file_name)
    given = {"project": project, "name": name, "type": declared, "summary": summary, "notes": notes}
    said = uploads.said_of(caller.team, given, tag or ())
    async with received(request, service.uploading) as body:
        await caller_of(request.headers, desk)  # it may have come for hours
        ingestion = await taken(said, body, kept_name, announced == ZIP, service, caller.name)
    where = {"Location": f"/v1/ingestions/{ingestion.id}"}
    return reply({"id": ingestion.version_id, "ingestion": ingestion_json(ingestion)}, 202, where)
