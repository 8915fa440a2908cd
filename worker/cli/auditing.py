"""The command that shows what people did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from worker.cli.common import FORMAT, OUTPUT, TEAM, acting, terminal, write

ACTIONS = (
    "model.renamed",
    "model.published",
    "model.withdrawn",
    "version.tagged",
    "version.noted",
    "version.deleted",
    "version.quarantined",
    "version.released",
    "version.taken",
    "upload.begun",
    "upload.tagged",
    "upload.ended",
    "project.created",
    "project.renamed",
    "ingestion.retried",
    "ingestion.discarded",
    "queue.paused",
    "queue.resumed",
    "queue.message_removed",
    "team.created",
    "token.created",
    "token.revoked",
)


@click.command(short_help="Show what people did.", epilog="Example: modelport audit --action version.deleted")
@click.option("--who", help="Only what this one did: a name as the list has it, or a token's id.")
@click.option("--action", type=click.Choice(ACTIONS), help="Only what was done so.")
@TEAM
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The most rows.")
@FORMAT
@OUTPUT
def audit(who: str | None, action: str | None, team: str | None, limit: int, format: str, output: Path | None) -> None:
    """Show what people did in a team, newest first: who, when, and what it was done to."""
    from worker.records import Action, AuditQuery
    from worker.views import audit_json

    with acting(team) as service:
        query = AuditQuery(service.team, who, None if action is None else Action(action), limit=limit)
        found = [audit_json(entry) for entry in service.registry.audit(query)]
    rows = [_row_for_people(entry) for entry in found]
    write({"audit": found}, format, output, lambda console: terminal().show_records(console, rows, "nothing was done"))


def _row_for_people(entry: dict[str, Any]) -> dict[str, Any]:
    """Return *entry* as a list shows it; what it was done to is named once where its name is its id."""
    same = entry["object"] == entry["objectId"]
    return {
        "at": entry["at"],
        "who": entry["who"],
        "action": entry["action"],
        "object": entry["object"] if same else f"{entry['object']} ({entry['objectId']})",
        "details": ", ".join(f"{name}: {_words(value)}" for name, value in entry["details"].items()) or None,
    }


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


COMMANDS: tuple[click.Command, ...] = (audit,)
