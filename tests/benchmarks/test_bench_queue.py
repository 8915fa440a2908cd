"""The queue beside Celery's own."""

from __future__ import annotations

from celery import Celery

from benchmarks.bench_queue import TASK, nothing_app


def test_the_app_that_does_nothing_leaves_other_apps_alone() -> None:
    """Celery hands a task to every app of the process unless it is told not to, and refuses the second of its name."""
    for _ in range(2):
        assert TASK in nothing_app("memory://").tasks
    assert TASK not in Celery("other", broker="memory://").tasks
