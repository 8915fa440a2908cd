"""Workers whose machines disagree about the time by two hours, either way, on one PostgreSQL; and some of them are killed."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.row import Row
from tests.chaos.stack import kill_group, stack, until

OFF_SECONDS = (0.0, 7200.0, -7200.0)
SETTLE_SECONDS = 2.0
LEASE_SECONDS = 3.0
DRAIN_SECONDS_PER_RUN = 0.5


def disagree(folder: Path, count: int, kills: int, seed: int) -> Row:
    """Let three workers with different clocks work off *count* models, and kill one after the other, *kills* times.

    The models are fresh: a clock that is ahead may not take them for settled, and one that is behind may not wait for hours.
    """
    chance = random.Random(seed)
    settings = {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS), "MODELPORT_SETTLE_SECONDS": str(SETTLE_SECONDS)}
    with stack(folder, "postgresql", settings) as standing:
        workers = [standing.start_worker(1, clock_is_off_seconds=off) for off in OFF_SECONDS]
        for run in standing.make_models(count):
            standing.accept(run)
        for kill in range(kills):
            time.sleep(chance.uniform(0.5, 2.0))
            place = kill % len(workers)
            kill_group(workers[place])
            workers[place] = standing.start_worker(1, clock_is_off_seconds=OFF_SECONDS[place])
        is_done = until(lambda: standing.unfinished() == 0, 60 + count * DRAIN_SECONDS_PER_RUN)
        standing.kill_workers()
        audit = standing.audit()
    seen = f"{audit}" + ("" if is_done else "; not all done in time")
    fault = f"three workers whose clocks are right, 2 h ahead and 2 h behind; {kills} kills; postgresql"
    whole = audit.is_clean and audit.registered == count
    return Row(fault, f"{count} accepted: 0 lost, 0 twice", seen, whole, audit.most_attempts <= 5)
