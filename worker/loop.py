"""Workers without a broker: as many processes as are wanted, each looking at the database for work until it is stopped."""

from __future__ import annotations

import gc
import os
import signal
import threading
from multiprocessing import get_context
from pathlib import Path

import structlog

from worker import logs
from worker.bootstrap import Embedded, embedded
from worker.doorbell import CeleryDoorbell, Doorbell, NoDoorbell
from worker.logged_registry import logged
from worker.runner import Runner, abandoned
from worker.stuck import is_stuck, join

log = structlog.get_logger("modelport.worker")


def doorbell(service: Embedded) -> Doorbell:
    """Return what rings for the workers of *service*."""
    if service.settings.broker_url is None:
        return NoDoorbell()
    from worker.celery_app import app

    return CeleryDoorbell(app, service.living_workers)


def run_workers(count: int, log_level: str = "INFO", log_format: logs.Format = "text") -> None:
    """Work off the queue in *count* processes until this one is told to stop; what runs is finished first.

    A process that ends is replaced, because it died or because attempts hang in it. One that ended but for what hangs is not
    waited for either. Each logs what is of *log_level* or worse, in the *log_format*.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logs.configure(log_level, log_format)
    context, style = get_context("spawn"), (log_level, log_format)
    processes = [context.Process(target=_work, args=style) for _ in range(count)]
    stuck = []
    for process in processes:
        process.start()
    while not stop.wait(1.0):
        for place, process in enumerate(processes):
            if not process.is_alive() or is_stuck(process.pid):
                log.warning("worker replaced", process=process.pid)
                stuck += [process] if process.is_alive() else []
                processes[place] = context.Process(target=_work, args=style)
                processes[place].start()
    for process in processes:
        process.terminate()
    left = [process.pid for process in (*processes, *stuck) if not join(process)]
    if left:
        log.error("left behind", processes=left, why="they wait for storage that hangs, and nothing can end them")
        os._exit(0)


def _work(log_level: str, log_format: logs.Format) -> None:
    """Work off the queue in this process until SIGTERM, or until too many attempts hang in it."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(log_level, log_format)
    with embedded(os.environ, Path.cwd(), role="worker") as service, service.seen_as_worker():
        log.info("worker started", worker=service.owner, broker=None)
        gc.freeze()  # as `celery_app`
        Runner(logged(service.borders()), service.owner, deliver=service.rounds.look).run(stop)
        log.info("worker stopped", worker=service.owner)
    if abandoned():
        os._exit(0)
