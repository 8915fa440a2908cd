"""What one input may cost: `python -m tests.fuzz.judge TARGET FILE…` reads each in this process, and says what was wrong.

A fuzzer watches every branch, which makes the reader slower and larger; so what it found is read once more without it.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

MAX_SECONDS = 2.0
MAX_BYTES = 512 << 20
"""What one input may take: processor time, and memory beyond what the process had."""


def wrong_with(target: Target, data: bytes) -> str | None:
    """Return what the reader of *target* does wrong with *data*, None where nothing is.

    Memory is the most that this process ever had: after one input that took much, a smaller one is not noticed.
    """
    before, began = _peak_bytes(), time.process_time()
    try:
        target.feed(data)
    except Exception:
        return traceback.format_exc(limit=-8)
    seconds, grown = time.process_time() - began, _peak_bytes() - before
    if seconds > MAX_SECONDS:
        return f"took {seconds:.1f} s of processor time, more than {MAX_SECONDS:g}"
    if grown > MAX_BYTES:
        return f"took {grown >> 20} MiB, more than {MAX_BYTES >> 20}"
    return None


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(arguments: list[str]) -> int:
    """Read every file, and return how many there was something wrong with."""
    name, *paths = arguments
    mistakes = 0
    for path in paths:
        wrong = wrong_with(TARGETS[name], Path(path).read_bytes())
        if wrong is not None:
            mistakes += 1
            print(f"{path}: {wrong}")
    return min(mistakes, 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
