"""The page of models: each with its newest version, found by what people know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from detectors.facts import ModelType
from worker.api.pages import Project, Text
from worker.api.service import Inside, Service
from worker.api.web.pictures import sparkline
from worker.api.web.render import is_part, page
from worker.api.web.rows import Row, row_of
from worker.api.web.visitors import Visitor
from worker.errors import RejectedEvent
from worker.figures import counted
from worker.ordering import METRIC, parse_order
from worker.projects import project_id
from worker.records import NEWEST_FIRST, Attention, ModelVersion, Order, Overview, SortKey, VersionQuery

PAGE = 50
"""Models on one page."""

COURSE_VERSIONS = 30
"""How many versions back the metric of a model is followed."""

DONE = {"deleted": "The last version was deleted, and so is its model."}
"""What the page says after it was done."""

NEWEST = f"-{SortKey.CREATED.value}"

SORTS = ((NEWEST, "Newest"), (SortKey.NAME.value, "Name"), (f"-{SortKey.SIZE.value}", "Size"))
"""How models may be sorted: the word in the address, as `worker.ordering` reads it, and what people read. Metrics come too."""

OTHER_WAY = {SortKey.CREATED: "Oldest", SortKey.NAME: "Name, Z to A", SortKey.SIZE: "Size, smallest first"}

STATES = (
    (Attention.NEEDS_LOOK, "Needs a look"),
    (Attention.FINDINGS, "Findings"),
    (Attention.INCOMPLETE, "Not complete"),
    (Attention.NOT_FULLY_READ, "Not fully read"),
    (Attention.QUARANTINED, "In quarantine"),
    (Attention.GATE_FAILED, "Gate failed"),
)

router = APIRouter(tags=["page"])


@dataclass(frozen=True, slots=True)
class Filters:
    """What was asked for, as the form on the page has it; empty for everything. A project is asked for by its id."""

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

    @property
    def is_newest_first(self) -> bool:
        """Tell whether the list has the order that it has by itself."""
        return self.sort == NEWEST

    def address(self, **more: str) -> str:
        """Return the address of the list with these filters and *more*, which may be another order."""
        names = {"q": self.q, "projectId": self.project, "type": self.type, "state": self.state, "tag": self.tag}
        query = {name: value for name, value in names.items() if value} | {"sort": self.sort} | more
        if query["sort"] == NEWEST:
            del query["sort"]
        return f"/?{urlencode(query)}" if query else "/"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: the filters as the form has them, and the query of a page that they make."""

    filters: Filters
    query: VersionQuery


def asked_for(
    visit: Visitor,
    service: Inside,
    q: Text = None,
    project: Project = None,
    declared: Annotated[str, Query(alias="type", max_length=40)] = "",
    state: Annotated[str, Query(max_length=40)] = "",
    tag: Text = None,
    sort: Annotated[str, Query(max_length=200)] = NEWEST,
    after: Text = None,
) -> Asked:
    """Return what is asked for; a word that is no choice of the form asks for everything, newest first."""
    kind = next((kind for kind in ModelType if kind == declared), None)
    attention = next((reason for reason in Attention if reason == state), None)
    order = _order(sort)
    known = project_id(service.registry, visit.caller.team, project or None)
    filters = Filters((q or "").strip(), known or "", kind or "", attention or "", tag or "", _word(order))
    query = VersionQuery(
        visit.caller.team,
        filters.project or None,
        model_type=kind,
        tag=filters.tag or None,
        text=filters.q or None,
        after=after,
        limit=PAGE + 1,
        is_latest=True,
        order=order,
        attention=attention,
    )
    return Asked(filters, query)


