"""The link between worker and Redis is cut without a word: no side learns that the other is gone."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tests.chaos.row import Row
from tests.chaos.stack import Stack, stack
from tests.servers.proxy import CuttingProxy, cutting_proxy
from worker.celery_app import make_app
from worker.doorbell import CeleryDoorbell, Doorbell

WITHIN_SECONDS = 15.0
START_SECONDS, PATIENCE_SECONDS = 60.0, 120.0
CUT_SECONDS = (0.2, 12.0)
"""How long a link is cut: shorter than anybody notices, and longer than the worker waits for an answer."""


def cut_links(folder: Path, cuts: int, seed: int) -> Row:
    """Cut the worker's link *cuts* times, have work accepted during each and after it, and see when all is done."""
    chance = random.Random(seed)
    with stack(folder, "sqlite") as standing, cutting_proxy(standing.redis.port) as proxy:
        standing.environment = {**standing.environment, "MODELPORT_BROKER_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        bell = CeleryDoorbell(make_app(standing.service.settings), standing.service.living_workers)
        first, *runs = standing.make_models(1 + 2 * cuts)
        standing.start_worker()
        _accept(standing, first, bell)
        if not standing.wait_until_done(START_SECONDS):
            raise AssertionError(f"the worker did nothing within {START_SECONDS:g} s\n{standing.log()}")
        pairs = zip(runs[::2], runs[1::2], strict=True)
        waited = [_cut_once(standing, proxy, bell, pair, chance) for pair in pairs]
        standing.kill_workers()
        audit = standing.audit()
    seen = (
        f"{len(waited)} cuts; working again after {sorted(waited)[len(waited) // 2]:.1f} s (median), {max(waited):.1f} s (most)"
    )
    whole = audit.is_clean and audit.registered == len(standing.journal)
    fault = f"silent cut worker–Redis, {cuts} times"
    return Row(
        fault,
        f"working again within {WITHIN_SECONDS:g} s, 0 lost",
        f"{seen}; {audit.lost} lost",
        whole,
        max(waited) <= WITHIN_SECONDS,
    )


def _cut_once(standing: Stack, proxy: CuttingProxy, bell: Doorbell, runs: tuple[Path, Path], chance: random.Random) -> float:
    """Return how many seconds after the link was healed everything was done that came during the cut and just after it."""
    proxy.cut()
    time.sleep(chance.uniform(*CUT_SECONDS))
    _accept(standing, runs[0], bell)
    proxy.heal()
    began = time.monotonic()
    _accept(standing, runs[1], bell)
    if not standing.wait_until_done(PATIENCE_SECONDS):
        raise AssertionError(f"no work was done for {PATIENCE_SECONDS:g} s after the link was healed\n{standing.log()}")
    seconds = time.monotonic() - began
    time.sleep(chance.uniform(0, 2))
    return seconds


def _accept(standing: Stack, run: Path, bell: Doorbell) -> None:
    standing.accept(run)
    bell.ring()
