"""The face of the original system: the calls that its client makes, over the same registry.

Each `mo…` version is one of its models. Every address is answered with and without a slash at its end, and errors have the
shape that its client prints. Bodies come with GET too, as the client sends them.

Source: the requests of gradient 2.99.4 and 1.11.0, recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from detectors.tree import readable
from worker import repository, uploads
from worker.api.auth import Caller, Reader, Writer
from worker.api.bodies import Body, json_of
from worker.api.files import file_at, file_reply
from worker.api.limits import counted_by_address
from worker.api.links import PATH, Opened, Signed, link
from worker.api.paths import FILE
from worker.api.problems import BrokenOff, reply
from worker.api.receiving import borders_of
from worker.api.schemas import MAX_TAGS
from worker.api.service import Inside, Service
from worker.api.slashes import both
from worker.errors import NotFound, RejectedEvent, WorkerError
from worker.events import MAX_ID_CHARACTERS, checked_name
from worker.fields import Object, is_words, object_of, required_text, shown, text
from worker.projects import project_id
from worker.records import ModelVersion, Summary, VersionQuery
from worker.views import gradient_json

PAGE = 500
"""Versions that are read at once for a list; it has no end of its own."""

FILTERS = {"id", "projectId", "experimentId"}

UNKNOWN = "Unable to find model"

router = APIRouter()
log = structlog.get_logger("modelport.api")


@both(router, "GET", "/mlModels/getModelList")
def get_model_list(caller: Reader, body: Body, service: Inside, limit: int = -1) -> Response:
    """List models, newest first, as `models list` and `models details` ask for them."""
    wanted = object_of("the body", json_of(body)) if body else {}
    query, only = _query(wanted, caller.team)
    query = replace(query, project=project_id(service.registry, caller.team, query.project))
    return StreamingResponse(_list(service, query, only, limit), media_type="application/json")


def _query(wanted: Object, team: str) -> tuple[VersionQuery, str | None]:
    """Return what a list is to hold, and the one model that it is to name, if any.

    Raises:
        RejectedEvent: there is no such filter.
    """
    conditions = _conditions(wanted)
    only, project, experiment = (text(conditions, name, MAX_ID_CHARACTERS) for name in ("id", "projectId", "experimentId"))
    tags = wanted.get("tagFilter") or []
    if not is_words(tags, MAX_TAGS):
        raise RejectedEvent(f"tagFilter: expected a list of at most {MAX_TAGS} words, found {shown(tags)}")
    return VersionQuery(team, project, experiment, tags=tuple(tags), is_brief=True), only


def _conditions(wanted: Object) -> Object:
    """Return the conditions of a filter in one object.

    Raises:
        RejectedEvent: one is of a kind that nobody knows; to pass over it would find more than was asked for.
    """
    where = object_of("filter.where", object_of("filter", wanted.get("filter") or {}).get("where") or {})
    given = where.get("and", [where] if where else [])
    if not isinstance(given, list):
        raise RejectedEvent(f"filter.where.and: expected a list, found {shown(given)}")
    conditions: dict[str, Any] = {}
    for one in given:
        conditions |= object_of("filter.where.and", one)
    unknown = sorted(conditions.keys() - FILTERS)
    if unknown:
        raise RejectedEvent(f"filter.where: expected {', '.join(sorted(FILTERS))}, found {', '.join(unknown)[:80]!a}")
    return conditions


def _list(service: Service, query: VersionQuery, only: str | None, limit: int) -> Iterator[str]:
    """Yield the answer to a request for a list, page by page, so that it may be as long as it likes."""
    registry = service.registry
    try:
        yield '{"modelList": ['
        one = [] if only is None else _only(service, query, only)
        found = _found(service, query, limit) if only is None else _with_summaries(service, one if limit else [])
        before = ""
        for version, summary in found:
            yield before + json.dumps(gradient_json(version, summary), allow_nan=False)
            before = ", "
        matching = registry.count(query) if only is None else len(one)
        yield f'], "total": {registry.count(VersionQuery(query.team))}, "displayTotal": {matching}}}'
    except WorkerError as exc:
        log.error("list broken off", why=str(exc))
        raise BrokenOff(str(exc)) from exc


def _found(service: Service, query: VersionQuery, limit: int) -> Iterator[tuple[ModelVersion, Summary]]:
    """Yield what matches, *limit* at most where that is not below zero."""
    after, left = None, limit
    while left:
        wanted = min(PAGE, left) if left > 0 else PAGE
        page = service.registry.versions(replace(query, after=after, limit=wanted))
        yield from _with_summaries(service, page)
        if len(page) < wanted:
            return
        after, left = page[-1].id, left - len(page) if left > 0 else left


def _with_summaries(service: Service, page: Sequence[ModelVersion]) -> Iterator[tuple[ModelVersion, Summary]]:
    summaries = service.registry.summaries([version.id for version in page])
    return ((version, summaries.get(version.id, Summary({}, ()))) for version in page)


def _only(service: Service, query: VersionQuery, only: str) -> Sequence[ModelVersion]:
    """Return the version with this id if it matches, which may be one that another team published."""
    found = service.registry.readable(query.team, only)
    is_wanted = found and query.project in (None, found.project) and query.experiment in (None, found.experiment)
    return [found] if found and is_wanted and set(query.tags) <= set(found.tags) else []


@both(router, "POST", "/mlModels/deleteModel")
def delete_model(caller: Writer, body: Body, service: Inside) -> Response:
    """Delete a model and its files; or give up one whose files never came, as the client does that could not send them."""
    named = required_text(object_of("the body", json_of(body)), "id", MAX_ID_CHARACTERS)
    upload = service.registry.upload(caller.team, named)
    if upload is not None:
        uploads.give_up(upload, borders_of(service), caller.name)
        log.info("given up", version=upload.id, team=caller.team, who=caller.name)
        return Response(None, 204)
    version = _living(named, caller, service)
    repository.delete(service.registry, service.store, version, service.clock.now(), caller.name)
    log.info("deleted", version=version.id, team=caller.team, who=caller.name)
    return Response(None, 204)


@both(router, "POST", "/mlModels/updateModel")
def update_model(caller: Writer, body: Body, service: Inside) -> Response:
    """Give a model another name: `{"id": "mo…", "upd": {"name": "…"}}`."""
    version = _named(body, caller, service)
    changes = object_of("upd", object_of("the body", json_of(body)).get("upd"))
    name = required_text(changes, "name", MAX_ID_CHARACTERS)
    renamed = repository.rename(service.registry, version, name, service.clock.now(), caller.name)
    summaries = service.registry.summaries([renamed.id])
    return reply(gradient_json(renamed, summaries.get(renamed.id, Summary({}, ()))))


@both(router, "GET", "/mlModels/listFiles")
def list_files(request: Request, caller: Reader, body: Body, service: Inside) -> Response:
    """List the files of a model, each with a link that opens it for an hour. A name that would leave a folder is left out."""
    version = _there(service.registry.readable(caller.team, _id(body)))
    repository.check_served(version, team=caller.team)
    key, now, base = service.registry.signing_key(), service.clock.now().timestamp(), str(request.base_url).rstrip("/")
    listed = []
    for file in service.registry.files(version.id):
        name = readable(file.path)
        if _is_safe(name):
            url = base + link(key, Opened(caller.team, version.id, name), now)
            listed.append({"file": name, "url": url, "size": file.size})
    return reply(listed)


def _is_safe(name: str) -> bool:
    """Tell whether a client that writes whatever a list says stays in its folder."""
    return not name.startswith("/") and not {"", ".", ".."} & set(name.split("/"))


@router.api_route(
    PATH + "/{team}/{version_id}/" + FILE,
    methods=["GET", "HEAD"],
    include_in_schema=False,
    dependencies=[Depends(counted_by_address)],
)
def open_link(request: Request, opened: Annotated[Opened, Depends(Signed())], service: Inside) -> Response:
    """Give the file that a link opens."""
    version = service.registry.readable(opened.team, opened.version_id)
    files = () if version is None else service.registry.files(version.id)
    file = file_at(files, opened.path)
    if version is None or file is None:
        raise NotFound("the file was deleted since the link was made")
    repository.check_served(version, team=opened.team)
    return file_reply(request, version, file, service.open_version)


@both(router, "GET", "/entityTags/getTags")
def get_tags(
    caller: Reader,
    service: Inside,
    entity: str = "mlModel",
    ids: Annotated[list[str] | None, Query(alias="entityIds")] = None,
) -> Response:
    """Give the tags of models by their ids."""
    wanted = [id for given in ids or () for id in given.split(",")][:PAGE]
    found = {id: _tags_of(id, caller, service) for id in wanted if entity == "mlModel"}
    return reply({id: [{"tag": {"name": tag}} for tag in tags] for id, tags in found.items() if tags is not None})


@both(router, "PUT", "/entityTags/updateTags")
def update_tags(caller: Writer, body: Body, service: Inside) -> Response:
    """Give a model other tags, all of them at once."""
    fields = object_of("the body", json_of(body))
    tags = fields.get("tags")
    if not is_words(tags, MAX_TAGS):
        raise RejectedEvent(f"tags: expected a list of at most {MAX_TAGS} words, found {shown(tags)}")
    named = required_text(fields, "entityId", MAX_ID_CHARACTERS)
    checked = [checked_name("tag", tag) or "" for tag in tags]
    upload = service.registry.tag_upload(
        caller.team, named, checked, service.clock.now(), caller.name
    )  # its files may have come a moment ago
    if upload is not None:
        return reply({"tags": list(upload.said.tags)})
    version = _living(named, caller, service)
    now, unwanted = service.clock.now(), set(version.tags) - set(checked)
    tagged = repository.tag(service.registry, version, checked, unwanted, now, caller.name)
    return reply({"tags": list(tagged.tags)})


def _tags_of(model_id: str, caller: Caller, service: Service) -> Sequence[str] | None:
    """Return the tags of a model, whether its files are registered or still to come; None where there is none."""
    upload = service.registry.upload(caller.team, model_id)
    if upload is not None:
        return upload.said.tags
    version = service.registry.readable(caller.team, model_id)
    return None if version is None else version.tags


def _named(body: bytes, caller: Caller, service: Service) -> ModelVersion:
    """Return the version of the caller's team that the body of a request names."""
    return _living(_id(body), caller, service)


def _id(body: bytes) -> str:
    fields: Mapping[str, Any] = object_of("the body", json_of(body))
    return required_text(fields, "id", MAX_ID_CHARACTERS)


def _living(version_id: str, caller: Caller, service: Service) -> ModelVersion:
    return _there(service.registry.version(caller.team, version_id))


def _there(found: ModelVersion | None) -> ModelVersion:
    if found is None:
        raise NotFound(UNKNOWN)
    return found
