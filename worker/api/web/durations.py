"""How long things take, in three figures each: what half, 95 of 100 and 99 of 100 took at most.

What was counted in buckets is known up to the bound of a bucket, and told so: never as an exact time. Pure.

Law (has a test of the same name):
    a counted time is never above the bound that is told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worker.api.web.wording import duration
from worker.figures import NBSP
from worker.records import STEPS, Count, Counted
from worker.registry.counters import BOUNDS_SECONDS, NO_BOUND

SHARES = (0.5, 0.95, 0.99)
"""What the columns are of."""

STEP_WORDS = {
    "resolve": "Finding the place",
    "settle": "Seeing that the files rest",
    "detect": "Looking at them",
    "store": "Reading and keeping them",
    "register": "Registering",
}


@dataclass(frozen=True, slots=True)
class Times:
    """What something took: *what*, how many times are known, and a text for each of `SHARES`."""

    what: str
    count: int
    told: tuple[str, ...]


def exact_times(what: str, seconds: Sequence[float]) -> Times:
    """Return what *seconds* tell; nothing is told of none."""
    ordered = sorted(seconds)
    return Times(what, len(ordered), tuple(duration(ordered[_place(share, len(ordered))]) for share in SHARES if ordered))


def counted_times(counts: Sequence[Count]) -> list[Times]:
    """Return how long it took until a worker began, and how long each step of an attempt, as far as it was counted at all."""
    told = [("Waiting for a worker", Counted.WAITED, "")]
    told += [(STEP_WORDS[step], Counted.STEPPED, step) for step in STEPS]
    found = (_of_buckets(what, _buckets(counts, name, step)) for what, name, step in told)
    return [one for one in found if one.count]


def _buckets(counts: Sequence[Count], name: Counted, step: str) -> list[tuple[float, int]]:
    """Return the buckets by their bounds in seconds, with how many are in each alone."""
    found = []
    for one in counts:
        labels = dict(one.labels)
        if one.name is name and labels.get("step", "") == step:
            found.append((math.inf if labels["le"] == NO_BOUND else float(labels["le"]), one.value))
    return sorted(found)


def _of_buckets(what: str, buckets: Sequence[tuple[float, int]]) -> Times:
    count = sum(amount for _, amount in buckets)
    return Times(what, count, tuple(_told(buckets, _place(share, count)) for share in SHARES if count))


def _told(buckets: Sequence[tuple[float, int]], place: int) -> str:
    """Return the bound of the bucket that holds the time at *place*, counted from 0."""
    passed = 0
    for bound, amount in buckets:
        passed += amount
        if passed > place:
            return f"≤{NBSP}{duration(bound)}" if bound < math.inf else f">{NBSP}{duration(BOUNDS_SECONDS[-1])}"
    raise AssertionError("the place is one of theirs")


def _place(share: float, count: int) -> int:
    """Return the place, in order, of the time that *share* of all do not exceed. Source: nearest rank."""
    return max(0, math.ceil(share * count) - 1)
