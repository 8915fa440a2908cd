"""`make cage`: what the sandbox holds, in figures."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.worker.cage.killing import kill_once
from tests.worker.cage.probe import WAYS
from tests.worker.cage.seat import BUBBLEWRAP, HERE, LANDLOCK, Kind, subject
from tests.worker.cage.test_cage import probe
from worker.cage import launcher, view
from worker.cage.ladder import Cage, find_cage
from worker.cage.launcher import Limits
from worker.verification import Ending, Rung

MB = 1 << 20
STARTS = 31


def main() -> int:
    """Print the figures; return 1 where one is not what it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.worker.cage", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="kills of the watching process, and as many of the keeper")
    kills = parser.parse_args().kills
    is_good = True
    for kind in (BUBBLEWRAP, LANDLOCK):
        cage = find_cage(rungs=kind.rungs)
        if cage.rung is None:
            print(f"{cage.why}", flush=True)
            is_good = False
            continue
        for name, figure, is_met in figures(kind, cage, kills):
            is_good &= is_met
            print(f"{cage.rung.value:20} {name:55} {figure:>24} {'' if is_met else '  NOT MET'}", flush=True)
    return 0 if is_good else 1


def figures(kind: Kind, cage: Cage, kills: int) -> Iterator[tuple[str, str, bool]]:
    assert cage.rung is not None
    with folder_of_all() as outside:
        seen = probe(kind, outside)
    assert seen.claims is not None, seen
    blocked = sum(not run.runs for run in seen.claims.runs)
    yield "ways out that are closed", f"{blocked} of {len(WAYS)}", blocked >= len(WAYS) - (kind is LANDLOCK)
    yield from starts(cage)
    for name, how, limits, ending, slack in LIMITS:
        results = [cage.run(subject("hostile", how=how, bytes=600 * MB), limits) for _ in range(max(1, kills // 10))]
        met = sum(one.ending in ending and slack(one.seconds, one.peak_bytes) for one in results)
        yield name, f"{met} of {len(results)}", met == len(results)
    for is_keeper, whose in ((False, "who watches"), (True, "its keeper")):
        orphans = sum(len(killed(cage.rung, is_keeper, number)) for number in range(kills))
        yield f"orphans 2 s after {kills} kills of {whose}", str(orphans), orphans == 0


Slack = Callable[[float, int], bool]

LIMITS: tuple[tuple[str, str, Limits, tuple[Ending, ...], Slack], ...] = (
    ("wall clock, within 0.5 s", "sleep", Limits(seconds=1), (Ending.TIME,), lambda seconds, peak: 1 <= seconds < 1.5),
    (
        "heap, within a tenth",
        "heap",
        Limits(seconds=60, memory_bytes=256 * MB),
        (Ending.MEMORY,),
        lambda seconds, peak: peak <= 1.1 * 256 * MB,
    ),
    (
        "memory that is no heap",
        "mapped",
        Limits(seconds=60, memory_bytes=256 * MB),
        (Ending.MEMORY,),
        lambda seconds, peak: peak > 256 * MB,
    ),
    (
        "temporary files",
        "disk",
        Limits(seconds=60, tmp_bytes=8 * MB),
        (Ending.DISK, Ending.CRASHED),
        lambda seconds, peak: True,
    ),
)


def starts(cage: Cage) -> Iterator[tuple[str, str, bool]]:
    """Yield what a cage costs: a Python that does nothing, plain and in it; and a whole check of nothing."""
    python = [sys.executable, "-I", "-S", "-B", "-c", "pass"]
    if cage.rung is not Rung.LANDLOCK:
        shown = view.View(view.python_places(), str(Path(HERE).parents[2]), {})
        words = view.bubblewrap(shown, cage.rung or Rung.BUBBLEWRAP, MB, view.environment(view.SCRATCH, os.environ))
        pairs = [(seconds(python), seconds([cage.bwrap, *words, "--", *python])) for _ in range(STARTS)]
        plain = 1000 * statistics.median(plain for plain, _ in pairs)
        over = 1000 * statistics.median(caged - plain for plain, caged in pairs)
        yield "start-up over a plain Python, ms", f"{over:.1f} (plain {plain:.1f})", over <= 20
    took = []
    for _ in range(STARTS):
        began = time.perf_counter()
        cage.run(subject("hostile", how="nothing"), Limits())
        took.append(1000 * (time.perf_counter() - began))
    yield "a check of nothing, ms", f"{statistics.median(took):.1f}", True


def seconds(command: list[str]) -> float:
    """Return how long *command* takes, started by who would start it."""
    user = launcher._as_nobody(Rung.BUBBLEWRAP) if view.is_open_to_all(sys.executable) else {}
    began = time.perf_counter()
    subprocess.run(command, check=True, **user)
    return time.perf_counter() - began


def killed(rung: Rung, is_keeper: bool, number: int) -> list[int]:
    with folder_of_all() as folder:
        shutil.copy(Path(HERE) / "hostile.py", folder)
        return kill_once(rung, folder, random.Random(number), is_keeper)


class folder_of_all(tempfile.TemporaryDirectory[str]):
    """A folder that everybody may look into, with a file to read and a folder to write in."""

    def __enter__(self) -> Path:  # type: ignore[override]
        folder = Path(super().__enter__())
        folder.chmod(0o755)
        (folder / "readable").write_text("secret")
        (folder / "writable").mkdir()
        (folder / "writable").chmod(0o777)
        return folder


if __name__ == "__main__":
    sys.exit(main())
