"""What the door for programs needs from inside, as plain borders; a test hands in its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from worker.api.limits import Rates
from worker.connections import Connection
from worker.drift import OpenVersion
from worker.lifecycle import LEASE_SECONDS
from worker.locations import Places
from worker.ports import Clock, Registry, SetAside, Store
from worker.s3_events import RunsBelow
from worker.set_aside import NothingSetAside
from worker.tracing import SILENT, Traces


@dataclass(frozen=True, slots=True)
class Uploading:
    """How uploads are taken: bodies are kept in *folder* until they are whole, None for that of the system, and have at most
    *max_bytes*. Who sent one is told how its ingestion ended, where that takes at most *wait_seconds*. lease_seconds is how
    long who writes to the store may be silent.
    """

    folder: Path | None = None
    max_bytes: int = 100_000_000_000
    wait_seconds: float = 30.0
    lease_seconds: float = LEASE_SECONDS


@dataclass(frozen=True, slots=True)
class Service:
    """ring is called after each commit that left work for somebody. living_workers tells how many work off the queue.

    open_version opens the files of a version, wherever they are kept.

    places are where models may be: who is not the team of this machine, at a door that only this machine reaches, may not ask
    for every path where no roots are set.

    s3_runs are where messages of object storage may hint at runs; quiet_seconds is how long files must rest there.

    rates are how often somebody may ask. traces is who listens to what requests lead to. set_aside has the messages that no
    worker could read. connections tells how what the service leans on is; never waits for long.

    is_loopback tells whether only this machine can reach the door: then it stands open as long as nobody made a token.
    """

    registry: Registry
    store: Store
    open_version: OpenVersion
    clock: Clock
    ring: Callable[[], None]
    new_id: Callable[[], str]
    places: Places
    living_workers: Callable[[], int] = lambda: 0
    is_failed_scanned: bool = False
    is_loopback: bool = False
    s3_runs: tuple[RunsBelow, ...] = ()
    quiet_seconds: float = 0.0
    uploading: Uploading = Uploading()
    rates: Rates = field(default_factory=Rates)
    connections: Callable[[], Sequence[Connection]] = tuple
    traces: Traces = SILENT
    set_aside: SetAside = field(default_factory=NothingSetAside)


async def service_of(request: Request) -> Service:
    """Return the service that the app was made for. Not a plain function: those run in a thread, which this is not worth."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Inside = Annotated[Service, Depends(service_of)]
"""The service of the app that was asked, for a route."""


def is_loopback(host: str) -> bool:
    """Tell whether *host*, a name or an address without a port, is this machine and can be reached from nowhere else."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
