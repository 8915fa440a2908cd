"""Projects in a database: what two who name them at once do to each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import event as hooks
from sqlalchemy import text

from tests.contracts.projects import LATER, NOON, rename
from tests.contracts.registry import event
from worker.records import Project
from worker.registry import projects
from worker.registry.engine import open_engine
from worker.registry.migrate import configuration, migrate
from worker.registry.sql import SqlRegistry


@pytest.fixture
def registry(build: Callable[..., SqlRegistry]) -> SqlRegistry:
    return build()


def test_an_event_asks_once_for_the_projects_of_its_team(registry: SqlRegistry) -> None:
    """However many come together: who asks is on the way that every completion takes."""
    registry.submit(event("1", project="a"), NOON)
    seen: list[str] = []
    hooks.listen(registry.engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    registry.submit_all([(event(f"new {number}", project="ab"[number % 2]), None) for number in range(10)], NOON)
    about = [" ".join(said.split()[:3]) for said in seen if "project_names" in said or " projects" in said]
    assert about == ["SELECT project_names.name, project_names.project", "INSERT INTO projects", "INSERT INTO project_names"]


def test_a_project_from_before_is_found_by_its_id(tmp_path: Path) -> None:
    """A database of the revision before projects had names, with one project."""
    database, config = f"sqlite:///{tmp_path / 'old.db'}", configuration()
    engine = open_engine(database)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        created = "2026-11-20T12:00:00.123456Z"
        connection.execute(
            text("INSERT INTO projects (team, name, created) VALUES ('default', 'digits', :at)"), {"at": created}
        )
    engine.dispose()
    assert migrate(database)[0] == "0007"
    registry = SqlRegistry(database)
    assert registry.create_project("default", "digits", LATER) is None
    assert rename(registry, "digits", "handwriting") == Project("default", "digits", "handwriting", NOON)
    assert registry.submit(event(project="handwriting"), LATER)[0].event.project == "digits"
    registry.close()


def test_a_name_that_means_nothing_yet_is_an_id(registry: SqlRegistry) -> None:
    with registry.engine.begin() as connection:
        assert projects.ids_of(connection, [("default", "a")]) == {}
        projects.know(connection, "default", "a", NOON)
        assert projects.ids_of(connection, [("default", "a"), ("red", "a")]) == {("default", "a"): "a"}
