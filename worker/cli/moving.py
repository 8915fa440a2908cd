"""What people do with ingestions that did not end well: one, or all that a filter finds, are tried again or discarded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from worker.cli.common import EXPERIMENT, FORMAT, MODEL_FORMAT, TEAM, acting, answer, ask, person, say_progress

if TYPE_CHECKING:
    from worker.bootstrap import Embedded
    from worker.operations import Moved
    from worker.records import Ingestion, IngestionQuery

Command = Callable[..., Any]

OPTIONS = (
    click.argument("ingestion", required=False),
    click.option("--all", "is_all", is_flag=True, help="All that the options below find."),
    EXPERIMENT,
    click.option("--reason", help="Only those with this reason code."),
    MODEL_FORMAT,
    click.option("--note", help="Why, for the log of what people did."),
    click.option("--yes", is_flag=True, help="Do not ask first."),
    TEAM,
    FORMAT,
)


def _options(command: Command) -> Command:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Move:
    """How one ingestion is moved, and how all that a query finds; how a person is asked, and told that it is done."""

    one: Callable[..., Ingestion]
    several: Callable[..., Moved]
    verb: str
    done: str


@click.command("retry", epilog="Example: modelport ingestions retry --all --reason store-unavailable")
@_options
def ingestions_retry(team: str | None, format: str, **chosen: Any) -> None:
    """Let a failed INGESTION be tried again from the beginning, or all that failed."""
    from worker.loop import doorbell
    from worker.operations import retry, retry_all

    with acting(team) as service:
        value, sentence = _moved(Move(retry, retry_all, "Try again", "received again"), service, **chosen)
        doorbell(service).ring()
    answer(value, format, sentence)


@click.command("discard", epilog="Example: modelport ingestions discard in4x8d3k2m9p1q5r7t0vwz")
@_options
def ingestions_discard(team: str | None, format: str, **chosen: Any) -> None:
    """End an INGESTION that has not ended well, or all that failed. Whoever works on it registers nothing any more."""
    from worker.operations import discard, discard_all

    with acting(team) as service:
        value, sentence = _moved(Move(discard, discard_all, "Discard", "discarded"), service, **chosen)
    answer(value, format, sentence)


def _moved(
    move: Move,
    service: Embedded,
    ingestion: str | None,
    is_all: bool,
    note: str | None,
    yes: bool,
    **filters: str | None,
) -> tuple[dict[str, Any], str]:
    """Move *ingestion*, or all that failed and have the experiment, the reason and the format of the *filters*; return what is
    answered.

    Raises:
        UsageError: neither one is named nor all are, or both, or one and a filter; or there is nobody to ask.
        Abort: a person was asked, and says no.
    """
    from worker.records import IngestionQuery, IngestionState
    from worker.views import ingestion_row

    if (ingestion is None) != is_all or (ingestion is not None and any(one is not None for one in filters.values())):
        raise click.UsageError(
            "expected either the id of an ingestion, or --all and perhaps --experiment, --reason and --model-format",
            click.get_current_context(),
        )
    if ingestion is not None:
        row = ingestion_row(move.one(service.registry, service.team, ingestion, person(), service.clock.now(), note))
        return row, f"{ingestion}: {move.done}"
    experiment, reason, format = (filters[name] for name in ("experiment", "reason", "model_format"))
    query = IngestionQuery(service.team, IngestionState.FAILED, experiment, reason, format=format)
    if not yes:
        ask(f"{move.verb} all failed ingestions of {_said(query)}?")
    count = _move_all(move, query, service, note)
    return {"count": count}, f"{count} {move.done}"


def _move_all(move: Move, query: IngestionQuery, service: Embedded, note: str | None) -> int:
    """Move all that *query* finds, the newest first, each once; return how many."""
    from worker.errors import RegistryUnavailable
    from worker.operations import further

    def several(query: IngestionQuery) -> Moved:
        return move.several(service.registry, query, person(), service.clock.now(), note)

    count, first = 0, several(query)
    for moved in chain([first], further(several, query, first)):
        count += len(moved.ids)
        if moved.trouble is not None:
            raise RegistryUnavailable(f"{moved.trouble}; {count} {move.done} before; call it again for the rest")
        if moved.more_are_left:
            say_progress(f"{count} {move.done}")
    return count


def _said(query: IngestionQuery) -> str:
    """Return in words which ingestions *query* finds."""
    filters = {"the experiment": query.experiment, "the reason": query.reason, "the format": query.format}
    given = [f"{word} {value!a}" for word, value in filters.items() if value is not None]
    return " and ".join([f"the team {query.team}", *given])
