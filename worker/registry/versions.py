"""Looks for model versions, as statements on an open connection; the transaction is `sql`'s.

Statements that a worker needs for every ingestion are made once: to make one takes as long as to ask it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, literal, or_, select
from sqlalchemy.sql.elements import ColumnElement

from worker.records import ModelVersion, Scope, Standing, VersionQuery
from worker.registry import rows
from worker.registry.tables import model_versions, registered_models, version_metrics, version_tags
from worker.registry.words import folded, scope_key

LIVES = model_versions.c.deleted.is_(None)

LARGE = frozenset(("summary", "detail", "metadata_raw"))
"""What is asked for apart: to read what a run reported step by step takes longer than all the rest."""

VERSIONS = select(
    *(column for column in model_versions.c if column.name not in LARGE),
    registered_models.c.project,
    registered_models.c.name.label("model_name"),
    registered_models.c.is_generated,
).join(registered_models)
"""Versions with what their model knows."""

BRIEF = [literal("").label("report") if column.name == "report" else column for column in VERSIONS.selected_columns]
"""The same without the report."""

NEWEST_FIRST = VERSIONS.order_by(model_versions.c.sequence.desc())

BY_ID = VERSIONS.where(model_versions.c.id == bindparam("id"))

STANDS: Mapping[Standing, ColumnElement[bool]] = {
    Standing.LOOK: or_(model_versions.c.completeness != "complete", model_versions.c.verdict != "clean"),
    Standing.FINDINGS: model_versions.c.verdict == "findings",
    Standing.INCOMPLETE: model_versions.c.completeness == "incomplete",
    Standing.CORRUPT: model_versions.c.completeness == "corrupt",
    Standing.UNREAD: model_versions.c.verdict == "inconclusive",
    Standing.CLEAN: and_(model_versions.c.completeness == "complete", model_versions.c.verdict == "clean"),
}
"""What a version must be to stand so."""

LIVING = BY_ID.where(LIVES, model_versions.c.team == bindparam("team"))

SAME_LISTING = (
    select(model_versions.c.id)
    .where(LIVES, model_versions.c.scope == bindparam("scope"), model_versions.c.listing_key == bindparam("listing_key"))
    .order_by(model_versions.c.sequence.desc())
    .limit(1)
)
"""Only the id, because there seldom is one, and it costs to describe forty columns of nothing."""


def by_id(connection: Connection, version_id: str) -> ModelVersion | None:
    """Return the version *version_id*, deleted or not."""
    return _only(versions(connection, BY_ID, {"id": version_id}))


def living(connection: Connection, team: str, version_id: str) -> ModelVersion | None:
    """Return the team's version *version_id*, None where there is none, or it is deleted."""
    return _only(versions(connection, LIVING, {"team": team, "id": version_id}))


def is_listed(connection: Connection, scope: Scope, listing_key: str) -> bool:
    """Tell whether a living version of *scope* was seen under this listing; one statement."""
    given = {"scope": scope_key(scope), "listing_key": listing_key}
    return connection.execute(SAME_LISTING, given).one_or_none() is not None


def same_listing(connection: Connection, scope: Scope, listing_key: str) -> ModelVersion | None:
    """Return the newest living version of *scope* that was seen under this listing."""
    given = {"scope": scope_key(scope), "listing_key": listing_key}
    found = connection.execute(SAME_LISTING, given).scalar_one_or_none()
    return None if found is None else by_id(connection, found)


def matching(query: VersionQuery) -> Select[Any]:
    """Return the statement for the living versions that *query* means, newest first."""
    found = NEWEST_FIRST.where(LIVES, *_conditions(query))
    return found.with_only_columns(*BRIEF, maintain_column_froms=True) if query.is_brief else found


def counting(query: VersionQuery) -> Select[Any]:
    """Return the statement for how many living versions *query* means, wherever a list of them begins."""
    everything = VERSIONS.where(LIVES, *_conditions(replace(query, after=None)))
    return everything.with_only_columns(func.count(), maintain_column_froms=True)


def judging(query: VersionQuery) -> Select[Any]:
    """Return the statement for how many living versions *query* means, by completeness and verdict."""
    judged = (model_versions.c.completeness, model_versions.c.verdict)
    everything = VERSIONS.where(LIVES, *_conditions(replace(query, after=None)))
    return everything.with_only_columns(*judged, func.count().label("number"), maintain_column_froms=True).group_by(*judged)


