"""Workers that are killed at random moments, a broker that is emptied and killed, and jobs that kill their own worker."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.stack import Audit, Stack, stack, until


def kill_workers(
    folder: Path, database: str, accepted: int, kills: int, flushes: int, redis_kills: int, poison: int, seed: int
) -> Audit:
    """Return what became of *accepted* ingestions, *poison* of which kill their worker, over that many faults.

    The worker group is killed 0 to 400 ms after it was first seen to get on with its work.
    """
    chance = random.Random(seed)
    with stack(folder, database, {"MODELPORT_LEASE_SECONDS": "3"}) as standing:
        for run in standing.make_models(accepted, poison):
            standing.accept(run)
        faults = _spread(chance, kills, flushes, redis_kills)
        for fault in faults:
            before = standing.unfinished()
            standing.start_worker()
            if before and not until(lambda before=before: standing.unfinished() < before, 30):
                raise AssertionError(f"no worker got on with its work within 30 s\n{standing.log()}")
            time.sleep(chance.uniform(0, 0.4))
            _strike(standing, fault)
            standing.kill_workers()
        _finish(standing, seconds=60 + accepted / 10 + poison * 30)
        return standing.audit()


def _spread(chance: random.Random, kills: int, flushes: int, redis_kills: int) -> list[str]:
    faults = ["flush"] * flushes + ["redis"] * redis_kills + ["nothing else"] * max(0, kills - flushes - redis_kills)
    chance.shuffle(faults)
    return faults


def _strike(standing: Stack, fault: str) -> None:
    if fault == "flush":
        standing.redis.flush()
    elif fault == "redis":
        standing.redis.kill()
        standing.redis.start()


def _finish(standing: Stack, seconds: float) -> None:
    """Let one worker finish everything; one whose poison kills it is started again, as a supervisor would."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        worker = standing.start_worker()
        until(lambda worker=worker: standing.unfinished() == 0 or worker.poll() is not None, end - time.monotonic())
        if standing.unfinished() == 0:
            break
    standing.kill_workers()
