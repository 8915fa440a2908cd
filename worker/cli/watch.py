"""The command of the folder watcher."""

from __future__ import annotations

import os
from pathlib import Path

import click

from worker.cli.common import OK


@click.command(short_help="Queue runs below watched folders once done.", epilog="Example: modelport watch")
def watch() -> int:
    """Queue the runs below the folders of MODELPORT_WATCH once each is done, until stopped. Workers take them from there.

    A run is done when its marker is there, or when nothing in it has changed for its quiet time.
    """
    from worker import logs
    from worker.bootstrap import embedded
    from worker.loop import doorbell
    from worker.watcher import run_watcher, watches_of

    logs.configure()
    with embedded(os.environ, Path.cwd(), role="watch") as service:
        watches = watches_of(service.settings, service.team)
        run_watcher(watches, service, doorbell(service).ring)
    return OK


COMMANDS: tuple[click.Command, ...] = (watch,)
