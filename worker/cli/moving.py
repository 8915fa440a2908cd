"""What people do with ingestions that did not end well: one, or all that a filter finds, are tried again or discarded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import EXPERIMENT, FORMAT, TEAM, acting, answer, can_ask, person, say_progress

if TYPE_CHECKING:
    from worker.bootstrap import Embedded
    from worker.operations import Moved
    from worker.records import IngestionQuery

Command = Callable[..., Any]

OPTIONS = (
    click.argument("ingestion", required=False),
    click.option("--all", "is_all", is_flag=True, help="All that the options below find."),
    EXPERIMENT,
    click.option("--reason", help="Only those with this reason code."),
    click.option("--yes", is_flag=True, help="Do not ask first."),
    TEAM,
    FORMAT,
)


def _options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command("retry", epilog="Example: modelport ingestions retry --all --reason store-unavailable")
@_options
def ingestions_retry(ingestion: str | None, team: str | None, format: str, **chosen: Any) -> None:
    """Let a failed INGESTION be tried again from the beginning, or all that failed."""
    from worker.loop import doorbell
    from worker.operations import retry, retry_all

    with acting(team) as service:
        if _is_one(ingestion, **chosen):
            _move_one(ingestion, retry, "received again", format, service)
        else:
            _move_all(retry_all, "Try again", "received again", format, service, **chosen)
        doorbell(service).ring()


@click.command("discard", epilog="Example: modelport ingestions discard in4x8d3k2m9p1q5r7t0vwz")
@_options
def ingestions_discard(ingestion: str | None, team: str | None, format: str, **chosen: Any) -> None:
    """End an INGESTION that has not ended well, or all that failed. Whoever works on it registers nothing any more."""
    from worker.operations import discard, discard_all
    from worker.records import IngestionState

    with acting(team) as service:
        if _is_one(ingestion, **chosen):
            _move_one(ingestion, discard, "discarded", format, service)
        else:
            _move_all(discard_all, "Discard", "discarded", format, service, state=IngestionState.FAILED, **chosen)


def _is_one(ingestion: str | None, is_all: bool, **chosen: Any) -> bool:
    """Tell whether one ingestion is meant.

    Raises:
        UsageError: neither one is named nor all are, or both, or one and a filter.
    """
    has_filter = any(chosen[name] is not None for name in ("experiment", "reason"))
    if (ingestion is None) != is_all or (ingestion is not None and has_filter):
        raise click.UsageError(
            "expected either the id of an ingestion, or --all and perhaps --experiment and --reason",
            click.get_current_context(),
        )
    return ingestion is not None


def _move_one(ingestion: str | None, move: Callable[..., Any], done: str, format: str, service: Embedded) -> None:
    from worker.views import ingestion_row

    moved = move(service.registry, service.team, ingestion, person(), service.clock.now())
    answer(ingestion_row(moved), format, f"{ingestion}: {done}")


def _move_all(
    move: Callable[..., Moved],
    verb: str,
    done: str,
    format: str,
    service: Embedded,
    is_all: bool,
    yes: bool,
    **wanted: Any,
) -> None:
    """Move all that failed and are *wanted*, the newest first, each once; ask first, unless *yes*."""
    from worker.errors import RegistryUnavailable
    from worker.records import IngestionQuery

    query = IngestionQuery(service.team, **wanted)
    if not yes:
        _ask(f"{verb} all failed ingestions of {_said(query)}?")
    count, more_are_left = 0, True
    while more_are_left:
        moved = move(service.registry, query, person(), service.clock.now())
        count += len(moved.ids)
        if moved.trouble is not None:
            raise RegistryUnavailable(f"{moved.trouble}; {count} {done} before; call it again for the rest")
        more_are_left = moved.more_are_left and bool(moved.ids)
        if more_are_left:  # what fails again meanwhile is newer than what is left
            query = replace(query, after=moved.ids[-1])
            say_progress(f"{count} {done}")
    answer({"count": count}, format, f"{count} {done}")


def _ask(question: str) -> None:
    """Go on where a person at the terminal says so.

    Raises:
        UsageError: there is nobody to ask.
        Abort: they say no.
    """
    if not can_ask():
        raise click.UsageError("expected --yes: there is no terminal to ask at", click.get_current_context())
    click.confirm(question, err=True, abort=True)


def _said(query: IngestionQuery) -> str:
    """Return in words which ingestions *query* finds."""
    filters = {"the experiment": query.experiment, "the reason": query.reason}
    given = [f"{word} {value!a}" for word, value in filters.items() if value is not None]
    return " and ".join([f"the team {query.team}", *given])
