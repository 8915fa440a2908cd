"""The commands of a server: the API as a process, and who may come in."""

from __future__ import annotations

import os
from pathlib import Path

import click

from worker.cli.common import FORMAT, OUTPUT, say, terminal, write

SCOPES = click.Choice(["completion:write", "model:read", "model:write", "operate", "admin"])
TEAM = click.option("--team", default="default", show_default=True, help="The team that the token speaks for.")


@click.command(epilog="Example: modelport api --host 0.0.0.0 --port 8000")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond this machine tokens are asked for."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="The port.")
def api(host: str, port: int) -> None:
    """Serve the HTTP API until stopped."""
    from worker.api.server import run_server
    from worker.bootstrap import embedded
    from worker.loop import doorbell

    with embedded(os.environ, Path.cwd(), role="api") as service:
        say(f"http://{host}:{port}")
        run_server(service, doorbell(service).ring, host, port)


@click.group()
def team() -> None:
    """Teams: each sees its own models and reaches its own paths."""


@team.command("create", epilog="Example: modelport team create vision")
@click.argument("name")
def team_create(name: str) -> None:
    """Make the team NAME."""
    from worker.bootstrap import embedded
    from worker.teams import create_team

    with embedded(os.environ, Path.cwd()) as service:
        made = create_team(service.registry, name, service.clock.now())
    say(f"{made.name}: made")


@team.command("list", epilog="Example: modelport team list")
@FORMAT
@OUTPUT
def team_list(format: str, output: Path | None) -> None:
    """List all teams."""
    from worker.bootstrap import embedded
    from worker.teams import teams
    from worker.views import timestamp

    with embedded(os.environ, Path.cwd()) as service:
        rows = [{"name": one.name, "dtCreated": timestamp(one.created)} for one in teams(service.registry)]
    write({"teams": rows}, format, output, lambda console: terminal().show_records(console, rows, "no teams"))


@click.group()
def token() -> None:
    """Tokens that open the HTTP API for a team."""


@token.command("create", epilog="Example: modelport token create training --team vision --scope completion:write --days 90")
@click.argument("name")
@TEAM
@click.option("--scope", "scopes", type=SCOPES, multiple=True, required=True, help="What it may do; may be repeated.")
@click.option("--days", type=float, help="How long it is valid; until it is revoked where not given.")
def token_create(name: str, team: str, scopes: tuple[str, ...], days: float | None) -> None:
    """Make a token and print it. It is shown this once and kept nowhere."""
    from worker.bootstrap import embedded
    from worker.teams import create_token

    with embedded(os.environ, Path.cwd()) as service:
        made = create_token(service.registry, team, name, scopes, service.clock.now(), os.urandom, days)
    say(made.secret)


@token.command("list", epilog="Example: modelport token list --team vision")
@TEAM
@FORMAT
@OUTPUT
def token_list(team: str, format: str, output: Path | None) -> None:
    """List the tokens of a team, without what opens the door."""
    from worker.bootstrap import embedded
    from worker.teams import list_tokens, scope_words
    from worker.views import timestamp

    with embedded(os.environ, Path.cwd()) as service:
        rows = [
            {
                "id": one.id,
                "name": one.name,
                "scopes": " ".join(scope_words(one.scopes)),
                "dtExpires": None if one.expires is None else timestamp(one.expires),
                "dtRevoked": None if one.revoked is None else timestamp(one.revoked),
                "dtLastUsed": None if one.last_used is None else timestamp(one.last_used),
            }
            for one in list_tokens(service.registry, team)
        ]
    write({"tokens": rows}, format, output, lambda console: terminal().show_records(console, rows, "no tokens"))


@token.command("revoke", epilog="Example: modelport token revoke to4x8d3k2m9p1q --team vision")
@click.argument("token_id")
@TEAM
def token_revoke(token_id: str, team: str) -> None:
    """Let a token open nothing any more, at once."""
    from worker.bootstrap import embedded
    from worker.teams import revoke_token

    with embedded(os.environ, Path.cwd()) as service:
        revoked = revoke_token(service.registry, team, token_id, service.clock.now())
    say(f"{revoked.id}: revoked")


COMMANDS: tuple[click.Command, ...] = (api, team, token)
