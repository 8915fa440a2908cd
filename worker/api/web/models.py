"""The page of models: each with its newest version, found by what people know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from detectors.facts import ModelType
from worker.api.pages import Project, Text
from worker.api.service import Inside, Service
from worker.api.web.format import counted
from worker.api.web.pictures import sparkline
from worker.api.web.render import is_part, page
from worker.api.web.rows import Row, row_of
from worker.api.web.visitors import Visitor
from worker.records import ModelVersion, Standing, VersionQuery

PAGE = 50
"""Models on one page."""

COURSE_VERSIONS = 30
"""How many versions back the metric of a model is followed."""

SORTS = (("newest", "Newest"),)
"""How models may be sorted: the word in the address, and what people read."""

STANDINGS = (
    (Standing.LOOK, "Needs a look"),
    (Standing.FINDINGS, "Findings"),
    (Standing.INCOMPLETE, "Incomplete"),
    (Standing.CORRUPT, "Corrupt"),
    (Standing.UNREAD, "Not fully read"),
    (Standing.CLEAN, "Nothing to look at"),
)

router = APIRouter(tags=["page"])


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for, as the form on the page has it; empty for everything."""

    q: str
    project: str
    type: str
    state: str
    tag: str
    sort: str

    @property
    def are_set(self) -> bool:
        """Tell whether anything is filtered."""
        return any((self.q, self.project, self.type, self.state, self.tag))

    def address(self, **more: str) -> str:
        """Return the address of the list with these filters and *more*."""
        names = {"q": self.q, "projectId": self.project, "type": self.type, "state": self.state, "tag": self.tag}
        sort = {} if self.sort == SORTS[0][0] else {"sort": self.sort}
        query = {name: value for name, value in names.items() if value} | sort | more
        return f"/?{urlencode(query)}" if query else "/"


@router.get("/", include_in_schema=False)
def show_models(
    request: Request,
    visit: Visitor,
    service: Inside,
    q: Text = None,
    project: Project = None,
    declared: Annotated[str, Query(alias="type", max_length=40)] = "",
    state: Annotated[str, Query(max_length=40)] = "",
    tag: Text = None,
    sort: Annotated[str, Query(max_length=200)] = SORTS[0][0],
    after: Text = None,
) -> Response:
    """Show models, newest first, by what is asked for; a word that is no choice of the form asks for everything."""
    team = visit.caller.team
    kind = next((kind for kind in ModelType if kind == declared), None)
    standing = next((standing for standing in Standing if standing == state), None)
    filters = Filters((q or "").strip(), project or "", kind or "", standing or "", tag or "", sort)
    query = VersionQuery(
        team,
        filters.project or None,
        model_type=kind,
        tag=filters.tag or None,
        text=filters.q or None,
        after=after,
        limit=PAGE + 1,
        is_latest=True,
        standing=standing,
    )
    found = service.registry.versions(query)
    context: dict[str, Any] = {
        "rows": _rows(service, found[:PAGE]),
        "filters": filters,
        "older": filters.address(after=found[PAGE - 1].id) if len(found) > PAGE else None,
        "is_first": after is None,
        "matching": service.registry.count(query),
        "now": service.clock.now(),
    }
    if is_part(request):
        part = page(request, "models_list.html", **context)
        part.headers["HX-Replace-Url"] = filters.address()
        return part
    judgements = service.registry.judgements(VersionQuery(team, is_latest=True))
    if not judgements:
        return page(request, "empty.html", "Models", workers=service.living_workers())
    return page(request, "models.html", "Models", **context, **_choices(service, team), **_lede(service, team, judgements))


def _rows(service: Service, versions: Sequence[ModelVersion]) -> list[Row]:
    """Return *versions* as rows, each with what became of its metric across the versions of its model."""
    rows = [row_of(version) for version in versions]
    named = {row.version.id: (row.metric.name, row.metric.session) for row in rows if row.metric and row.version.number > 1}
    courses = service.registry.courses(named, COURSE_VERSIONS) if named else {}
    return [_drawn(replace(row, course=courses.get(row.version.id, ()))) for row in rows]


def _drawn(row: Row) -> Row:
    """Return *row* with a picture of the course of its metric, where it has two ends."""
    return row if row.metric is None or row.ends is None else replace(row, picture=sparkline(row.metric.name, row.course))


def _choices(service: Service, team: str) -> dict[str, Any]:
    """Return what the form offers, each a list of what stands in the address and what people read."""
    projects = [project.name for project in service.registry.projects(team)]
    tags = service.registry.tags(team)
    return {
        "projects": _offered("All projects", [(name, name) for name in projects]),
        "types": _offered("All types", [(kind.value, kind.value) for kind in ModelType]),
        "standings": _offered("Any state", STANDINGS),
        "tags": _offered("Any tag", [(name, name) for name in tags]),
        "sorts": SORTS,
    }


def _offered(everything: str, options: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("", everything), *options]


def _lede(service: Service, team: str, judgements: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return what the sentence above the list says: how much there is, how much of it needs a look, and why."""
    look = {pair: number for pair, number in judgements.items() if pair != ("complete", "clean")}
    why = (
        (sum(number for (completeness, _), number in look.items() if completeness == "corrupt"), "corrupt"),
        (sum(number for (completeness, _), number in look.items() if completeness == "incomplete"), "incomplete"),
        (look.get(("complete", "findings"), 0), "with findings"),
        (look.get(("complete", "inconclusive"), 0), "not fully read"),
    )
    return {
        "models_in_all": counted(sum(judgements.values()), "model"),
        "versions_in_all": counted(service.registry.count(VersionQuery(team)), "version"),
        "to_look_at": sum(look.values()),
        "why": ", ".join(f"{number} {word}" for number, word in why if number),
        "look_address": f"/?{urlencode({'state': Standing.LOOK})}",
    }
