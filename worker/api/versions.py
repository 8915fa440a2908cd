"""Looking at versions, taking their files, and steering them: those of one team, and looking at what others published."""

from __future__ import annotations

import json
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request, Response

from detectors.facts import ModelType
from worker import repository
from worker.api.auth import Caller, Reader, Writer
from worker.api.bodies import JSON, Body, expect, json_of, media_type
from worker.api.files import OCTETS, file_at, file_reply, zip_reply
from worker.api.pages import Experiment, Limit, Project, Published, Sort, State, Text, page_reply
from worker.api.paths import FILE
from worker.api.problems import reply
from worker.api.schemas import (
    CHANGE_BODY,
    MAX_NOTES_CHARACTERS,
    MAX_TAGS,
    Bill,
    Difference,
    Manifest,
    VersionFiles,
    VersionPage,
    VersionReport,
    VersionRow,
    VersionWithFiles,
    answers,
    bytes_answers,
    no_answer,
)
from worker.api.service import Inside, Service
from worker.bom import bill_of_materials
from worker.compare import compared
from worker.errors import NotFound, RejectedEvent
from worker.events import MAX_ID_CHARACTERS, checked_name
from worker.fields import is_words, object_with, text
from worker.gates import gates_json
from worker.manifest import file_json
from worker.ordering import parse_order
from worker.program import release
from worker.projects import renamed_of
from worker.records import ModelVersion, VersionQuery
from worker.views import manifest_json, verified_json, version_json, with_project

FILTERS = ("model", "projectId", "experimentId", "type", "tag", "q", "state", "published", "sort")
CHANGES = {"name", "notes", "tags"}

Insisting = Annotated[bool, Query()]
"""Whether files are wanted although they are not to be served."""

router = APIRouter(prefix="/v1", tags=["versions"])
log = structlog.get_logger("modelport.api")


@router.get("/versions", responses=answers(VersionPage, 401, 403, 422, 503))
def list_versions(
    request: Request,
    caller: Reader,
    service: Inside,
    model: Text = None,
    project: Project = None,
    experiment: Experiment = None,
    declared: Annotated[ModelType | None, Query(alias="type")] = None,
    tag: Text = None,
    q: Text = None,
    state: State = None,
    published: Published = False,
    sort: Sort = None,
    after: Text = None,
    limit: Limit = 100,
) -> Response:
    """List versions, newest first; `q` is looked for in their names and experiments, or is the beginning of a digest, or an
    id. `state` is why one should be looked at; `sort` is `created`, `name`, `size` or `metric:NAME`, after a `-` the other way
    round; `published` lists those of all teams. `next` is the address of the next page, null on the last.
    """
    query = VersionQuery(
        caller.team,
        project,
        experiment,
        declared,
        tag,
        model,
        q,
        after,
        limit + 1,
        order=parse_order(sort),
        attention=state,
        is_published=published,
        is_brief=True,
    )
    found = service.registry.versions(query)
    names = renamed_of(service.registry, found)
    return page_reply(request, "versions", found, limit, FILTERS, lambda one: with_project(version_json(one), names[one.team]))


@router.get("/versions/{version_id}", responses=answers(VersionWithFiles, 401, 403, 404, 422, 503))
def show_version(version_id: str, caller: Reader, service: Inside) -> Response:
    """Show one version, what differs from the one before, its files, and what its last load check came to."""
    version = _readable(version_id, caller.team, service)
    files = [file_json(file) for file in service.registry.files(version.id)]
    row = with_project(version_json(version), service.registry.renamed_projects(version.team))
    verified = verified_json(service.registry.verifications.of(version.id))
    return reply(row | {"diff": version.arrival, "files": files, "verification": verified})


@router.get("/versions/{version_id}/report", responses=answers(VersionReport, 401, 403, 404, 422, 503))
def show_report(version_id: str, caller: Reader, service: Inside) -> Response:
    """Show what the scan found: models, facts, metrics, findings, and what was not looked at; what became of the gates, and
    what differs from the version before.
    """
    version = _readable(version_id, caller.team, service)
    judged = {"gates": gates_json(version.gates), "diff": version.arrival}
    return reply(json.loads(version.report) | {"version": version_json(version)} | judged)


@router.get("/versions/{version_id}/manifest", responses=answers(Manifest, 401, 403, 404, 422, 503))
def show_manifest(version_id: str, caller: Reader, service: Inside) -> Response:
    """Show the digests: of the version, of it as model signing reckons it, and of each file."""
    version = _readable(version_id, caller.team, service)
    return reply(manifest_json(version, service.registry.files(version.id)))


@router.get("/versions/{version_id}/bom", responses=answers(Bill, 401, 403, 404, 422, 503))
def show_bill(version_id: str, caller: Reader, service: Inside) -> Response:
    """Show what the version is made of, as a bill of materials of CycloneDX 1.6 with a card of the model."""
    version = _readable(version_id, caller.team, service)
    return reply(bill_of_materials(version, service.registry.files(version.id), release()))


