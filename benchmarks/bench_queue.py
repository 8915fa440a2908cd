"""What it costs to get from accepted to registered, beside what Celery alone takes for a task that does nothing.

Both work off a queue that was filled before, with the same number of worker processes on the same Redis; ours keeps its
queue in a PostgreSQL whose commits wait for the disk, looks at a small ONNX model for each job, copies it and registers it.
The share tells what is left for all that. The first tenth is not counted: processes start in it.

    python -m benchmarks.bench_queue [JOBS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from redis import Redis

from tests.chaos.stack import ROOT, Stack, kill_group, stack
from worker.celery_app import make_app
from worker.doorbell import CeleryDoorbell

WORKERS = (1, 2)
JOBS = 1_000
TASKS_PER_JOB = 5
"""Tasks that do nothing, for each job of ours: they are over so much sooner."""

QUEUE, TASK = "bench", "bench.nothing"
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 600.0

DURABLE = ("max_connections=200", "shared_buffers=128MB")
"""Settings of PostgreSQL under which a commit waits for the disk."""


class TooSlow(RuntimeError):
    """A queue was not worked off in time; the message tells what the workers said."""


def measure(jobs: int = JOBS) -> dict[int, dict[str, float]]:
    """Return the seconds for one job and for one task that does nothing, by the number of worker processes.

    Raises:
        NoServer: there is no Redis or no PostgreSQL on this machine.
        TooSlow: they were not through within `PATIENCE_SECONDS`.
    """
    return {workers: _measure(workers, jobs) for workers in WORKERS}


def _measure(workers: int, jobs: int) -> dict[str, float]:
    # Not below the folder of the benchmarks: PostgreSQL runs as another user, who may not pass there.
    scratch = tempfile.TemporaryDirectory(prefix="modelport-bench-queue-", dir=os.environ.get("TMPDIR", "/tmp"))
    with scratch as folder, stack(Path(folder), "postgresql", postgres_settings=DURABLE) as standing:
        ours = _job_seconds(standing, workers, jobs)
        standing.redis.flush()
        return {"job": ours, "nothing": _nothing_seconds(standing.redis.url, workers, jobs * TASKS_PER_JOB)}


def _job_seconds(standing: Stack, workers: int, jobs: int) -> float:
    for run in standing.make_models(jobs):
        standing.accept(run)
    bell = CeleryDoorbell(make_app(standing.service.settings), standing.service.living_workers)
    standing.start_worker(workers)
    bell.ring()
    seconds = _seconds_each(standing.unfinished, jobs, standing.log)
    standing.kill_workers()
    return seconds


def _nothing_seconds(url: str, workers: int, tasks: int) -> float:
    app = nothing_app(url)
    for _ in range(tasks):
        app.send_task(TASK, queue=QUEUE)
    with _nothing_worker(url, workers), Redis.from_url(url) as client:
        return _seconds_each(lambda: int(str(client.llen(QUEUE))), tasks, lambda: "")


def _seconds_each(left: Callable[[], int], count: int, log: Callable[[], str]) -> float:
    """Return how long each of *count* took, once the first tenth was through, until none was *left*."""
    end = time.monotonic() + PATIENCE_SECONDS
    counted = _wait(left, count - count // 10, end, log)
    began = time.monotonic()
    _wait(left, 0, end, log)
    return (time.monotonic() - began) / counted


def _wait(left: Callable[[], int], most: int, end: float, log: Callable[[], str]) -> int:
    """Wait until at most *most* are left, and return how many."""
    while (now := left()) > most:
        if time.monotonic() > end:
            raise TooSlow(f"{now} were left after {PATIENCE_SECONDS:g} s\n{log()}")
        time.sleep(LOOK_SECONDS)
    return now


def nothing_app(url: str) -> Celery:
    """Return an app with a task that does nothing, on the broker at *url*, as Celery is set up by itself."""
    app = Celery("bench", broker=url)
    app.conf.update(task_default_queue=QUEUE, task_ignore_result=True)

    @app.task(name=TASK, shared=False)
    def nothing() -> None:
        return None

    return app


@contextmanager
def _nothing_worker(url: str, workers: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.bench_queue", "worker", url, str(workers)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)
    try:
        yield
    finally:
        kill_group(worker)


def main(arguments: list[str]) -> int:
    """Print the measurement as JSON, or be the worker of the tasks that do nothing."""
    if arguments[:1] == ["worker"]:
        nothing_app(arguments[1]).worker_main(["worker", "--concurrency", arguments[2], "--loglevel", "ERROR"])
        return 0
    found = measure(int(arguments[0]) if arguments else JOBS)
    rates = {name: {kind: round(1 / seconds, 1) for kind, seconds in one.items()} for name, one in found.items()}
    print(json.dumps({f"{name} workers, a second": one for name, one in rates.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
