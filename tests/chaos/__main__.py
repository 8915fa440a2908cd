"""`python -m tests.chaos [--seed N] [--scale F]`: every fault at full length, told as a table of figures.

`--scale 0.1` takes a tenth of the numbers. The exit status is 1 where anything accepted was lost, done twice or not accounted
for.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.kills import kill_workers

ACCEPTED, KILLS, FLUSHES, REDIS_KILLS, POISON = 8000, 200, 10, 8, 8


def main(arguments: list[str]) -> int:
    """Run everything and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args(arguments)
    numbers = [max(1, round(number * chosen.scale)) for number in (ACCEPTED, KILLS, FLUSHES, REDIS_KILLS, POISON)]
    print(f"seed {chosen.seed}: {numbers[0]} accepted, {numbers[1]} kills of the worker group, {numbers[2]} FLUSHALL,")
    print(f"{numbers[3]} kills of Redis, {numbers[4]} jobs that kill their own worker")
    status = 0
    for database in ("sqlite", "postgresql"):
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="modelport-chaos-") as folder:
            audit = kill_workers(Path(folder), database, *numbers, seed=chosen.seed)
        whole = audit.registered == numbers[0] - numbers[4] and audit.failed == numbers[4]
        kept = not (audit.lost or audit.duplicated or audit.in_flight or audit.broken or audit.leftovers)
        status |= not (whole and kept and audit.promise == "ok")
        print(f"{database}: {audit} in {time.monotonic() - began:.0f} s", flush=True)
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
