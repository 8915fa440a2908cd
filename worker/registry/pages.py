"""Finds the versions of one page of a list, as statements on an open connection; the transaction is `sql`'s.

Only the narrow rows of `listed_versions` are looked at, along an index of the order that is asked for, or of a filter, as the
database reckons. In goes a query; out come sequences in order. To read those versions is left to `versions`. What a team may
read at all is the one condition `readable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, Text, and_, func, literal, literal_column, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement

from worker.records import NEWEST_FIRST, Attention, SortKey, VersionQuery
from worker.registry import tallies
from worker.registry.listed import IS_LATEST, LISTED, LIVES
from worker.registry.listing import BITS, has_reason, wanted
from worker.registry.stored import is_storable
from worker.registry.tables import headline_metrics, listed_versions, model_versions, version_tags
from worker.registry.words import VERSION_PREFIX, folded

METRIC = headline_metrics.c

KEYS: dict[SortKey, tuple[ColumnElement[Any], ...]] = {
    SortKey.CREATED: (LISTED.sequence,),
    SortKey.NAME: (LISTED.name_folded, LISTED.sequence),
    SortKey.SIZE: (LISTED.size_bytes, LISTED.sequence),
    SortKey.METRIC: (METRIC.value, METRIC.sequence),
}
"""What each order compares; the last one is never equal."""

PIECES = literal_column("modelport_pieces(listed_versions.name_folded, listed_versions.experiment_folded)", ARRAY(Text))
"""All texts of up to `PIECE_CHARS` in name and experiment. Only PostgreSQL has the function, and an index of what it gives."""

PIECE_CHARS = 3

MAX_PIECES = 32
"""Pieces of a search text that the index is asked for; what it finds is looked at whole anyway."""

ZERO: ColumnElement[int] = literal_column("0")
"""Not a parameter: an index on a part of the table serves only who provably asks for that part."""


def readable(team: str) -> ColumnElement[bool]:
    """Return the condition that a team may read a version: it is its own, or its team published it."""
    return or_(LISTED.team == team, LISTED.is_published.is_(true()))


def is_named(name: str) -> ColumnElement[bool]:
    """Return the condition that a version's model has exactly this name; the folded one is what an index knows."""
    known = folded(name) if is_storable(name) else ""  # as no model is called
    return and_(LISTED.name_folded == known, LISTED.name == name)


def sequences(connection: Connection, query: VersionQuery, limit: int) -> list[int]:
    """Return where the versions of a page stand in the order of registration, at most *limit* of them, in the query's order."""
    begins = None if query.after is None else _begins(connection, query, query.after)
    if query.after is not None and begins is None:
        return []
    if query.order.by is not SortKey.METRIC:
        return _all(connection, _page(connection, query, begins), limit)
    found: list[int] = []
    if begins is None or begins[0] is not None:
        found, begins = _all(connection, _page(connection, query, begins), limit), None
    if len(found) < limit:
        found += _all(connection, _lacking(connection, query, begins), limit - len(found))
    return found


def count(connection: Connection, query: VersionQuery) -> int:
    """Return how many versions match. Where nothing is asked but looks, it is known beforehand."""
    plain = replace(query, order=NEWEST_FIRST, attention=None, is_latest=False, after=None, limit=0)
    if plain == VersionQuery(query.team, limit=0):
        return sum(
            amount
            for (look, is_latest), amount in tallies.read(connection, query.team).items()
            if (is_latest or not query.is_latest) and (query.attention is None or has_reason(look, query.attention))
        )
    counted = select(func.count()).select_from(listed_versions).where(*_conditions(connection, query))
    return int(connection.execute(counted).scalar_one())


def _all(connection: Connection, statement: Select[Any], limit: int) -> list[int]:
    return list(connection.execute(statement.limit(limit)).scalars())


def _begins(connection: Connection, query: VersionQuery, after: str) -> Row[*tuple[Any, ...]] | None:
    """Return what the order compares of the version *after*, living or not; None where the list cannot hold it.

    The first is None where the order is by a metric that it lacks.
    """
    this = select(*KEYS[query.order.by][:-1], LISTED.sequence).select_from(listed_versions)
    this = this.join(model_versions, model_versions.c.sequence == LISTED.sequence)
    if query.order.by is SortKey.METRIC:
        of_this = and_(METRIC.sequence == LISTED.sequence, METRIC.name == query.order.metric)
        this = this.outerjoin(headline_metrics, of_this)
    return connection.execute(this.where(model_versions.c.id == after, _of_list(query))).one_or_none()


