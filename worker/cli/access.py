"""The commands of a server: the API as a process, and who may come in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import FORMAT, OUTPUT, TEAM, acting, answer, free_port, person, say, terminal, write, write_log

if TYPE_CHECKING:
    from worker.records import Team, Token

SCOPES = click.Choice(["completion:write", "model:read", "model:write", "operate", "operate:all", "admin"])


@click.command(epilog="Example: modelport api --host 0.0.0.0 --port 8000")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond this machine tokens are asked for."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port; 0 takes a free one.")
def api(host: str, port: int) -> None:
    """Serve the HTTP API until stopped."""
    from worker.api.server import run_server
    from worker.bootstrap import embedded
    from worker.loop import doorbell

    write_log()
    port = free_port(host, port)
    with embedded(os.environ, Path.cwd(), role="api") as service:
        say(f"http://{host}:{port}")
        run_server(service, doorbell(service).ring, host, port)


@click.group()
def team() -> None:
    """Teams: each sees its own models and reaches its own paths."""


@team.command("create", epilog="Example: modelport team create vision")
@click.argument("name")
@FORMAT
def team_create(name: str, format: str) -> None:
    """Make the team NAME."""
    from worker.bootstrap import embedded
    from worker.teams import create_team

    with embedded(os.environ, Path.cwd()) as service:
        made = create_team(service.registry, name, service.clock.now(), person())
    answer(_team_row(made), format, f"{made.name}: made")


@team.command("list", epilog="Example: modelport team list")
@FORMAT
@OUTPUT
def team_list(format: str, output: Path | None) -> None:
    """List all teams."""
    from worker.bootstrap import embedded
    from worker.teams import teams

    with embedded(os.environ, Path.cwd()) as service:
        rows = [_team_row(one) for one in teams(service.registry)]
    write({"teams": rows}, format, output, lambda console: terminal().show_records(console, rows, "no teams"))


@click.group()
def token() -> None:
    """Tokens that open the HTTP API for a team."""


@token.command("create", epilog="Example: modelport token create training --team vision --scope completion:write --days 90")
@click.argument("name")
@TEAM
@click.option("--scope", "scopes", type=SCOPES, multiple=True, required=True, help="What it may do; may be repeated.")
@click.option("--days", type=float, help="How long it is valid; until it is revoked where not given.")
@FORMAT
def token_create(name: str, team: str | None, scopes: tuple[str, ...], days: float | None, format: str) -> None:
    """Make a token and print it. It is shown this once and kept nowhere."""
    from worker.teams import create_token

    with acting(team) as service:
        now = service.clock.now()
        made = create_token(service.registry, service.team, name, scopes, now, os.urandom, days, person())
    answer(_token_row(made.token) | {"secret": made.secret}, format, made.secret)


@token.command("list", epilog="Example: modelport token list --team vision")
@TEAM
@FORMAT
@OUTPUT
def token_list(team: str | None, format: str, output: Path | None) -> None:
    """List the tokens of a team, without what opens the door."""
    from worker.teams import list_tokens

    with acting(team) as service:
        rows = [_token_row(one) for one in list_tokens(service.registry, service.team)]
    write({"tokens": rows}, format, output, lambda console: terminal().show_records(console, rows, "no tokens"))


@token.command("revoke", epilog="Example: modelport token revoke tk4x8d3k2m9p1q --team vision")
@click.argument("token_id")
@TEAM
@FORMAT
def token_revoke(token_id: str, team: str | None, format: str) -> None:
    """Let a token open nothing any more, at once."""
    from worker.teams import revoke_token

    with acting(team) as service:
        revoked = revoke_token(service.registry, service.team, token_id, service.clock.now(), person())
    answer(_token_row(revoked), format, f"{revoked.id}: revoked")


def _team_row(team: Team) -> dict[str, Any]:
    from worker.views import timestamp

    return {"name": team.name, "dtCreated": timestamp(team.created)}


def _token_row(token: Token) -> dict[str, Any]:
    """Return what is kept of a token; what opens the door is not."""
    from worker.teams import scope_words
    from worker.views import timestamp

    moments = {"dtExpires": token.expires, "dtRevoked": token.revoked, "dtLastUsed": token.last_used}
    told = {name: None if moment is None else timestamp(moment) for name, moment in moments.items()}
    return {"id": token.id, "name": token.name, "scopes": " ".join(scope_words(token.scopes))} | told


COMMANDS: tuple[click.Command, ...] = (api, team, token)
