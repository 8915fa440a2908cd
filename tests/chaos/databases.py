"""PostgreSQL is killed while clients report completions and a worker works them off."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from tests.chaos.door import Client, completion_of, door
from tests.chaos.row import Row
from tests.chaos.stack import Stack, stack, until

CLIENTS = 8
RUNS_PER_KILL = 150
PACE_SECONDS = 0.15
"""How long a client rests after each 202, so that the worker can keep up."""

RETRY_SECONDS = 0.2
WITHIN_SECONDS = 15.0
DRAIN_SECONDS_PER_RUN = 0.5
LEASE_SECONDS = 5


@dataclass
class Reports:
    """What the clients were answered. accepted maps ids that got a 202 to their runs; statuses counts all answers."""

    runs: Iterator[Path]
    accepted: dict[str, Path] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    cut_off: int = 0
    is_over: bool = False

    async def report_all(self, port: int) -> None:
        """Report runs over several connections until all are reported or it is over."""
        await asyncio.gather(*(self._report(Client(port)) for _ in range(CLIENTS)))

    async def _report(self, client: Client) -> None:
        for run in self.runs:
            await self._insist(client, run)
            if self.is_over:
                break
            await asyncio.sleep(PACE_SECONDS)
        client.close()

    async def _insist(self, client: Client, run: Path) -> None:
        """Report *run* again and again until it is accepted, as any sender should."""
        while True:
            try:
                answer = await client.post(completion_of(run))
            except (OSError, EOFError):
                self.cut_off += 1
            else:
                self.statuses[answer.status] += 1
                if answer.status == 202:
                    self.accepted[answer.body["id"]] = run
                    return
            await asyncio.sleep(RETRY_SECONDS)


def kill_database(folder: Path, kills: int, seed: int) -> Row:
    """Kill PostgreSQL *kills* times under load, and see what became of everything that was answered with 202."""
    chance = random.Random(seed)
    with stack(folder, "postgresql", {"MODELPORT_LEASE_SECONDS": str(LEASE_SECONDS)}) as standing, door(standing) as api:
        reports = Reports(iter(standing.make_models(kills * RUNS_PER_KILL)))
        standing.start_worker()
        clients = Thread(target=lambda: asyncio.run(reports.report_all(api.port)), name="clients")
        clients.start()
        try:
            back = [_kill_once(standing, reports, chance) for _ in range(kills)]
        finally:
            reports.is_over = True
            clients.join()
        standing.journal.update(reports.accepted)
        standing.wait_until_done(60 + len(reports.accepted) * DRAIN_SECONDS_PER_RUN)
        standing.kill_workers()
        audit = standing.audit()
    odd = sum(count for status, count in reports.statuses.items() if status not in (202, 503))
    seen = (
        f"{kills} kills; {audit.accepted} × 202, {audit.lost} lost, {audit.ended_twice + audit.duplicated} done twice, "
        f"{reports.statuses[503]} × 503, {odd} other answers; accepting again after at most {max(back):.1f} s"
    )
    whole = audit.is_clean and audit.registered == audit.accepted and odd == 0 and reports.cut_off == 0
    if not whole:
        seen += f"; {reports.cut_off} without an answer; {audit}"
    fault = f"PostgreSQL kill -9 under load, {kills} times"
    wanted = f"every 202 still there and ended once; nothing but 202 and 503; back within {WITHIN_SECONDS:g} s"
    return Row(fault, wanted, seen, whole, max(back) <= WITHIN_SECONDS)


def _kill_once(standing: Stack, reports: Reports, chance: random.Random) -> float:
    """Kill the server in the middle of things; return how many seconds after its start something was accepted again."""
    _wait_for_another(reports)
    time.sleep(chance.uniform(0, 1.5))
    assert standing.postgres is not None
    standing.postgres.kill()
    time.sleep(chance.uniform(0, 2))
    standing.postgres.start()
    began = time.monotonic()
    _wait_for_another(reports)
    return time.monotonic() - began


def _wait_for_another(reports: Reports) -> None:
    before = len(reports.accepted)
    if not until(lambda: len(reports.accepted) > before, 60):
        raise AssertionError(f"nothing was accepted for a minute: {reports.statuses}")