def _page(connection: Connection, query: VersionQuery, begins: Row[*tuple[Any, ...]] | None) -> Select[Any]:
    """Return the statement for the versions behind *begins* in the order of the query, those without its metric left out."""
    keys = KEYS[query.order.by]
    statement = select(LISTED.sequence).where(*_conditions(connection, query))
    if query.order.by is SortKey.METRIC:
        statement = statement.join(headline_metrics, METRIC.sequence == LISTED.sequence)
        statement = statement.where(METRIC.name == query.order.metric, METRIC.lives.is_(true()))
        if not query.is_published:
            statement = statement.where(METRIC.team == query.team)
    if begins is not None:
        place = tuple_(*(literal(value, key.type) for value, key in zip(begins, keys, strict=True)))
        statement = statement.where(tuple_(*keys) < place if query.order.is_descending else tuple_(*keys) > place)
    return statement.order_by(*(key.desc() if query.order.is_descending else key.asc() for key in keys))


def _lacking(connection: Connection, query: VersionQuery, begins: Row[*tuple[Any, ...]] | None) -> Select[Any]:
    """Return the statement for the versions without the metric of the query that are older than *begins*, newest first."""
    has_it = select(METRIC.sequence).where(METRIC.sequence == LISTED.sequence, METRIC.name == query.order.metric)
    statement = select(LISTED.sequence).where(*_conditions(connection, query), ~has_it.exists())
    if begins is not None:
        statement = statement.where(LISTED.sequence < begins.sequence)
    return statement.order_by(LISTED.sequence.desc())


def _of_list(query: VersionQuery) -> ColumnElement[bool]:
    return LISTED.is_published.is_(true()) if query.is_published else LISTED.team == query.team


def _conditions(connection: Connection, query: VersionQuery) -> Iterator[ColumnElement[bool]]:
    """Yield what the versions of a query must be, one condition for every given field."""
    yield LIVES
    yield _of_list(query)
    if query.is_latest:
        yield IS_LATEST
    if query.project is not None:
        yield LISTED.project == query.project
    if query.experiment is not None:
        yield LISTED.experiment == query.experiment
    if query.model_type is not None:
        yield LISTED.model_type == query.model_type.value
    if query.name is not None:
        yield is_named(query.name)
    for tag in {*query.tags, *(() if query.tag is None else (query.tag,))}:
        tagged = select(version_tags.c.version_id).where(version_tags.c.tag == tag)
        yield LISTED.version_id.in_(tagged)
    if query.attention is not None:
        yield _needs(query.attention)
    if query.text:
        yield or_(*_meant(connection, query.text))


def _needs(attention: Attention) -> ColumnElement[bool]:
    needs_look = LISTED.look > ZERO
    if attention is Attention.NEEDS_LOOK:
        return needs_look
    return and_(needs_look, LISTED.look.bitwise_and(BITS[attention]) != ZERO)


def _meant(connection: Connection, text: str) -> Iterable[ColumnElement[bool]]:
    """Yield what a search may mean: a part of a name or an experiment, a digest or its beginning, an id."""
    meant = wanted(text)
    in_names = or_(_holds(LISTED.name_folded, meant.part), _holds(LISTED.experiment_folded, meant.part))
    if connection.dialect.name == "postgresql":
        in_names = and_(PIECES.contains(_pieces(meant.part)), in_names)
    yield in_names
    if meant.digest is not None:
        yield and_(LISTED.digest >= meant.digest, LISTED.digest < meant.digest + "g")
    if text.startswith(VERSION_PREFIX):
        yield LISTED.sequence == select(model_versions.c.sequence).where(model_versions.c.id == text).scalar_subquery()


def _holds(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    return func.coalesce(column, "").contains(part, autoescape=True)


def _pieces(part: str) -> list[str]:
    """Return pieces that every text has that holds *part*."""
    if len(part) < PIECE_CHARS:
        return [part]
    return sorted({part[start : start + PIECE_CHARS] for start in range(len(part) - PIECE_CHARS + 1)})[:MAX_PIECES]
