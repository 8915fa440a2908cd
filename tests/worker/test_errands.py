"""Errands: their order, and what happens to the others when one does not come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.servers.process import until
from worker import errands as sending
from worker.errands import Errands
from worker.errors import StorageUnavailable


@pytest.fixture
def comes_back() -> Iterator[threading.Event]:
    """What an errand of the test waits for; it comes at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def test_errands_are_run_in_their_order() -> None:
    done: list[int] = []
    errands = Errands()
    for number in range(100):
        errands.send(lambda number=number: done.append(number))  # type: ignore[misc]
    errands.wait(10)
    assert done == list(range(100))


def test_whoever_sends_errands_never_waits_for_long_whatever_hangs_in_them(comes_back: threading.Event) -> None:
    errands, done = Errands(), []
    errands.send(lambda: comes_back.wait(20))
    began = time.monotonic()
    with capture_logs() as logs:
        errands.wait(0.1)
        for number in range(3):
            errands.send(lambda number=number: done.append(number))  # type: ignore[misc]
            errands.wait(60)
    assert time.monotonic() - began < 10
    assert errands.is_late
    assert done == []
    assert [line["event"] for line in logs] == ["the store is late"]


def test_what_stands_behind_a_late_errand_is_done_when_that_comes_back(comes_back: threading.Event) -> None:
    errands, done = Errands(), []
    errands.send(lambda: comes_back.wait(20))
    errands.send(lambda: done.append("second"))
    errands.wait(0.1)
    comes_back.set()
    for _ in range(100):
        errands.wait(0.1)
        if not errands.is_late:
            break
        time.sleep(0.01)
    errands.wait(10)
    assert (done, errands.is_late) == (["second"], False)


def test_that_the_store_answers_again_is_said_after_an_errand_that_went_well_and_after_no_other(
    comes_back: threading.Event,
) -> None:
    def fail_late() -> None:
        comes_back.wait(20)
        raise StorageUnavailable("it did not go on in time")

    errands = Errands()
    with capture_logs() as logs:
        errands.send(fail_late)
        errands.wait(0.1)
        comes_back.set()
        assert until(lambda: not errands.is_late, 10)
        errands.send(lambda: False)
        errands.wait(10)
        assert [line["event"] for line in logs] == ["the store is late", "an errand failed"]
        for _ in range(2):
            errands.send(lambda: None)
            errands.wait(10)
    assert [line["event"] for line in logs] == ["the store is late", "an errand failed", "the store answers again"]


def test_the_line_is_bounded(comes_back: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    errands, done, begun = Errands(), [], threading.Event()
    errands.send(lambda: (begun.set(), comes_back.wait(20)))
    assert begun.wait(10)
    with capture_logs() as logs:
        for number in range(3):
            errands.send(lambda number=number: done.append(number))  # type: ignore[misc]
    assert [line["event"] for line in logs] == ["left out"]
    comes_back.set()
    errands.wait(10)
    assert done == [0, 1]


def test_an_errand_that_fails_takes_no_other_with_it() -> None:
    def fail(error: Exception) -> None:
        raise error

    errands, done = Errands(), []
    with capture_logs() as logs:
        errands.send(lambda: fail(StorageUnavailable("the disk is full")))
        errands.send(lambda: fail(ZeroDivisionError("a bug")))
        errands.send(lambda: done.append("third"))
        errands.wait(10)
    assert done == ["third"]
    assert [line["event"] for line in logs] == ["an errand failed", "unforeseen"]
