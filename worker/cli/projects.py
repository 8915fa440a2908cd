"""The commands for projects: what there is, and what they are called."""

from __future__ import annotations

from pathlib import Path

import click

from worker.cli.common import FORMAT, OUTPUT, TEAM, acting, answer, person, terminal, write


@click.group()
def projects() -> None:
    """Projects of a team. The id of one never changes; its name may, and any name that it ever had means it."""


@projects.command("list", epilog="Example: modelport projects list")
@TEAM
@FORMAT
@OUTPUT
def projects_list(team: str | None, format: str, output: Path | None) -> None:
    """List the projects of a team by name."""
    from worker.projects import projects
    from worker.views import project_json

    with acting(team) as service:
        rows = [project_json(one) for one in projects(service.registry, service.team)]
    write({"projects": rows}, format, output, lambda console: terminal().show_records(console, rows, "no projects"))


@projects.command("create", epilog="Example: modelport projects create digits")
@click.argument("name")
@TEAM
@FORMAT
def projects_create(name: str, team: str | None, format: str) -> None:
    """Make the project NAME. The first event that names one makes it as well."""
    from worker.projects import create_project
    from worker.views import project_json

    with acting(team) as service:
        made = create_project(service.registry, service.team, name, service.clock.now(), person())
    answer(project_json(made), format, f"{made.name}: made")


@projects.command("rename", epilog="Example: modelport projects rename digits handwriting")
@click.argument("project")
@click.argument("name")
@TEAM
@FORMAT
def projects_rename(project: str, name: str, team: str | None, format: str) -> None:
    """Call PROJECT, an id or a name, NAME from now on. What is in it stays where it is."""
    from worker.projects import rename_project
    from worker.views import project_json

    with acting(team) as service:
        renamed = rename_project(service.registry, service.team, project, name, service.clock.now(), person())
    answer(project_json(renamed), format, f"{renamed.id}: is called {renamed.name}")


COMMANDS: tuple[click.Command, ...] = (projects,)
