"""`python -m tests.fuzz [--seconds N] [--only NAME] [--jobs N]`: every fuzzer for so long, told as a table.

What was found lies in build/fuzz/NAME/found, and once mended belongs into tests/fuzz/found/NAME, which the tests read. The
corpus of each fuzzer is kept in build/fuzz/NAME/corpus and begun with again. The exit status is 1 where anything was found.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "fuzz"

HEAD = ("| reader | inputs | in the corpus | found |", "|---|---|---|---|")

WATCHED = 4
"""How many times longer a reader may take while it is watched, before the fuzzer keeps the input to be read without it."""

MAX_INPUT_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Found:
    """What one fuzzer came to: how many inputs it tried, how many of them were new, and what was wrong with which."""

    name: str
    inputs: int
    corpus: int
    mistakes: str

    def __str__(self) -> str:
        return f"| {self.name} | {self.inputs:,} | {self.corpus:,} | {self.mistakes or 'nothing'} |"


def run(name: str, seconds: int) -> Found:
    """Run the fuzzer *name* for so many *seconds*, and judge what it kept.

    Raises:
        RuntimeError: it did not run.
    """
    corpus, found = (BUILD / name / part for part in ("corpus", "found"))
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:32]).write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "timeout": 60,
        "report_slow_units": WATCHED,
        "rss_limit_mb": 4096,
        "malloc_limit_mb": 512,
        "max_len": MAX_INPUT_BYTES,
        "print_final_stats": 1,
        "artifact_prefix": f"{found}/",
    }
    command = [sys.executable, "-m", "tests.fuzz.one", name, *(f"-{key}={value}" for key, value in options.items()), corpus]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    (BUILD / name / "log").write_text(done.stdout + done.stderr, encoding="utf-8")
    tried = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    kept = sorted(found.iterdir())
    if tried is None and not kept:
        raise RuntimeError(f"the fuzzer {name} did not run: {done.stderr[-2000:]}")
    return Found(name, int(tried[1]) if tried else 0, len(list(corpus.iterdir())), _judged(name, kept))


def _judged(name: str, kept: list[Path]) -> str:
    """Read what was *kept* without the fuzzer, each in a process of its own; remove what nothing is wrong with."""
    mistakes = []
    for path in kept:
        command = [sys.executable, "-m", "tests.fuzz.judge", name, str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            mistakes.append(path.name)
            print(done.stdout, done.stderr, file=sys.stderr)
        else:
            path.unlink()
    return ", ".join(mistakes)


def main(arguments: list[str]) -> int:
    """Run the fuzzers and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args(arguments)
    with ThreadPoolExecutor(chosen.jobs) as pool:
        rows = list(pool.map(lambda name: run(name, chosen.seconds), chosen.only or TARGETS))
    print("\n".join([*HEAD, *map(str, rows)]))
    return int(any(row.mistakes for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
