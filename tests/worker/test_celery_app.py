"""What limits of Celery's do to a worker. None is set, and a message that names one is refused (`test_consumer`): an attempt is
bounded by its lack of progress, not by the clock. But anybody who reaches the broker may set one with a control command.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stack import Stack, stack, until
from tests.worker.test_loop import log, stuck_run
from worker.celery_app import app, make_app
from worker.doorbell import TASK, CeleryDoorbell
from worker.records import Ingestion

LEASE_SECONDS = 6.0


@pytest.fixture
def standing(server_folder: Path) -> Iterator[Stack]:
    with stack(server_folder, "sqlite", {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS)}) as standing:
        yield standing


def hung_under(standing: Stack, **limits: float) -> Ingestion:
    """Return how the first attempt ended at what hangs, after a control command set *limits*, `soft` or `hard`."""
    control = make_app(standing.service.settings).control
    standing.start_worker(1, "tests.chaos.stuck")
    assert until(lambda: control.ping(timeout=1), 60), log(standing)
    control.time_limit(TASK, reply=True, **limits)
    standing.redis.kill()  # what a command sets holds from the next connection on
    assert until(lambda: "Connection to broker lost" in log(standing), 60), log(standing)
    standing.redis.start()
    assert until(lambda: log(standing).count("Connected to") == 2, 60), log(standing)
    hung = standing.accept(stuck_run(standing.folder, "a")).id
    CeleryDoorbell(make_app(standing.service.settings), lambda: 1).ring()
    reasons = ("storage-hangs", "worker-lost")
    registry = standing.service.registry
    assert until(lambda: any(entry.reason in reasons for entry in registry.history(hung)), 60), log(standing)
    now = registry.ingestion("default", hung)
    assert now is not None
    return now


def first_end(standing: Stack, ingestion: Ingestion) -> tuple[str | None, ...]:
    """Return the reasons of the steps up to the end of the first attempt."""
    return tuple(entry.reason for entry in standing.service.registry.history(ingestion.id))[:3]


def test_no_limit_of_time_is_set() -> None:
    assert (app.conf.task_soft_time_limit, app.conf.task_time_limit) == (None, None)


@pytest.mark.slow
def test_an_attempt_is_watched_on_when_a_soft_limit_strikes(standing: Stack) -> None:
    hung = hung_under(standing, soft=1)
    assert first_end(standing, hung) == (None, "claimed", "storage-hangs"), log(standing)
    assert "Soft time limit (1s) exceeded" in log(standing)
    assert "Traceback" not in log(standing).rpartition("Connected to")[2], "before that Celery lost its broker, at any moment"


@pytest.mark.slow
def test_a_hard_limit_costs_one_attempt_as_any_death_of_a_worker_does(standing: Stack) -> None:
    hung = hung_under(standing, hard=1)
    assert first_end(standing, hung) == (None, "claimed", "worker-lost"), log(standing)
    assert "Hard time limit (1s) exceeded" in log(standing)
