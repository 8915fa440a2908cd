"""The page of one version of a model, and what people do with it there: rename, tag, note, scan again, download, release,
publish, delete.

Each of these begins with a link that opens its question on the same page (`?ask=`), and ends with a form that is sent; so all
of it works without a script. Afterwards the page is shown again and says what was done (`?done=`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated
from urllib.parse import quote, urlencode

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from worker import program, repository, tokens
from worker.api.completions import accepted, check_place
from worker.api.desk import Desk, desk_of
from worker.api.files import file_at, file_reply, zip_reply
from worker.api.pages import Project
from worker.api.paths import FILE
from worker.api.problems import reply
from worker.api.schemas import MAX_NOTES_CHARACTERS
from worker.api.service import Inside, Service
from worker.api.web.model_page import MOST_SPARKS, Known, context, dangers, whole
from worker.api.web.render import page
from worker.api.web.reported import headlines, reported
from worker.api.web.visitors import Editor, Fields, Steward, Visit, Visitor
from worker.bom import bill_of_materials
from worker.errors import NotFound, RejectedEvent, WrongState
from worker.events import rescan_from_json
from worker.records import CompletionEvent, ModelVersion, TokenScope, Trigger, VersionQuery

QUESTIONS = frozenset(("rename", "tag", "notes", "rescan", "download", "release", "publish", "delete"))
"""What the page can be asked to ask."""

DONE = {
    "renamed": "The model has another name now, and so have all its versions.",
    "tagged": "The tag was added.",
    "untagged": "The tag was removed.",
    "published": "All teams can read the model now, all its versions, also later ones.",
    "withdrawn": "No other team can read the model any more.",
    "noted": "The notes are kept.",
    "released": "The version was released, and is served now.",
    "deleted": "The version was deleted; this one is the newest that is left.",
    "queued": "Another look at its path is queued. This version stays as it is; what is new becomes another version.",
}
"""What the page says after it was done."""

Ask = Annotated[str, Query(max_length=20)]

router = APIRouter(tags=["page"])
log = structlog.get_logger("modelport.api")


def looked_at(version_id: str, visit: Visitor, service: Inside) -> ModelVersion:
    """Return the version with this id of the team of who looks at it.

    Raises:
        NotFound: there is none.
    """
    return _living(version_id, visit, service)


def changed(version_id: str, visit: Editor, service: Inside) -> ModelVersion:
    """Return the version with this id of the team of who changes it.

    Raises:
        NotFound: there is none.
    """
    return _living(version_id, visit, service)


def steered(version_id: str, visit: Steward, service: Inside) -> ModelVersion:
    """Return the version with this id of the team of who steers its work.

    Raises:
        NotFound: there is none.
    """
    return _living(version_id, visit, service)


LookedAt = Annotated[ModelVersion, Depends(looked_at)]
Changed = Annotated[ModelVersion, Depends(changed)]
Steered = Annotated[ModelVersion, Depends(steered)]


@router.get("/models/{model:path}", include_in_schema=False)
def show_model(
    request: Request, model: str, visit: Visitor, service: Inside, project: Project = None, ask: Ask = "", done: Ask = ""
) -> Response:
    """Show the latest version of a model, or the one that is named, as people name it."""
    version = repository.find(service.registry, visit.caller.team, model, project)
    return _shown(request, version, visit, service, ask, done)


@router.get("/versions/{version_id}", include_in_schema=False)
def show_version(
    request: Request, visit: Visitor, version: LookedAt, service: Inside, ask: Ask = "", done: Ask = ""
) -> Response:
    """Show one version."""
    return _shown(request, version, visit, service, ask, done)


@router.get("/versions/{version_id}/report", include_in_schema=False)
def show_report(visit: Visitor, version: LookedAt) -> Response:
    """Show the whole scan report of a version."""
    return reply(json.loads(version.report))


@router.get("/versions/{version_id}/bom", include_in_schema=False)
def show_bill(visit: Visitor, version: LookedAt, service: Inside) -> Response:
    """Show what a version is made of, as CycloneDX has it."""
    return reply(bill_of_materials(version, service.registry.files(version.id), program.release()))


@router.get("/versions/{version_id}/archive", include_in_schema=False)
def download_all(visit: Visitor, version: LookedAt, service: Inside) -> Response:
    """Give all files of a version as a zip; ask first where a finding says that it is dangerous, or it is in quarantine."""
    return _asked_first(version) or zip_reply(version, service.registry.files(version.id), service.open_version)


@router.get("/versions/{version_id}/files/" + FILE, include_in_schema=False)
def download_file(request: Request, path: str, visit: Visitor, version: LookedAt, service: Inside) -> Response:
    """Give one file, or a range of it; ask first where a finding says that the version is dangerous, or it is in quarantine."""
    file = file_at(service.registry.files(version.id), path)
    if file is None:
        raise NotFound(f"there is no file {path[:200]!a} in {version.id}")
    return _asked_first(version) or file_reply(request, version, file, service.open_version)


@router.post("/versions/{version_id}/archive", include_in_schema=False)
def download_anyway(visit: Visitor, version: LookedAt, service: Inside) -> Response:
    """Give all files of a version that is dangerous by a finding, or in quarantine, to somebody who was told so."""
    rules = sorted({one["rule"] for one in dangers(whole(json.loads(version.report)))})
    said = {"rules": rules, "quarantined": version.is_quarantined}
    repository.check_taken(service.registry, version, True, visit.caller.team, service.clock.now(), visit.caller.name)
    log.warning("downloaded in spite of findings", version=version.id, **_who(visit), **said)
    return zip_reply(version, service.registry.files(version.id), service.open_version)


@router.post("/versions/{version_id}/name", include_in_schema=False)
def rename(request: Request, visit: Editor, version: Changed, service: Inside, fields: Fields) -> Response:
    """Give the model of a version another name."""
    name = fields.get("name", "")
    try:
        repository.rename(service.registry, version, name, service.clock.now(), visit.caller.name)
    except RejectedEvent as exc:
        return _shown(request, version, visit, service, "rename", trouble=str(exc), given=name, status=422)
    log.info("renamed", version=version.id, **_who(visit))
    return _back(version, "renamed")


@router.post("/versions/{version_id}/tags", include_in_schema=False)
def change_tags(request: Request, visit: Editor, version: Changed, service: Inside, fields: Fields) -> Response:
    """Give a version another tag (`add`), or take one away (`remove`)."""
    add, remove = fields.get("add"), fields.get("remove")
    try:
        added, removed = ([] if one is None else [one] for one in (add, remove))
        repository.tag(service.registry, version, added, removed, service.clock.now(), visit.caller.name)
    except RejectedEvent as exc:
        return _shown(request, version, visit, service, "tag", trouble=str(exc), given=add or "", status=422)
    log.info("changed", version=version.id, **_who(visit), what=["tags"])
    return _back(version, "untagged" if add is None else "tagged")


@router.post("/versions/{version_id}/published", include_in_schema=False)
def publish(visit: Editor, version: Changed, service: Inside, fields: Fields) -> Response:
    """Let all teams read the model of a version, or with `withdraw` no team but its own."""
    is_published = "withdraw" not in fields
    repository.publish(service.registry, version, is_published, service.clock.now(), visit.caller.name)
    done = "published" if is_published else "withdrawn"
    log.info(done, version=version.id, **_who(visit))
    return _back(version, done)


@router.post("/versions/{version_id}/release", include_in_schema=False)
def release(request: Request, visit: Steward, version: Steered, service: Inside, fields: Fields) -> Response:
    """Let a version go that is in quarantine, for a reason."""
    reason = fields.get("reason", "")
    try:
        repository.release(service.registry, version, reason, service.clock.now(), visit.caller.name)
    except RejectedEvent as exc:
        return _shown(request, version, visit, service, "release", trouble=str(exc), given=reason, status=422)
    if version.is_quarantined:
        log.warning("released", version=version.id, **_who(visit), reason=reason)
    return _back(version, "released")


@router.post("/versions/{version_id}/notes", include_in_schema=False)
def change_notes(request: Request, visit: Editor, version: Changed, service: Inside, fields: Fields) -> Response:
    """Keep other notes on a version; none where they are empty."""
    notes = fields.get("notes", "").replace("\r\n", "\n").strip()
    if len(notes) > MAX_NOTES_CHARACTERS:
        trouble = f"notes: expected at most {MAX_NOTES_CHARACTERS} characters, found {len(notes)}"
        return _shown(request, version, visit, service, "notes", trouble=trouble, given=notes, status=422)
    repository.note(service.registry, version, notes, service.clock.now(), visit.caller.name)
    log.info("changed", version=version.id, **_who(visit), what=["notes"])
    return _back(version, "noted")


def asked_again(version: Changed, service: Inside, fields: Fields) -> CompletionEvent:
    """Return the event that has the path of a version looked at again, with the gates of the run that left it.

    Raises:
        RejectedEvent: nobody knows where it came from.
        WrongState: it was uploaded, and came from no path.
    """
    origin = service.registry.origin(version.id)
    if origin is not None and origin.event.trigger is Trigger.UPLOAD:
        raise WrongState("it was uploaded, and came from no path; upload it again to have it looked at again")
    declared = None if origin is None else origin.event.declared_type
    said = {
        "path": (origin.event.model_path if origin is not None else "") or version.location,
        "projectId": version.project,
        "experimentId": version.experiment,
        "modelType": None if declared is None else declared.value,
        "force": "force" in fields,
    }
    event = rescan_from_json(said, version.team, service.new_id())
    return event if origin is None else replace(event, gates=origin.event.gates)


@router.post("/versions/{version_id}/rescan", include_in_schema=False)
async def scan_again(
    visit: Editor,
    version: Changed,
    event: Annotated[CompletionEvent, Depends(asked_again)],
    desk: Annotated[Desk, Depends(desk_of)],
) -> Response:
    """Queue another look at the path that a version came from, as `POST /v1/rescans` does."""
    check_place(event, desk.service)
    await accepted(event, desk)
    return _back(version, "queued")


@router.post("/versions/{version_id}/delete", include_in_schema=False)
def delete(request: Request, visit: Editor, version: Changed, service: Inside, fields: Fields) -> Response:
    """Delete a version and its copy; the last one of its model only where its name was typed."""
    others = [one for one in _of_model(version, service, 2) if one.id != version.id]
    if not others and fields.get("name", "").strip() != version.model_name:
        wanted = "type the name of the model: no version of it will be left"
        return _shown(request, version, visit, service, "delete", trouble=wanted, given=fields.get("name", ""), status=422)
    repository.delete(service.registry, service.store, version, service.clock.now(), visit.caller.name)
    log.info("deleted", version=version.id, **_who(visit))
    return _back(others[0], "deleted") if others else RedirectResponse("/?done=deleted", 303)


def _living(version_id: str, visit: Visit, service: Service) -> ModelVersion:
    found = service.registry.version(visit.caller.team, version_id)
    if found is None:
        raise NotFound(f"there is no version {version_id[:80]!a}")
    return found


def _shown(
    request: Request,
    version: ModelVersion,
    visit: Visit,
    service: Service,
    ask: str = "",
    done: str = "",
    trouble: str = "",
    given: str = "",
    status: int = 200,
) -> Response:
    """Return the page of *version*; where a form was sent that cannot be taken, with its question, the *trouble* and what was
    *given*.
    """
    shown = context(_known(version, service), service.clock.now())
    may_change = tokens.allows(visit.caller.scopes, frozenset({TokenScope.MODEL_WRITE}))
    may_release = tokens.allows(visit.caller.scopes, frozenset({TokenScope.OPERATE}))
    may_be_asked = {"download": True, "release": may_release and version.is_quarantined}.get(ask, may_change)
    question = ask if ask in QUESTIONS and may_be_asked else ""
    said = {
        "most_notes": MAX_NOTES_CHARACTERS,
        "most_reason": repository.MAX_REASON_CHARACTERS,
        "may_change": may_change,
        "may_release": may_release,
        "ask": question,
        "done": DONE.get(done),
        "trouble": trouble,
        "given": given,
    }
    return page(request, "model.html", "Models", status, **shown, **said)


def _known(version: ModelVersion, service: Service) -> Known:
    registry, report = service.registry, whole(json.loads(version.report))
    versions = _of_model(version, service, MOST_SPARKS)
    leading = headlines(reported(report["metrics"]))
    wanted = {versions[0].id: (leading[0].name, leading[0].session)} if versions and leading else {}
    courses = registry.courses(wanted, MOST_SPARKS) if wanted else {}
    return Known(
        version=version,
        project=registry.renamed_projects(version.team).get(version.project, version.project),
        report=report,
        files=registry.files(version.id),
        versions=versions,
        version_count=registry.count(VersionQuery(version.team, version.project, name=version.model_name)),
        course=next(iter(courses.values()), ()),
        origin=registry.origin(version.id),
        twin=registry.version(version.team, version.duplicate_of) if version.duplicate_of else None,
        before=registry.version(version.team, version.arrival["with"]) if version.arrival else None,
        verified=registry.verifications.of(version.id),
    )


def _of_model(version: ModelVersion, service: Service, most: int) -> Sequence[ModelVersion]:
    """Return the newest versions of the model of *version*."""
    query = VersionQuery(version.team, version.project, name=version.model_name, limit=most, is_brief=True)
    return service.registry.versions(query)


def _asked_first(version: ModelVersion) -> Response | None:
    """Return the way to the question whether somebody wants a dangerous version, None where nothing need be asked."""
    if not version.is_quarantined and not dangers(whole(json.loads(version.report))):
        return None
    return RedirectResponse(f"/versions/{version.id}?ask=download", 303)


def _back(version: ModelVersion, done: str) -> Response:
    return RedirectResponse(f"/versions/{quote(version.id)}?{urlencode({'done': done})}", 303)


def _who(visit: Visit) -> dict[str, str]:
    return {"team": visit.caller.team, "who": visit.caller.name}
