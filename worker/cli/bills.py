"""`modelport models bom`: what a version is made of, for programs that keep track of such things."""

from __future__ import annotations

from pathlib import Path

import click

from worker.cli.common import MODEL, OUTPUT, PROJECT, TEAM, acting, write_json


@click.command(
    "bom",
    short_help="Write the bill of materials of one version.",
    epilog="Example: modelport models bom mnist@3 --output mnist.cdx.json",
)
@MODEL
@TEAM
@PROJECT
@OUTPUT
def models_bom(model: str, team: str | None, project: str | None, output: Path | None) -> None:
    """Write what one version is made of, as JSON of CycloneDX 1.6.

    It has inputs, outputs, operators, parameters and metrics of the model, what wrote it, and the digest of each file; not
    where the files are kept.
    """
    from worker.bom import bill_of_materials
    from worker.program import release
    from worker.repository import find_readable

    with acting(team) as service:
        version = find_readable(service.registry, service.team, model, project)
        bill = bill_of_materials(version, service.registry.files(version.id), release())
    write_json(bill, output)
