"""Looks for model versions, as statements on an open connection; the transaction is `sql`'s.

Statements that a worker needs for every ingestion are made once: to make one takes as long as to ask it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, bindparam, func, literal, null, select, true

from worker.records import ModelVersion, NewVersion, Scope, VersionQuery
from worker.registry import pages, rows
from worker.registry.listing import as_seen_by
from worker.registry.tables import (
    headline_metrics,
    listed_versions,
    model_versions,
    registered_models,
    version_metrics,
    version_tags,
)
from worker.registry.words import scope_key

MAX_NAMED = 1000
"""Versions that one statement names."""

LIVES = model_versions.c.deleted.is_(None)

LARGE = frozenset(("summary", "detail", "metadata_raw"))
"""What is asked for apart: to read what a run reported step by step takes longer than all the rest."""

VERSIONS = select(
    *(column for column in model_versions.c if column.name not in LARGE),
    registered_models.c.project,
    registered_models.c.name.label("model_name"),
    registered_models.c.is_generated,
    registered_models.c.is_published,
).select_from(model_versions.join(registered_models))
"""Versions with what their model knows."""

LONG: Mapping[str, ColumnElement[Any]] = {"report": literal("").label("report"), "arrival": null().label("arrival")}

BRIEF: list[ColumnElement[Any]] = [LONG.get(column.name, column) for column in VERSIONS.selected_columns]
"""The same without the report, and without what differed from the version before."""

NEWEST_FIRST = VERSIONS.order_by(model_versions.c.sequence.desc())

BY_ID = VERSIONS.where(model_versions.c.id == bindparam("id"))

LIVING = BY_ID.where(LIVES, model_versions.c.team == bindparam("team"))

TAGS = select(version_tags).where(version_tags.c.version_id.in_(bindparam("ids", expanding=True)))

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


def readable(connection: Connection, team: str, version_id: str) -> ModelVersion | None:
    """Return the version *version_id*, None where there is no living one that the team may read."""
    listed = BY_ID.where(listed_versions.c.sequence == model_versions.c.sequence)
    found = _only(versions(connection, listed.where(LIVES, pages.readable(team)), {"id": version_id}))
    return None if found is None else as_seen_by(team, found)


def _latest() -> Select[Any]:
    """Return the statement that finds the newest living version of a model: that of the newest version of a scope, where one is
    given and has any, else the one of this name.
    """
    in_scope = select(model_versions.c.model).where(LIVES, model_versions.c.scope == bindparam("scope"))
    followed = in_scope.order_by(model_versions.c.sequence.desc()).limit(1).scalar_subquery()
    model = registered_models.c
    of_name = (model.team == bindparam("team"), model.project == bindparam("project"), model.name == bindparam("name"))
    named = select(model.sequence).where(*of_name).scalar_subquery()
    of_model = select(model_versions.c.id).where(LIVES, model_versions.c.model == func.coalesce(followed, named))
    return of_model.order_by(model_versions.c.number.desc()).limit(1)


LATEST = _latest()


def predecessor(connection: Connection, version: NewVersion) -> str | None:
    """Return the id of the newest living version of the model that *version* would belong to; one statement."""
    scope = version.scope
    given = {
        "scope": scope_key(scope) if version.is_generated_name else None,
        "team": scope.team,
        "project": scope.project,
        "name": version.model_name,
    }
    return connection.execute(LATEST, given).scalar_one_or_none()


def is_listed(connection: Connection, scope: Scope, listing_key: str) -> bool:
    """Tell whether a living version of *scope* was seen under this listing; one statement."""
    given = {"scope": scope_key(scope), "listing_key": listing_key}
    return connection.execute(SAME_LISTING, given).one_or_none() is not None


def same_listing(connection: Connection, scope: Scope, listing_key: str) -> ModelVersion | None:
    """Return the newest living version of *scope* that was seen under this listing."""
    given = {"scope": scope_key(scope), "listing_key": listing_key}
    found = connection.execute(SAME_LISTING, given).scalar_one_or_none()
    return None if found is None else by_id(connection, found)


def listed(connection: Connection, query: VersionQuery, limit: int) -> list[ModelVersion]:
    """Return the versions of a page, at most *limit*, in the query's order."""
    found = []
    wanted = VERSIONS.with_only_columns(*BRIEF, maintain_column_froms=True) if query.is_brief else VERSIONS
    sequences = pages.sequences(connection, query, limit)
    for start in range(0, len(sequences), MAX_NAMED):
        some = sequences[start : start + MAX_NAMED]
        places = {sequence: place for place, sequence in enumerate(some)}
        rows_of = connection.execute(wanted.where(model_versions.c.sequence.in_(some))).all()
        found += _with_tags(connection, sorted(rows_of, key=lambda row: places[row.sequence]))
    return [as_seen_by(query.team, version) for version in found]


def tags_of(connection: Connection, team: str) -> list[str]:
    """Return the tags of the team's living versions, by name."""
    return _each(connection, version_tags.c.tag, team)


def metric_names(connection: Connection, team: str) -> list[str]:
    """Return the names of the metrics that the team's living versions can be ordered by, by name."""
    return _each(connection, headline_metrics.c.name, team)


def _each(connection: Connection, column: Column[str], team: str) -> list[str]:
    """Return each value of *column* once that a living version of the team has; one statement.

    Each is looked for behind the one before, along an index of team and *column*: as many looks as there are values, however
    many versions have them.
    """
    table = column.table.c
    least = select(func.min(column)).where(table.lives.is_(true()), table.team == team)
    found = select(least.scalar_subquery().label("value")).cte("found", recursive=True)
    behind = least.where(column > found.c.value).correlate(found).scalar_subquery()
    found = found.union_all(select(behind).where(found.c.value.is_not(None)))
    return sorted(connection.scalars(select(found.c.value).where(found.c.value.is_not(None))))


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


def named(connection: Connection, team: str, name: str, number: int | None) -> list[ModelVersion]:
    """Return the living versions of this number, None for the latest, of the team's models of this name, newest first."""
    listed = listed_versions.c
    same_name = (listed.lives.is_(true()), listed.team == team, pages.is_named(name))
    wanted = NEWEST_FIRST.where(listed.sequence == model_versions.c.sequence, *same_name)
    is_wanted = listed.is_latest.is_(true()) if number is None else model_versions.c.number == number
    return versions(connection, wanted.where(is_wanted))


def versions(connection: Connection, matching: Select[Any], values: Mapping[str, Any] | None = None) -> list[ModelVersion]:
    """Return the few versions that *matching* selects, with their tags: two statements; *values* are those of its
    parameters.
    """
    return _with_tags(connection, connection.execute(matching, values).all())


def _with_tags(connection: Connection, found: Sequence[Row[Any]]) -> list[ModelVersion]:
    if not found:
        return []
    tags: dict[str, list[str]] = {row.id: [] for row in found}
    for row in connection.execute(TAGS, {"ids": list(tags)}):
        tags[row.version_id].append(row.tag)
    return [rows.version_of(row, tags[row.id]) for row in found]


def _only(found: list[ModelVersion]) -> ModelVersion | None:
    return found[0] if found else None
