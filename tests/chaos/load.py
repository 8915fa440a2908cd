"""More at once than on a usual day: a burst of completions, and everybody reporting the same one."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.door import Answer, Client, Door, completion_of, door
from tests.chaos.row import Row
from tests.chaos.stack import Stack, stack
from tests.servers.process import descendants, processor_seconds

CLIENTS = 64
CONCURRENCY = 4
"""Children of the worker: twice as many as the smallest machine has cores, because half the time of each is the disk's."""

ACCEPT_SECONDS = 0.25
MODELS_PER_SECOND = 100
WORKER_START_SECONDS = 8.0
DRAIN_SECONDS_PER_RUN = 0.5

DURABLE = ("max_connections=200", "shared_buffers=128MB")
"""Settings of PostgreSQL under which a commit waits for the disk: the figures are those of a real server."""


@dataclass(frozen=True)
class Burst:
    """What senders saw: statuses, and the seconds from the moment when each meant to send until its answer, in order."""

    ids: dict[str, Path]
    statuses: Counter[int]
    seconds: Sequence[float]

    def quantile(self, part: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * part))]


def burst(folder: Path, count: int, seconds: float) -> Row:
    """Report *count* completions evenly over *seconds*, while a worker works them off as they come."""
    with stack(folder, "postgresql", postgres_settings=DURABLE) as standing, door(standing) as api:
        runs = standing.make_models(count)
        ours = _started(standing, api)
        used, began = _processor_seconds(ours), time.monotonic()
        sent = asyncio.run(_send(api.port, runs, count / seconds))
        standing.wait_until_done(60 + count * DRAIN_SECONDS_PER_RUN)
        rate = count / (time.monotonic() - began)
        cost = (_processor_seconds(ours) - used) / count
        standing.journal.update(sent.ids)
        standing.kill_workers()
        audit = standing.audit()
    seen = (
        f"{sent.statuses[202]} × 202, {count - sent.statuses[202]} other; accept p50 {sent.quantile(0.5) * 1000:.0f} ms, "
        f"p99 {sent.quantile(0.99) * 1000:.0f} ms; {audit.registered} registered at {rate:.0f}/s, "
        f"{cost * 1000:.1f} ms of processor time each in all processes; "
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    whole = audit.is_clean and audit.registered == count == sent.statuses[202]
    fault = f"{count:,} completions in {seconds:g} s"
    wanted = f"all 202, p99 below {ACCEPT_SECONDS * 1000:g} ms, all registered, at least {MODELS_PER_SECOND} a second"
    return Row(fault, wanted, seen, whole, sent.quantile(0.99) < ACCEPT_SECONDS and rate >= MODELS_PER_SECOND)


def _started(standing: Stack, api: Door) -> Sequence[int]:
    """Start the worker, and return the processes whose children and own work count."""
    assert standing.postgres is not None
    worker = standing.start_worker(CONCURRENCY)
    time.sleep(WORKER_START_SECONDS)
    return api.pid, worker.pid, standing.postgres.pid, standing.redis.pid


def _processor_seconds(roots: Iterable[int]) -> float:
    return sum(processor_seconds(pid) for root in roots for pid in descendants(root))


async def _send(port: int, runs: Sequence[Path], rate: float) -> Burst:
    """Send each run when its time has come, however long earlier ones take: a slow server slows no sender down."""
    due: asyncio.Queue[tuple[float, Path] | None] = asyncio.Queue()
    answers: list[tuple[Answer, Path, float]] = []

    async def send() -> None:
        client = Client(port)
        while (one := await due.get()) is not None:
            answers.append((await client.post(completion_of(one[1])), one[1], time.perf_counter() - one[0]))
        client.close()

    senders = [asyncio.create_task(send()) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for number, run in enumerate(runs):
        moment = began + number / rate
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        due.put_nowait((moment, run))
    for _ in senders:
        due.put_nowait(None)
    await asyncio.gather(*senders)
    ids = {answer.body["id"]: run for answer, run, _ in answers if answer.status == 202}
    return Burst(ids, Counter(answer.status for answer, *_ in answers), sorted(seconds for *_, seconds in answers))


def same_at_once(folder: Path, database: str, keys: int, senders: int) -> Row:
    """Let *senders* report the same completion at the same moment, for each of *keys* completions."""
    with stack(folder, database) as standing, door(standing) as api:
        runs = standing.make_models(keys)
        answers = asyncio.run(_report_together(api.port, runs, senders))
        others = [answer.status for together in answers for answer in together if answer.status != 202]
        ids = [{answer.body["id"] for answer in together if answer.status == 202} for together in answers]
        news = [sum(answer.status == 202 and not answer.body["known"] for answer in together) for together in answers]
        standing.journal.update((id, run) for found, run in zip(ids, runs, strict=True) for id in found)
        audit = _worked_off(standing)
        kept = standing.service.registry.queue(standing.service.clock.now()).states
    seen = (
        f"{sum(kept.values())} ingestions, {sum(len(found) != 1 for found in ids)} keys with several ids, "
        f"{sum(new != 1 for new in news)} not new exactly once, {len(others)} answers other than 202"
    )
    whole = audit and sum(kept.values()) == keys and not others and all(len(found) == 1 for found in ids)
    fault = f"the same completion {senders} times at once, {keys} keys, {database}"
    return Row(fault, "one ingestion each, the same id back", seen, whole, all(new == 1 for new in news))


async def _report_together(port: int, runs: Sequence[Path], senders: int) -> list[list[Answer]]:
    clients = [Client(port) for _ in range(senders)]
    answers = [await asyncio.gather(*(client.post(completion_of(run)) for client in clients)) for run in runs]
    for client in clients:
        client.close()
    return answers


def _worked_off(standing: Stack) -> bool:
    """Work everything off; tell whether each was registered and nothing is left over."""
    standing.start_worker()
    standing.wait_until_done(60 + len(standing.journal) * DRAIN_SECONDS_PER_RUN)
    standing.kill_workers()
    audit = standing.audit()
    return audit.is_clean and audit.registered == len(standing.journal)
