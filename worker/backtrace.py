"""Where an error came from that nobody foresaw, as lines that an operator reads: the calls, and what the error says.

In goes an exception, out comes bounded text. No value of a variable stands in it, and nothing that looks like a secret: what
an error says besides is all that may be somebody's. Pure.

Laws (each has a test of the same name):
    a backtrace is bounded;
    no value of a variable is told.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

from worker.masks import masked

MOST_CHARACTERS = 8000
"""Characters of all that is told."""

MOST_SAID = 1000
"""Characters of what one error says."""

MOST_CALLS = 40
"""Calls of one error that are told: of more, the first quarter and the last ones."""

MOST_ERRORS = 5
"""Errors of a chain that are told."""

PACKAGES = re.compile(r".*/(?:site|dist)-packages/")
"""Where packages lie: what stands before them is the machine's affair."""

OURS = Path(__file__).parents[1]
"""Where our own lie."""


def backtrace_of(error: BaseException) -> str:
    """Return the calls that led to *error*, the outermost first, then what it says, and so on for what caused it."""
    told = "\n".join(line for one in _chain(error) for line in _lines(one))
    return told if len(told) <= MOST_CHARACTERS else f"{told[: MOST_CHARACTERS - 2]}\n…"


def said(error: BaseException) -> str:
    """Return the kind of *error* and what it says, in one line, without what looks like a secret; it is asked carefully."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error that cannot even say what it is
        text = "it cannot say what it is"
    text = masked(text)
    return f"{type(error).__name__}: {text if len(text) <= MOST_SAID else text[: MOST_SAID - 1] + '…'}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what caused it, each once."""
    one: BaseException | None = error
    known: set[int] = set()
    while one is not None and id(one) not in known and len(known) < MOST_ERRORS:
        known.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _lines(error: BaseException) -> Iterator[str]:
    calls = [
        f"  {_short(frame.f_code.co_filename)}:{line} in {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    yield said(error)
    if len(calls) > MOST_CALLS:
        first = MOST_CALLS // 4
        calls[first : len(calls) - MOST_CALLS + first] = [f"  … {len(calls) - MOST_CALLS} more calls"]
    yield from calls
    for note in getattr(error, "__notes__", ()):
        yield from (f"  {line}" for line in masked(str(note)).splitlines())


def _short(file: str) -> str:
    """Return a file's path from its package on: where packages lie tells about the machine, and nothing about the error."""
    path = PACKAGES.sub("", file)
    if path == file and Path(file).is_relative_to(OURS):
        return Path(file).relative_to(OURS).as_posix()
    return path if path != file else "/".join(Path(file).parts[-2:])
