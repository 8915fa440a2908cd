"""The command of the folder watcher."""

from __future__ import annotations

import click

from worker.cli.common import OK, TEAM, acting, write_log


@click.command(short_help="Queue runs below watched folders once done.", epilog="Example: modelport watch")
@TEAM
def watch(team: str | None) -> int:
    """Queue the runs below the folders of MODELPORT_WATCH once each is done, until stopped. Workers take them from there.

    The runs are of one team; a watcher for each team watches for all.
    A run is done when its marker is there, or when nothing in it has changed for its quiet time.
    """
    from worker.loop import doorbell
    from worker.watcher import run_watcher, watches_of

    write_log()
    with acting(team, role="watch") as service:
        watches = watches_of(service.settings, service.team)
        run_watcher(watches, service, doorbell(service).ring)
    return OK


COMMANDS: tuple[click.Command, ...] = (watch,)
