"""The API as a process: uvicorn in front of `make_app`, and a thread that rings for the workers."""

from __future__ import annotations

import gc
from collections.abc import Callable

import uvicorn

from worker.api.app import make_app
from worker.api.limits import Rates
from worker.api.patience import PatientProtocol
from worker.api.service import Service, Uploading, is_loopback
from worker.bootstrap import Embedded
from worker.doorbell import Ringer

GRACE_SECONDS = 10
"""How long requests may go on when the server is told to stop."""


def run_server(embedded: Embedded, ring: Callable[[], None], host: str, port: int) -> None:
    """Serve until this process is told to stop. *ring* may wait for a broker; no request waits for it.

    What is there by now stays to the end, so the garbage collector is spared it: to look through it takes 100 ms and more on
    a busy machine, in which every request waits.
    """
    ringer = Ringer(ring)
    config = configuration(service_of_embedded(embedded, ringer, host), host, port)
    config.load()
    gc.collect()
    gc.freeze()
    try:
        uvicorn.Server(config).run()
    finally:
        ringer.close()


def service_of_embedded(embedded: Embedded, ring: Callable[[], None], host: str) -> Service:
    """Return what the API needs of *embedded* where it listens at *host*."""
    return Service(
        registry=embedded.registry,
        store=embedded.store,
        open_version=embedded.open_version,
        clock=embedded.clock,
        ring=ring,
        new_id=embedded.new_id,
        places=embedded.settings.places(),
        living_workers=embedded.living_workers,
        connections=embedded.connections.look,
        is_failed_scanned=embedded.settings.scan_failed,
        is_loopback=is_loopback(host),
        s3_runs=embedded.settings.runs_below(),
        quiet_seconds=embedded.quiet_seconds_on_network,
        uploading=Uploading(
            embedded.settings.home, embedded.settings.max_upload_bytes, lease_seconds=embedded.settings.lease_seconds
        ),
        set_aside=embedded.set_aside,
        rates=Rates(
            embedded.settings.rate_limit_reads, embedded.settings.rate_limit_writes, embedded.settings.rate_limit_sign_ins
        ),
        traces=embedded.traces,
    )


def configuration(service: Service, host: str, port: int) -> uvicorn.Config:
    """Return how uvicorn serves *service*. It writes no line for each request: what happened is logged where it happens,
    and what it says itself as all else (`logs`)."""
    return uvicorn.Config(
        make_app(service),
        host=host,
        port=port,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
