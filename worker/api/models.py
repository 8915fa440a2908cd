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
from worker.api.pages import MAX_PAGE, Limit, Project, Published, Sort, State, Text, page_reply
from worker.api.problems import reply
from worker.api.schemas import MODEL_CHANGE_BODY, ModelPage, ModelRow, ModelWithVersions, Totals, answers
from worker.api.service import Inside
from worker.events import MAX_ID_CHARACTERS
from worker.fields import flag, object_with, text
from worker.ordering import parse_order
from worker.projects import renamed_of
from worker.records import ModelVersion, VersionQuery
from worker.views import version_json, with_project

FILTERS = ("projectId", "type", "tag", "q", "state", "published", "sort")
CHANGES = {"name", "published"}

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
    state: State = None,
    published: Published = False,
    sort: Sort = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List models by their latest versions, the newest first; filters are of those, and `state` is why one should be looked at.
    `sort` is `created`, `name`, `size` or `metric:NAME`, after a `-` the other way round; `published` lists those of all teams.
    `next` is the address of the next page, null on the last.
    """
    query = VersionQuery(
        caller.team,
        project,
        model_type=declared,
        tag=tag,
        text=q,
        after=after,
        limit=limit + 1,
        is_latest=True,
        order=parse_order(sort),
        attention=state,
        is_published=published,
        is_brief=True,
    )
    found = service.registry.versions(query)
    names = renamed_of(service.registry, found)
    return page_reply(request, "models", found, limit, FILTERS, lambda one: with_project(_row(one), names[one.team]))


@router.get("/totals", responses=answers(Totals, 401, 403, 503))
def show_totals(caller: Reader, service: Inside) -> Response:
    """Show how many models and versions there are, and how many models somebody should look at, by `state`."""
    found = service.registry.overview(caller.team)
    return reply({"models": found.models, "versions": found.versions, "attention": dict(found.attention)})


@router.get("/models/{model:path}", responses=answers(ModelWithVersions, 401, 403, 404, 422, 503))
def show_model(model: str, caller: Reader, service: Inside, project: Project = None) -> Response:
    """Show one model and its versions, newest first, the last 1000 of them; `/v1/versions` lists all."""
    found = repository.find(service.registry, caller.team, model, project)
    query = VersionQuery(caller.team, found.project, name=found.model_name, limit=MAX_PAGE, is_brief=True)
    versions = service.registry.versions(query) or [found]
    latest = max(versions, key=lambda version: version.number)
    row = with_project(_row(latest), service.registry.renamed_projects(caller.team))
    served = next((one for one in versions if not one.is_quarantined), None)
    if served is None and len(versions) == MAX_PAGE:
        served = repository.served(service.registry, latest)
    said = {"served": None if served is None else version_json(served)}
    return reply(row | said | {"versions": [version_json(version) for version in versions]})


@router.patch(
    "/models/{model:path}",
    responses=answers(ModelRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": MODEL_CHANGE_BODY},
)
def change_model(
    request: Request, model: str, caller: Writer, body: Body, service: Inside, project: Project = None
) -> Response:
    """Give a model another name; or let all teams read its versions, or no team but its own. All its versions follow."""
    expect(media_type(request.headers), JSON)
    fields = object_with("the body", json_of(body), CHANGES)
    name = text(fields, "name", MAX_ID_CHARACTERS)
    published = None if fields.get("published") is None else flag(fields, "published")
    version = repository.find(service.registry, caller.team, model, project)
    if name is not None:
        version = repository.rename(service.registry, version, name, service.clock.now(), caller.name)
    if published is not None:
        version = repository.publish(service.registry, version, published, service.clock.now(), caller.name)
    log.info("changed", version=version.id, team=caller.team, who=caller.name, what=sorted(fields))
    named = service.registry.named(caller.team, version.model_name)
    return reply(_row(next((one for one in named if one.project == version.project), version)))


def _row(latest: ModelVersion) -> dict[str, Any]:
    return {"name": latest.model_name, "projectId": latest.project, "latest": version_json(latest)}
