"""`modelport models links`: links with which programs read the files of one version that know neither us nor our keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from worker.cli.common import FORMAT, MODEL, OUTPUT, PROJECT, TEAM, acting, write
from worker.storage.s3.client import MAX_LINK_SECONDS

HOUR = 3600


@click.command(
    "links",
    short_help="Give links to the files of one version.",
    epilog="Example: modelport models links mnist@3 --expires 600",
)
@MODEL
@click.option(
    "--expires",
    type=click.IntRange(1, MAX_LINK_SECONDS),
    default=HOUR,
    show_default=True,
    metavar="SECONDS",
    help="How long the links are valid, seven days at most.",
)
@TEAM
@PROJECT
@FORMAT
@OUTPUT
def models_links(model: str, expires: int, team: str | None, project: str | None, format: str, output: Path | None) -> None:
    """Give a link to each file of one version that is kept on object storage, one a line.

    Whoever has a link may read the file until it expires, and nobody can take it back. As JSON each stands beside the path,
    the size and the digest, which whoever reads the file is to check.
    """
    from worker.manifest import file_json
    from worker.repository import find, links
    from worker.views import timestamp, version_json

    with acting(team) as service:
        version = find(service.registry, service.team, model, project)
        until = service.clock.now() + timedelta(seconds=expires)
        given = links(service.registry, service.open_version, version, expires)
    files = [file_json(file) | {"url": url} for file, url in given]
    value = {"version": version_json(version), "expires": timestamp(until), "files": files}
    write(value, format, output, lambda console: console.out("\n".join(url for _, url in given), highlight=False))
