"""The commands of the queue: workers, sweeps, and what waits, runs and has ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.common import (
    EXPERIMENT,
    FORMAT,
    FOUND,
    MODEL_FORMAT,
    OK,
    OUTPUT,
    TEAM,
    acting,
    answer,
    complain,
    row_for_people,
    say,
    terminal,
    write,
    write_log,
)
from worker.cli.moving import ingestions_discard, ingestions_retry

if TYPE_CHECKING:
    from rich.console import Console

    from worker.runner import Runner

STATES = (
    "received",
    "waiting",
    "running",
    "registered",
    "unchanged",
    "nothing_found",
    "failed",
    "discarded",
    "ignored",
)

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Names that the standard library and Celery share."""

GIVES_WAY = 10
"""What a worker adds to its niceness: what is reported to an API on the same machine is accepted first, and worked off then."""

INGESTION = click.argument("ingestion")


@click.command(short_help="Work off the queue until stopped.", epilog="Example: modelport worker --concurrency 2")
@click.option("--concurrency", type=click.IntRange(1, 256), default=1, show_default=True, help="Ingestions at a time.")
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="The least of what is logged to stderr; at INFO that a worker started, and each claim, wait and end.",
)
@click.option("--check", is_flag=True, help="Only tell whether a worker of this machine gave a sign of life just now.")
def worker(concurrency: int, log_level: str, check: bool) -> int:
    """Work off the queue until stopped: a Celery worker where a broker is set, otherwise by looking at the database."""
    from worker.bootstrap import check_start

    if check:
        return _check_workers()
    settings = check_start(os.environ, Path.cwd())
    os.nice(GIVES_WAY)
    if settings.broker_url:
        from worker import logs
        from worker.celery_app import app

        logs.configure(log_level, settings.log_format)
        app.worker_main(["worker", "--concurrency", str(concurrency), "--loglevel", log_level])
    else:
        from worker.loop import run_workers

        run_workers(concurrency, log_level, settings.log_format)
    return OK


def _check_workers() -> int:
    """Say how many workers of this machine live; a process that hangs gives no sign, whatever the process table says."""
    import socket

    from worker.bootstrap import embedded

    with embedded(os.environ, Path.cwd()) as service:
        living = service.living_workers(socket.gethostname())
    say(f"{living} living here")
    return OK if living else FOUND


@click.command(short_help="Free what dead workers left, ring for what waits.", epilog="Example: modelport sweep")
@click.option("--every", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Sweep again and again, until stopped.")
@FORMAT
def sweep(every: float | None, format: str) -> None:
    """Free what dead workers left behind, once, ring for what waits, and deliver what is due. Workers do this by themselves."""
    from worker.bootstrap import embedded
    from worker.loop import doorbell
    from worker.runner import Runner

    write_log()
    with embedded(os.environ, Path.cwd(), role="sweep") as service:
        deliver = (lambda: None) if every is None else service.rounds.look
        runner = Runner(service.borders(), service.owner, doorbell(service).ring, deliver=deliver)
        while every is not None:
            _sweep_once(runner)
            time.sleep(every)
        freed = runner.sweep()
        delivered = service.rounds.deliverer.work_off()
        queue = service.registry.queue(service.clock.now())
    told = f"; {delivered} delivered" if delivered else ""
    value = {"freed": freed, "due": queue.due, "delivered": delivered}
    answer(value, format, f"{freed} freed; {queue.due} may be worked on now{told}")


def _sweep_once(runner: Runner) -> None:
    """Sweep; what cannot be done now is told, and done the next time."""
    from worker.errors import WorkerError

    try:
        runner.sweep()
    except WorkerError as exc:
        complain(f"cannot sweep: {exc}")


@click.group()
def ingestions() -> None:
    """The queue: what waits, what runs, and how everything ended."""


@ingestions.command("list", epilog="Example: modelport ingestions list --state failed")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@TEAM
@EXPERIMENT
@click.option("--reason", help="Only those with this reason code.")
@MODEL_FORMAT
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The most rows.")
@FORMAT
@OUTPUT
def ingestions_list(
    state: str | None,
    team: str | None,
    experiment: str | None,
    reason: str | None,
    model_format: str | None,
    limit: int,
    format: str,
    output: Path | None,
) -> None:
    """List ingestions, newest first."""
    from worker.records import IngestionQuery, IngestionState
    from worker.views import ingestion_row

    wanted = None if state is None else IngestionState(state)
    with acting(team) as service:
        query = IngestionQuery(service.team, wanted, experiment, reason, limit=limit, format=model_format)
        found = service.registry.ingestions(query)

    def show(console: Console) -> None:
        terminal().show_ingestions(console, [row_for_people(one) for one in found])

    write({"ingestions": [ingestion_row(one) for one in found]}, format, output, show)


@ingestions.command("show", epilog="Example: modelport ingestions show in4x8d3k2m9p1q5r7t0vwz")
@INGESTION
@TEAM
@FORMAT
@OUTPUT
def ingestions_show(ingestion: str, team: str | None, format: str, output: Path | None) -> None:
    """Show one ingestion and every step it took."""
    from worker.errors import NotFound
    from worker.views import history_json, ingestion_row

    with acting(team) as service:
        found = service.registry.ingestion(service.team, ingestion)
        if found is None:
            raise NotFound(
                f"{ingestion}: no such ingestion of the team {service.team}; `modelport ingestions list` shows what is there"
            )
        history = [history_json(entry) for entry in service.registry.history(found.id)]

    def show(console: Console) -> None:
        terminal().show_ingestion(console, row_for_people(found) | {"history": history})

    write(ingestion_row(found) | {"history": history}, format, output, show)


ingestions.add_command(ingestions_retry)
ingestions.add_command(ingestions_discard)

COMMANDS: tuple[click.Command, ...] = (worker, sweep, ingestions)