def tags_of(team: str) -> Select[Any]:
    """Return the statement for the tags of the team's living versions."""
    living = version_tags.join(model_versions, version_tags.c.version_id == model_versions.c.id)
    return select(version_tags.c.tag).distinct().select_from(living).where(LIVES, model_versions.c.team == team)


def courses(connection: Connection, wanted: Mapping[str, tuple[str, str]], most: int) -> Mapping[str, Sequence[float | None]]:
    """Return the values of a metric across the versions of each model, up to the version that is the key; one statement."""
    listed = model_versions.alias()
    is_before = (model_versions.c.number <= listed.c.number) & (model_versions.c.number > listed.c.number - most)
    is_named = version_metrics.c.name.in_({name for name, _ in wanted.values()})
    statement = (
        select(listed.c.id.label("listed"), model_versions.c.number.label("version_number"), version_metrics)
        .join(model_versions, (model_versions.c.model == listed.c.model) & is_before)
        .outerjoin(version_metrics, (version_metrics.c.version_id == model_versions.c.id) & is_named)
        .where(listed.c.id.in_(wanted), LIVES)
        .order_by(listed.c.id, model_versions.c.number, version_metrics.c.position)
    )
    found: dict[str, dict[int, float | None]] = {}
    for row in connection.execute(statement):
        course = found.setdefault(row.listed, {})
        value = rows.metric_of(row).value if (row.name, row.session) == wanted[row.listed] else None
        if course.setdefault(row.version_number, value) is None:
            course[row.version_number] = value
    return {version_id: tuple(course.values()) for version_id, course in found.items()}


def named(team: str, name: str, number: int | None) -> Select[Any]:
    """Return the statement for the living versions of this number, None for the latest, of the team's models of this name."""
    same_name = (LIVES, model_versions.c.team == team, registered_models.c.name == name)
    return NEWEST_FIRST.where(*same_name, _is_latest() if number is None else model_versions.c.number == number)


def versions(connection: Connection, matching: Select[Any], values: Mapping[str, Any] | None = None) -> list[ModelVersion]:
    """Return the versions that *matching* selects, with their tags: two statements, however many versions; *values* are
    those of its parameters.
    """
    found = connection.execute(matching, values).all()
    if not found:
        return []
    ids = matching.with_only_columns(model_versions.c.id).subquery()
    tags: dict[str, list[str]] = {row.id: [] for row in found}
    tagged = select(version_tags).where(version_tags.c.version_id.in_(select(ids.c.id)))
    for row in connection.execute(tagged, values):
        tags.get(row.version_id, []).append(row.tag)
    return [rows.version_of(row, tags[row.id]) for row in found]


def _only(found: list[ModelVersion]) -> ModelVersion | None:
    return found[0] if found else None


def _conditions(query: VersionQuery) -> Iterable[ColumnElement[bool]]:
    """Yield what the versions of a query must be, one condition for every given field."""
    yield model_versions.c.team == query.team
    if query.project is not None:
        yield registered_models.c.project == query.project
    if query.experiment is not None:
        yield model_versions.c.experiment == query.experiment
    if query.model_type is not None:
        yield model_versions.c.model_type == query.model_type.value
    if query.name is not None:
        yield registered_models.c.name == query.name
    if query.tag is not None:
        tagged = select(version_tags.c.version_id).where(version_tags.c.tag == query.tag)
        yield model_versions.c.id.in_(tagged)
    if query.is_latest:
        yield _is_latest()
    if query.standing is not None:
        yield STANDS[query.standing]
    if query.after is not None:
        other = model_versions.alias()
        older_than = select(other.c.sequence).where(other.c.id == query.after, other.c.team == query.team)
        yield model_versions.c.sequence < older_than.scalar_subquery()
    if query.text is not None:
        yield _holds(registered_models.c.name_folded, query.text) | _holds(model_versions.c.experiment_folded, query.text)


def _holds(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    return func.coalesce(column, "").contains(folded(text), autoescape=True)


def _is_latest() -> ColumnElement[bool]:
    """Return the condition that no living version of the model has a higher number."""
    other = model_versions.alias()
    numbers = select(func.max(other.c.number)).where(other.c.model == registered_models.c.sequence, other.c.deleted.is_(None))
    return model_versions.c.number == numbers.scalar_subquery()
