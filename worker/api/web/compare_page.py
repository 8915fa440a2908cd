"""The page that compares two versions, or several side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from worker import repository
from worker.api.service import Inside, Service
from worker.api.web.comparison import MOST_COMPARED, Side, context, labels
from worker.api.web.model_page import whole
from worker.api.web.render import page
from worker.api.web.visitors import Visitor
from worker.errors import NotFound, RejectedEvent
from worker.events import MAX_ID_CHARACTERS
from worker.records import ModelVersion, VersionQuery

MOST_OFFERED = 100
"""Versions that the form offers, the newest."""

MOST_NAMED = 100
"""Versions that an address may name."""

Name = Annotated[str, Query(max_length=MAX_ID_CHARACTERS)]
Names = Annotated[tuple[Name, ...], Query(alias="id", max_length=MOST_NAMED)]

router = APIRouter(tags=["page"])


@router.get("/compare", include_in_schema=False)
def show_comparison(
    request: Request, visit: Visitor, service: Inside, several: Names = (), a: Name = "", b: Name = ""
) -> Response:
    """Compare the version b with a; or the versions `id`, each with the oldest of them. All are named as people name them."""
    team = visit.caller.team
    named, trouble = _found((a, b), team, service)
    chosen, more_trouble = _found(several, team, service)
    versions = list({one.id: one for one in (*named, *sorted(chosen, key=_age))}.values())
    if len(versions) > MOST_COMPARED:
        more_trouble.append(f"{MOST_COMPARED} versions are compared at most; these are the first of {len(versions)}")
        versions = versions[:MOST_COMPARED]
    if len(named) == 2 and len(versions) == 1:
        trouble.append("both are the same version, and nothing differs from itself; choose another one")
    offered = _offered(versions, team, service)
    old, new = _preselected([one.id for one in versions], [one for one, _ in offered])
    said: dict[str, Any] = {
        "offered": offered,
        "trouble": trouble + more_trouble,
        "a": old,
        "b": new,
        "most": MOST_COMPARED,
    }
    if len(versions) < 2:
        return page(request, "compare.html", "Compare", **said, sides=[])
    sides = [
        Side(label, version, whole(json.loads(version.report)), service.registry.files(version.id))
        for label, version in zip(labels(versions), versions, strict=True)
    ]
    return page(request, "compare.html", "Compare", **said, **context(sides))


def _age(version: ModelVersion) -> tuple[datetime, int]:
    return version.created, version.number


def _found(names: Sequence[str], team: str, service: Service) -> tuple[list[ModelVersion], list[str]]:
    """Return the versions that *names* mean, and a sentence for each that means none; an empty one asks for none."""
    found, trouble = [], []
    for name in filter(None, map(str.strip, names)):
        try:
            found.append(repository.find(service.registry, team, name))
        except (NotFound, RejectedEvent) as exc:
            trouble.append(str(exc))
    return found, trouble


def _preselected(chosen: Sequence[str], offered: Sequence[str]) -> tuple[str, str]:
    """Return the ids that the form begins with, the old one and the new one: never one twice where there are two."""
    new = chosen[-1] if chosen else next(iter(offered), "")
    old = chosen[0] if len(chosen) > 1 else next((one for one in offered if one != new), new)
    return old, new


def _offered(chosen: Sequence[ModelVersion], team: str, service: Service) -> list[tuple[str, str]]:
    """Return the versions that the form offers: those of the models that are compared, and the newest of all."""
    models = dict.fromkeys((one.project, one.model_name) for one in chosen)
    queries = [VersionQuery(team, project, name=name, limit=MOST_OFFERED, is_brief=True) for project, name in models]
    found = {one.id: one for query in queries for one in service.registry.versions(query)}
    found |= {one.id: one for one in chosen if one.id not in found}
    latest = service.registry.versions(VersionQuery(team, limit=MOST_OFFERED, is_latest=not chosen, is_brief=True))
    found |= {one.id: one for one in latest if one.id not in found}
    return [(one.id, f"{one.model_name} v{one.number}") for one in found.values()]
