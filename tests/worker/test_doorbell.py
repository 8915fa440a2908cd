"""A ringer rings for others, and once for a burst."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest

from worker.doorbell import PAUSE_SECONDS, Ringer


class Bell:
    """Notes when it was rung."""

    def __init__(self) -> None:
        self.rung: list[float] = []
        self.heard = Event()

    def __call__(self) -> None:
        self.rung.append(time.monotonic())
        self.heard.set()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def ringer(bell: Bell) -> Iterator[Ringer]:
    ringer = Ringer(bell)
    yield ringer
    ringer.close()


def test_it_rings_when_it_is_asked(bell: Bell, ringer: Ringer) -> None:
    assert bell.rung == []
    ringer()
    assert bell.heard.wait(5)


def test_a_burst_is_told_of_at_its_beginning_and_once_more_after_its_end(bell: Bell, ringer: Ringer) -> None:
    ringer()
    assert bell.heard.wait(5)
    for _ in range(1000):
        ringer()
    last_asked = time.monotonic()
    time.sleep(5 * PAUSE_SECONDS)
    assert bell.rung[-1] >= last_asked
    pauses = [later - earlier for earlier, later in zip(bell.rung, bell.rung[1:], strict=False)]
    assert min(pauses) >= 0.9 * PAUSE_SECONDS


def test_nothing_is_rung_after_the_end(bell: Bell, ringer: Ringer) -> None:
    ringer.close()
    ringer()
    time.sleep(2 * PAUSE_SECONDS)
    assert bell.rung == []
