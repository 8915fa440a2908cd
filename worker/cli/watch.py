"""The command of the folder watcher."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from worker.cli.common import OK


@click.command(short_help="Queue runs below watched folders once done.", epilog="Example: modelport watch")
def watch() -> int:
    """Queue the runs below the folders of MODELPORT_WATCH once each is done, until stopped. Workers take them from there.

    A run is done when its marker is there, or when nothing in it has changed for its quiet time.
    """
    import structlog

    from worker.bootstrap import embedded
    from worker.loop import doorbell
    from worker.watcher import run_watcher, watches_of

    with embedded(os.environ, Path.cwd(), role="watch") as service:
        watches = watches_of(service.settings, service.team)
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        run_watcher(watches, service, doorbell(service).ring)
    return OK


COMMANDS: tuple[click.Command, ...] = (watch,)