@router.get("/", include_in_schema=False)
def show_models(
    request: Request,
    visit: Visitor,
    service: Inside,
    asked: Annotated[Asked, Depends(asked_for)],
    done: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Show a page of models; as a part, the list alone. *done* is what was done before, if anything was."""
    if is_part(request):
        part = page(request, "models_list.html", **_listed(service, asked))
        part.headers["HX-Replace-Url"] = asked.filters.address()
        return part
    team, order = visit.caller.team, asked.query.order
    overview = service.registry.overview(team)
    if not overview.models:
        return page(request, "empty.html", "Models", workers=service.living_workers(), done=DONE.get(done))
    shown = _listed(service, asked) | _choices(service, team, order) | _lede(overview) | {"done": DONE.get(done)}
    return page(request, "models.html", "Models", **shown)


def _listed(service: Service, asked: Asked) -> dict[str, Any]:
    """Return what the list shows."""
    filters, query = asked.filters, asked.query
    found = service.registry.versions(query)
    rows = _rows(service, found[:PAGE], query.order)
    return {
        "rows": rows,
        "filters": filters,
        "renamed": service.registry.renamed_projects(query.team),
        "headers": _headers(filters, query.order, rows),
        "order_said": _said(query.order),
        "older": filters.address(after=found[PAGE - 1].id) if len(found) > PAGE else None,
        "is_first": query.after is None,
        "matching": service.registry.count(query),
        "now": service.clock.now(),
    }


def _order(sort: str) -> Order:
    try:
        return parse_order(sort)
    except RejectedEvent:
        return NEWEST_FIRST


def _word(order: Order) -> str:
    """Return *order* as an address has it."""
    name = f"{METRIC}{order.metric}" if order.by is SortKey.METRIC else order.by.value
    return f"-{name}" if order.is_descending else name


def _rows(service: Service, versions: Sequence[ModelVersion], order: Order) -> list[Row]:
    """Return *versions* as rows, each with what became of its metric across the versions of its model; where the order goes by
    a metric, it is that one.
    """
    rows = [row_of(version, order.metric) for version in versions]
    named = {row.version.id: (row.metric.name, row.metric.session) for row in rows if row.metric and row.version.number > 1}
    courses = service.registry.courses(named, COURSE_VERSIONS) if named else {}
    return [_drawn(replace(row, course=courses.get(row.version.id, ()))) for row in rows]


def _drawn(row: Row) -> Row:
    """Return *row* with a picture of the course of its metric, where it has two ends."""
    return row if row.metric is None or row.ends is None else replace(row, picture=sparkline(row.metric.name, row.course))


def _headers(filters: Filters, order: Order, rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Return, for each column that the list can be sorted by, the address that does, and where it is sorted so already, how.

    A column that is in order is sorted the other way round. The column of metrics goes by the one that most rows show.
    """
    shown = Counter(row.metric.name for row in rows if row.metric)
    metric = order.metric or next((name for name, _ in shown.most_common(1)), None)
    first = {"model": Order(SortKey.NAME), "size": Order(SortKey.SIZE, is_descending=True), "registered": NEWEST_FIRST}
    if metric is not None:
        first["metric"] = Order(SortKey.METRIC, metric, is_descending=True)
    headers = {}
    for column, usual in first.items():
        is_sorted = usual.by is order.by
        wanted = replace(order, is_descending=not order.is_descending) if is_sorted else usual
        way = {"sort": "descending" if order.is_descending else "ascending"} if is_sorted else {}
        headers[column] = {"href": filters.address(sort=_word(wanted)), "by": _said(wanted)} | way
    return headers


def _said(order: Order) -> str:
    """Return what people read of an order."""
    if order.by is SortKey.METRIC:
        return f"Metric: {order.metric}" if order.is_descending else f"Metric: {order.metric}, lowest first"
    return dict(SORTS).get(_word(order), OTHER_WAY[order.by])


def _choices(service: Service, team: str, order: Order) -> dict[str, Any]:
    """Return what the form offers, each a list of what stands in the address and what people read."""
    projects = [(project.id, project.name) for project in service.registry.projects(team)]
    tags = service.registry.tags(team)
    return {
        "projects": _offered("All projects", projects),
        "types": _offered("All types", [(kind.value, kind.value) for kind in ModelType]),
        "states": _offered("Any state", STATES),
        "tags": _offered("Any tag", [(name, name) for name in tags]),
        "sorts": _sorts(service, team, order),
    }


def _sorts(service: Service, team: str, order: Order) -> list[tuple[str, str]]:
    """Return the orders that the form offers, among them the one that the list has."""
    by_metric = [Order(SortKey.METRIC, name, is_descending=True) for name in service.registry.metric_names(team)]
    offered = [*SORTS, *((_word(one), _said(one)) for one in by_metric)]
    chosen = (_word(order), _said(order))
    return offered if chosen in offered else [*offered, chosen]


def _offered(everything: str, options: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    return [("", everything), *options]


def _lede(overview: Overview) -> dict[str, Any]:
    """Return what the sentence above the list says: how much there is, how much of it needs a look, and why; who has two
    reasons is counted for both.
    """
    why = (
        (overview.attention[Attention.INCOMPLETE], "not complete"),
        (overview.attention[Attention.FINDINGS], "with findings"),
        (overview.attention[Attention.NOT_FULLY_READ], "not fully read"),
        (overview.attention[Attention.QUARANTINED], "in quarantine"),
        (overview.attention[Attention.GATE_FAILED], "with a failed gate"),
    )
    return {
        "models_in_all": counted(overview.models, "model"),
        "versions_in_all": counted(overview.versions, "version"),
        "to_look_at": overview.attention[Attention.NEEDS_LOOK],
        "why": ", ".join(f"{number} {word}" for number, word in why if number),
        "look_address": f"/?{urlencode({'state': Attention.NEEDS_LOOK.value})}",
    }
