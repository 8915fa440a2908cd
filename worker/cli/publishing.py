"""`modelport models publish`: whether all teams may read a model."""

from __future__ import annotations

import click

from worker.cli.common import FORMAT, MODEL, PROJECT, TEAM, acting, answer, person


@click.command("publish", epilog="Example: modelport models publish mnist")
@MODEL
@click.option("--withdraw", is_flag=True, help="Let no other team read it any more.")
@TEAM
@PROJECT
@FORMAT
def models_publish(model: str, withdraw: bool, team: str | None, project: str | None, format: str) -> None:
    """Let all teams read a model, all its versions, also later ones.

    They find it in the list of what was published, and change nothing.
    """
    from worker.repository import find, publish
    from worker.views import version_json

    with acting(team) as service:
        version = find(service.registry, service.team, model, project)
        published = publish(service.registry, version, not withdraw, service.clock.now(), person())
    who = "its team alone" if withdraw else "all teams"
    answer({"version": version_json(published)}, format, f"{published.model_name} is read by {who}")
