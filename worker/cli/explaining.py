"""`modelport explain`: why a path would be ingested now, or would not."""

from __future__ import annotations

import os
from pathlib import Path

import click

from worker.cli.common import EXPERIMENT, FORMAT, OUTPUT, PATH, PROJECT, TEAM, TYPE, acting, status_of_end, terminal, write


@click.command(
    short_help="Say why PATH would be ingested, or would not.", epilog="Example: modelport explain /mnt/runs/mnist-7"
)
@PATH
@TEAM
@PROJECT
@EXPERIMENT
@TYPE
@FORMAT
@OUTPUT
def explain(
    path: str,
    team: str | None,
    project: str | None,
    experiment: str | None,
    declared: str | None,
    format: str,
    output: Path | None,
) -> int:
    """Take the steps of a worker for PATH, up to the one that keeps files, and say what each one found. Changes nothing.

    Where it would stop, it names what is nearly a model. It is looked at as after a completion: what is not whole is waited
    for.
    """
    from dataclasses import replace

    from worker.events import event_of_path
    from worker.explain import explain as explained
    from worker.model_types import model_type
    from worker.reach import neighbours
    from worker.records import IngestionQuery, Trigger

    with acting(team) as service:
        named = event_of_path(
            path, service.new_id(), os.getcwd(), project, experiment, None, model_type(declared), service.team
        )
        event = replace(named, trigger=Trigger.COMPLETION)
        known = service.registry.ingestions(IngestionQuery(service.team, model_path=event.model_path, limit=1))
        said = explained(event, service.borders(), known[0] if known else None, neighbours).as_json()
    write({"path": path} | said, format, output, lambda console: terminal().show_explanation(console, path, said))
    return status_of_end(said["outcome"])


COMMANDS: tuple[click.Command, ...] = (explain,)
