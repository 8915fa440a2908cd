"""Projects as statements on an open connection; the transactions are `sql`'s.

A project's id is its first name. Events, scopes and places in the store hold the id, so a project that is called otherwise
stays where it is; who names it by any name that it ever had means it (docs/decisions/0011).

Law (with a test of the same name):
    what a name means never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, insert, literal, select, update
from sqlalchemy.sql.elements import ColumnElement

from worker.records import Project
from worker.registry.tables import project_names, projects
from worker.registry.words import taken

Named = tuple[str, str]
"""A team, and a name that a project of it may have."""

NAMED = select(project_names.c.name, project_names.c.project).where(
    project_names.c.team == bindparam("team"), project_names.c.name.in_(bindparam("names", expanding=True))
)


def ids_of(connection: Connection, named: Iterable[Named]) -> dict[Named, str]:
    """Return the ids of the projects that *named* mean, without those that mean none; one statement for each team."""
    names: dict[str, set[str]] = {}
    for team, name in named:
        names.setdefault(team, set()).add(name)
    found: dict[Named, str] = {}
    for team, wanted in names.items():
        given = {"team": team, "names": sorted(wanted)}
        found |= {(team, row.name): row.project for row in connection.execute(NAMED, given)}
    return found


def id_of(team: str, name: str) -> ColumnElement[str]:
    """Return the id of the project that *name* means, as part of a statement; where it means none, *name* itself."""
    table = project_names
    found: Select[Any] = select(table.c.project).where(table.c.team == team, table.c.name == name)
    return func.coalesce(found.scalar_subquery(), literal(name, table.c.name.type))


def know(connection: Connection, team: str, name: str, now: datetime) -> None:
    """Write a project of which *name* is the first name. Where another transaction does so at once, this one begins again."""
    connection.execute(insert(projects), {"team": team, "name": name, "created": now})
    connection.execute(insert(project_names), {"team": team, "name": name, "project": name})


def create(connection: Connection, team: str, name: str, now: datetime) -> Project | None:
    """Write a project and return it; None, and nothing written, where *name* means one already."""
    if ids_of(connection, [(team, name)]):
        return None
    know(connection, team, name, now)
    return find(connection, team, name)


def rename(connection: Connection, project: Project, name: str) -> Project:
    """Write that *project* is called *name* from now on, and return it.

    Raises:
        NameTaken: *name* is or was that of another project of the team.
    """
    meant = ids_of(connection, [(project.team, name)]).get((project.team, name))
    if meant is None:
        connection.execute(insert(project_names), {"team": project.team, "name": name, "project": project.id})
    elif meant != project.id:
        raise taken(name, meant)
    is_its_row = (projects.c.team == project.team, projects.c.name == project.id)
    connection.execute(update(projects).where(*is_its_row).values(shown=name))
    return Project(project.team, project.id, name, project.created)


def find(connection: Connection, team: str, name: str, is_locked: bool = False) -> Project | None:
    """Return the team's project that *name* means, None where it means none; *is_locked* keeps others from renaming it."""
    found = select(projects).where(projects.c.team == team, projects.c.name == id_of(team, name))
    row = connection.execute(found.with_for_update() if is_locked else found).one_or_none()
    return None if row is None else _project_of(row)


def all_of(connection: Connection, team: str) -> list[Project]:
    """Return the team's projects by name."""
    found = connection.execute(select(projects).where(projects.c.team == team))
    return sorted((_project_of(row) for row in found), key=lambda project: (project.name, project.id))


def renamed(connection: Connection, team: str) -> Mapping[str, str]:
    """Return how those of the team's projects are called that are not called by their ids, by id."""
    other = select(projects.c.name, projects.c.shown).where(projects.c.team == team, projects.c.shown.is_not(None))
    return {row.name: row.shown for row in connection.execute(other) if row.shown != row.name}


def _project_of(row: Row[Any]) -> Project:
    return Project(row.team, row.name, row.name if row.shown is None else row.shown, row.created)
