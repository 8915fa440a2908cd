"""What else is promised of trust, and who shows it: what a table of answers cannot say.

One of them is shown here, by its own test; of the others stands which command measures them, and no figure.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

NO_TEST_RAN = 5
"""Source: pytest, "Exit codes"."""


@dataclass(frozen=True, slots=True)
class Promise:
    """*what* is promised, and the *command* that shows it; *test* is one that is run here, "" for none."""

    what: str
    command: str
    test: str = ""


STRACE = "tests/attacks/test_onnx.py::test_nothing_outside_is_opened_or_read_whatever_models_name"

PROMISES = (
    Promise(
        "Nothing outside is opened or read, whatever external data of ONNX names, as strace sees it", "make test-all", STRACE
    ),
    Promise("The sandbox of `modelport verify` blocks every probe, and leaves no mark outside and no process", "make cage"),
    Promise("No bytes make a reader raise what nobody foresaw, or take more time or memory than it may", "make fuzz"),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a promise: a word for the table, and whether it was broken."""

    promise: Promise
    word: str
    is_broken: bool = False


def look(promise: Promise) -> Shown:
    """Return what its test shows of *promise*, or which command does."""
    if not promise.test:
        return Shown(promise, f"shown by `{promise.command}`")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "", "-rs", promise.test]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and "1 passed" in done.stdout:
        return Shown(promise, "kept")
    if done.returncode in (0, NO_TEST_RAN):
        return Shown(promise, f"could not be tried here: shown by `{promise.command}`")
    return Shown(promise, "BROKEN", is_broken=True)


def table(shown: Iterable[Shown]) -> list[str]:
    """Return the lines of the table."""
    return ["| promise | here |", "|---|---|", *(f"| {one.promise.what} | {one.word} |" for one in shown)]
