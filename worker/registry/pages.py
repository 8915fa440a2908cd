"""Finds the versions of one page of a list, as statements on an open connection; the transaction is `sql`'s.

Only the narrow rows of `listed_versions` are looked at, along an index of the order that is asked for, or of a filter, as the
database reckons. In goes a query; out come sequences in order. To read those versions is left to `versions`. What a team may
read at all is the one condition `readable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, Text, and_, func, literal, literal_column, or_, select, true, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement

from worker.records import NEWEST_FIRST, Attention, SortKey, VersionQuery
from worker.registry import projects, tallies
from worker.registry.listed import IS_LATEST, LISTED, LIVES
from worker.registry.listing import BITS, Wanted, has_reason, wanted
from worker.registry.stored import is_storable
from worker.registry.tables import headline_metrics, listed_versions, version_tags
from worker.registry.words import VERSION_PREFIX, folded

METRIC = headline_metrics.c

KEYS: dict[SortKey, tuple[Column[Any], ...]] = {
    SortKey.CREATED: (LISTED.sequence,),
    SortKey.NAME: (LISTED.name_folded, LISTED.sequence),
    SortKey.SIZE: (LISTED.size_bytes, LISTED.sequence),
    SortKey.METRIC: (METRIC.value, METRIC.sequence),
}
"""What each order compares; the last one is never equal."""

PIECES = literal_column("modelport_pieces(listed_versions.name_folded, listed_versions.experiment_folded)", ARRAY(Text))
"""All texts of up to `PIECE_CHARS` in name and experiment. Only PostgreSQL has the function, and an index of what it gives."""

PIECE_CHARS = 3

INDEXED = {
    SortKey.CREATED: ("experiment", "name", "project", "look", "latest"),
    SortKey.NAME: ("name", "latest"),
    SortKey.SIZE: ("latest",),
}
"""The filters that an index knows together with each order, those that leave least first; one index knows one of them."""

WINDOW = 5000
"""Rows of a list that are looked at, one after the other, before the database is asked for all that match."""

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
        return _found(connection, _search(connection, query, begins), limit)
    found: list[int] = []
    if begins is None or begins[0] is not None:
        found, begins = _found(connection, _search(connection, query, begins), limit), None
    if len(found) < limit:
        found += _found(connection, _search_of_lacking(connection, query, begins), limit - len(found))
    return found


def count(connection: Connection, query: VersionQuery) -> int:
    """Return how many versions match. Where nothing is asked but looks, it is known beforehand."""
    plain = replace(query, order=NEWEST_FIRST, attention=None, is_latest=False, after=None, limit=0, is_brief=False)
    if plain == VersionQuery(query.team, limit=0):
        return sum(
            amount
            for (look, is_latest), amount in tallies.read(connection, query.team).items()
            if (is_latest or not query.is_latest) and (query.attention is None or has_reason(look, query.attention))
        )
    counted = select(func.count()).select_from(listed_versions).where(*_conditions(connection, query))
    return int(connection.execute(counted).scalar_one())


@dataclass(frozen=True, slots=True)
class _Search:
    """How the rows of a page are found: one index knows those that are *listed* so, or *measured* where the order goes by a
    metric, in the order of *keys*; *rest* is what else they must be.

    is_in_order is False where no index knows both. *behind* is the place that the page begins behind, None for the first.
    *narrow* is a part of *listed* and *rest* that an index counts, empty where there is none; *looked_up* follows from *rest*,
    and is what an index finds where nothing goes by order.
    """

    keys: tuple[Column[Any], ...]
    is_descending: bool
    listed: list[ColumnElement[bool]]
    measured: list[ColumnElement[bool]]
    rest: list[ColumnElement[bool]]
    behind: tuple[Any, ...] | None
    narrow: list[ColumnElement[bool]]
    looked_up: list[ColumnElement[bool]]
    is_in_order: bool = True

    def in_order(self, keys: Iterable[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """Return *keys*, which stand for the keys of the search, each in its direction."""
        return [key.desc() if self.is_descending else key.asc() for key in keys]

    def is_behind(self, keys: Sequence[ColumnElement[Any]]) -> ColumnElement[bool]:
        """Return the condition that a row whose keys these are stands behind where the page begins."""
        place = tuple_(*(literal(value, key.type) for value, key in zip(self.behind or (), keys, strict=True)))
        return tuple_(*keys) < place if self.is_descending else tuple_(*keys) > place


def _found(connection: Connection, search: _Search, limit: int) -> list[int]:
    """Return at most *limit* rows in order.

    What many versions are is found by looking along the order, and what few are by looking for them: databases reckon which
    it is, and where they are wrong they read everything. So the first `WINDOW` rows are looked at, unless no more than that
    can match at all; where they do not do, what is looked for is rare, and all of it is found.
    """
    if search.is_in_order and not search.rest:
        return _all(connection, _along(search).limit(limit))
    if search.is_in_order and not _is_narrow(connection, search):
        found = _all(connection, _within(search).limit(limit))
        if len(found) == limit:
            return found
    return _all(connection, _apart(search).limit(limit))


def _is_narrow(connection: Connection, search: _Search) -> bool:
    """Tell whether an index says that at most `WINDOW` rows can match."""
    if not search.narrow:
        return False
    some = select(LISTED.sequence).where(*search.narrow).limit(WINDOW + 1).subquery()
    counted: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return counted <= WINDOW


def _along(search: _Search) -> Select[Any]:
    """Return the statement for the rows in their order, whatever the rest."""
    statement = select(search.keys[-1]).where(*(search.measured or search.listed))
    if search.behind is not None:
        statement = statement.where(search.is_behind(search.keys))
    return statement.order_by(*search.in_order(search.keys))


def _within(search: _Search) -> Select[Any]:
    """Return the statement for those of the first `WINDOW` rows that are all that is asked for."""
    first = _along(search).with_only_columns(*search.keys).limit(WINDOW).subquery()
    statement = select(LISTED.sequence).join(first, first.c.sequence == LISTED.sequence).where(*search.rest)
    return statement.order_by(*search.in_order([first.c[key.key] for key in search.keys]))


def _apart(search: _Search) -> Select[Any]:
    """Return the statement that finds all that is asked for, and puts it in order then."""
    columns: list[ColumnElement[Any]] = [LISTED.sequence, *search.keys[:-1]]
    if search.measured:  # a look for each row, where a join would read the metrics of all
        of_this = select(METRIC.value).where(METRIC.sequence == LISTED.sequence, *search.measured)
        columns[1] = of_this.scalar_subquery().label("value")
    conditions = (*search.listed, *search.looked_up, *search.rest)
    found = select(*columns).where(*conditions).cte("found").prefix_with("MATERIALIZED")
    keys = [found.c[key.key] for key in search.keys]
    statement = select(found.c.sequence).where(*(key.is_not(None) for key in keys))
    if search.behind is not None:
        statement = statement.where(search.is_behind(keys))
    return statement.order_by(*search.in_order(keys))


def _all(connection: Connection, statement: Select[Any]) -> list[int]:
    return list(connection.execute(statement).scalars())


def _begins(connection: Connection, query: VersionQuery, after: str) -> Row[*tuple[Any, ...]] | None:
    """Return what the order compares of the version *after*, living or not; None where the list cannot hold it.

    The first is None where the order is by a metric that it lacks.
    """
    this = select(*KEYS[query.order.by][:-1], LISTED.sequence).select_from(listed_versions)
    if query.order.by is SortKey.METRIC:
        of_this = and_(METRIC.sequence == LISTED.sequence, METRIC.name == query.order.metric)
        this = this.outerjoin(headline_metrics, of_this)
    return connection.execute(this.where(LISTED.version_id == after, _of_list(query))).one_or_none()


def _search(connection: Connection, query: VersionQuery, begins: Row[*tuple[Any, ...]] | None) -> _Search:
    """Return how to find the versions behind *begins* in the order of the query, those without its metric left out."""
    order = query.order
    keys = KEYS[order.by]
    filters = dict(_filters(query))
    listed, measured = [LIVES, _of_list(query)], list[ColumnElement[bool]]()
    if order.by is SortKey.METRIC:
        measured = [METRIC.name == order.metric, METRIC.lives.is_(true())]
        measured += [] if query.is_published else [METRIC.team == query.team]
    elif not query.is_published:
        indexed = next((name for name in INDEXED[order.by] if name in filters), None)
        listed += [] if indexed is None else [filters.pop(indexed)]
    counted = next((filters[name] for name in INDEXED[SortKey.CREATED][:-1] if name in filters), None)
    return _Search(
        keys,
        order.is_descending,
        listed,
        measured,
        rest=list(filters.values()),
        behind=None if begins is None else tuple(begins),
        narrow=[] if counted is None or query.is_published else [LIVES, _of_list(query), counted],
        looked_up=[_looked_up(query.text)] if query.text and connection.dialect.name == "postgresql" else [],
        is_in_order=not query.is_published or order.by is SortKey.CREATED,
    )


def _search_of_lacking(connection: Connection, query: VersionQuery, begins: Row[*tuple[Any, ...]] | None) -> _Search:
    """Return how to find the versions without the metric of the query that are older than *begins*, newest first."""
    has_it = select(METRIC.sequence).where(METRIC.sequence == LISTED.sequence, METRIC.name == query.order.metric)
    search = _search(connection, replace(query, order=NEWEST_FIRST), None)
    return replace(search, rest=[*search.rest, ~has_it.exists()], behind=None if begins is None else (begins.sequence,))


def _of_list(query: VersionQuery) -> ColumnElement[bool]:
    return LISTED.is_published.is_(true()) if query.is_published else LISTED.team == query.team


def _conditions(connection: Connection, query: VersionQuery) -> Iterator[ColumnElement[bool]]:
    """Yield what the versions of a query must be."""
    yield LIVES
    yield _of_list(query)
    if query.text and connection.dialect.name == "postgresql":
        yield _looked_up(query.text)
    yield from (condition for _, condition in _filters(query))


def _filters(query: VersionQuery) -> Iterator[tuple[str, ColumnElement[bool]]]:
    """Yield a condition for every given field, with a name."""
    if query.is_latest:
        yield "latest", IS_LATEST
    if query.project is not None:
        yield "project", LISTED.project == projects.id_of(query.team, query.project)
    if query.experiment is not None:
        yield "experiment", LISTED.experiment == query.experiment
    if query.model_type is not None:
        yield "type", LISTED.model_type == query.model_type.value
    if query.name is not None:
        yield "name", is_named(query.name)
    for tag in {*query.tags, *(() if query.tag is None else (query.tag,))}:
        yield f"tag {tag}", LISTED.version_id.in_(select(version_tags.c.version_id).where(version_tags.c.tag == tag))
    if query.attention is not None:
        yield "look", LISTED.look > ZERO
        if query.attention is not Attention.NEEDS_LOOK:
            yield "reason", LISTED.look.bitwise_and(BITS[query.attention]) != ZERO
    if query.text:
        meant = wanted(query.text)
        in_names = or_(_holds(LISTED.name_folded, meant.part), _holds(LISTED.experiment_folded, meant.part))
        yield "text", or_(in_names, *_is_called(query.text, meant))


def _looked_up(text: str) -> ColumnElement[bool]:
    """Return what follows from a search for *text*, and is known to indexes of PostgreSQL: its pieces, a digest or an id."""
    meant = wanted(text)
    return or_(PIECES.contains(_pieces(meant.part)), *_is_called(text, meant))


def _is_called(text: str, meant: Wanted) -> Iterable[ColumnElement[bool]]:
    """Yield what a search may mean besides a part of a name: a digest or its beginning, an id."""
    if meant.digest is not None:
        yield and_(LISTED.digest >= meant.digest, LISTED.digest < meant.digest + "g")
    if text.startswith(VERSION_PREFIX):
        yield LISTED.version_id == text


def _holds(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    return func.coalesce(column, "").contains(part, autoescape=True)


def _pieces(part: str) -> list[str]:
    """Return pieces that every text has that holds *part*."""
    if len(part) < PIECE_CHARS:
        return [part]
    return sorted({part[start : start + PIECE_CHARS] for start in range(len(part) - PIECE_CHARS + 1)})[:MAX_PIECES]
