"""Care for projects: doors call these; records come out.

A project's id is its first name and stays; how it is called may change (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from worker.errors import NameTaken, NotFound, RejectedEvent
from worker.events import checked_name
from worker.ports import Registry
from worker.records import DEFAULT_PROJECT, UNSAID, ModelVersion, Project


def projects(registry: Registry, team: str) -> Sequence[Project]:
    """Return the team's projects by name."""
    return registry.projects(team)


def create_project(registry: Registry, team: str, name: str, now: datetime, who: str = UNSAID) -> Project:
    """Make a project for *who*, and return it.

    Raises:
        RejectedEvent: the name cannot be one.
        NameTaken: a project of the team has or had it.
    """
    made = registry.create_project(team, checked_name("name", name) or "", now, who)
    if made is None:
        raise NameTaken(f"name: a project has or had the name {name}")
    return made


def rename_project(registry: Registry, team: str, name: str, new_name: str, now: datetime, who: str = UNSAID) -> Project:
    """Call the project that *name* means *new_name*, for *who*, and return it.

    Raises:
        NotFound: the team has no such project.
        RejectedEvent: the new name cannot be one.
        NameTaken: it is or was that of another project.
    """
    called = checked_name("name", new_name) or ""
    project = registry.project(team, name)
    if called == DEFAULT_PROJECT and project is not None and project.id != DEFAULT_PROJECT:
        raise RejectedEvent(f"name: {DEFAULT_PROJECT} is where events go that name no project; choose another")
    renamed = registry.rename_project(team, name, called, now, who)
    if renamed is None:
        raise NotFound(f"there is no project {name[:80]!a}; `modelport projects list` shows what is there")
    return renamed


def project_id(registry: Registry, team: str, name: str | None) -> str | None:
    """Return the id of the project that *name* means, *name* itself where it means none, and None for None."""
    found = None if name is None else registry.project(team, name)
    return name if found is None else found.id


def renamed_of(registry: Registry, versions: Iterable[ModelVersion]) -> Mapping[str, Mapping[str, str]]:
    """Return, for the team of each of *versions*, how those of its projects are called that are called otherwise, by id."""
    return {team: registry.renamed_projects(team) for team in {version.team for version in versions}}
