"""A process that sweeps for a worker, says that it lives, and ends with it.

The worker itself says nothing to the registry: it forks, and so must not hold a connection or a lock. Its event loop raises a
number, and only while that number moves is it said that the worker lives. A worker that is stopped, that hangs, or whose
broker is away stays silent, though this process goes on.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from ctypes import c_uint64
from dataclasses import dataclass
from pathlib import Path

import structlog

from worker.bootstrap import embedded
from worker.doorbell import CeleryDoorbell
from worker.errors import WorkerError
from worker.runner import Runner

LOOK_SECONDS = 1.0
"""How often it is looked whether a pause is over, so that a model that has settled waits no longer than that."""

log = structlog.get_logger("modelport.sweeper")


@dataclass(slots=True)
class Pulse:
    """Tells whether *beats*, which a process raises for as long as it is well, has moved since it was last asked."""

    beats: c_uint64
    seen: int = 0

    def __call__(self) -> bool:
        before, self.seen = self.seen, self.beats.value
        return self.seen != before


def sweep_for(parent: int, beats: c_uint64) -> None:
    """Sweep until the worker *parent* is gone or this process is terminated; say that it lives while *beats* moves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    while os.getppid() == parent:
        try:
            _sweep(parent, Pulse(beats))
        except WorkerError as exc:
            log.error("cannot begin to sweep", why=str(exc))
            time.sleep(LOOK_SECONDS)


def _sweep(parent: int, pulse: Pulse) -> None:
    """Sweep until the worker *parent* is gone.

    Raises:
        WorkerError: the database did not answer at the beginning. Later, that is logged, and it is asked again.
    """
    from worker.celery_app import app

    with embedded(os.environ, Path.cwd(), role="sweep") as service:
        runner = Runner(service.borders(), service.owner, CeleryDoorbell(app, service.living_workers).ring)
        with service.seen_as_worker(pulse):
            for is_time_to_sweep in _ticks(parent, runner.sweep_seconds):
                try:
                    if is_time_to_sweep:
                        runner.sweep()
                    else:
                        runner.look()
                except WorkerError as exc:
                    log.error("cannot sweep", why=str(exc))


def _ticks(parent: int, sweep_seconds: float) -> Iterator[bool]:
    """Yield now and every `LOOK_SECONDS` until *parent* is gone: whether it is time to sweep."""
    swept = -math.inf
    while os.getppid() == parent:
        is_time = time.monotonic() - swept >= sweep_seconds
        swept = time.monotonic() if is_time else swept
        yield is_time
        time.sleep(LOOK_SECONDS)


def _end(number: int, frame: object) -> None:
    raise SystemExit(0)
