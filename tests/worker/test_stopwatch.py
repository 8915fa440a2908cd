"""How long steps took is kept until it is counted, and given up only where nobody counts for very long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from worker import stopwatch
from worker.errors import RegistryUnavailable
from worker.records import Took
from worker.stopwatch import Stopwatch


class Hand:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def watch(hand: Hand) -> Stopwatch:
    return Stopwatch(hand)


def taken(watch: Stopwatch) -> list[Took]:
    found: list[Took] = []
    watch.count(found.extend)
    return found


def attempt(watch: Stopwatch, hand: Hand, names: Sequence[str]) -> None:
    """Take steps of a second each."""
    made = watch.attempt()
    for name in names:
        made.step(name)
        hand.at += 1
    made.end()


def test_a_step_ends_where_the_next_begins(watch: Stopwatch, hand: Hand) -> None:
    attempt(watch, hand, ["resolve", "settle", "detect"])
    assert taken(watch) == [Took("resolve", 1), Took("settle", 1), Took("detect", 1)]
    assert taken(watch) == []


def test_what_is_no_step_is_a_part_of_the_one_before(watch: Stopwatch, hand: Hand) -> None:
    attempt(watch, hand, ["submitted", "store", "copied", "register", "registered"])
    assert taken(watch) == [Took("store", 2), Took("register", 2)]


def test_an_attempt_without_steps_is_nothing(watch: Stopwatch, hand: Hand) -> None:
    attempt(watch, hand, [])
    assert taken(watch) == []


def test_it_is_due_after_a_while_and_not_for_nothing(watch: Stopwatch, hand: Hand) -> None:
    hand.at += 10
    assert not watch.is_due(5)
    attempt(watch, hand, ["settle"])
    assert watch.is_due(5)
    taken(watch)
    attempt(watch, hand, ["settle"])
    assert not watch.is_due(5)


def test_what_the_registry_does_not_count_is_kept_for_later(
    watch: Stopwatch, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(steps: Sequence[Took]) -> Iterator[None]:
        raise RegistryUnavailable("away")

    monkeypatch.setattr(stopwatch, "MOST_KEPT", 3)
    attempt(watch, hand, ["settle", "detect"])
    watch.count(away)
    attempt(watch, hand, ["store", "register"])
    assert taken(watch) == [Took("settle", 1), Took("detect", 1), Took("store", 1)]
