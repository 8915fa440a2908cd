"""What a load check came to, in the sentences in which people read it: the same at a terminal and on the page.

In goes the report of one model as `worker.verification` writes it, also one that an older release kept; out come sentences,
each with a mark. Texts of a stranger stand in them as they are: whoever shows them makes them harmless there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Report = Mapping[str, Any]


class Mark(StrEnum):
    """What a sentence says of the model."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It could not be tried."""
    NOTE = "note"
    """It says nothing of the model."""


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence of a load check with its mark."""

    mark: Mark
    text: str


def lines(model: Report) -> list[Line]:
    """Return what is said of one model: what it does, then what is wrong with it, then what it took and what it tried."""
    return [*_good(model), *_wrong(model), *_seen(model)]


def _good(model: Report) -> Iterator[Line]:
    if model["loads"]:
        yield Line(Mark.GOOD, f"loads in {model['loadSeconds']:.1f} s by {model['framework']}")
    for run in model["runs"]:
        if run["runs"]:
            yield Line(Mark.GOOD, f"runs {run['name'] or 'once'} in {run['seconds']:.3f} s, {run['filled']}")
    if model["outcome"] == "verified":
        yield Line(Mark.GOOD, "outputs are those that its signatures declare")


def _wrong(model: Report) -> Iterator[Line]:
    if model["outcome"] != "verified" and model["why"]:
        yield Line(Mark.BAD if model["outcome"] == "failed" else Mark.UNKNOWN, model["why"])
    broken = [run for run in model["runs"] if not run["runs"]]
    for run in broken[1:]:  # the first is the why
        called = f"signature {run['name']}" if run["name"] else "the model"
        yield Line(Mark.BAD, f"{called} does not run: {run['error']}")
    for mismatch in model["mismatches"]:
        if mismatch != model["why"]:
            yield Line(Mark.BAD, mismatch)


def _seen(model: Report) -> Iterator[Line]:
    if model["seconds"] is not None:
        peak = f"{model['peakBytes'] / 1e6:.0f} MB"
        yield Line(Mark.NOTE, f"{model['seconds']:.1f} s in all, memory {peak} at most, in {model['sandbox']}")
        if model.get("begun", True):
            yield Line(Mark.NOTE, _tried(model))
    for one in model["withheld"]:
        yield Line(Mark.NOTE, f"withheld {one['path']}: {one['reason']}")


def _tried(model: Report) -> str:
    if not model["watched"]:
        return "what it tried is not known: this system does not let us listen"
    if not model["tried"]:
        return "blocked: nothing, it tried nothing"
    tried = (f"{one['what']} {one['target']}{' × ' + str(one['count']) if one['count'] > 1 else ''}" for one in model["tried"])
    return f"blocked: {'; '.join(tried)}"
