"""The projects of a team: what they are called. Their ids, which events name, never change."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request, Response

from worker import projects
from worker.api.auth import Reader, Writer
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.pages import Limit, Text, page_reply
from worker.api.problems import reply
from worker.api.schemas import NAME_BODY, ProjectPage, ProjectRow, answers
from worker.api.service import Inside
from worker.events import MAX_ID_CHARACTERS
from worker.fields import object_with, required_text
from worker.views import project_json

router = APIRouter(prefix="/v1", tags=["projects"])
log = structlog.get_logger("modelport.api")


@router.get("/projects", responses=answers(ProjectPage, 401, 403, 422, 503))
def list_projects(request: Request, caller: Reader, service: Inside, after: Text = None, limit: Limit = 100) -> Response:
    """List the projects of the team by name. `next` is the address of the next page, null on the last."""
    found = projects.projects(service.registry, caller.team)
    ids = [None, *(project.id for project in found)]
    start = ids.index(after) if after in ids else len(found)
    return page_reply(request, "projects", found[start : start + limit + 1], limit, (), project_json)


@router.post(
    "/projects",
    status_code=201,
    responses=answers(ProjectRow, 400, 401, 403, 409, 413, 415, 422, 503, status=201),
    openapi_extra={"requestBody": NAME_BODY},
)
def create_project(request: Request, caller: Writer, body: Body, service: Inside) -> Response:
    """Make a project; the name is its id too. The first event that names one makes it as well."""
    made = projects.create_project(service.registry, caller.team, _name(request, body), service.clock.now(), caller.name)
    log.info("project made", project=made.id, team=caller.team, who=caller.name)
    return reply(project_json(made), 201)


@router.patch(
    "/projects/{project:path}",
    responses=answers(ProjectRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": NAME_BODY},
)
def rename_project(request: Request, project: str, caller: Writer, body: Body, service: Inside) -> Response:
    """Call a project otherwise. Its id stays, and so does what is in it; events may name it by any name that it ever had."""
    name, now = _name(request, body), service.clock.now()
    renamed = projects.rename_project(service.registry, caller.team, project, name, now, caller.name)
    log.info("project renamed", project=renamed.id, team=caller.team, who=caller.name)
    return reply(project_json(renamed))


def _name(request: Request, body: bytes) -> str:
    expect(media_type(request.headers), JSON)
    return required_text(object_with("the body", json_of(body), ("name",)), "name", MAX_ID_CHARACTERS)
