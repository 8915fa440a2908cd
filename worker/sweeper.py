"""A process that sweeps for a worker, says that it lives, works in its stead while it hears no bells, and ends with it.

The worker itself says nothing to the registry: it forks, and so must not hold a connection or a lock. Its event loop raises a
number, and only while that number moves is it said that the worker lives. A worker that is stopped, that hangs, or whose
broker is away stays silent, though this process goes on.

A worker whose event loop stands still for `DEAF_SECONDS` hears no bells: it looks for its broker, which may be gone for good.
What is due is then claimed here, straight from the registry, in as many threads as the worker has children, until the loop
turns again. What the children were doing meanwhile they finish.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_uint64
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from worker import logs
from worker.bootstrap import embedded
from worker.doorbell import CeleryDoorbell
from worker.errors import WorkerError
from worker.logged_registry import logged
from worker.runner import Runner

LOOK_SECONDS = 1.0
"""How often it is looked whether a pause is over, so that a model that has settled waits no longer than that."""

DEAF_SECONDS = 5.0
"""How long the event loop of a worker may stand still before it counts as one that hears nothing."""

END_SECONDS = 10.0
"""How long an attempt that was begun here may still take once the worker ends; then it is lost as with a killed worker."""

log = structlog.get_logger("modelport.sweeper")


@dataclass(slots=True)
class Pulse:
    """Tells whether *beats*, which a process raises for as long as it is well, has moved since it was last asked."""

    beats: c_uint64
    seen: int = 0

    def __call__(self) -> bool:
        before, self.seen = self.seen, self.beats.value
        return self.seen != before


@dataclass(slots=True)
class Deafness:
    """Tells whether *beats* has stood still for `DEAF_SECONDS`; whoever asks must ask more often than that."""

    beats: c_uint64
    seen: int = 0
    since: float = field(default_factory=time.monotonic)

    def __call__(self) -> bool:
        now = time.monotonic()
        if self.seen != self.beats.value:
            self.seen, self.since = self.beats.value, now
        return now - self.since >= DEAF_SECONDS


def sweep_for(
    worker: str, parent: int, beats: c_uint64, slots: int = 1, log_level: str = "INFO", log_format: logs.Format = "text"
) -> None:
    """Sweep until the process *parent* is gone or this one is terminated; say that the *worker* lives while *beats* moves.

    While it does not, up to *slots* ingestions are worked on here at a time. What is of *log_level* or worse is logged, in the
    *log_format*.
    """
    logs.configure(log_level, log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    while os.getppid() == parent:
        try:
            _sweep(worker, parent, beats, slots)
        except WorkerError as exc:
            log.error("cannot begin to sweep", why=str(exc))
            time.sleep(LOOK_SECONDS)


def _sweep(worker: str, parent: int, beats: c_uint64, slots: int) -> None:
    """Sweep until the *worker*, which is the process *parent*, is gone.

    Raises:
        WorkerError: the database did not answer at the beginning. Later, that is logged, and it is asked again.
    """
    from worker.celery_app import app

    with embedded(os.environ, Path.cwd(), role="sweep", worker=worker) as service:
        ring, deliver = CeleryDoorbell(app, service.living_workers).ring, service.rounds.look
        runner = Runner(logged(service.borders()), service.owner, ring, deliver=deliver)
        with service.seen_as_worker(Pulse(beats), worker, parent), _stood_in_for(runner, Deafness(beats), slots):
            for is_time_to_sweep in _ticks(parent, runner.sweep_seconds):
                try:
                    if is_time_to_sweep:
                        runner.sweep()
                    else:
                        runner.look()
                except WorkerError as exc:
                    log.error("cannot sweep", why=str(exc))


@contextmanager
def _stood_in_for(runner: Runner, is_deaf: Callable[[], bool], slots: int) -> Iterator[None]:
    """Let *slots* threads work off the queue while the block runs, but only as long as the worker *is_deaf*."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            if not (is_deaf() and _has_worked(runner)):
                over.wait(LOOK_SECONDS)

    threads = [threading.Thread(target=work, name=f"stand-in {slot}", daemon=True) for slot in range(slots)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        until = time.monotonic() + END_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _has_worked(runner: Runner) -> bool:
    """Make one attempt; False where nothing may be claimed, or where the database does not answer."""
    try:
        return runner.work_next()
    except WorkerError as exc:
        log.error("cannot work", why=str(exc))
        return False


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
