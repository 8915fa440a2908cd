"""`python -m tests.chaos [--seed N] [--scale F] [--only NAME]`: every fault at full length, told as a table of figures.

`--scale 0.1` takes a tenth of the numbers. The exit status is 1 where anything accepted was lost, done twice or not accounted
for; figures that a busy machine missed are told in the table and are no failure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.chaos.again import retry_all
from tests.chaos.clocks import disagree
from tests.chaos.databases import kill_database
from tests.chaos.hung import hang, hang_store
from tests.chaos.incident import play
from tests.chaos.kills import kill_workers
from tests.chaos.load import burst, same_at_once
from tests.chaos.machine import take_any_steps
from tests.chaos.network import cut_links
from tests.chaos.row import HEAD, Row
from tests.chaos.steps import kill_everywhere, stop_everywhere
from tests.chaos.watch import FILES, RUNS, watch_all
from tests.chaos.writers import write_slowly
from worker import logs

ACCEPTED, KILLS, FLUSHES, REDIS_KILLS, POISON = 8000, 200, 10, 8, 8
ZOMBIES = 100
FRESH, CLOCK_KILLS = 500, 20
STEPS = 50_000
CUTS = 20
DATABASE_KILLS = 20
COMPLETIONS, COMPLETIONS_SECONDS = 10_000, 30.0
KEYS, SENDERS = 100, 100
WRITERS = 500
WAITING, MODELS = 10_000, 300
FAILURES, AGAIN_SECONDS = 10_000, 1200.0
BESIDE_WHAT_HANGS = 1000

Fault = Callable[[Path, float, int], Row]
"""Takes an empty folder, the scale and the seed."""


def _scaled(number: int, scale: float) -> int:
    return max(1, round(number * scale))


def _kills(database: str, folder: Path, scale: float, seed: int) -> Row:
    numbers = [_scaled(number, scale) for number in (ACCEPTED, KILLS, FLUSHES, REDIS_KILLS, POISON)]
    accepted, kills, flushes, redis_kills, poison = numbers
    audit = kill_workers(folder, database, accepted, kills, flushes, redis_kills, poison, seed)
    fault = (
        f"{kills} kills of the worker group, {flushes} FLUSHALL, {redis_kills} kills of Redis, "
        f"{poison} jobs that kill their worker, {database}"
    )
    whole = audit.registered == accepted - poison and audit.failed == poison and audit.is_clean
    return Row(fault, f"{accepted} accepted: 0 lost, 0 twice, {poison} failed", str(audit), whole, audit.most_attempts <= 5)


FAULTS: Mapping[str, Fault] = {
    "kills-sqlite": partial(_kills, "sqlite"),
    "kills-postgresql": partial(_kills, "postgresql"),
    "steps": lambda folder, scale, seed: kill_everywhere(folder),
    "zombies": lambda folder, scale, seed: stop_everywhere(folder, _scaled(ZOMBIES, scale)),
    "clocks": lambda folder, scale, seed: disagree(folder, _scaled(FRESH, scale), _scaled(CLOCK_KILLS, scale), seed),
    "machine": lambda folder, scale, seed: take_any_steps(folder, _scaled(STEPS, scale), seed),
    "cuts": lambda folder, scale, seed: cut_links(folder, _scaled(CUTS, scale), seed),
    "database": lambda folder, scale, seed: kill_database(folder, _scaled(DATABASE_KILLS, scale), seed),
    "burst": lambda folder, scale, seed: burst(folder, _scaled(COMPLETIONS, scale), COMPLETIONS_SECONDS * scale),
    "same-sqlite": lambda folder, scale, seed: same_at_once(folder, "sqlite", _scaled(KEYS, scale), SENDERS),
    "same-postgresql": lambda folder, scale, seed: same_at_once(folder, "postgresql", _scaled(KEYS, scale), SENDERS),
    "watcher": lambda folder, scale, seed: watch_all(folder, _scaled(FILES, scale), _scaled(RUNS, scale)),
    "hung": lambda folder, scale, seed: hang(folder, _scaled(BESIDE_WHAT_HANGS, scale)),
    "hung-no-broker": lambda folder, scale, seed: hang(folder, _scaled(BESIDE_WHAT_HANGS, scale), with_broker=False),
    "hung-store": lambda folder, scale, seed: hang_store(folder, _scaled(BESIDE_WHAT_HANGS, scale)),
    "incident": lambda folder, scale, seed: play(folder, _scaled(WAITING, scale), _scaled(MODELS, scale)),
    "again": lambda folder, scale, seed: retry_all(folder, _scaled(FAILURES, scale), AGAIN_SECONDS),
    "writers": lambda folder, scale, seed: write_slowly(folder, _scaled(WRITERS, scale), seed),
}


def main(arguments: list[str]) -> int:
    """Run everything, or what was chosen, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", choices=FAULTS, action="append")
    chosen = parser.parse_args(arguments)
    logs.configure("CRITICAL")
    print("\n".join(HEAD), flush=True)
    rows = [_run(FAULTS[name], chosen.scale, chosen.seed) for name in chosen.only or FAULTS]
    return int(not all(row.is_safe for row in rows))


def _run(fault: Fault, scale: float, seed: int) -> Row:
    """Run one fault and print its row as soon as it is known."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelport-chaos-") as folder:
        row = fault(Path(folder), scale, seed)
    print(row, flush=True)
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
