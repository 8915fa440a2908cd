"""A process that sweeps for a worker, and ends with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import structlog

from worker.bootstrap import embedded
from worker.doorbell import CeleryDoorbell
from worker.errors import WorkerError
from worker.runner import Runner

log = structlog.get_logger("modelport.sweeper")


def sweep_for(parent: int) -> None:
    """Sweep, and say that the worker *parent* lives, until it is gone or this process is terminated."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    from worker.celery_app import app

    with embedded(os.environ, Path.cwd(), role="sweep") as service:
        runner = Runner(service.borders(), service.owner, CeleryDoorbell(app, service.living_workers).ring)
        with service.seen_as_worker():
            while os.getppid() == parent:
                try:
                    runner.sweep()
                except WorkerError as exc:
                    log.error("cannot sweep", why=str(exc))
                _sleep_while_parent(parent, runner.sweep_seconds)


def _sleep_while_parent(parent: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while os.getppid() == parent and (left := end - time.monotonic()) > 0:
        time.sleep(min(1.0, left))


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
