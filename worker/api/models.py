"""Registered models, each with its latest version; all of one team. A model is named as people name it: by its name, by
`NAME@NUMBER`, or by the id of any of its versions.
"""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response

from detectors.facts import ModelType
from worker import repository
from worker.api.auth import Reader, Writer
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.pages import MAX_PAGE, Limit, Project, Text, page_reply
from worker.api.problems import reply
from worker.api.schemas import NAME_BODY, ModelPage, ModelRow, ModelWithVersions, answers
from worker.api.service import Inside
from worker.events import MAX_ID_CHARACTERS
from worker.fields import object_of, required_text
from worker.records import ModelVersion, VersionQuery
from worker.views import version_json, with_project

FILTERS = ("projectId", "type", "tag", "q")

router = APIRouter(prefix="/v1", tags=["models"])
log = structlog.get_logger("modelport.api")


@router.get("/models", responses=answers(ModelPage, 401, 403, 422, 503))
def list_models(
    request: Request,
    caller: Reader,
    service: Inside,
    project: Project = None,
    declared: Annotated[ModelType | None, Query(alias="type")] = None,
    tag: Text = None,
    q: Text = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List models by their latest versions, the newest first; filters are of those. `next` is the address of the next page,
    null on the last.
    """
    query = VersionQuery(
        caller.team, project, model_type=declared, tag=tag, text=q, after=after, limit=limit + 1, is_latest=True
    )
    found, names = service.registry.versions(query), service.registry.renamed_projects(caller.team)
    return page_reply(request, "models", found, limit, FILTERS, lambda latest: with_project(_row(latest), names))


@router.get("/models/{model:path}", responses=answers(ModelWithVersions, 401, 403, 404, 422, 503))
def show_model(model: str, caller: Reader, service: Inside, project: Project = None) -> Response:
    """Show one model and its versions, newest first."""
    found = repository.find(service.registry, caller.team, model, project)
    query = VersionQuery(caller.team, found.project, name=found.model_name, limit=MAX_PAGE)
    versions = service.registry.versions(query) or [found]
    latest = max(versions, key=lambda version: version.number)
    row = with_project(_row(latest), service.registry.renamed_projects(caller.team))
    return reply(row | {"versions": [version_json(version) for version in versions]})


@router.patch(
    "/models/{model:path}",
    responses=answers(ModelRow, 400, 401, 403, 404, 413, 415, 422, 503),
    openapi_extra={"requestBody": NAME_BODY},
)
def rename_model(
    request: Request, model: str, caller: Writer, body: Body, service: Inside, project: Project = None
) -> Response:
    """Give a model another name; all its versions follow."""
    expect(media_type(request.headers), JSON)
    name = required_text(object_of("the body", json_of(body)), "name", MAX_ID_CHARACTERS)
    found = repository.find(service.registry, caller.team, model, project)
    renamed = repository.rename(service.registry, found, name, service.clock.now(), caller.name)
    log.info("renamed", version=renamed.id, team=caller.team, who=caller.name)
    named = service.registry.named(caller.team, renamed.model_name)
    return reply(_row(next((one for one in named if one.project == renamed.project), renamed)))


def _row(latest: ModelVersion) -> dict[str, Any]:
    return {"name": latest.model_name, "projectId": latest.project, "latest": version_json(latest)}
