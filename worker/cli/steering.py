"""`modelport queue`: how the work of a team stands, and whether workers begin anything of it.

What a command of a person steers is the database of this machine's settings, as with `modelport ingestions`.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import FORMAT, OUTPUT, TEAM, acting, answer, ask, emit, person, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from worker.bootstrap import Embedded
    from worker.records import Halt, Ingestion

WATCH_SECONDS = 2.0
"""How often it is looked with --watch."""

ALL = click.option("--all", "is_all", is_flag=True, help="The work of all teams, not of one.")
NOTE = click.option("--note", help="Why, for the log of what people did.")


@click.group(short_help="How the work stands, pausing it, and what nobody could read.")
def queue() -> None:
    """The queue as a whole: how it stands, and whether workers begin anything."""


@queue.command("status", short_help="Show how the work of a team stands.", epilog="Example: modelport queue status --watch")
@click.option("--watch", is_flag=True, help=f"Look again every {WATCH_SECONDS:g} seconds, until stopped.")
@TEAM
@FORMAT
@OUTPUT
def queue_status(watch: bool, team: str | None, format: str, output: Path | None) -> None:
    """Show how the work of a team stands: what waits, what fails by which reason, who works, and whether it is paused."""
    with acting(team) as service:
        if not watch:
            told = _status(service)
            return write(told, format, output, lambda console: _view().show_status(console, told))
        if output is not None:
            raise click.UsageError("--output: expected no file with --watch", click.get_current_context())
        _watch(lambda: _status(service), format)
    return None


@queue.command("pause", epilog='Example: modelport queue pause --note "the store moves"')
@ALL
@NOTE
@TEAM
@FORMAT
def queue_pause(is_all: bool, note: str | None, team: str | None, format: str) -> None:
    """Let workers begin nothing more of a team, or of any. What runs goes on to its end, and what is reported is accepted."""
    from worker.operations import pause
    from worker.views import halt_json

    with acting(team) as service:
        before = service.registry.halts(service.team)
        halt = pause(service.registry, service.team, is_all, person(), service.clock.now(), note)
        running = _running(service, is_all)
    goes_on = f"; {running} still {'runs' if running == 1 else 'run'}" if running else "; nothing runs"
    stays = f", and stays so{_kept(halt)}" if halt in before else ""
    said = f"{_whose(halt)} paused since {_when(halt)} by {halt.by}{stays}{goes_on}"
    answer(halt_json(halt) | {"running": running}, format, said)


@queue.command("resume", epilog="Example: modelport queue resume")
@ALL
@NOTE
@TEAM
@FORMAT
def queue_resume(is_all: bool, note: str | None, team: str | None, format: str) -> None:
    """Let workers begin again what was paused."""
    from worker.loop import doorbell
    from worker.operations import resume
    from worker.views import halt_json

    with acting(team) as service:
        was = resume(service.registry, service.team, is_all, person(), service.clock.now(), note)
        left = service.registry.halts(service.team)
        doorbell(service).ring()
    said = "it was not paused" if was is None else f"{_whose(was)} resumed; it was paused since {_when(was)} by {was.by}"
    others = "".join(f"; {_whose(halt)} still paused" for halt in left)
    value = {
        "resumed": None if was is None else halt_json(was),
        "paused": bool(left),
        "pauses": [halt_json(one) for one in left],
    }
    answer(value, format, said + others)


@queue.command(
    "undecodable",
    short_help="Show or remove messages nobody could read.",
    epilog="Example: modelport queue undecodable --format json",
)
@click.option("--id", "message", metavar="ID", help="Only this one; as JSON with all bytes that are kept of it, in base64.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The most that are shown.")
@click.option("--remove", is_flag=True, help="Remove the one of --id.")
@click.option("--remove-all", is_flag=True, help="Remove all of them.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@NOTE
@TEAM
@FORMAT
@OUTPUT
def queue_undecodable(
    message: str | None,
    limit: int,
    remove: bool,
    remove_all: bool,
    yes: bool,
    note: str | None,
    team: str | None,
    format: str,
    output: Path | None,
) -> None:
    """Show the messages that no worker could read, with their first bytes, or remove them. No work is in them.

    They are of no team; that they were removed stands in the log of the one that it is done for.
    """
    from worker.errors import NotFound
    from worker.operations import remove_messages
    from worker.views import aside_json, stranded_json

    if remove != (remove and message is not None) or (remove_all and (remove or message is not None)):
        raise click.UsageError("expected --remove with --id, or --remove-all alone", click.get_current_context())
    with acting(team) as service:
        set_aside = service.set_aside
        if remove or remove_all:
            count = 1 if remove else set_aside.count()
            if count and not yes:
                ask(f"Remove {count} of the messages that no worker could read?")
            removed = remove_messages(set_aside, service.registry, service.team, message, person(), service.clock.now(), note)
            return answer({"removed": removed}, format, f"{removed} removed")
        told = aside_json(set_aside.look(limit if message is None else 0))
        if message is not None:
            found = set_aside.find(message)
            if found is None:
                raise NotFound(f"{message}: no such message; `modelport queue undecodable` shows what is there")
            told |= {"messages": [stranded_json(found, is_whole=True)]}
    write(told, format, output, lambda console: _view().show_messages(console, told, is_lone=message is not None))
    return None


def _kept(halt: Halt) -> str:
    """Return the reason that was given first; the one of who pauses again is not kept."""
    return "" if halt.note is None else f" for the reason given then: “{halt.note}”"


def _whose(halt: Halt) -> str:
    return "the work of all teams is" if halt.team is None else f"the work of the team {halt.team} is"


def _when(halt: Halt) -> str:
    return f"{halt.since:%Y-%m-%d %H:%M:%S} UTC"


def _running(service: Embedded, is_all: bool) -> int:
    """Return how many ingestions run, of the team or of all."""
    from worker.records import IngestionState

    queue = service.registry.queue(service.clock.now(), None if is_all else service.team)
    return queue.states.get(IngestionState.RUNNING, 0)


def _status(service: Embedded) -> dict[str, Any]:
    """Return how the work of the team stands, as plain values."""
    from worker.bootstrap import LIVING_SECONDS
    from worker.health import LATELY, MEANING, MOST_HELD, REMEMBERED, STALLED_AFTER, hands, verdict
    from worker.records import IngestionQuery, IngestionState
    from worker.views import halt_json, timestamp

    registry, now, team = service.registry, service.clock.now(), service.team
    standing = registry.standing(team, now, now - LATELY)
    running = registry.ingestions(IngestionQuery(team, IngestionState.RUNNING, limit=MOST_HELD))
    shown = hands(registry.workers(now - REMEMBERED), running, now - timedelta(seconds=LIVING_SECONDS))
    said = verdict(standing, shown, now, is_over_all=True)
    waited = None if standing.due_since is None else max(0.0, (now - standing.due_since).total_seconds())
    in_flight = (IngestionState.RECEIVED, IngestionState.WAITING, IngestionState.RUNNING)
    return {
        "team": team,
        "at": timestamp(now),
        "verdict": {
            "title": said.title,
            "sign": said.sign,
            "level": said.level,
            "says": said.says.replace("\N{NO-BREAK SPACE}", " "),
        },
        "paused": bool(standing.halts),
        "pauses": [halt_json(halt) for halt in standing.halts],
        "states": {state.value: standing.in_flight.get(state, 0) for state in in_flight},
        "due": standing.due,
        "oldestWaitingSeconds": waited,
        "late": waited is not None and waited >= STALLED_AFTER.total_seconds(),
        "finishedLastHour": {state.value: count for state, count in standing.ends.items()},
        "lastFinish": None if standing.last_finish is None else timestamp(standing.last_finish),
        "failures": [
            {
                "reason": group.reason,
                "count": group.count,
                "meaning": MEANING.get(group.reason),
                "newest": {
                    "id": group.newest.id,
                    "message": group.newest.message,
                    "at": timestamp(group.newest.updated),
                },
            }
            for group in standing.failures
        ],
        "workers": [
            {
                "name": hand.name,
                "state": hand.state.words,
                "host": None if hand.worker is None else hand.worker.host,
                "pid": None if hand.worker is None else hand.worker.pid,
                "seen": None if hand.worker is None else timestamp(hand.worker.seen),
                "holds": [_held(one) for one in hand.holds],
            }
            for hand in shown
        ],
    }


def _held(one: Ingestion) -> dict[str, Any]:
    from worker.views import timestamp

    event = one.event
    return {
        "id": one.id,
        "experimentId": event.experiment,
        "modelPath": event.model_path,
        "attempts": one.attempts,
        "since": timestamp(one.updated),
    }


def _view() -> Any:
    """Return the module that draws this; it is imported when something is drawn."""
    from worker.cli import queue_view

    return queue_view


def _watch(look: Callable[[], dict[str, Any]], format: str) -> None:
    """Show what *look* finds again and again: in place at a terminal, elsewhere one after the other, JSON in one line each."""
    import json

    if format == "json":
        while True:
            emit(json.dumps(look(), allow_nan=False) + "\n")
            time.sleep(WATCH_SECONDS)
    if not sys.stdout.isatty():
        while True:
            told = look()
            emit(f"{told['at']}\n{_plain(told)}\n")
            time.sleep(WATCH_SECONDS)
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            told = look()
            live.update(_drawn(console, told), refresh=True)
            time.sleep(WATCH_SECONDS)


def _plain(told: dict[str, Any]) -> str:
    """Return *told* as text without colours, in lines of any length."""
    from worker.cli.common import as_text

    return as_text(lambda console: _view().show_status(console, told))


def _drawn(console: Console, told: dict[str, Any]) -> Any:
    """Return *told* as one thing to draw, no higher than the terminal, with when it was so below it."""
    from rich.text import Text

    with console.capture() as captured:
        _view().show_status(console, told)
    lines = captured.get().splitlines()
    most = max(1, console.height - 2)
    left = [f"and {len(lines) - most} lines more"] if len(lines) > most else []
    told_at = f"as of {told['at'][11:19]} UTC, every {WATCH_SECONDS:g} s; Ctrl-C ends it"
    return Text.from_ansi("\n".join([*lines[:most], *left])).append(f"\n{told_at}", "dim")


COMMANDS: tuple[click.Command, ...] = (queue,)
