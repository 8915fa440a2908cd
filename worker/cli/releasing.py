"""`modelport models release`: a person lets a version go that a policy keeps from being served."""

from __future__ import annotations

import click

from worker.cli.common import FORMAT, MODEL, PROJECT, TEAM, acting, answer, person
from worker.cli.deliveries import deliver_here


@click.command(
    "release",
    short_help="Let a version go that is in quarantine.",
    epilog='Example: modelport models release mnist@3 --reason "the file that it writes is its own cache"',
)
@MODEL
@click.option("--reason", required=True, metavar="TEXT", help="Why it may be served all the same; it stands in the log.")
@TEAM
@PROJECT
@FORMAT
def models_release(model: str, reason: str, team: str | None, project: str | None, format: str) -> None:
    """Let a version go that a policy keeps from being served (MODELPORT_POLICY=quarantine).

    NAME alone is its newest version in quarantine. Who releases it, when and why is written into the log; a version that was
    released before stays as it was then.
    """
    from worker.repository import find_held, release
    from worker.views import version_json

    with acting(team) as service:
        version = find_held(service.registry, service.team, model, project)
        free = release(service.registry, version, reason, service.clock.now(), person())
        deliver_here(service)
    row = version_json(free)
    said = row["quarantine"]["released"]
    who = "" if version.is_quarantined else f", by {said['by']}: {said['reason']}"
    answer({"version": row}, format, f"{free.model_name}@{free.number} ({free.id}) is released{who}")
