"""The commands of deliveries: what others were told of what happened here, and what they have not taken yet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.common import FORMAT, OUTPUT, TEAM, acting, answer, complain, terminal, write

if TYPE_CHECKING:
    from rich.console import Console

    from worker.bootstrap import Embedded
    from worker.delivery import Delivery

DESTINATION = click.option("--destination", metavar="NAME", help="Only those for this one: mlflow or webhook.")

STATES = ("waiting", "running", "delivered", "given_up")

HERE_SECONDS = 20.0
"""How long a command that did the work of a worker goes on to deliver; the rest is left to the next."""


def deliver_here(service: Embedded) -> None:
    """Deliver what is due, where no worker lives who would, and say what was not taken; nothing is raised and nothing lost."""
    from dataclasses import replace

    from worker.errors import WorkerError

    deliverer, until = replace(service.rounds.deliverer, tell=_say_what_is_left), time.monotonic() + HERE_SECONDS
    try:
        if deliverer.destinations and not service.living_workers():
            deliverer.work_off(lambda: time.monotonic() > until)
    except WorkerError as exc:
        complain(f"cannot deliver: {exc}; the next worker or `modelport sweep` does")


def _say_what_is_left(delivery: Delivery) -> None:
    if delivery.state == "waiting":
        complain(f"not delivered yet: {delivery.message}; the next worker or `modelport sweep` tries again")
    elif delivery.state == "given_up":
        complain(f"not delivered: {delivery.message}; `modelport deliveries retry {delivery.id}` tries again")


@click.group(short_help="What others were told, and what not yet.")
def deliveries() -> None:
    """What others, such as MLflow or a webhook, were told of what happened here, and what they have not taken yet."""


@deliveries.command("list", epilog="Example: modelport deliveries list --state given_up")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@DESTINATION
@click.option("--version", "version_id", metavar="ID", help="Only those about this version (mo…).")
@TEAM
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="The most rows.")
@FORMAT
@OUTPUT
def deliveries_list(
    state: str | None,
    destination: str | None,
    version_id: str | None,
    team: str | None,
    limit: int,
    format: str,
    output: Path | None,
) -> None:
    """List deliveries, newest first."""
    from worker.delivery import DeliveryQuery, DeliveryState
    from worker.views import delivery_row

    wanted = None if state is None else DeliveryState(state)
    with acting(team) as service:
        query = DeliveryQuery(service.team, wanted, destination, version_id, limit=limit)
        rows = [delivery_row(one) for one in service.registry.outbox.deliveries(query)]

    def show(console: Console) -> None:
        terminal().show_deliveries(console, rows)

    write({"deliveries": rows}, format, output, show)


@deliveries.command("retry", epilog="Example: modelport deliveries retry --all")
@click.argument("delivery", required=False)
@click.option("--all", "is_all", is_flag=True, help="All that were given up.")
@DESTINATION
@TEAM
@FORMAT
def deliveries_retry(delivery: str | None, is_all: bool, destination: str | None, team: str | None, format: str) -> None:
    """Have a DELIVERY tried anew at once, or all that were given up. What was delivered is delivered again."""
    from worker.deliver import retry, retry_given_up
    from worker.views import delivery_row

    if (delivery is None) != is_all:
        raise click.UsageError("expected either the id of a delivery or --all", click.get_current_context())
    with acting(team) as service:
        now = service.clock.now()
        if delivery is None:
            again = list(retry_given_up(service.registry, service.team, now, destination))
        else:
            again = [retry(service.registry, service.team, delivery, now)]
        deliver_here(service)
        standing = [service.registry.outbox.delivery(service.team, one.id) or one for one in again]
    rows = [delivery_row(one) for one in standing]
    taken = sum(row["state"] == "delivered" for row in rows)
    answer({"deliveries": rows}, format, f"{len(rows)} to be tried again, {taken} of them delivered by now")


COMMANDS: tuple[click.Command, ...] = (deliveries,)
