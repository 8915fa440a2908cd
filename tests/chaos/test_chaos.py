"""The faults of `python -m tests.chaos`, in a form short enough for every change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kills import kill_workers


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kills_lose_nothing_and_do_nothing_twice(server_folder: Path, database: str) -> None:
    """6 kills of the worker group, one FLUSHALL and one kill of Redis among them, over 200 models; 1 kills its own worker."""
    audit = kill_workers(server_folder, database, accepted=200, kills=6, flushes=1, redis_kills=1, poison=1, seed=1)
    assert (audit.registered, audit.failed, audit.lost, audit.duplicated) == (199, 1, 0, 0), audit
    assert (audit.in_flight, audit.broken, audit.leftovers, audit.promise) == (0, 0, 0, "ok"), audit
    assert audit.most_attempts <= 5
