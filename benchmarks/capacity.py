"""`python -m benchmarks.capacity [--models N] [--gigabytes G] [--write]`: what one core does, for who has to size machines.

A worker of Celery works off small models on PostgreSQL and Redis, an API accepts completions, and one large model is copied and
then referenced. Processor time is told of every process that takes part, apart; it depends little on who else uses the machine,
as the clock does, whose rates are told too. `--write` puts the table into docs/howto/capacity.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import psycopg

from benchmarks.bench_queue import DURABLE, TooSlow
from tests.builders import onnx
from tests.chaos.door import Client, completion_of, door
from tests.chaos.stack import Stack, stack, until
from tests.servers.process import descendants, processor_seconds

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "capacity.md"
BEGIN, END = "<!-- figures: make capacity -->", "<!-- end of figures -->"

MODELS, GIGABYTES = 2000, 2.0
SENDERS = 8
PATIENCE_SECONDS = 900.0
WEIGHTS_BYTES = 64 << 20
"""Written at once while the large model is made."""


@dataclass(frozen=True)
class Line:
    """One row: what was measured, and the figures in words."""

    what: str
    clock: str
    processor: str

    def __str__(self) -> str:
        return f"| {self.what} | {self.clock} | {self.processor} |"


def measure(models: int, gigabytes: float) -> Iterator[Line]:
    """Yield the rows for so many small *models* and one large model of so many *gigabytes*.

    Raises:
        NoServer: there is no Redis or no PostgreSQL on this machine.
        TooSlow: the models were not through within `PATIENCE_SECONDS`.
    """
    # Not below the folder of the benchmarks: PostgreSQL runs as another user, who may not pass there.
    for lines in (lambda folder: _small(folder, models), lambda folder: _large(folder, gigabytes)):
        with tempfile.TemporaryDirectory(prefix="modelport-capacity-", dir=os.environ.get("TMPDIR", "/tmp")) as folder:
            yield from lines(Path(folder))


def _small(folder: Path, models: int) -> Iterator[Line]:
    """Accept completions of small models over HTTP, and then work them off with a process for each core."""
    cores = os.cpu_count() or 1
    with stack(folder, "postgresql", postgres_settings=DURABLE) as standing:
        runs = standing.make_models(models)
        before = _database_bytes(standing)
        with door(standing) as api, _told(standing, {"API": api.pid}) as cost:
            asyncio.run(_accept(api.port, runs))
            memory = [f"API {_megabytes(api.pid):.0f} MB"]
        yield cost.line(f"Completions accepted, from {SENDERS} senders at once", models)
        worker = standing.start_worker(cores, "worker.start")
        if not until(lambda: standing.unfinished() <= models * 9 // 10, PATIENCE_SECONDS):
            raise TooSlow(standing.log())
        left = standing.unfinished()  # what comes before is the start of its processes
        with _told(standing, {"worker": worker.pid}) as cost:
            if not standing.wait_until_done(PATIENCE_SECONDS):
                raise TooSlow(standing.log())
        memory.append(f"worker {_megabytes(worker.pid):.0f} MB")
        yield cost.line(f"Small models registered as copies, by {cores} processes", left)
        grown = (_database_bytes(standing) - before) / models
        yield Line(f"Memory, the worker's with all its processes for {cores} at a time", ", ".join(memory), "–")
        yield Line("Room in the database for each of them, with its ingestion and history", f"{grown / 1000:.0f} kB", "–")


@dataclass
class Told:
    """Seconds on the clock, and of the processor by who used them."""

    seconds: float = 0.0
    used: Mapping[str, float] = field(default_factory=dict)

    def line(self, what: str, count: int) -> Line:
        """Return the row that tells what each of *count* took."""
        each = ", ".join(f"{name} {seconds / count * 1000:.1f}" for name, seconds in self.used.items())
        total = sum(self.used.values()) / count
        cost = f"{total * 1000:.1f} ms each ({each}): {1 / total:.0f} a second and core"
        return Line(what, f"{count / self.seconds:.0f} a second", cost)


@contextmanager
def _told(standing: Stack, ours: Mapping[str, int]) -> Iterator[Told]:
    """Tell, once the block has run, what it cost *ours*, named processes with all their children, and the servers."""
    assert standing.postgres is not None
    roots = {**ours, "PostgreSQL": standing.postgres.pid, "Redis": standing.redis.pid}
    told, began = Told(), time.monotonic()
    before = {name: _used(pid) for name, pid in roots.items()}
    yield told
    told.used = {name: _used(pid) - before[name] for name, pid in roots.items()}
    told.seconds = time.monotonic() - began


def _used(root: int) -> float:
    return sum(processor_seconds(pid) for pid in descendants(root))


def _megabytes(root: int) -> float:
    """Return the memory of *root* and its children; what several share is counted once. Source: proc(5), smaps_rollup."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in descendants(root)]
    kilobytes = sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:"))
    return kilobytes * 1024 / 1e6


async def _accept(port: int, runs: Sequence[Path]) -> None:
    """Report every run, so many at a time as there are senders."""
    left = iter(runs)

    async def send() -> None:
        client = Client(port)
        for run in left:
            answer = await client.post(completion_of(run))
            assert answer.status == 202, answer
        client.close()

    await asyncio.gather(*(send() for _ in range(SENDERS)))


def _database_bytes(standing: Stack) -> int:
    assert standing.postgres is not None
    with psycopg.connect(standing.postgres.url("modelport", "postgresql")) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


def _large(folder: Path, gigabytes: float) -> Iterator[Line]:
    """Ingest one model with a large file beside it, as a copy and as a reference, each in a new process."""
    run = onnx.run_at(folder / "run")
    size = int(gigabytes * 1e9)
    with (run / "data.raw").open("wb") as file:
        for start in range(0, size, WEIGHTS_BYTES):
            file.write(os.urandom(min(WEIGHTS_BYTES, size - start)))
    os.sync()
    for mode, what in (("copy", "copied, hashed and synced"), ("reference", "hashed where it is")):
        environment = {
            "PATH": os.environ["PATH"],
            "MODELPORT_HOME": str(folder / mode),
            "MODELPORT_STORE_MODE": mode,
            "MODELPORT_SETTLE_SECONDS": "0",
        }
        call = [sys.executable, "-m", "worker.start", "ingest", str(run), "--output", str(folder / "said")]
        began, before = time.monotonic(), os.times()
        subprocess.run(call, env=environment, cwd=PAGE.parents[2], check=True)
        seconds, after = time.monotonic() - began, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        cost = f"{used / gigabytes:.1f} s a GB: {size / used / 1e6:.0f} MB/s a core"
        yield Line(f"A model of {gigabytes:g} GB, {what}", f"{size / seconds / 1e6:.0f} MB/s", cost)


def table(lines: Sequence[Line], when: date) -> str:
    """Return *lines* as a table, with what machine they were measured on."""
    processor = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    about = (
        f"Measured on {when}: {os.cpu_count()} cores of {processor}, Linux, Python {platform.python_version()}, "
        f"PostgreSQL and Redis on the same machine, load average {os.getloadavg()[1]:.1f} meanwhile."
    )
    head = ("| what | on the clock | processor time |", "|---|---|---|")
    return "\n".join((about, "", *head, *map(str, lines)))


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the table or write it into its page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity")
    parser.add_argument("--models", type=int, default=MODELS, help="how many small models")
    parser.add_argument("--gigabytes", type=float, default=GIGABYTES, help="the size of the large one")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    chosen = parser.parse_args(arguments)
    told = table(list(measure(chosen.models, chosen.gigabytes)), date.today())
    print(told)
    if chosen.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{told}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
