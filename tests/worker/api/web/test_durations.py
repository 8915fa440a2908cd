"""How long things take, in words that promise no more than is known."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from worker.api.web.durations import SHARES, counted_times, exact_times
from worker.records import STEPS, Count, Took
from worker.registry.counters import counts, of_steps

NOW = datetime(2026, 11, 22, 9, 15, tzinfo=UTC)


def counted(step: str, seconds: list[float]) -> list[Count]:
    return counts(of_steps(Took(step, one) for one in seconds))


def plain(told: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one.replace("\u00a0", " ") for one in told)


def test_what_is_known_exactly_is_told_so() -> None:
    found = exact_times("all", [float(second) for second in range(100, 0, -1)])
    assert (found.count, plain(found.told)) == (100, ("50 s", "1 min 35 s", "1 min 39 s"))
    assert plain(exact_times("all", [0.25]).told) == ("250 ms",) * 3
    assert exact_times("all", []).told == ()


def test_what_was_counted_in_buckets_is_told_by_their_bounds() -> None:
    [found] = counted_times(counted("settle", [0.4] * 50 + [3] * 45 + [5000] * 5))
    assert (found.what, found.count, plain(found.told)) == (
        "Seeing that the files rest",
        100,
        ("≤ 500 ms", "≤ 5 s", "> 30 min"),
    )


def test_steps_stand_in_their_order_and_what_was_never_counted_is_left_out() -> None:
    found = counted_times([*counted("register", [1]), *counted("resolve", [1])])
    assert [one.what for one in found] == ["Finding the place", "Registering"]
    assert len(counted_times([one for step in STEPS for one in counted(step, [1])])) == len(STEPS)
    assert counted_times([]) == []


SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0}


def bound(told: str) -> float:
    """Return what is told in seconds."""
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)\s(ms|s|min)", told))


@given(some.lists(some.floats(0, 4000), min_size=1, max_size=200))
def test_a_counted_time_is_never_above_the_bound_that_is_told(seconds: list[float]) -> None:
    [found] = counted_times(counted("store", seconds))
    for share, told in zip(SHARES, found.told, strict=True):
        below: Any = sum(one <= bound(told) for one in seconds)
        assert (below >= share * len(seconds)) == told.startswith("≤")
