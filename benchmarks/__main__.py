"""`python -m benchmarks [--quick] [--only NAME]`: measure, print the table, and write benchmarks/RESULTS.md.

`--quick` takes small inputs and one run each, and `--only` one group of rows: both only print. Inputs are made in a temporary
folder (`TMPDIR` says where) and removed at the end. The exit status is 1 where something failed to run; a missed goal is told
in the table and is no failure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from benchmarks import bench_lists, bench_queue, bench_s3, bench_store
from benchmarks.case import AtMost, Cost, Figure, Goal, Row, Within
from benchmarks.cases import FULL, GB, MODELSCAN, QUICK, Sizes, cases
from benchmarks.runner import Runner
from benchmarks.table import machine, page, table
from tests.servers.process import NoServer

RESULTS = Path(__file__).with_name("RESULTS.md")

STORE, QUEUE, LISTS, S3 = "store", "queue", "lists", "s3"
"""The names of the rows that `bench_store`, `bench_queue`, `bench_lists` and `bench_s3` measure by themselves."""

MOST_SECONDS, FLAT_TIME, FLAT_MEMORY = 0.1, 2, 1.25
"""A list is quick; what "does not grow" means for ten times the versions. An index is a step deeper, and pages are not near."""

FREE_BYTES = 8 * GB
"""Room for all inputs at once and for one copy of the largest."""


def main(arguments: list[str]) -> int:
    """Measure and tell; return the exit status."""
    chosen = _parse(arguments)
    folder = Path(tempfile.mkdtemp(prefix="modelport-bench-"))
    try:
        if not chosen.quick and (free := shutil.disk_usage(folder).free) < FREE_BYTES:
            print(f"needs {FREE_BYTES / GB:g} GB of room in {folder.parent}, found {free / GB:.1f}", file=sys.stderr)
            return 1
        rows = list(measure(Runner(folder, chosen.quick), QUICK if chosen.quick else FULL, chosen.only))
    finally:
        shutil.rmtree(folder)
    print("\n".join(table(rows)))
    if not chosen.quick and chosen.only is None:
        RESULTS.write_text(page(rows, date.today(), machine(MODELSCAN)), encoding="utf-8")
    return int(any("not installed" not in row.problem for row in rows if row.problem))


def measure(runner: Runner, sizes: Sizes, only: str | None) -> Iterator[Row]:
    """Yield the rows of all cases, or of those called *only*; progress goes to stderr."""
    store = list(store_rows(runner.folder, sizes.ingest)) if only in (None, STORE) else []
    wanted = [case for case in cases(sizes) if only in (None, case.name)]
    _say("making the inputs")
    runner.make(made for case in wanted for made in case.inputs())
    for case in wanted:
        _say(case.what + (f", beside {case.theirs.label}" if case.theirs else ""))
        yield from runner.rows(case)
    yield from store
    if only in (None, QUEUE):
        yield from queue_rows(sizes.jobs)
    if only in (None, LISTS):
        yield from list_rows(sizes.versions)
    if only in (None, S3):
        _say("scans and uploads on object storage")
        yield from bench_s3.rows(runner, sizes.s3)


def queue_rows(jobs: int) -> Iterator[Row]:
    """Yield the rows about getting *jobs* small models from accepted to registered; on the clock, for one of them."""
    _say("working off a queue, beside Celery with tasks that do nothing")
    goal, beside = Goal(Figure.WORK_WALL), "a Celery task that does nothing"
    whats = {count: f"From accepted to registered, a small model, workers: {count}" for count in bench_queue.WORKERS}
    try:
        found = bench_queue.measure(jobs)
    except NoServer:
        yield from (Row(what, goal, beside, None, None, "Redis or PostgreSQL is not installed") for what in whats.values())
        return
    for count, seconds in found.items():
        yield Row(whats[count], goal, beside, Cost(work_wall=seconds["job"]), Cost(work_wall=seconds["nothing"]))


def list_rows(versions: int) -> Iterator[Row]:
    """Yield the rows about lists of a registry with so many *versions*, and how they grow from a tenth of those."""
    _say("lists of many versions, and of a tenth")
    try:
        many, few = bench_lists.measure(versions)
    except NoServer:
        yield Row(f"Lists of {versions:,} versions", Goal(Figure.WORK_WALL), "", None, None, "PostgreSQL is not installed")
        return
    for kind, times in many.times.items():
        what = f"Lists of {versions:,} versions: {kind}"
        yield Row(f"{what}, 99 of 100", Goal(Figure.WORK_WALL, AtMost(MOST_SECONDS)), "", Cost(work_wall=times.p99), None)
        grown = Goal(Figure.WORK_WALL, Within(FLAT_TIME))
        beside = Cost(work_wall=few.times[kind].p50)
        yield Row(f"{what}, half", grown, f"the same of {versions // 10:,}", Cost(work_wall=times.p50), beside)
    yield Row(
        f"The old face's list of all of {many.listed:,} models",
        Goal(Figure.PEAK, Within(FLAT_MEMORY)),
        f"the same of {few.listed:,}",
        Cost(peak=many.peak),
        Cost(peak=few.peak),
    )


def store_rows(folder: Path, size: int) -> Iterator[Row]:
    """Yield the rows about reading, hashing, checking and copying alone, as `bench_store` measures them.

    Writes three times *size* below *folder*, and removes it.
    """
    _say("hashing, checking and copying")
    result = bench_store.measure(folder, size / GB)
    files = {"large": f"one file of {size / GB:g} GB", "small": f"{result['files']:,} small files"}
    for kind, what in files.items():
        times = result[kind]
        by_hand = times["sha256sum_seconds"] + times["cp_seconds"]
        goal = Goal(Figure.WORK_WALL, Within(bench_store.MAX_RATIO) if kind == "large" else None)
        yield Row(
            f"Hashing, checking and copying {what}",
            goal,
            "`sha256sum` and `cp`",
            Cost(work_wall=times["store_seconds"]),
            Cost(work_wall=by_hand),
        )


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="Measure modelport beside the tools of today.")
    names = sorted({case.name for case in cases()} | {STORE, QUEUE, LISTS, S3})
    parser.add_argument("--quick", action="store_true", help="small inputs, one run each, nothing is written")
    parser.add_argument("--only", choices=names, help="measure only these rows; nothing is written")
    return parser.parse_args(arguments)


def _say(step: str) -> None:
    print(f"bench: {step}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