@router.get("/versions/{version_id}/diff", responses=answers(Difference, 401, 403, 404, 422, 503))
def show_difference(
    version_id: str,
    caller: Reader,
    service: Inside,
    other: Annotated[str, Query(alias="with", max_length=MAX_ID_CHARACTERS)],
) -> Response:
    """Show what differs in the version `with`: whether who calls the model breaks, operators, parameters, metrics, findings,
    files.
    """
    old, new = (_readable(one, caller.team, service) for one in (version_id, other))
    reports = (json.loads(version.report) for version in (old, new))
    files = (service.registry.files(version.id) for version in (old, new))
    return reply({"old": version_json(old), "new": version_json(new), **compared(*reports, *files)})


@router.get("/versions/{version_id}/files", responses=answers(VersionFiles, 401, 403, 404, 422, 503))
def list_files(version_id: str, caller: Reader, service: Inside) -> Response:
    """List the files of a version by path."""
    version = _readable(version_id, caller.team, service)
    return reply({"files": [file_json(file) for file in service.registry.files(version.id)]})


@router.get(
    "/versions/{version_id}/archive",
    response_class=Response,
    responses=bytes_answers("application/zip", 401, 403, 404, 409, 422, 503),
)
def download_all(version_id: str, caller: Reader, service: Inside, quarantined: Insisting = False) -> Response:
    """Give all files of a version as a zip, not compressed. It breaks off where a file is not what was registered. One in
    quarantine is given with `quarantined` alone, to its own team, to look into it.
    """
    version = _served(version_id, caller, service, quarantined)
    return zip_reply(version, service.registry.files(version.id), service.open_version)


@router.get(
    "/versions/{version_id}/files/" + FILE,
    response_class=Response,
    responses=bytes_answers(OCTETS, 401, 403, 404, 409, 416, 422, 503),
)
def download_file(
    request: Request, version_id: str, path: str, caller: Reader, service: Inside, quarantined: Insisting = False
) -> Response:
    """Give one file, or a range of it. A whole one is compared with its digest on the way. One in quarantine is given with
    `quarantined` alone, to its own team, to look into it.
    """
    version = _served(version_id, caller, service, quarantined)
    file = file_at(service.registry.files(version.id), path)
    if file is None:
        raise NotFound(f"there is no file {path[:200]!a} in {version.id}")
    return file_reply(request, version, file, service.open_version)


@router.patch(
    "/versions/{version_id}",
    responses=answers(VersionRow, 400, 401, 403, 404, 409, 413, 415, 422, 503),
    openapi_extra={"requestBody": CHANGE_BODY},
)
def change_version(request: Request, version_id: str, caller: Writer, body: Body, service: Inside) -> Response:
    """Give the version's model, and so all its versions, another name; or the version other notes, or other tags, all of them
    at once.
    """
    expect(media_type(request.headers), JSON)
    fields = object_with("the body", json_of(body), CHANGES)
    version, tags = _living(version_id, caller.team, service), _tags(fields.get("tags"))
    name, notes = text(fields, "name", MAX_ID_CHARACTERS), text(fields, "notes", MAX_NOTES_CHARACTERS)
    now = service.clock.now()
    if name is not None:
        version = repository.rename(service.registry, version, name, now, caller.name)
    if tags is not None:
        version = repository.tag(service.registry, version, tags, set(version.tags) - set(tags), now, caller.name)
    if notes is not None:
        version = repository.note(service.registry, version, notes, now, caller.name)
    log.info("changed", version=version.id, team=caller.team, who=caller.name, what=sorted(fields))
    return reply(version_json(version))


@router.delete("/versions/{version_id}", status_code=204, response_class=Response, responses=no_answer(401, 403, 404, 422, 503))
def delete_version(version_id: str, caller: Writer, service: Inside) -> Response:
    """Delete a version and its copy. Referenced files stay where they are."""
    version = _living(version_id, caller.team, service)
    repository.delete(service.registry, service.store, version, service.clock.now(), caller.name)
    log.info("deleted", version=version.id, team=caller.team, who=caller.name)
    return Response(None, 204)


def _readable(version_id: str, team: str, service: Service) -> ModelVersion:
    return _there(service.registry.readable(team, version_id), version_id)


def _served(version_id: str, caller: Caller, service: Service, is_insisted: bool) -> ModelVersion:
    """Return a version whose files may go out.

    Raises:
        NotFound: there is none.
        Quarantined: it is in quarantine, and nobody insists who may.
    """
    version = _readable(version_id, caller.team, service)
    repository.check_taken(service.registry, version, is_insisted, caller.team, service.clock.now(), caller.name)
    if version.is_quarantined:
        log.warning("taken out of quarantine to look into it", version=version.id, team=caller.team, who=caller.name)
    return version


def _living(version_id: str, team: str, service: Service) -> ModelVersion:
    return _there(service.registry.version(team, version_id), version_id)


def _there(found: ModelVersion | None, version_id: str) -> ModelVersion:
    if found is None:
        raise NotFound(f"there is no version {version_id[:80]!a}")
    return found


def _tags(value: object) -> list[str] | None:
    """Return the tags in a body as they are kept, None where it has none.

    Raises:
        RejectedEvent: they are no list of words, or one of them cannot be a tag.
    """
    if value is None:
        return None
    if not is_words(value, MAX_TAGS):
        raise RejectedEvent(f"tags: expected a list of at most {MAX_TAGS} words")
    return [checked_name("tags", tag) or "" for tag in value]
