"""What limits of Celery's do to a worker. None is set: an attempt is bounded by its lack of progress, not by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.stack import Stack, stack, until
from tests.worker.test_loop import log, stuck_run
from worker.celery_app import app, make_app
from worker.doorbell import QUEUE, TASK
from worker.records import Ingestion

LEASE_SECONDS = 6.0


@pytest.fixture
def standing(server_folder: Path) -> Iterator[Stack]:
    with stack(server_folder, "sqlite", {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS)}) as standing:
        yield standing


def hung_under(standing: Stack, **limits: float) -> Ingestion:
    """Return how the first attempt ended at what hangs, when the bell that led to it had *limits*."""
    hung = standing.accept(stuck_run(standing.folder, "a")).id
    make_app(standing.service.settings).send_task(TASK, queue=QUEUE, ignore_result=True, **limits)
    standing.start_worker(1, "tests.chaos.stuck")
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
    hung = hung_under(standing, soft_time_limit=1)
    assert first_end(standing, hung) == (None, "claimed", "storage-hangs"), log(standing)
    assert "Soft time limit (1s) exceeded" in log(standing)
    assert "Traceback" not in log(standing)


@pytest.mark.slow
def test_a_hard_limit_costs_one_attempt_as_any_death_of_a_worker_does(standing: Stack) -> None:
    hung = hung_under(standing, time_limit=1)
    assert first_end(standing, hung) == (None, "claimed", "worker-lost"), log(standing)
    assert "Hard time limit (1s) exceeded" in log(standing)
